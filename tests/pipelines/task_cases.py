"""Every task with a handful of data, for the tests that take each of them through a whole run.

A task adds a row to CASES: what writes its files, how the configuration names them, and what a run must leave.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bert_ms.config import (
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    OptimizerConfig,
    PretrainingConfig,
    RunConfig,
    TrainingConfig,
)

LENGTH = 32
EXAMPLES, UNLABELLED = 12, 7


@dataclass(frozen=True)
class Files:
    """Where a case's data was written: 12 examples to train and evaluate on, 7 without labels to predict."""

    train: Path
    predict: Path


@dataclass(frozen=True, kw_only=True)
class Case:
    """One task with its data.

    Attributes:
        name: of the case.
        task: its name.
        write: writes files into a folder.
        data: of the data section: how the files are read.
        model: of the model section.
        evaluation: of the evaluation section.
        sections: further sections of the configuration, by name.
        metric: the score that is to decide where the configuration names none.
        predictions: files that predicting leaves.
        steps: that the main run trains for.
        learned: the least that the score must be after them; None where the run is too short to tell.
        mean_over_words: its loss is a mean over words, of which rows have more or fewer: two workers, whose means are
            averaged, then learn what one does with two micro-batches. Others learn what one does with the double batch.
    """

    name: str
    task: str
    write: Callable[[Path], Files]
    data: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    sections: Mapping[str, Any] = field(default_factory=dict)
    metric: str
    predictions: tuple[str, ...] = ("predictions.tsv", "predictions.jsonl")
    steps: int = 4
    learned: float | None = None
    mean_over_words: bool = False

    def config(self, source: Path, folder: Path, *, name: str = "run", **training: Any) -> RunConfig:
        """A run of a few steps of four rows, evaluated at the end, in `folder/name`; its data is written if need be.

        Args:
            source: the network's folder.
            folder: for data and runs.
            name: of the run.
            training: changes of the training section.
        """
        data = folder / "data"
        if not data.exists():
            data.mkdir(parents=True)
            self.write(data)
        files = self.files(folder)
        return RunConfig(
            task=self.task,
            output_dir=str(folder / name),
            model=ModelConfig(**{"source": str(source), **self.model}),
            data=DataConfig(
                **{"train_file": str(files.train), "eval_file": str(files.train), "max_length": LENGTH,
                   "buckets": (LENGTH,), "workers": 1, "cache_dir": str(folder / "cache"), **self.data}
            ),
            optimizer=OptimizerConfig(learning_rate=5e-3),
            training=TrainingConfig(
                **{"epochs": 100.0, "max_steps": 4, "eval_every": 1000, "batch_size": 4, "log_every": 1,
                   "tensorboard": False, "evaluate_before": False, **training}
            ),
            evaluation=EvaluationConfig(**{"batch_size": 4, **self.evaluation}),
            **self.sections,
        )  # fmt: skip

    def files(self, folder: Path) -> Files:
        """Where `config` wrote the data."""
        (train,) = (folder / "data").glob("train.*")
        (predict,) = (folder / "data").glob("predict.*")
        return Files(train, predict)


GOOD = ("the king had a great army and many towns", "it was a very good year for the city", "they were happy to see it")
BAD = ("the war was long and the town was lost", "no one was there to help them", "it was the end of the state")


def text(number: int) -> str:
    """A sentence; even numbers are of one kind, odd ones of another."""
    return f"{(GOOD, BAD)[number % 2][number // 2 % 3]} in 19{number:02d}"


def _sentences(folder: Path) -> Files:
    rows = "".join(f"{text(n)}\t{('good', 'bad')[n % 2]}\n" for n in range(EXAMPLES))
    (folder / "train.tsv").write_text("review\tkind\n" + rows, encoding="utf-8")
    rows = "".join(f"{text(n)}\n" for n in range(UNLABELLED))
    (folder / "predict.tsv").write_text("review\n" + rows, encoding="utf-8")
    return Files(folder / "train.tsv", folder / "predict.tsv")


def _similar_pairs(folder: Path) -> Files:
    """As STS-B comes."""
    rows = "".join(f"{n}\t{text(n)}\t{text(n * 5)}\t{n % 5 * 1.1:.3f}\n" for n in range(EXAMPLES))
    (folder / "train.tsv").write_text("index\tsentence1\tsentence2\tscore\n" + rows, encoding="utf-8")
    rows = "".join(f"{n}\t{text(n)}\t{text(n + 1)}\n" for n in range(UNLABELLED))
    (folder / "predict.tsv").write_text("index\tsentence1\tsentence2\n" + rows, encoding="utf-8")
    return Files(folder / "train.tsv", folder / "predict.tsv")


