"""Precision, recall and F1 of whole entities, as seqeval counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bert_ms.errors import DataError
from bert_ms.tags.entities import Entity, entities, strict_entities

Tags = Sequence[Sequence[str]]


@dataclass(frozen=True)
class EntityScores:
    """Scores in percent of entities of one type, or of several together.

    Attributes:
        support: gold entities.
        predicted: entities that were found, rightly or not.
        right: those with the right type and the right first and last word.
    """

    precision: float
    recall: float
    f1: float
    support: int
    predicted: int
    right: int


def evaluate(gold: Tags, predicted: Tags) -> dict[str, float]:
    """All scores of tagged sentences, in percent.

    Args:
        gold: a sequence of tags for each sentence.
        predicted: the same, as long.

    Returns:
        `f1`, `precision`, `recall` over all entities together (micro); `macro_*`, the mean over types; `weighted_*`,
        that weighted by gold entities; `strict_*`, of entities that begin with B- alone (micro); `accuracy` of tags;
        `entities`, how many gold ones there are. What would divide by nothing is 0.

    Raises:
        DataError: a sentence has other lengths.

    Source: seqeval 1.2, average "micro", "macro", "weighted" in the default mode, which is that of conlleval.pl, and
    "micro" in mode "strict" with the scheme IOB2. CLUENER's own script and the model zoo's, which count tokens or look
    texts up, give other, higher numbers.
    """
    types = by_type(gold, predicted)
    total = together(types.values())
    strict = together(by_type(gold, predicted, strict=True).values())
    macro, weighted = _mean(types, lambda _: 1), _mean(types, lambda scores: scores.support)
    scores = {"f1": total.f1, "precision": total.precision, "recall": total.recall}
    for name, (precision, recall, f1) in (("macro", macro), ("weighted", weighted)):
        scores |= {f"{name}_f1": f1, f"{name}_precision": precision, f"{name}_recall": recall}
    scores |= {"strict_f1": strict.f1, "strict_precision": strict.precision, "strict_recall": strict.recall}
    return {**scores, "accuracy": accuracy(gold, predicted), "entities": total.support}


def by_type(gold: Tags, predicted: Tags, *, strict: bool = False) -> dict[str, EntityScores]:
    """Scores of each type of entity, by type in order; arguments as those of `evaluate`.

    Args:
        strict: only what begins with B- is an entity.
    """
    _check(gold, predicted)
    read = strict_entities if strict else entities
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("support", "predicted", "right")}
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        theirs: set[Entity] = set(read(gold_tags))
        ours = theirs if gold_tags == predicted_tags else set(read(predicted_tags))
        for name, found in (("support", theirs), ("predicted", ours), ("right", theirs & ours)):
            counts[name].update(entity.type for entity in found)
    types = sorted({*counts["support"], *counts["predicted"]})
    return {type_: _scores(*(counts[name][type_] for name in counts)) for type_ in types}


def together(parts: Iterable[EntityScores]) -> EntityScores:
    """Scores of several types as if they were one."""
    counted = list(parts)
    return _scores(*(sum(getattr(part, name) for part in counted) for name in ("support", "predicted", "right")))


def accuracy(gold: Tags, predicted: Tags) -> float:
    """Tags that are right, in percent; 0 where there are none."""
    _check(gold, predicted)
    total = sum(map(len, gold))
    right = sum(a == b for ours, theirs in zip(gold, predicted, strict=True) for a, b in zip(ours, theirs, strict=True))
    return 100 * right / total if total else 0.0


def _scores(support: int, predicted: int, right: int) -> EntityScores:
    precision = 100 * right / predicted if predicted else 0.0
    recall = 100 * right / support if support else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return EntityScores(precision, recall, f1, support, predicted, right)


def _mean(types: dict[str, EntityScores], weight: Callable[[EntityScores], int]) -> tuple[float, float, float]:
    total = sum(map(weight, types.values()))
    if not total:
        return 0.0, 0.0, 0.0
    columns = [(scores.precision, scores.recall, scores.f1) for scores in types.values()]
    weights = [weight(scores) for scores in types.values()]
    means = [sum(w * v for w, v in zip(weights, column, strict=True)) / total for column in zip(*columns, strict=True)]
    return means[0], means[1], means[2]


def _check(gold: Tags, predicted: Tags) -> None:
    if len(gold) != len(predicted):
        raise DataError(f"{len(gold):,} sentences are tagged, {len(predicted):,} predicted: expected as many.")
    for number, (ours, theirs) in enumerate(zip(gold, predicted, strict=True)):
        if len(ours) != len(theirs):
            raise DataError(f"sentence {number} has {len(ours)} tags, {len(theirs)} are predicted: expected as many.")
