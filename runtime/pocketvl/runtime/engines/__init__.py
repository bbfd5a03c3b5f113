"""This machine's engines: ExecuTorch, onnxruntime, and the evaluator of Core ML packages."""