def _many_labels(folder: Path) -> Files:
    rows = "".join(f'"{text(n)}, it is said",{("old;war", "old", "", "new")[n % 4]}\n' for n in range(EXAMPLES))
    (folder / "train.csv").write_text("text,subjects\n" + rows, encoding="utf-8")
    lines = "".join(f'{{"text": "{text(n)}"}}\n' for n in range(UNLABELLED))
    (folder / "predict.jsonl").write_text(lines, encoding="utf-8")
    return Files(folder / "train.csv", folder / "predict.jsonl")


def _choices(folder: Path) -> Files:
    """As SWAG comes, with three ends; the right one is of the other kind than the rest."""
    ends = [",".join(text(2 * n + (choice != n % 3)) for choice in range(3)) for n in range(EXAMPLES)]
    rows = "".join(f"{text(n)},then,{end},{n % 3}\n" for n, end in enumerate(ends))
    (folder / "train.csv").write_text("sent1,sent2,a,b,c,label\n" + rows, encoding="utf-8")
    rows = "".join(f"{text(n)},then,{end}\n" for n, end in enumerate(ends[:UNLABELLED]))
    (folder / "predict.csv").write_text("sent1,sent2,a,b,c\n" + rows, encoding="utf-8")
    return Files(folder / "train.csv", folder / "predict.csv")


