"""Native CPU operators behind one switch, each with a plain-MindSpore twin of equal results.

The switch is the environment variable BERT_MS_KERNELS: `auto` (native where the machine allows it), `on` (native or
an error) or `off` (twins); `disabled()` switches them off for what is built inside, as a network to be exported. The
operators are in `bert_ms.kernels.ops`; importing this package imports no mindspore.
"""

from __future__ import annotations

from bert_ms.kernels.switch import disabled, enabled, mode, no_int8, reason, set_threads, status

__all__ = ["disabled", "enabled", "mode", "no_int8", "reason", "set_threads", "status"]
