"""irprune: structured pruning of exported models, as a compiler pass, verified on ONNX Runtime."""

__version__ = "0.1.0"
