"""The records that travel between the rooms, with the one place where column names are written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

INPUT_IDS = "input_ids"
ATTENTION_MASK = "attention_mask"
TOKEN_TYPE_IDS = "token_type_ids"

# The argument order of every Cell, dataset, export and request.
INPUT_NAMES = (INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS)

START_POSITIONS = "start_positions"
END_POSITIONS = "end_positions"
LABELS = "labels"
MASKED_POSITIONS = "masked_positions"
NEXT_SENTENCE_LABEL = "next_sentence_label"
IGNORE_INDEX = -100

# In the meta of features of sentences: words without a token, by their numbers through all sentences.
SILENT_WORDS = "silent_words"

GROUP = "group"


@dataclass(frozen=True)
class Answer:
    """A gold answer: its text, with the code point offset in the context where it starts."""

    text: str
    start: int


@dataclass(frozen=True)
class QuestionExample:
    """One question on one passage, as SQuAD has it.

    Attributes:
        id: unique within a data set.
        question: the question's text, as given.
        context: the passage, as given; all offsets count its Unicode code points.
        answers: gold answers; empty when the question has none or when they are not known.
        is_impossible: the data set says that the passage has no answer (SQuAD v2.0).
        title: of the article, for reports.
    """

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...] = ()
    is_impossible: bool = False
    title: str = ""


@dataclass(frozen=True)
class Encoding:
    """A tokenised text or pair, or one window of it; every list has one entry a token.

    Attributes:
        input_ids: vocabulary ids, special tokens included.
        attention_mask: 1 for a token, 0 for padding.
        token_type_ids: 0 for the first text, 1 for the second.
        offsets: (start, end) in code points of the original text; (0, 0) for special tokens.
        sequence_ids: 0 or 1 for the text that the token came from, None for special tokens.
    """

    input_ids: list[int]
    attention_mask: list[int]
    token_type_ids: list[int]
    offsets: list[tuple[int, int]]
    sequence_ids: list[int | None]

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True)
class Features:
    """A tokenised data set as ragged arrays: no padding is stored, a loader pads each batch to its bucket.

    Row i is `[row_splits[i]:row_splits[i + 1]]` of every flat array.

    Attributes:
        input_ids: int32 [T], all rows one after the other.
        token_type_ids: int32 [T].
        row_splits: int64 [rows + 1], starting with 0 and ending with T.
        labels: int32 or float32 arrays by column name, each [rows] (one label a row) or [T] (one a token).
        example_index: int32 [rows], which example a row (a window, say) was made from.
        offsets: int32 [T, 2], code points of the original text; (0, 0) where `in_context` is 0. None when not kept.
        in_context: int8 [T], 1 for tokens that an answer may start or end at; in sentences of words, for the token
            that each word is judged by. None when not kept.
        meta: small facts needed to read them again (arguments, counts, fingerprints), JSON values only; `group` among
            them.
    """

    input_ids: np.ndarray
    token_type_ids: np.ndarray
    row_splits: np.ndarray
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    example_index: np.ndarray | None = None
    offsets: np.ndarray | None = None
    in_context: np.ndarray | None = None
    meta: Mapping[str, object] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.row_splits) - 1

    def lengths(self) -> np.ndarray:
        """Number of tokens of each row, int64 [rows]."""
        return np.diff(self.row_splits)

    @property
    def group(self) -> int:
        """So many rows in a row are one example to the network, [C, S] each: its choices. 1 for all else."""
        return int(str(self.meta.get(GROUP, 1)))

    def group_splits(self) -> np.ndarray:
        """Where each group of rows begins and ends, int64 [groups + 1]; `row_splits` where a group is one row."""
        return self.row_splits[:: self.group]


@dataclass(frozen=True)
class AnswerCandidate:
    """A span that may answer a question, with its probability among the candidates of that question."""

    text: str
    start: int
    end: int
    probability: float
    start_logit: float
    end_logit: float


@dataclass(frozen=True)
class QuestionPrediction:
    """What the network answers to one question.

    Attributes:
        id: the example's.
        text: the answer chosen; empty for "no answer".
        candidates: the n best, best first (the empty answer among them for v2.0 data).
        null_score_diff: score of no answer minus the best span's; None for v1.1 data.
    """

    id: str
    text: str
    candidates: tuple[AnswerCandidate, ...]
    null_score_diff: float | None = None


@dataclass(frozen=True)
class TextExample:
    """A text or a pair of texts with what is to be said of it.

    Attributes:
        id: unique within a data set.
        text: as given.
        pair: the second text, if there is one.
        label: a label's name; several of them (multi-label); a number (regression); None where it is not known.
    """

    id: str
    text: str
    pair: str | None = None
    label: str | tuple[str, ...] | float | None = None


@dataclass(frozen=True)
class LabelPrediction:
    """What the network says of a text.

    Attributes:
        id: the example's.
        label: a label's name; those chosen of several; or the number of a regression.
        probabilities: of every label, in the network's order; empty for a regression.
    """

    id: str
    label: str | tuple[str, ...] | float
    probabilities: tuple[float, ...] = ()


@dataclass(frozen=True)
class ChoiceExample:
    """A beginning with several ends, one of which is right.

    Attributes:
        id: unique within a data set.
        context: the first text of every choice.
        choices: the second texts, as many in every example of a data set.
        label: number of the right one, from 0; None where it is not known.
    """

    id: str
    context: str
    choices: tuple[str, ...]
    label: int | None = None


@dataclass(frozen=True)
class ChoicePrediction:
    """The choice taken, from 0, with the probability of each."""

    id: str
    choice: int
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class TokenExample:
    """A sentence in words with a tag for each.

    Attributes:
        id: unique within a data set.
        words: as given; characters for Chinese.
        tags: in BIO form (`B-PER`, `I-PER`, `O`) whatever the file's was; None where they are not known.
    """

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True)
class TagsPrediction:
    """A tag for each word of a sentence, with its probability (of a CRF, that of the word alone)."""

    id: str
    tags: tuple[str, ...]
    probabilities: tuple[float, ...]
