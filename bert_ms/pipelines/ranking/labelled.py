"""The labelled rows that checkpoints are ranked by: drawn from the user's file, the same ones for every checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bert_ms import tasks
from bert_ms.config import BertConfig, DataConfig, RunConfig
from bert_ms.data import datasets, tagged_files, text_examples, text_features, token_features
from bert_ms.errors import ConfigError, DataError
from bert_ms.pipelines.loading import needed_file
from bert_ms.pipelines.ranking.drawing import PARTS, divide, draw, level
from bert_ms.records import Features, TextExample, TokenExample
from bert_ms.tags import schemes
from bert_ms.tokenization import Tokenizer

TASKS = ("sequence-classification", "next-sentence", "token-classification")
_WHY_NOT = {
    "question-answering": "an answer is a span of two dependent ends, which no label of a frozen vector stands for",
    "multiple-choice": "a choice is judged against others, which no label of a frozen vector stands for",
}
MAX_WORDS = 10_000  # that are judged
MAX_READ = 10 * MAX_WORDS  # that the sentences have which they are drawn of: vectors of all of them are in memory
Kind = Literal["label", "labels", "number", "tags"]
_KINDS: dict[str, Kind] = {
    text_examples.SINGLE: "label",
    text_examples.MULTIPLE: "labels",
    text_examples.REGRESSION: "number",
}


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Rows with their labels; what has a vector of its own, a row or a word of one, is called a point.

    Attributes:
        examples: the rows that were drawn, in the order of the file.
        kind: one label a row, any number of labels, a number, or a tag for each word.
        labels: names of the columns of `targets`; empty for numbers.
        targets: float64 [P, C]: 1 where a point has a label, else 0; or numbers [P, 1].
        points: int64 [P], the number of each point among all rows, or among all words of all rows.
        owner: int64 [P], the row of each point.
        parts: int64 [P], 0 to PARTS - 1: which part its row is in.
        available: rows of the file.
    """

    examples: Sequence[Any]
    kind: Kind
    labels: tuple[str, ...]
    targets: np.ndarray
    points: np.ndarray
    owner: np.ndarray
    parts: np.ndarray
    available: int

    @property
    def is_frequent(self) -> np.ndarray:
        """Columns of `targets` that LogME is taken of, bool [C]: no part holds all rows with a label, or without it."""
        if self.kind == "number":
            return np.ones(1, bool)
        return np.array(
            [all(len(set(self.parts[is_it])) > 1 for is_it in (column > 0, column == 0)) for column in self.targets.T],
            bool,
        )

    def featurize(self, tokenizer: Tokenizer, data: DataConfig) -> Features:
        """The rows for one checkpoint's tokenizer, as training would have them."""
        if self.kind == "tags":
            return token_features.featurize(
                self.examples, tokenizer, max_length=data.max_length, stride=data.stride, workers=data.workers
            )
        return text_features.featurize(
            [example.text for example in self.examples],
            [example.pair for example in self.examples],
            tokenizer,
            max_length=data.max_length,
            workers=data.workers,
        )

    def check(self, network: BertConfig) -> None:
        """Make sure that a network can read the rows.

        Raises:
            ConfigError: rows are pairs, and it does not tell two texts apart.
        """
        if self.kind != "tags" and network.type_vocab_size < 2 and any(e.pair is not None for e in self.examples):
            raise ConfigError(f"it tells {network.type_vocab_size} kind of token apart, and pairs of texts need 2.")


def read(config: RunConfig, rows: int) -> Labelled:
    """Draw rows of `data.train_file`, by `seed`: of labels and numbers in the proportions of the file.

    Args:
        config: task, file, and how it is read, as for training.
        rows: at most so many; of sentences of words also at most as many as have MAX_READ words, of which MAX_WORDS
            are judged.

    Raises:
        ConfigError: the task is not ranked, there is no file, or its columns are not named.
        DataError: the file cannot be read, or has too few rows or labels to tell anything.
    """
    tasks.get(config.task)
    if config.task not in TASKS:
        why = f": {_WHY_NOT[config.task]}" if config.task in _WHY_NOT else ""
        raise ConfigError(
            f"checkpoints are not ranked for task '{config.task}'{why}. Ranked are {', '.join(TASKS)}; for other tasks "
            f"compare short trainings (bert-ms train -c CONFIG source=... max_train_examples=1000)."
        )
    if rows < 2 * PARTS:
        raise ConfigError(f"rows is {rows}: expected at least {2 * PARTS}.")
    path = needed_file(config, "train_file", "train")
    random = np.random.default_rng(config.seed)
    return (_tagged if config.task == "token-classification" else _texts)(config, path, rows, random)


