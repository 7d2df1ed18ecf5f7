"""Sequences of tags mark the entities that seqeval finds in them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from bert_ms.tags import schemes
from bert_ms.tags.entities import Entity, bio, entities, strict_entities
from bert_ms.tags.viterbi import viterbi
from tests.support import golden


def seqeval_cases() -> list[dict[str, Any]]:
    cases = json.loads(golden("seqeval/cases.json").read_text())
    assert len(cases) == 37
    return cases


@pytest.mark.parametrize("case", seqeval_cases(), ids=lambda case: case["name"])
def test_entities_are_those_that_seqeval_finds(case: dict[str, Any]) -> None:
    for tags, expected in zip(case["gold"], case["entities"], strict=True):
        assert [list(entity) for entity in entities(tags)] == expected


def test_a_strict_entity_begins_with_b() -> None:
    tags = ["I-PER", "B-PER", "I-LOC", "I-PER", "B-LOC", "I-LOC"]
    assert strict_entities(tags) == [Entity("PER", 1, 2), Entity("LOC", 4, 6)]


def test_entities_written_as_bio_are_read_again() -> None:
    marked = [Entity("PER", 0, 2), Entity("PER", 2, 3), Entity("x-y", 4, 6)]
    assert entities(bio(marked, 7)) == strict_entities(bio(marked, 7)) == marked


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("bio", "B-A I-A O B-A B-B I-B"),
        ("iob1", "I-A I-A O I-A I-B I-B"),
        ("bioes", "B-A E-A O S-A B-B E-B"),
        ("bioes", "B-A L-A O U-A B-B L-B"),
        ("bmes", "B-A E-A O S-A B-B E-B"),
        ("bmes", "B-A M-A E-A S-A B-B E-B"),
    ],
)
def test_every_scheme_becomes_bio(scheme: str, tags: str) -> None:
    middle = "I-A B-A" if "M-A" in tags else "O B-A"
    assert " ".join(schemes.to_bio(tags.split())) == f"B-A I-A {middle} B-B I-B"
    assert schemes.impossible(tags.split(), scheme) is None


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ("O B-A I-A O", "bio"),
        ("O I-A I-A O", "iob1"),
        ("B-A I-A, I-A", "iob1"),
        ("B-A E-A S-B", "bioes"),
        ("B-A M-A E-A", "bmes"),
        ("O O", "bio"),
    ],
)
def test_the_scheme_shows_in_the_tags(tags: str, scheme: str) -> None:
    assert schemes.detect([part.split() for part in tags.split(",")]) == scheme


@pytest.mark.parametrize(
    ("scheme", "tags", "place"),
    [
        ("bio", "O I-A", 1),
        ("bio", "B-A I-B", 1),
        ("bio", "B-A E-A", 1),
        ("iob1", "I-A I-B B-A", None),
        ("iob1", "S-A", 0),
        ("bioes", "B-A O", 1),
        ("bioes", "O B-A", 1),
        ("bioes", "B-A I-A B-A", 2),
        ("bioes", "E-A", 0),
        ("bioes", "B-A M-A E-A", 1),
        ("bmes", "B-A M-B E-A", 1),
        ("bmes", "B-A M-A E-A S-B", None),
    ],
)
def test_the_first_tag_that_breaks_a_scheme_is_found(scheme: str, tags: str, place: int | None) -> None:
    assert schemes.impossible(tags.split(), scheme) == place


def test_labels_are_outside_then_both_of_each_type_in_order() -> None:
    assert schemes.label_set(["b", "a", "b"]) == ("O", "B-a", "I-a", "B-b", "I-b")


@pytest.mark.parametrize("text", ["", "o", "B", "PER", "X-PER", "B-", "-PER", "0"])
def test_what_is_no_tag(text: str) -> None:
    assert not schemes.is_tag(text)


def test_the_best_path_is_the_best_of_all_paths() -> None:
    random = np.random.default_rng(3)
    labels, length = 3, 4
    logits = random.normal(size=(5, length, labels + 2))
    transitions = random.normal(size=(labels + 2, labels + 2))
    start, stop = labels, labels + 1
    transitions[start], transitions[:, stop] = -10000.0, -10000.0
    counted = random.random((5, length)) < 0.7
    paths = np.stack(np.meshgrid(*[range(labels)] * length, indexing="ij"), -1).reshape(-1, length)
    for row, found in enumerate(viterbi(logits, transitions, counted)):
        places = np.flatnonzero(counted[row])

        def score(path: np.ndarray, row: int = row, places: np.ndarray = places) -> float:
            states = [start, *path[places], stop]
            steps = sum(transitions[after, before] for before, after in pairwise(states))
            return float(steps + logits[row, places, path[places]].sum())

        best = max(paths, key=score)
        assert found[places].tolist() == best[places].tolist()
        assert (found[~counted[row]] == -100).all()
