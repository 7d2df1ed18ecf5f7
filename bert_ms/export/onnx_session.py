"""ONNX files run by ONNX Runtime; nothing here needs MindSpore."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms.compat import require
from bert_ms.errors import CheckpointError, DeviceError

# Our devices by the names of ONNX Runtime's providers, best first.
PROVIDERS = {"ascend": "CANNExecutionProvider", "gpu": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
_QUIET = 3  # errors only
# On a CPU, ONNX Runtime's fused operator takes longer than the addition and the LayerNorm that it stands for.
_SLOWER = {"cpu": ["SkipLayerNormFusion"]}


class OnnxSession:
    """An ONNX file ready to run; safe to call from several threads.

    Args:
        path: of the file.
        outputs: names of what to return, in order; None takes all of the file's.
        device: auto (the best that this ONNX Runtime was built for), cpu, gpu or ascend.
        threads: of one operator; None leaves ONNX Runtime's choice, every core.

    Attributes:
        device: that was chosen.

    Raises:
        DependencyError: onnxruntime is not installed.
        DeviceError: this ONNX Runtime was not built for the device.
        CheckpointError: the file cannot be read, or lacks an output.
    """

    def __init__(
        self,
        path: Path,
        *,
        outputs: Sequence[str] | None = None,
        device: str = "auto",
        threads: int | None = None,
    ):
        runtime = require("onnxruntime", extra="onnx", purpose="run ONNX files")
        self.device = _device(device, runtime)
        options = runtime.SessionOptions()
        options.log_severity_level = _QUIET
        if threads is not None:
            options.intra_op_num_threads = threads
        providers = list(dict.fromkeys([PROVIDERS[self.device], PROVIDERS["cpu"]]))
        try:
            self._session: Any = runtime.InferenceSession(
                str(path), options, providers=providers, disabled_optimizers=_SLOWER.get(self.device)
            )
        except Exception as error:  # ONNX Runtime's own classes, which share no base but this
            raise CheckpointError(f"{path} cannot be read by ONNX Runtime: {error}") from error
        self._inputs = [port.name for port in self._session.get_inputs()]
        there = [port.name for port in self._session.get_outputs()]
        self._outputs = list(there if outputs is None else outputs)
        absent = [name for name in self._outputs if name not in there]
        if absent:
            raise CheckpointError(f"{path} returns {', '.join(there)}, and not {', '.join(absent)}: export it again.")

    def run(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Outputs, float32, of arrays in the order of the file's inputs."""
        feed = dict(zip(self._inputs, map(np.ascontiguousarray, arrays), strict=True))
        return tuple(np.asarray(output, np.float32) for output in self._session.run(self._outputs, feed))


def _device(asked: str, runtime: Any) -> str:
    there = [name for name, provider in PROVIDERS.items() if provider in runtime.get_available_providers()]
    if asked == "auto":
        return there[0]
    if asked not in there:
        raise DeviceError(
            f"device '{asked}' was asked for, but ONNX Runtime {runtime.__version__} was built for {', '.join(there)}: "
            f"use device=auto, or install the ONNX Runtime of that device."
        )
    return asked
