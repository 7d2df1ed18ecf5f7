"""How much memory training takes, estimated before it is tried."""

from __future__ import annotations

from dataclasses import dataclass

from bert_ms.config import BertConfig

_SIZES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Megabytes (10**6 bytes) for one device; activations are a rough guess."""

    parameters: float
    gradients: float
    optimizer: float
    activations: float

    @property
    def total(self) -> float:
        """All of it, without MindSpore itself (about 400 MB)."""
        return self.parameters + self.gradients + self.optimizer + self.activations


def estimate(
    config: BertConfig,
    *,
    parameters: int,
    learning: int,
    slots: int,
    batch_size: int,
    length: int,
    dtype: str = "float32",
    accumulate: int = 1,
) -> MemoryEstimate:
    """What one train step of the longest batches takes.

    Args:
        config: of the network.
        parameters: numbers in it.
        learning: those of them that learn.
        slots: optimiser slots for each that learns.
        batch_size: rows B.
        length: tokens of a row S.
        dtype: that activations are computed in.
        accumulate: micro-batches of an update; more than one keep a sum of gradients.

    Source: activations of one layer, Korthikanti et al. 2022, "Reducing activation recomputation in large transformer
        models", equation 1, with its 2-byte numbers scaled to `dtype` and its masks counted as one byte.
    """
    size = _SIZES[dtype]
    tokens = batch_size * length
    per_layer = tokens * (16 * size + 2) * config.hidden_size
    per_layer += tokens * (2 * size + 1) * config.num_attention_heads * length
    activations = config.num_hidden_layers * per_layer + 3 * size * tokens * config.hidden_size
    return MemoryEstimate(
        parameters=parameters * 4 / 1e6,
        gradients=learning * 4 * (2 if accumulate > 1 else 1) / 1e6,
        optimizer=learning * 4 * slots / 1e6,
        activations=activations / 1e6,
    )
