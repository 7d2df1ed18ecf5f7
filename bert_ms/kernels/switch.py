"""Whether the native operators are used: BERT_MS_KERNELS = auto, on or off."""

from __future__ import annotations

import os

from bert_ms.errors import ConfigError, unknown

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
    """True if Cells built from now on use the native operators."""
    return False


def status() -> str:
    """One line for people: whether native operators are used, and why not."""
    return "native operators: not built yet; the plain-MindSpore operators are used"
