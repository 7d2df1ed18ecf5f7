"""What is minimised beside the plain loss, and what learns: loss, regularisation, LoRA adapters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal

from bert_ms.config.section import Section


@dataclass(frozen=True, kw_only=True)
class LossConfig(Section):
    """Changes of the cross entropy of labels; they hold in training only.

    Attributes:
        label_smoothing: part of each label's probability that is spread over all labels.
        focal_gamma: exponent of the focal loss, usually 2; 0 is the plain cross entropy.
        class_weights: one weight a label in the labels' order, "balanced" (by frequency in the training data: every
            label counts the same), or null.
    """

    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    class_weights: tuple[float, ...] | Literal["balanced"] | None = None

    @property
    def used(self) -> tuple[str, ...]:
        """The values that change the loss, by name."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) not in (0, None))

    def problems(self) -> Iterator[str]:
        yield from self._in_range(0, 0.999, "label_smoothing")
        yield from self._in_range(0, 100, "focal_gamma")
        weights = self.class_weights
        if isinstance(weights, tuple) and (min(weights, default=0) < 0 or max(weights, default=0) == 0):
            yield f"class_weights is {list(weights)}: expected numbers of at least 0, some of them above."


@dataclass(frozen=True, kw_only=True)
class RegularizationConfig(Section):
    """Steps that look at each batch twice.

    Attributes:
        fgm_epsilon: length of the adversarial step on the word embeddings (FGM), usually 0.5 to 1; 0 switches it off.
        r_drop_alpha: weight of the divergence between two passes with other dropout (R-Drop), usually 0.5 to 5; 0
            switches it off.
    """

    fgm_epsilon: float = 0.0
    r_drop_alpha: float = 0.0

    def problems(self) -> Iterator[str]:
        yield from self._at_least(0, "fgm_epsilon", "r_drop_alpha")


@dataclass(frozen=True, kw_only=True)
class LoraConfig(Section):
    """Low-rank adapters: the network stays as it is, a small product is learned beside chosen weights.

    Attributes:
        rank: of the product; 0 trains the network itself.
        lora_alpha: the product is scaled by lora_alpha / rank.
        targets: patterns of weights of dense layers that get an adapter.
        train: patterns of parameters that learn beside the adapters and the task's head.
    """

    rank: int = 0
    lora_alpha: float = 16.0
    targets: tuple[str, ...] = ("*.attention.query.weight", "*.attention.value.weight")
    train: tuple[str, ...] = ()

    def problems(self) -> Iterator[str]:
        yield from self._in_range(0, 1024, "rank")
        if not self.lora_alpha > 0:
            yield f"lora_alpha is {self.lora_alpha}: expected more than 0."
        if not self.targets:
            yield "targets is []: name weights, for example ['*.attention.query.weight']."
