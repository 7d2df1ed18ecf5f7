"""Whether the native operators are used: BERT_MS_KERNELS = auto, on or off."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path

from bert_ms import compat
from bert_ms.errors import BertMsError, ConfigError, DeviceError, unknown
from bert_ms.kernels import build
from bert_ms.kernels.pages import drop_library_pages

logger = logging.getLogger(__name__)

MODES = ("auto", "on", "off")


def mode() -> str:
    """What BERT_MS_KERNELS asks for: auto, on or off.

    Raises:
        ConfigError: it is something else.
    """
    asked = os.environ.get("BERT_MS_KERNELS", "auto").strip().lower() or "auto"
    if asked not in MODES:
        raise ConfigError(unknown("value of BERT_MS_KERNELS", asked, MODES))
    return asked


def enabled() -> bool:
    """True if Cells built from now on use the native operators. Compiles them when that was not done before.

    Raises:
        ConfigError: BERT_MS_KERNELS is not auto, on or off.
        DeviceError: it is `on`, but native operators are not possible here; the text says why.
    """
    if _SETTLED:
        return _SETTLED[-1]
    asked = mode()
    if asked == "off":
        return False
    device = compat.current_device()
    if device != "cpu":
        if asked == "on":
            raise DeviceError(f"BERT_MS_KERNELS=on, but native operators need a CPU and the device is {device}.")
        return False
    try:
        library()
    except build.BuildError as error:
        if asked == "on":
            raise
        _warn(str(error))
        return False
    return True


_SETTLED: list[bool] = []


@contextmanager
def settled(is_native: bool) -> Iterator[None]:
    """Cells built inside are native or plain as it was settled before, whatever the switch says now."""
    _SETTLED.append(is_native)
    try:
        yield
    finally:
        _SETTLED.pop()


def disabled() -> AbstractContextManager[None]:
    """Cells built inside use plain MindSpore, for networks that are to run elsewhere: exported graphs, for example.

    >>> with disabled():
    ...     enabled()
    False
    """
    return settled(False)


@lru_cache(maxsize=1)
def _warn(text: str) -> None:
    logger.warning("%s Going on with plain MindSpore operators, which are slower.", text)


_LOADED: dict[Path, ctypes.CDLL] = {}


def library() -> Path:
    """The shared library of the native operators, built if necessary and loaded into this process."""
    path = build.library()
    if path not in _LOADED:
        _LOADED[path] = ctypes.CDLL(str(path))
        _LOADED[path].bert_matrix_unit.restype = ctypes.c_char_p
        _LOADED[path].bert_set_threads(_default_threads())
        drop_library_pages()
    return path


def _default_threads() -> int:
    """OMP_NUM_THREADS as the process got it (MindSpore changes it behind Python's back), else every core allowed."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(count: int) -> None:
    """How many threads native operators use; 0 is the default, OMP_NUM_THREADS or else every core.

    Results do not depend on it. Without native operators this does nothing.
    """
    if enabled():
        _LOADED[library()].bert_set_threads(count or _default_threads())


def has_int8_unit() -> bool:
    """Whether this processor multiplies bytes by instructions of their own (VNNI); without them float32 is faster."""
    return bool(_LOADED[library()].bert_int8_unit())


def status() -> str:
    """One line for people: whether native operators are used, with what, or why not."""
    try:
        if not enabled():
            return f"native operators: not used ({reason()}); plain MindSpore operators are"
        loaded = _LOADED[library()]
        unit = loaded.bert_matrix_unit().decode()
        products = "by VNNI" if has_int8_unit() else "slow"
        return f"native operators: used ({unit}, int8 {products}, {loaded.bert_threads()} threads, {library()})"
    except BertMsError as error:
        return f"native operators: {error}"


def no_int8(key: str = "dtype") -> DeviceError:
    """The error for int8 where native operators are not used; `key` asked for it."""
    return DeviceError(
        f"{key} is int8, which needs the native operators of a CPU, and they are not used here ({reason()}): use "
        "float32, or an ONNX file (bert-ms export --quantize dynamic)."
    )


def reason() -> str:
    """Why native operators are not used for what is built now."""
    if _SETTLED:
        return "they are disabled for what is built here"
    if mode() == "off":
        return "BERT_MS_KERNELS=off"
    if compat.current_device() != "cpu":
        return f"the device is {compat.current_device()}"
    try:
        library()
    except build.BuildError as error:
        return str(error)
    return "unknown"
