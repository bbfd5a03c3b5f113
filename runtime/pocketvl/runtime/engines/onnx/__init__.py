"""Runs ONNX bundles with onnxruntime, and checks what their graphs take and give."""
