"""Preparing this process for a run: device, mode, threads, other workers, seed."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from bert_ms import __version__, compat, kernels
from bert_ms.config import INT8, RunConfig
from bert_ms.errors import DeviceError
from bert_ms.training import distributed
from bert_ms.training.distributed import Distributed

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """This process, ready to run networks.

    Attributes:
        device: cpu, gpu or ascend.
        distributed: this process among those that run together.
    """

    device: str
    distributed: Distributed


def start(config: RunConfig) -> Session:
    """Set device and graph mode, join the other workers if there are any, and seed new weights.

    Raises:
        DeviceError: the device is not there, or cannot compute in the precision asked for.
    """
    threads = distributed.threads_of_worker(config.threads)
    device = compat.use_device(config.device, graph_mode=True, threads=threads)
    _check_precision(config.precision.dtype, device)
    kernels.set_threads(threads or 0)
    workers = distributed.initialise()
    seed(config.seed)
    logger.info("device %s, worker %d of %d", device, workers.rank + 1, workers.size)
    return Session(device, workers)


def made_with() -> dict[str, str]:
    """What results depend on in their last digits, beside configuration and data."""
    native = "off"
    if kernels.enabled():
        from bert_ms.kernels import build

        native = build.library().parent.name  # a digest of the operators' source and the machine's abilities
    return {
        "bert_ms": __version__,
        "mindspore": compat.mindspore().__version__,
        "device": compat.current_device(),
        "native operators": native,
    }


def _check_precision(dtype: str, device: str) -> None:
    if dtype == "bfloat16" and device == "cpu":
        raise DeviceError(
            "precision.dtype=bfloat16 was asked for, but MindSpore has no bfloat16 MatMul, Softmax or LayerNorm on a "
            "CPU: use precision.dtype=float32 (the fastest there), float16, or an Ascend device."
        )
    if dtype == INT8 and not kernels.enabled():
        raise kernels.no_int8("precision.dtype")


def seed(value: int) -> None:
    """Seed what MindSpore and numpy draw; new weights are then the same in every process."""
    compat.mindspore().set_seed(value)
    np.random.seed(value)
