"""Which parameters learn, at which part of the learning rate, and with or without weight decay."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bert_ms.config.run import OptimizerConfig
from bert_ms.errors import ConfigError, nearest

_LAYER = re.compile(r"(?:^|\.)encoder\.layers\.(\d+)\.")
_EMBEDDINGS = re.compile(r"(?:^|\.)embeddings\.")
_NO_DECAY = re.compile(r"(?:^|\.)(?:layer_norm\.(?:weight|bias)|bias)$")


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that are treated alike.

    Attributes:
        names: of the parameters, in the network's order.
        factor: their part of the learning rate.
        has_decay: whether weight decay is applied.
    """

    names: tuple[str, ...]
    factor: float
    has_decay: bool


def parameter_groups(names: Sequence[str], config: OptimizerConfig) -> list[ParameterGroup]:
    """Group a network's parameters for the optimiser; frozen ones are in no group.

    LayerNorm weights and every bias get no weight decay. With layer_decay f the head and the pooler learn at the full
    rate, the last encoder layer at f, the one below at f**2, and so on down to the embeddings.

    Args:
        names: of all trainable parameters.
        config: weight decay, layer-wise decay, and patterns of frozen parameters (`*` and `?` as in file names).

    Returns:
        Groups that together hold every learning parameter once, in the order in which they first occur.

    Raises:
        ConfigError: a pattern matches no parameter, or nothing is left to learn.

    Source: what decays, google-research/bert optimization.py (`exclude_from_weight_decay`); layer-wise decay, Howard
        and Ruder 2018 section 3.1 and Clark et al. 2020 (ELECTRA) appendix A.
    """
    frozen = frozen_names(names, config.freeze)
    depths = {name: _depth(name) for name in names}
    top = 1 + max((d for d in depths.values() if d is not None), default=0)
    members: dict[tuple[float, bool], list[str]] = {}
    for name in names:
        if name in frozen:
            continue
        depth = depths[name]
        factor = config.layer_decay ** (top - (top if depth is None else depth))
        members.setdefault((factor, _NO_DECAY.search(name) is None), []).append(name)
    if not members:
        raise ConfigError(
            f"optimizer.freeze {list(config.freeze)} freezes all {len(names)} parameters: nothing can learn."
        )
    return [ParameterGroup(tuple(group), factor, decays) for (factor, decays), group in members.items()]


def frozen_names(names: Iterable[str], patterns: Sequence[str]) -> set[str]:
    """Names that match one of the patterns.

    Raises:
        ConfigError: a pattern matches nothing; every such pattern is named, with the nearest parameter.
    """
    known = list(names)
    frozen: set[str] = set()
    problems = []
    for pattern in patterns:
        found = {name for name in known if fnmatchcase(name, pattern)}
        if not found:
            problems.append(_no_match(pattern, known))
        frozen |= found
    if problems:
        raise ConfigError(problems)
    return frozen


def _no_match(pattern: str, names: Sequence[str]) -> str:
    guess = nearest(pattern.replace("*", "").replace("?", ""), names) or _same_ending(pattern, names) or names[0]
    return (
        f"optimizer.freeze pattern '{pattern}' matches none of the {len(names)} parameters: "
        f"the nearest is '{guess}'. '*' stands for any characters."
    )


def _same_ending(pattern: str, names: Sequence[str]) -> str | None:
    """The first name that shares the longest run of whole words with the pattern."""
    words = set(re.split(r"[.*?]+", pattern)) - {""}
    shared = [len(words & set(name.split("."))) for name in names]
    return names[shared.index(max(shared))] if max(shared, default=0) else None


def _depth(name: str) -> int | None:
    """0 for embeddings, 1 for the first encoder layer and so on, None above the encoder."""
    if layer := _LAYER.search(name):
        return int(layer.group(1)) + 1
    return 0 if _EMBEDDINGS.search(name) else None
