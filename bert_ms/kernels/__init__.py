"""Native CPU operators behind one switch, each with a plain-MindSpore twin of equal results.

The switch is the environment variable BERT_MS_KERNELS: `auto` (native where the machine allows it), `on` (native or
an error) or `off` (twins). The operators are in `bert_ms.kernels.ops`; importing this package imports no mindspore.
"""

from __future__ import annotations

from bert_ms.kernels.switch import enabled, mode, set_threads, status

__all__ = ["enabled", "mode", "set_threads", "status"]
