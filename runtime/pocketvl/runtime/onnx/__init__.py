"""Checks of .onnx files without the onnx package, and sessions of onnxruntime: parts of onnx_engine.py."""
