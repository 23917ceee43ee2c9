"""Running models on ONNX Runtime. No other package opens a session."""
