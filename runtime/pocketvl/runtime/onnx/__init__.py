"""Sessions of onnxruntime, and what their graphs must take and give: parts of onnx_engine.py."""
