"""Programs as files: ``.pt2`` archives and ONNX exports."""
