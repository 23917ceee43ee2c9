"""Ensembles of decision trees (ai.onnx.ml): they have no axes, and so an intermediate representation of their own."""