def _texts(config: RunConfig, path: Path, rows: int, random: np.random.Generator) -> Labelled:
    dataset = datasets.get(config.data.dataset, task=config.task)
    problem_type = tasks.get(config.task).load("work").problem_type_of(config, None, path)
    examples = text_examples.read(
        path,
        config.data,
        dataset,
        problem_type=problem_type,
        with_labels=True,
        labels=config.data.labels or (dataset.labels if dataset is not None else ()),
        is_training=True,
    )
    kind = _KINDS[problem_type]
    _check_count(len(examples), path)
    chosen = draw(_strata(examples, kind), rows, random)
    drawn = [examples[row] for row in chosen]
    labels = text_examples.found_labels(drawn)
    targets = _targets([example.label for example in drawn], labels)
    owner = np.arange(len(drawn))
    parts = divide(_strata(drawn, kind), random)
    found = Labelled(examples=drawn, kind=kind, labels=labels, targets=targets, points=owner, owner=owner, parts=parts,
                     available=len(examples))  # fmt: skip
    return _checked(found, path)


def _tagged(config: RunConfig, path: Path, rows: int, random: np.random.Generator) -> Labelled:
    dataset = datasets.get(config.data.dataset, task=config.task)
    examples = tagged_files.read(path, config.data, dataset).examples
    _check_count(len(examples), path)
    order = random.permutation(len(examples))[:rows]
    words = np.cumsum([len(examples[row].words) for row in order])
    chosen = np.sort(order[: max(2 * PARTS, int(np.searchsorted(words, MAX_READ, side="right")))])
    drawn: list[TokenExample] = [examples[row] for row in chosen]
    tags = [tag for example in drawn for tag in example.tags or ()]
    labels = tuple(sorted(set(tags), key=lambda tag: (tag != schemes.OUTSIDE, tag)))
    points = level(np.unique(tags, return_inverse=True)[1], MAX_WORDS, random)
    owner = np.repeat(np.arange(len(drawn)), [len(example.words) for example in drawn])[points]
    parts = divide(np.zeros(len(drawn), np.int64), random)[owner]
    targets = _targets([tags[point] for point in points], labels)
    found = Labelled(examples=drawn, kind="tags", labels=labels, targets=targets, points=points, owner=owner,
                     parts=parts, available=len(examples))  # fmt: skip
    return _checked(found, path)


def _strata(examples: Sequence[TextExample], kind: Kind) -> np.ndarray:
    """Labels by their number, numbers by their tenth; rows with any number of labels are all of one stratum."""
    if kind == "label":
        return np.unique([str(example.label) for example in examples], return_inverse=True)[1]
    if kind == "number":
        numbers = np.array([example.label for example in examples], np.float64)
        return np.searchsorted(np.quantile(numbers, np.arange(1, 10) / 10), numbers)
    return np.zeros(len(examples), np.int64)


def _targets(found: Sequence[Any], labels: Sequence[str]) -> np.ndarray:
    if not labels:
        return np.array(found, np.float64)[:, None]
    number = {label: column for column, label in enumerate(labels)}
    targets = np.zeros((len(found), len(labels)))
    for point, names in enumerate(found):
        targets[point, [number[name] for name in ((names,) if isinstance(names, str) else names)]] = 1.0
    return targets


def _check_count(count: int, path: Path) -> None:
    if count < 2 * PARTS:
        raise DataError(f"{path} has {count} rows, expected at least {2 * PARTS}: fewer tell nothing.")


def _checked(data: Labelled, path: Path) -> Labelled:
    """The same, made sure that there is something to be told apart, whichever part is left out.

    Raises:
        DataError: there is not.
    """
    if data.kind == "number":
        if any(np.ptp(data.targets[data.parts != part]) == 0 for part in range(PARTS)):
            raise DataError(f"{path}: nearly all numbers drawn are {data.targets[0, 0]:g}: there is nothing to learn.")
        return data
    count = int(data.is_frequent.sum())
    if count < (1 if data.kind == "labels" else 2):
        raise DataError(
            f"{path}: of the labels drawn ({', '.join(data.labels[:5])}), {count} are neither at nearly all rows nor "
            f"at nearly none: is data.label_column the right one?"
        )
    return data
