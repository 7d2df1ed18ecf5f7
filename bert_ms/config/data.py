"""The data of a run: its files, what stands where in them, and how text becomes features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bert_ms.config.section import Section


@dataclass(frozen=True, kw_only=True)
class DataConfig(Section):
    """Files, and how text becomes features.

    Attributes:
        train_file: None where a run only evaluates; `sample` is the sample that ships with the package.
        eval_file: None where there is nothing to evaluate on.
        predict_file: for `bert-ms predict`.
        dataset: a known data set (`mrpc`, `cluener`, ...), which settles format, columns, labels and score; None reads
            by the keys below.
        format: of a file of one's own; "auto" tells csv, tsv, jsonl and json by the ending; of tagged words,
            CLUENER's lines and lists from columns. tsv has no quoting, as GLUE's files; csv has, and may be separated
            by commas, tabs or semicolons.
        text_column: column (or key) of the text; a number counts columns from 0 in files without a header.
        pair_column: column of the second text of a pair.
        label_column: column of the label; of tagged words in columns -1 counts from the end, and None takes the last.
        id_column: column that names examples; None numbers them.
        choice_columns: columns of the choices (multiple choice).
        has_header: the first line of a csv or tsv file names its columns.
        label_separator: between several labels in one cell; set, a text may have any number of labels.
        labels: the labels in the order of the network's outputs; empty takes the trained network's own, or, for
            training, those of the training file in sorted order.
        tagging: how tags mark entities; "auto" finds out, and reads sequences that make no sense as seqeval does; tags
            must keep to a scheme that is named.
        max_length: longest window in tokens, special tokens included.
        stride: of windows over a long context, in tokens; see `windows`. Over a long sentence of words windows overlap
            by so much, at most by half.
        windows: "overlap" reads stride as Hugging Face does (tokens shared by two windows), "step" as google-research
            does (tokens between two window starts).
        max_query_length: a longer question is cut to this many tokens; None does not cut.
        with_negatives: questions without an answer (SQuAD v2.0); None finds out from the data.
        on_bad_answer: to train on: an answer that does not stand where the file says is an "error"; "fix" takes the
            nearest place where it stands, "drop" leaves it out. Both leave out questions that no answer is left of,
            and rows of tables that cannot be read or whose label is not known.
        buckets: lengths that batches are padded to; empty takes multiples of 32 up to max_length.
        storage: "memory" keeps features in memory, "mindrecord" in files, "auto" decides by size.
        cache_dir: of prepared features; None takes the user's cache directory.
        workers: processes that tokenise; 0 takes the number of cores.
        max_train_examples: take only the first so many; None takes all.
        max_eval_examples: the same for evaluation.
    """

    train_file: str | None = None
    eval_file: str | None = None
    predict_file: str | None = None
    dataset: str | None = None
    format: Literal["auto", "csv", "tsv", "jsonl", "conll", "cluener"] = "auto"
    text_column: str | None = None
    pair_column: str | None = None
    label_column: str | None = None
    id_column: str | None = None
    choice_columns: tuple[str, ...] = ()
    has_header: bool = True
    label_separator: str | None = None
    labels: tuple[str, ...] = ()
    tagging: Literal["auto", "bio", "iob1", "bioes", "bmes"] = "auto"
    max_length: int = 384
    stride: int = 128
    windows: Literal["overlap", "step"] = "overlap"
    max_query_length: int | None = 64
    with_negatives: bool | None = None
    on_bad_answer: Literal["error", "fix", "drop"] = "error"
    buckets: tuple[int, ...] = ()
    storage: Literal["auto", "memory", "mindrecord"] = "auto"
    cache_dir: str | None = None
    workers: int = 0
    max_train_examples: int | None = None
    max_eval_examples: int | None = None

    def problems(self) -> Iterator[str]:
        yield from self._at_least(8, "max_length")
        yield from self._at_least(1, "stride", "max_query_length", "max_train_examples", "max_eval_examples")
        yield from self._at_least(0, "workers")
        if any(b < 8 or b > self.max_length for b in self.buckets):
            yield f"buckets {list(self.buckets)}: expected lengths from 8 to max_length {self.max_length}."