def _neighbours(folder: Path) -> Files:
    lines = [json.dumps({"first": text(n), "then": text(n + 1), "random": n % 2}) for n in range(EXAMPLES)]
    (folder / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    rows = "".join(f"{text(n)}\t{text(n + 1)}\n" for n in range(UNLABELLED))
    (folder / "predict.tsv").write_text("first\tthen\n" + rows, encoding="utf-8")
    return Files(folder / "train.jsonl", folder / "predict.tsv")


def _raw_text(folder: Path) -> Files:
    """Sentences in documents, and sentences with a gap each."""
    documents = ("\n".join(text(n + k) for k in range(3)) for n in range(EXAMPLES))
    (folder / "train.txt").write_text("\n\n".join(documents), encoding="utf-8")
    rows = "".join(text(n).replace(" was ", " [MASK] ").replace(" king ", " [MASK] ") + "\n" for n in range(UNLABELLED))
    (folder / "predict.txt").write_text(rows.replace("happy", "[MASK]"), encoding="utf-8")
    return Files(folder / "train.txt", folder / "predict.txt")


def tagged(number: int) -> list[tuple[str, str]]:
    """The sentence in words with a tag for each: years, and `great army` as two words of one thing."""
    kinds = {"great": "B-THING", "army": "I-THING", "town": "B-PLACE", "city": "B-PLACE", "state": "B-PLACE"}
    return [(word, "B-YEAR" if word.startswith("19") else kinds.get(word, "O")) for word in text(number).split()]


def _columns(folder: Path) -> Files:
    """As CoNLL-2003 comes: four columns between blanks, documents marked; words alone to be tagged."""
    sentences = ("".join(f"{word} NN O {tag}\n" for word, tag in tagged(n)) for n in range(EXAMPLES))
    (folder / "train.txt").write_text("-DOCSTART- -X- O O\n\n" + "\n".join(sentences), encoding="utf-8")
    sentences = ("\n".join(word for word, _ in tagged(n)) for n in range(UNLABELLED))
    (folder / "predict.txt").write_text("\n\n".join(sentences), encoding="utf-8")
    return Files(folder / "train.txt", folder / "predict.txt")


def _bioes(folder: Path) -> Files:
    """Tabs between the columns, every entity's last word marked too."""
    ends = {"I-THING": "E-THING", "B-YEAR": "S-YEAR", "B-PLACE": "S-PLACE"}
    sentences = ("".join(f"{word}\t{ends.get(tag, tag)}\n" for word, tag in tagged(n)) for n in range(EXAMPLES))
    (folder / "train.conll").write_text("\n".join(sentences), encoding="utf-8")
    sentences = ("".join(f"{word}\n" for word, _ in tagged(n)) for n in range(UNLABELLED))
    (folder / "predict.conll").write_text("\n".join(sentences), encoding="utf-8")
    return Files(folder / "train.conll", folder / "predict.conll")


def _lists(folder: Path) -> Files:
    rows = [list(zip(*tagged(n), strict=True)) for n in range(EXAMPLES)]
    lines = "".join(json.dumps({"tokens": words, "tags": tags}) + "\n" for words, tags in rows)
    (folder / "train.jsonl").write_text(lines, encoding="utf-8")
    lines = "".join(json.dumps({"tokens": words}) + "\n" for words, _ in rows[:UNLABELLED])
    (folder / "predict.jsonl").write_text(lines, encoding="utf-8")
    return Files(folder / "train.jsonl", folder / "predict.jsonl")


def _spans(folder: Path) -> Files:
    """As CLUENER comes: characters are words; short enough for one row."""
    texts = [text(n)[-20:] for n in range(EXAMPLES)]
    lines = [{"text": one, "label": {"year": {one[16:]: [[16, 19]]}}} for one in texts]
    (folder / "train.json").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    lines = [{"text": one} for one in texts[:UNLABELLED]]
    (folder / "predict.json").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return Files(folder / "train.json", folder / "predict.json")


_TAGGED = ("predictions.conll", "predictions.jsonl")
CASES = (
    Case(
        name="one label",
        task="sequence-classification",
        write=_sentences,
        data={"text_column": "review", "label_column": "kind"},
        metric="accuracy",
        steps=60,
        learned=100.0,
    ),
    Case(
        name="a number, of a known data set",
        task="sequence-classification",
        write=_similar_pairs,
        data={"dataset": "stsb"},
        metric="pearson",
        predictions=("predictions.tsv", "predictions.jsonl", "STS-B.tsv"),
    ),
    Case(
        name="any number of labels",
        task="sequence-classification",
        write=_many_labels,
        data={"text_column": "text", "label_column": "subjects", "label_separator": ";"},
        metric="micro_f1",
    ),
    Case(
        name="choices",
        task="multiple-choice",
        write=_choices,
        data={
            "text_column": "sent1",
            "pair_column": "sent2",
            "choice_columns": ("a", "b", "c"),
            "label_column": "label",
        },
        metric="accuracy",
        steps=60,
        learned=100.0,
    ),
    Case(
        name="next sentence",
        task="next-sentence",
        write=_neighbours,
        data={"text_column": "first", "pair_column": "then", "label_column": "random"},
        metric="accuracy",
        steps=60,
        learned=100.0,
    ),
    Case(
        name="masked words and the next sentence",
        task="pretraining",
        write=_raw_text,
        # as many in each row, so that the mean over all words is the mean of the workers' means
        sections={"pretraining": PretrainingConfig(max_predictions_per_seq=1)},
        metric="loss",
        predictions=("predictions.jsonl",),
    ),
    Case(
        name="masked n-grams",
        task="masked-lm",
        write=_raw_text,
        sections={"pretraining": PretrainingConfig(unit="ngram", masking="static", dupe_factor=2)},
        mean_over_words=True,
        metric="loss",
        predictions=("predictions.jsonl",),
    ),
    Case(
        name="next words",
        task="causal-lm",
        write=_raw_text,
        mean_over_words=True,
        metric="loss",
        predictions=("predictions.jsonl",),
    ),
    Case(
        name="tags",
        task="token-classification",
        write=_columns,
        mean_over_words=True,
        metric="f1",
        predictions=_TAGGED,
        steps=60,
        learned=100.0,
    ),
    Case(
        name="tags by a CRF",
        task="token-classification",
        write=_lists,
        model={"token_head": "crf"},
        metric="f1",
        predictions=_TAGGED,
        steps=60,
        learned=100.0,
    ),
    Case(
        name="tags on a BiLSTM, of a known data set",
        task="token-classification",
        write=_spans,
        model={"token_head": "lstm"},
        data={"dataset": "cluener"},
        mean_over_words=True,
        metric="f1",
        predictions=(*_TAGGED, "cluener_predict.json"),
    ),
    Case(
        name="tags by a CRF on a BiLSTM",
        task="token-classification",
        write=_bioes,
        model={"token_head": "lstm_crf"},
        metric="f1",
        predictions=_TAGGED,
    ),
)
