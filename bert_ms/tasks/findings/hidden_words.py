"""What a language model found hard: how the losses of rows are spread, and the rows that it knew least of."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from bert_ms.records import IGNORE_INDEX, LABELS, MASKED_POSITIONS, Features
from bert_ms.tasks.findings.kinds import ChartFinding, Exhibit, Finding, GalleryFinding, Part, Series
from bert_ms.tokenization import Tokenizer

SECTION = "Rows of text"
MEANINGS = {"gold": "hidden from the network"}
_SHOWN, _BINS = 5, 20


def of_rows(features: Features, tokenizer: Tokenizer, sums: np.ndarray, counts: np.ndarray) -> list[Finding]:
    """A chart of all rows and a gallery of the hardest ones.

    Args:
        features: the rows as they were scored.
        tokenizer: of the network.
        sums: float [rows], losses of each row's predicted pieces together; those that are no numbers are left out.
        counts: int [rows], how many there are.
    """
    rows = np.flatnonzero((counts > 0) & np.isfinite(sums))
    if not len(rows):
        return []
    losses = sums[rows] / counts[rows]
    numbers, edges = np.histogram(losses, _BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    bars = Series(name="", points=list(zip(middles.tolist(), map(float, numbers), strict=True)), style="bars",
                  width=float(edges[1] - edges[0]))  # fmt: skip
    hardest = np.argsort(-losses, kind="stable")[:_SHOWN]
    exhibits = [_exhibit(features, tokenizer, int(rows[i]), float(losses[i]), int(counts[rows[i]])) for i in hardest]
    return [
        ChartFinding(
            title="How hard the rows are",
            section=SECTION,
            note="Mean loss of a row's predicted pieces, and how many rows have it.",
            series=[bars],
            x_name="loss of a piece",
            y_name="rows",
        ),
        GalleryFinding(
            title="The hardest rows", section=SECTION, exhibits=exhibits, count=len(rows), meanings=MEANINGS
        ),
    ]


def _exhibit(features: Features, tokenizer: Tokenizer, row: int, loss: float, count: int) -> Exhibit:
    ids, is_hidden = restored(features, row)
    facts = [("loss of a piece", f"{loss:.2f}"), ("pieces to predict", str(count))]
    return Exhibit(heading=f"Row {row}", passages=[_parts(tokenizer, ids, is_hidden)], facts=facts)


def restored(features: Features, row: int) -> tuple[np.ndarray, np.ndarray]:
    """A row's ids with what was hidden put back, and where that was: int32 [S], bool [S]."""
    begin, end = features.row_splits[row], features.row_splits[row + 1]
    ids = features.input_ids[begin:end].copy()
    is_hidden = np.zeros(len(ids), bool)
    if MASKED_POSITIONS in features.labels:
        labels = features.labels[LABELS][row]
        places = features.labels[MASKED_POSITIONS][row][labels != IGNORE_INDEX]
        ids[places], is_hidden[places] = labels[labels != IGNORE_INDEX], True
    return ids, is_hidden


def _parts(tokenizer: Tokenizer, ids: np.ndarray, is_hidden: np.ndarray) -> list[Part]:
    parts: list[Part] = []
    for hidden, group in groupby(zip(ids.tolist(), is_hidden.tolist(), strict=True), key=lambda pair: pair[1]):
        pieces = [piece for piece, _ in group]
        if parts and not tokenizer.vocabulary[pieces[0]].startswith("##"):
            parts.append(Part(" "))
        parts.append(Part(tokenizer.decode(pieces).removeprefix("##"), "gold" if hidden else ""))
    return parts
