"""From an ONNX graph to a trainable ``torch.fx.GraphModule``, and its weights back into the file."""
