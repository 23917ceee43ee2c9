"""What is fed to models, and running them on ONNX Runtime. No other package opens a session."""
