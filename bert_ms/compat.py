"""The one place that asks which MindSpore, which device, or which optional package is there."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

from bert_ms.errors import DependencyError, DeviceError

logger = logging.getLogger(__name__)

DEVICES = {"cpu": "CPU", "gpu": "GPU", "ascend": "Ascend"}
SUPPORTED_MINDSPORE = ("2.10",)

_THREADS: list[int] = []  # what MindSpore of this process was told, once it was


def require(module: str, *, extra: str | None = None, purpose: str) -> ModuleType:
    """Import an optional package, or say how to get it.

    Args:
        module: the module's import name.
        extra: our extra that installs it, for example "serve"; None if it is to be installed by its own name.
        purpose: what it is needed for, completing "... is needed to".

    Raises:
        DependencyError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        whole = f" (it is in this package's extra [{extra}])" if extra else ""
        # Without the bound, pip may take numpy 2 along, which MindSpore's wheels cannot be imported with.
        command = f"pip install {package} 'numpy<2'"
        text = f"{package} is needed to {purpose}, but cannot be imported ({error}). Run: {command}{whole}"
        raise DependencyError(text) from None


def mindspore() -> Any:
    """The mindspore module, its C++ log quietened to errors unless GLOG_v says otherwise."""
    os.environ.setdefault("GLOG_v", "3")
    return require("mindspore", purpose="run networks")


@cache
def available_devices() -> tuple[str, ...]:
    """Devices of this machine that MindSpore can use, best first, for example ("ascend", "cpu")."""
    ms = mindspore()
    found = [name for name in ("ascend", "gpu") if ms.hal.is_available(DEVICES[name])]
    return (*found, "cpu")


def use_device(device: str = "auto", *, graph_mode: bool = True, threads: int | None = None) -> str:
    """Set MindSpore's device and mode; called by entry points, never by the library on import.

    Args:
        device: auto (the best there is), cpu, gpu or ascend.
        graph_mode: compile networks to graphs; False runs operator by operator.
        threads: CPU threads of one operator; None leaves MindSpore's choice.

    Returns:
        The device chosen: cpu, gpu or ascend.

    Raises:
        DeviceError: the device that was asked for is not there.
    """
    ms = mindspore()
    chosen = available_devices()[0] if device == "auto" else device
    if chosen not in available_devices():
        raise DeviceError(
            f"device '{device}' was asked for, but MindSpore {ms.__version__} finds only "
            f"{', '.join(available_devices())} here. Use device=auto, or see `bert-ms doctor`."
        )
    _set_device(ms, DEVICES[chosen])
    ms.set_context(mode=ms.GRAPH_MODE if graph_mode else ms.PYNATIVE_MODE)
    if threads is not None and chosen == "cpu":
        _set_threads(ms, threads)
    return chosen


def _set_threads(ms: Any, threads: int) -> None:
    """Say how many threads an operator has; MindSpore takes it once a process: a second run keeps the first's."""
    if _THREADS and threads not in _THREADS:
        logger.warning("this process already runs with threads=%d: %d takes a new process.", _THREADS[0], threads)
    if not _THREADS:
        ms.set_cpu_affinity(False)
        ms.device_context.cpu.op_tuning.threads_num(threads)
        _THREADS.append(threads)


def _set_device(ms: Any, target: str) -> None:
    """Choose the device; MindSpore refuses once it has run anything, even if that was on the same device."""
    before = ms.get_context("device_target")
    try:
        ms.set_device(target)
    except RuntimeError as error:
        if before != target:
            raise DeviceError(f"{target} was asked for, but MindSpore already runs on {before}: {error}") from None


@contextmanager
def parameters_left_empty() -> Iterator[None]:
    """Parameters made inside draw their initial values only when `init_data` is called, if ever.

    For networks that are filled from a file: drawing 110 million truncated normals takes longer than reading them.
    Source: `mindspore.nn.utils.no_init_parameters` does the same, but is announced to go after 2.9. Where a later
    MindSpore ignores the mark, values are drawn at once, as without this.
    """
    parameter = mindspore().Parameter
    parameter.init_param = False
    try:
        yield
    finally:
        parameter.init_param = True


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's own does by its class, MindSpore's by its words.

    Source: messages of MindSpore 2.10 (`mem_manager`, `AscendMemAdapter`) and of the CANN runtime.
    """
    words = ("Allocate memory failed", "Memory not enough", "Out of memory", "out of memory", "bad_alloc")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


def current_device() -> str:
    """The device that is set: cpu, gpu or ascend."""
    target = mindspore().get_context("device_target")
    return {value: key for key, value in DEVICES.items()}[target]


def flash_attention() -> Any | None:
    """MindSpore's fused attention function where the device has it (Ascend), else None.

    Source: MindSpore documentation, `mindspore.ops.flash_attention_score` (Ascend only, half precision).
    """
    ms = mindspore()
    return getattr(ms.ops, "flash_attention_score", None) if current_device() == "ascend" else None
