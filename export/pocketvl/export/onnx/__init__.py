"""The ONNX target: graphs for onnxruntime and transformers.js over weights that are stored once."""
