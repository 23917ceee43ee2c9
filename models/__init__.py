"""Reference architectures, at published and at test size, with the export of each to ONNX."""
