"""THE table of known data sets: which columns hold what, the labels in their order, the scores, the leaderboard's file.

It is data, not code: `data.dataset=mrpc` takes everything from a row here that the configuration does not say itself.
None of the data sets ships with the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bert_ms.errors import ConfigError, unknown

Format = Literal["csv", "tsv", "jsonl", "conll", "cluener"]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What stands where in one kind of file of a data set; columns by name, or by number from 0 ("3").

    Attributes:
        text: the first text, or the beginning that choices follow on.
        pair: the second text, or what every choice begins with.
        label: taken where it is needed.
        id: taken where the file has it; else examples are numbered from 0.
        choices: the ends to choose from.
        has_header: the first line names the columns.
        only: column and value of the rows that count, for files in several languages.
    """

    text: str
    pair: str | None = None
    label: str | None = None
    id: str | None = None
    choices: tuple[str, ...] = ()
    has_header: bool = True
    only: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The file that a leaderboard takes: a prediction for each row of the test file.

    Attributes:
        file: its name.
        others: (part of the test file's name, name of the submission) for further test files, looked at first.
        form: "tsv" has the header `index prediction`, "jsonl" an object with `id` and `label` a line.
        decimals: of numbers.
        bounds: that numbers are clipped to.
    """

    file: str
    others: tuple[tuple[str, str], ...] = ()
    form: Literal["tsv", "jsonl"] = "tsv"
    decimals: int = 3
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A row of the table.

    Attributes:
        name: as `data.dataset` says it.
        title: as people say it.
        task: that it is for.
        format: of its files.
        layouts: the kinds of file that it comes in; the first whose columns a file has is taken.
        labels: in the order of the network's outputs; empty takes those of the training file.
        aliases: (as some files spell it, label).
        problem_type: what its labels are, where it is not one name a text.
        metrics: its scores; the first decides which checkpoint is best.
        submission: None where no leaderboard takes predictions in a file of its own.
        has_bad_rows: its published files have a few rows with columns missing, which everyone leaves out.
        has_positions: of words in columns: each is a character with a digit after it, its place in a segmented word.
    """

    name: str
    title: str
    task: str
    format: Format
    layouts: tuple[Columns, ...] = ()
    labels: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    problem_type: str | None = None
    metrics: tuple[str, ...]
    submission: Submission | None = None
    has_bad_rows: bool = False
    has_positions: bool = False


_SEQUENCE = "sequence-classification"
_TOKENS = "token-classification"
_TWO = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")
_INFERENCE = ("entailment", "neutral", "contradiction")
_SENTENCES = Columns(text="sentence1", pair="sentence2", label="label", id="index")

_ROWS = (
    # GLUE, as gluebenchmark.com packs it
    Dataset(
        name="cola",
        title="CoLA",
        task=_SEQUENCE,
        format="tsv",
        layouts=(Columns(text="sentence", id="index"), Columns(text="3", label="1", has_header=False)),
        labels=_TWO,
        metrics=("matthews", "accuracy"),
        submission=Submission(file="CoLA.tsv"),
    ),
    Dataset(
        name="sst2",
        title="SST-2",
        task=_SEQUENCE,
        format="tsv",
        layouts=(Columns(text="sentence", label="label", id="index"),),
        labels=_TWO,
        metrics=("accuracy",),
        submission=Submission(file="SST-2.tsv"),
    ),
    Dataset(
        name="mrpc",
        title="MRPC",
        task=_SEQUENCE,
        format="tsv",
        layouts=(Columns(text="#1 String", pair="#2 String", label="Quality", id="index"),),
        labels=_TWO,
        metrics=("f1", "accuracy"),
        submission=Submission(file="MRPC.tsv"),
    ),
    Dataset(
        name="stsb",
        title="STS-B",
        task=_SEQUENCE,
        format="tsv",
        layouts=(Columns(text="sentence1", pair="sentence2", label="score", id="index"),),
        problem_type="regression",
        metrics=("pearson", "spearman"),
        submission=Submission(file="STS-B.tsv", bounds=(0.0, 5.0)),
    ),
    Dataset(
        name="qqp",
        title="QQP",
        task=_SEQUENCE,
        format="tsv",
        layouts=(Columns(text="question1", pair="question2", label="is_duplicate", id="id"),),
        labels=_TWO,
        metrics=("f1", "accuracy"),
        submission=Submission(file="QQP.tsv"),
        has_bad_rows=True,
    ),
    Dataset(
        name="mnli",
        title="MNLI",
        task=_SEQUENCE,
        format="tsv",
        layouts=(Columns(text="sentence1", pair="sentence2", label="gold_label", id="index"),),
        labels=_INFERENCE,
        metrics=("accuracy",),
        submission=Submission(file="MNLI-m.tsv", others=(("mismatched", "MNLI-mm.tsv"), ("diagnostic", "AX.tsv"))),
    ),
    Dataset(
        name="qnli",
        title="QNLI",
        task=_SEQUENCE,
        format="tsv",
        layouts=(Columns(text="question", pair="sentence", label="label", id="index"),),
        labels=_ENTAILMENT,
        metrics=("accuracy",),
        submission=Submission(file="QNLI.tsv"),
    ),
    Dataset(
        name="rte",
        title="RTE",
        task=_SEQUENCE,
        format="tsv",
        layouts=(_SENTENCES,),
        labels=_ENTAILMENT,
        metrics=("accuracy",),
        submission=Submission(file="RTE.tsv"),
    ),
    Dataset(
        name="wnli",
        title="WNLI",
        task=_SEQUENCE,
        format="tsv",
        layouts=(_SENTENCES,),
        labels=_TWO,
        metrics=("accuracy",),
        submission=Submission(file="WNLI.tsv"),
    ),
    # Chinese
    Dataset(
        name="xnli",
        title="XNLI (Chinese)",
        task=_SEQUENCE,
        format="tsv",
        layouts=(
            Columns(text="premise", pair="hypo", label="label"),  # the machine-translated training file
            Columns(text="sentence1", pair="sentence2", label="gold_label", only=("language", "zh")),
        ),
        labels=_INFERENCE,
        aliases=(("contradictory", "contradiction"),),
        metrics=("accuracy",),
    ),
    Dataset(
        name="lcqmc",
        title="LCQMC",
        task=_SEQUENCE,
        format="tsv",
        layouts=(
            Columns(text="text_a", pair="text_b", label="label", id="qid"),
            Columns(text="0", pair="1", label="2", has_header=False),
        ),
        labels=_TWO,
        metrics=("accuracy", "f1"),
    ),
    Dataset(
        name="chnsenticorp",
        title="ChnSentiCorp",
        task=_SEQUENCE,
        format="tsv",
        layouts=(Columns(text="text_a", label="label", id="qid"),),
        labels=_TWO,
        metrics=("accuracy",),
    ),
    Dataset(
        name="tnews",
        title="TNEWS",
        task=_SEQUENCE,
        format="jsonl",
        layouts=(Columns(text="sentence", label="label", id="id"),),
        labels=tuple(str(code) for code in range(100, 117) if code not in (105, 111)),
        metrics=("accuracy",),
        submission=Submission(file="tnews_predict.json", form="jsonl"),
    ),
    # choices
    Dataset(
        name="swag",
        title="SWAG",
        task="multiple-choice",
        format="csv",
        layouts=(
            Columns(text="sent1", pair="sent2", label="label", choices=("ending0", "ending1", "ending2", "ending3")),
        ),
        metrics=("accuracy",),
    ),
    # named entities: the word stands in the first column, its tag in the last
    Dataset(name="wnut17", title="WNUT-17", task=_TOKENS, format="conll", metrics=("f1",)),
    Dataset(name="bc5cdr", title="BC5CDR", task=_TOKENS, format="conll", metrics=("f1",)),
    Dataset(name="ncbi", title="NCBI Disease", task=_TOKENS, format="conll", metrics=("f1",)),
    Dataset(name="conll2003", title="CoNLL-2003", task=_TOKENS, format="conll", metrics=("f1",)),
    Dataset(name="resume", title="Resume NER", task=_TOKENS, format="conll", metrics=("f1",)),
    Dataset(name="weibo", title="Weibo NER", task=_TOKENS, format="conll", metrics=("f1",), has_positions=True),
    Dataset(
        name="cluener",
        title="CLUENER 2020",
        task=_TOKENS,
        format="cluener",
        metrics=("f1",),
        submission=Submission(file="cluener_predict.json", form="jsonl"),
    ),
)
DATASETS: dict[str, Dataset] = {row.name: row for row in _ROWS}


def get(name: str | None, *, task: str) -> Dataset | None:
    """The data set called `name`; None for None.

    Args:
        name: of the configuration.
        task: that it is to be used for.

    Raises:
        ConfigError: there is none of that name, or it is for another task.
    """
    if name is None:
        return None
    if name not in DATASETS:
        raise ConfigError(unknown("data.dataset", name, DATASETS))
    found = DATASETS[name]
    if found.task != task:
        able = ", ".join(row.name for row in _ROWS if row.task == task) or "none"
        raise ConfigError(f"data.dataset '{name}' is for task '{found.task}', not for '{task}'. Of this task: {able}.")
    return found
