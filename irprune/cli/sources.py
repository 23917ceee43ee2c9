"""The files that make up a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as oir


def data_files(model: oir.Model) -> list[Path]:
    """The files in which a model that was read keeps weights outside itself."""
    import onnx_ir as oir

    tensors = (value.const_value for value in model.graph.initializers.values())
    return sorted({Path(tensor.path) for tensor in tensors if isinstance(tensor, oir.ExternalTensor)})
