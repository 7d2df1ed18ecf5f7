"""Entities in texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bert_ms.decoding.labels import softmax
from bert_ms.errors import ConfigError, DataError
from bert_ms.pipelines.text.base import TextPipeline
from bert_ms.pipelines.text.classification import label_names
from bert_ms.records import Encoding
from bert_ms.tags.viterbi import viterbi
from bert_ms.tokenization.windows import spans

Aggregation = Literal["none", "simple", "first", "average", "max"]
AGGREGATIONS = ("none", "simple", "first", "average", "max")
OUTSIDE = "O"


@dataclass(frozen=True)
class Piece:
    """A word piece of a text, with the probabilities [L] of its labels."""

    text: str
    start: int
    end: int
    index: int
    starts_word: bool
    shares: np.ndarray


class TokenClassification(TextPipeline):
    """Tagged pieces, words or entities of texts; a text of any length is read in windows.

    A piece that stands in two windows is judged by the one in which it is further from the edge.

    Args:
        transitions: float [C, C] of the network's CRF, whose best path then gives the tags; None where it has none.
        kwargs: of every pipeline.
    """

    def __init__(self, *args: Any, transitions: np.ndarray | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.transitions = transitions
        self.labels = label_names(self.config.labels, self.config.num_labels or 0)

    def answer(
        self, inputs: Sequence[Any], *, aggregation: Aggregation = "first", ignore: Sequence[str] = (OUTSIDE,)
    ) -> list[Any]:
        """Answers to texts.

        Args:
            inputs: texts.
            aggregation: "none" gives every tagged piece; "simple" joins neighbouring pieces of one entity; "first",
                "average" and "max" first settle each word by its first piece, by the mean of its pieces, or by its most
                certain piece, and then join words. With a CRF: "none" or "first".
            ignore: tags that are left out.

        Returns:
            For each text a list: with "none" of {"entity": tag, "score", "index": of the token, "word", "start",
            "end"}; otherwise of {"entity_group": type, "score", "word", "start", "end"}, where word is the text itself
            from character start to end.
        """
        if aggregation not in AGGREGATIONS:
            raise ConfigError(f"aggregation is {aggregation!r}: expected one of {', '.join(AGGREGATIONS)}.")
        if self.transitions is not None and aggregation not in ("none", "first"):
            raise ConfigError(f"aggregation is '{aggregation}': a CRF tags words, use 'none' or 'first'.")
        for index, text in enumerate(inputs):
            if not isinstance(text, str):
                raise DataError(f"input {index} is {type(text).__name__}: expected a text.")
        answers = []
        for text, pieces in zip(inputs, self._pieces(inputs), strict=True):
            if aggregation == "none":
                answers.append([one for one in map(self._tagged, pieces) if one["entity"] not in ignore])
                continue
            words = pieces if aggregation == "simple" else _words(pieces, aggregation)
            groups = group([(self._tag(word), word) for word in words])
            answers.append([_entity(text, name, members) for name, members in groups if name not in ignore])
        return answers

    def _tag(self, piece: Piece) -> tuple[str, float]:
        best = int(piece.shares.argmax())
        return self.labels[best], float(piece.shares[best])

    def _tagged(self, piece: Piece) -> dict[str, Any]:
        tag, score = self._tag(piece)
        place = {"index": piece.index, "word": piece.text, "start": piece.start, "end": piece.end}
        return {"entity": tag, "score": score, **place}

    def _pieces(self, texts: Sequence[str]) -> list[list[Piece]]:
        rows, owner = self.rows(texts)
        logits_TC = self.run(rows)["logits"]
        ends = np.cumsum([len(row) for row in rows])
        by_text: dict[int, list[tuple[Encoding, np.ndarray]]] = {}
        for number, row in enumerate(rows):
            window = logits_TC[ends[number] - len(row) + 1 : ends[number] - 1]
            by_text.setdefault(int(owner[number]), []).append((row, window))
        return [self._of_text(by_text[i]) for i in range(len(texts))]

    def _of_text(self, windows: Sequence[tuple[Encoding, np.ndarray]]) -> list[Piece]:
        """The pieces of one text from its windows."""
        room = self.max_length - 2
        total = sum(len(row) - 2 for row, _ in windows) - (len(windows) - 1) * self.stride
        places = spans(total, room, self.stride) if len(windows) > 1 else [(0, len(windows[0][0]) - 2)]
        margins = np.full(places[-1][1], -1)
        logits_TC = np.zeros((places[-1][1], windows[0][1].shape[1]), np.float32)
        encodings: list[tuple[Encoding, int]] = [(windows[0][0], 0)] * len(margins)
        for (row, values), (start, end) in zip(windows, places, strict=True):
            at = np.arange(end - start)
            margin = np.minimum(at, at[::-1])  # to the nearer edge of the window
            better = np.flatnonzero(margin > margins[start:end])
            margins[start + better], logits_TC[start + better] = margin[better], values[better]
            for place in better.tolist():
                encodings[start + place] = (row, place + 1)
        pieces = []
        for index, (row, place) in enumerate(encodings):
            text = self.tokenizer.vocabulary[row.input_ids[place]]
            pieces.append((text, *row.offsets[place], index + 1, not text.startswith("##")))
        shares_TL = self._shares(logits_TC, np.array([piece[-1] for piece in pieces], bool))
        return [Piece(*piece, shares) for piece, shares in zip(pieces, shares_TL, strict=True)]

    def _shares(self, logits_TC: np.ndarray, starts_word: np.ndarray) -> np.ndarray:
        """Probabilities [T, L]; with a CRF the tag of the best path gets the largest."""
        count = len(self.labels)
        shares_TL = softmax(logits_TC[:, :count])
        if self.transitions is None or not len(logits_TC):
            return shares_TL
        (path,) = viterbi(logits_TC[None], self.transitions, starts_word[None])
        # The path runs over the words' first pieces, the others follow their word.
        tags = path[np.maximum.accumulate(np.where(starts_word, np.arange(len(path)), 0))]
        chosen = np.zeros_like(shares_TL)
        at = np.arange(len(tags))
        chosen[at, tags] = shares_TL[at, tags]
        return chosen


def _words(pieces: Sequence[Piece], aggregation: Aggregation) -> list[Piece]:
    """Words with the probabilities that their pieces give them."""
    words: list[list[Piece]] = []
    for piece in pieces:
        if piece.starts_word or not words:
            words.append([piece])
        else:
            words[-1].append(piece)
    return [_word(members, aggregation) for members in words]


def _word(members: Sequence[Piece], aggregation: Aggregation) -> Piece:
    shares = members[0].shares
    if aggregation == "average":
        shares = np.mean([piece.shares for piece in members], axis=0)
    elif aggregation == "max":
        shares = max(members, key=lambda piece: float(piece.shares.max())).shares
    return Piece("", members[0].start, members[-1].end, members[0].index, True, shares)


def group(tagged: Sequence[tuple[tuple[str, float], Piece]]) -> list[tuple[str, list[tuple[float, Piece]]]]:
    """Neighbours of one entity together: a tag B- begins a new one, as does another type.

    Source: the grouping of Hugging Face's token classification pipeline; its `simple` to `max` strategies are tested
    against it.
    """
    groups: list[tuple[str, list[tuple[float, Piece]]]] = []
    for (tag, score), piece in tagged:
        begins, name = tag.startswith("B-"), tag[2:] if tag[:2] in ("B-", "I-") else tag
        if groups and groups[-1][0] == name and not begins:
            groups[-1][1].append((score, piece))
        else:
            groups.append((name, [(score, piece)]))
    return groups


def _entity(text: str, name: str, members: Sequence[tuple[float, Piece]]) -> dict[str, Any]:
    start, end = members[0][1].start, members[-1][1].end
    score = float(np.mean([score for score, _ in members]))
    return {"entity_group": name, "score": score, "word": text[start:end], "start": start, "end": end}
