"""What golden, unit and property tests share: models from text, their analysis as text, removals, ONNX Runtime."""
