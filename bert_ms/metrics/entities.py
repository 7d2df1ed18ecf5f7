"""Precision, recall and F1 of whole entities, as seqeval counts them.

What would divide by nothing is 0. CLUENER's own script and the model zoo's look up texts or count tokens, and give
other, higher numbers.

Source: seqeval 1.2, averages "micro", "macro" and "weighted" in its default mode, which is that of conlleval.pl, and in
its mode "strict" with the scheme IOB2; agreement is tested.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
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
    """The scores of tagged sentences that are looked at first, in percent.

    Args:
        gold: a sequence of tags for each sentence.
        predicted: the same, as long.

    Returns:
        `f1`, `precision`, `recall` over all entities together (micro); `macro_f1` and `weighted_f1` over types;
        `strict_f1`, where only what begins with B- is an entity; `accuracy` of tags; `entities`, how many gold ones
        there are. `report` has the others.

    Raises:
        DataError: a sentence has other lengths.
    """
    means = averages(by_type(gold, predicted))
    strict = averages(by_type(gold, predicted, strict=True))
    micro = means["micro"]
    scores = {"f1": micro.f1, "precision": micro.precision, "recall": micro.recall}
    scores |= {"macro_f1": means["macro"].f1, "weighted_f1": means["weighted"].f1, "strict_f1": strict["micro"].f1}
    return {**scores, "accuracy": accuracy(gold, predicted), "entities": micro.support}


def report(gold: Tags, predicted: Tags) -> dict[str, dict[str, dict[str, float]]]:
    """All scores, as JSON values: by mode ("default", "strict"), then by type or average ("micro average", ...)."""
    found = {}
    for mode in ("default", "strict"):
        types = by_type(gold, predicted, strict=mode == "strict")
        means = {f"{name} average": scores for name, scores in averages(types).items()}
        found[mode] = {name: dataclasses.asdict(scores) for name, scores in {**types, **means}.items()}
    return found


def by_type(gold: Tags, predicted: Tags, *, strict: bool = False) -> dict[str, EntityScores]:
    """Scores of each type of entity, by type in order.

    Args:
        gold: a sequence of tags for each sentence.
        predicted: the same, as long.
        strict: only what begins with B- is an entity.

    Raises:
        DataError: a sentence has other lengths.
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


def averages(types: Mapping[str, EntityScores]) -> dict[str, EntityScores]:
    """Scores over types: "micro", all entities together; "macro", the mean; "weighted", that by gold entities."""
    counts = [sum(getattr(scores, name) for scores in types.values()) for name in ("support", "predicted", "right")]
    micro = _scores(*counts)
    found = {"micro": micro}
    for name, weights in (("macro", [1] * len(types)), ("weighted", [scores.support for scores in types.values()])):
        means = [
            sum(weight * getattr(scores, part) for weight, scores in zip(weights, types.values(), strict=True))
            / (sum(weights) or 1)
            for part in ("precision", "recall", "f1")
        ]
        found[name] = dataclasses.replace(micro, precision=means[0], recall=means[1], f1=means[2])
    return found


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


def _check(gold: Tags, predicted: Tags) -> None:
    if len(gold) != len(predicted):
        raise DataError(f"{len(gold):,} sentences are tagged, {len(predicted):,} predicted: expected as many.")
    for number, (ours, theirs) in enumerate(zip(gold, predicted, strict=True)):
        if len(ours) != len(theirs):
            raise DataError(f"sentence {number} has {len(ours)} tags, {len(theirs)} are predicted: expected as many.")
