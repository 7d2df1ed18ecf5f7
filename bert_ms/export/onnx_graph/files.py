"""An ONNX graph as files: one, or two where the weights are too many for one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bert_ms.errors import CheckpointError

if TYPE_CHECKING:
    import onnx

MODEL_FILE = "model.onnx"
# A protocol buffer ends at 2 GiB; weights beyond this go into a file of their own.
MOST_BYTES = 1_500_000_000
DATA_SUFFIX = ".data"


def save(model: onnx.ModelProto, folder: Path, *, name: str = MODEL_FILE, most_bytes: int = MOST_BYTES) -> list[str]:
    """Write a graph into a folder, checked by ONNX's own checker.

    Args:
        model: is used up where its weights go into a file of their own.
        folder: is there.
        name: of the file.
        most_bytes: of weights in it; more go into `name` + ".data" beside it.

    Returns:
        Names of the files.

    Raises:
        CheckpointError: the graph does not keep ONNX's rules, or cannot be written.
    """
    import onnx

    path, data = folder / name, f"{name}{DATA_SUFFIX}"
    is_apart = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > most_bytes
    try:
        onnx.save_model(model, path, save_as_external_data=is_apart, location=data if is_apart else None)
        onnx.checker.check_model(str(path), full_check=True)
    except (OSError, ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CheckpointError(f"{path} cannot be written: {str(error).strip()}") from error
    return [name, data] if is_apart else [name]
