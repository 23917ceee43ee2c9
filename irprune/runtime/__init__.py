"""Feeds for models, and running models on ONNX Runtime. No other package opens a session."""
