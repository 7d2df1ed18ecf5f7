"""What a run is made of: data, model, optimiser, schedule, precision, training and evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from bert_ms.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class _Section:
    """A section that checks itself when it is made and names all that is wrong with it."""

    def __post_init__(self) -> None:
        problems = list(self.problems())
        if problems:
            raise ConfigError(problems)

    def problems(self) -> Iterator[str]:
        """One sentence for each value that cannot be used."""
        yield from ()

    def _at_least(self, least: float, *names: str) -> Iterator[str]:
        for name in names:
            value = getattr(self, name)
            if value is not None and value < least:
                yield f"{name} is {value}: expected at least {least}."

    def _in_range(self, low: float, high: float, *names: str) -> Iterator[str]:
        for name in names:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                yield f"{name} is {value}: expected {low} to {high}."


@dataclass(frozen=True, kw_only=True)
class ModelConfig(_Section):
    """Where the weights come from, and what of their configuration this run changes.

    Attributes:
        source: a directory, a file, or a catalogue name; `minilm` is the embedded default.
        config: a config file, for weights that come without one.
        vocab: a vocabulary file, for weights that come without one.
        do_lower_case: casing, for a vocabulary that does not say; None takes what comes with the weights.
        hidden_dropout_prob: None keeps the weights' own.
        attention_probs_dropout_prob: None keeps the weights' own.
        allow_missing: patterns of parameters that the file need not have.
        allow_unused: patterns of parameters in the file that the network need not have.
    """

    source: str = "minilm"
    config: str | None = None
    vocab: str | None = None
    do_lower_case: bool | None = None
    hidden_dropout_prob: float | None = None
    attention_probs_dropout_prob: float | None = None
    allow_missing: tuple[str, ...] = ()
    allow_unused: tuple[str, ...] = ()

    def problems(self) -> Iterator[str]:
        yield from self._in_range(0, 0.999, "hidden_dropout_prob", "attention_probs_dropout_prob")


@dataclass(frozen=True, kw_only=True)
class DataConfig(_Section):
    """Files, and how text becomes features.

    Attributes:
        train_file: None where a run only evaluates; `sample` is the sample that ships with the package.
        eval_file: None where there is nothing to evaluate on.
        predict_file: for `bert-ms predict`.
        max_length: longest window in tokens, special tokens included.
        stride: of windows over a long context, in tokens; see `windows`.
        windows: "overlap" reads stride as Hugging Face does (tokens shared by two windows), "step" as google-research
            does (tokens between two window starts).
        max_query_length: a longer question is cut to this many tokens; None does not cut.
        with_negatives: questions without an answer (SQuAD v2.0); None finds out from the data.
        on_bad_answer: to train on: an answer that does not stand where the file says is an "error"; "fix" takes the
            nearest place where it stands, "drop" leaves it out. Both leave out questions that no answer is left of.
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
        if self.stride >= self.max_length:
            yield f"stride {self.stride} is not below max_length {self.max_length}: windows would never move on."
        if any(b < 8 or b > self.max_length for b in self.buckets):
            yield f"buckets {list(self.buckets)}: expected lengths from 8 to max_length {self.max_length}."


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(_Section):
    """The optimiser, what it leaves out, and the gradient's norm.

    Attributes:
        name: adamw, lamb or momentum.
        learning_rate: its peak, after warm-up.
        weight_decay: decoupled (adamw, lamb), not applied to LayerNorm and biases.
        betas: decay of the first and second moment.
        eps: added to the root of the second moment.
        bias_correction: of adamw's moments; google-research's original has none.
        momentum: of momentum.
        layer_decay: each layer below the head learns at this factor of the one above; 1 switches it off.
        freeze: patterns of parameters that do not learn, for example `bert.embeddings.*`.
        max_grad_norm: global norm that gradients are clipped to; None does not clip.
    """

    name: Literal["adamw", "lamb", "momentum"] = "adamw"
    learning_rate: float = 3e-5
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-6
    bias_correction: bool = True
    momentum: float = 0.9
    layer_decay: float = 1.0
    freeze: tuple[str, ...] = ()
    max_grad_norm: float | None = 1.0

    def problems(self) -> Iterator[str]:
        if not self.learning_rate > 0:
            yield f"learning_rate is {self.learning_rate}: expected more than 0, usually 1e-5 to 1e-4."
        yield from self._at_least(0, "weight_decay")
        if len(self.betas) != 2 or not all(0 <= b < 1 for b in self.betas):
            yield f"betas is {list(self.betas)}: expected two numbers in [0, 1)."
        if not self.eps > 0:
            yield f"eps is {self.eps}: expected more than 0."
        if not 0 < self.layer_decay <= 1:
            yield f"layer_decay is {self.layer_decay}: expected more than 0 and at most 1."
        if self.max_grad_norm is not None and not self.max_grad_norm > 0:
            yield f"max_grad_norm is {self.max_grad_norm}: expected more than 0, or null for no clipping."


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(_Section):
    """How the learning rate moves: linear warm-up from 0, then decay.

    Attributes:
        name: shape of the decay.
        warmup_ratio: part of all steps that warms up; used when warmup_steps is None.
        warmup_steps: optimiser steps that warm up.
        end_factor: the last learning rate as a part of the peak.
        power: of the polynomial.
    """

    name: Literal["linear", "polynomial", "cosine", "constant"] = "linear"
    warmup_ratio: float = 0.1
    warmup_steps: int | None = None
    end_factor: float = 0.0
    power: float = 1.0

    def problems(self) -> Iterator[str]:
        yield from self._in_range(0, 1, "warmup_ratio", "end_factor")
        yield from self._at_least(0, "warmup_steps")
        if not self.power > 0:
            yield f"power is {self.power}: expected more than 0."


@dataclass(frozen=True, kw_only=True)
class PrecisionConfig(_Section):
    """Numbers that the network computes in; LayerNorm, softmax and loss stay in float32.

    Attributes:
        dtype: of matrix products and activations; parameters are kept in float32.
        loss_scale: "dynamic" and "static" are for float16; "auto" takes dynamic for float16, else none.
        init_scale: first (or static) scale.
        scale_factor: the dynamic scale is multiplied or divided by this.
        growth_interval: steps without overflow before the dynamic scale grows.
        min_scale: the dynamic scale never falls below.
        max_skipped_steps: so many overflowing steps in a row end the run, with advice.
    """

    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    loss_scale: Literal["auto", "none", "static", "dynamic"] = "auto"
    init_scale: float = 65536.0
    scale_factor: float = 2.0
    growth_interval: int = 1000
    min_scale: float = 1.0
    max_skipped_steps: int = 50

    def problems(self) -> Iterator[str]:
        yield from self._at_least(1, "init_scale", "growth_interval", "min_scale", "max_skipped_steps")
        if not self.scale_factor > 1:
            yield f"scale_factor is {self.scale_factor}: expected more than 1."


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(_Section):
    """The loop: how long, how often to look, what to keep.

    Attributes:
        epochs: passes over the training data.
        max_steps: stop after so many optimiser steps; None goes by epochs.
        batch_size: rows a step and device.
        accumulate: steps whose gradients are averaged before one update.
        eval_every: optimiser steps between evaluations; None evaluates at the end of each epoch.
        save_every: optimiser steps between checkpoints for resuming; None saves with each evaluation.
        keep_last: so many resume checkpoints are kept, beside the best and the last.
        metric: decides which checkpoint is best; None takes the task's own (f1 for question-answering).
        patience: stop after so many evaluations without a better metric; None never stops early.
        evaluate_before: also score the weights as they came.
        log_every: optimiser steps between lines of metrics.jsonl.
        dropout: "derived" makes every mask from seed and step, so that a resumed run is the same bit for bit;
            "native" uses MindSpore's generator; "auto" takes derived, but native on Ascend.
        tensorboard: write event files.
    """

    epochs: float = 2.0
    max_steps: int | None = None
    batch_size: int = 16
    accumulate: int = 1
    eval_every: int | None = None
    save_every: int | None = None
    keep_last: int = 2
    metric: str | None = None
    patience: int | None = None
    evaluate_before: bool = True
    log_every: int = 10
    dropout: Literal["auto", "derived", "native"] = "auto"
    tensorboard: bool = True

    def problems(self) -> Iterator[str]:
        if not 0 < self.epochs <= 1e6:
            yield f"epochs is {self.epochs}: expected more than 0{' and at most a million' if self.epochs > 0 else ''}."
        yield from self._in_range(1, 2**31 - 1, "max_steps")
        yield from self._at_least(1, "batch_size", "accumulate", "eval_every", "save_every")
        yield from self._at_least(1, "keep_last", "patience", "log_every")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(_Section):
    """How logits become answers and scores.

    Attributes:
        batch_size: rows a step and device.
        n_best: spans kept for each question.
        max_answer_length: longest answer, in tokens.
        null_threshold: no answer is chosen when null_score_diff is above this; "search" finds the best on the data.
        language: answers are compared by words as SQuAD does ("en") or by characters as CMRC2018 does ("zh"); "auto"
            finds out from the gold answers.
    """

    batch_size: int = 32
    n_best: int = 20
    max_answer_length: int = 30
    null_threshold: float | Literal["search"] = 0.0
    language: Literal["auto", "en", "zh"] = "auto"

    def problems(self) -> Iterator[str]:
        yield from self._at_least(1, "batch_size", "n_best", "max_answer_length")


@dataclass(frozen=True, kw_only=True)
class RunConfig(_Section):
    """One run, as a YAML file under `configs/` describes it.

    Attributes:
        task: a task name of the `tasks` table.
        output_dir: the run folder; an unfinished run found there is resumed.
        seed: of data order, dropout and new weights.
        device: auto takes Ascend, then GPU, then CPU, whichever is there.
        threads: of the CPU; None takes all cores.
    """

    task: str = "question-answering"
    output_dir: str = "runs/squad"
    seed: int = 42
    device: Literal["auto", "cpu", "gpu", "ascend"] = "auto"
    threads: int | None = None
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def problems(self) -> Iterator[str]:
        yield from self._in_range(0, 2**31 - 1, "seed")
        yield from self._in_range(1, 1024, "threads")
        if len(self.output_dir) > 1000:
            yield f"output_dir is {self.output_dir[:40]}..., {len(self.output_dir):,} characters: expected a path."
        if not self.output_dir.strip():
            yield "output_dir is empty: expected a directory, for example runs/squad."

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for YAML."""
        return _plain(self)


def _plain(value: Any) -> Any:
    if isinstance(value, _Section):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return list(value) if isinstance(value, tuple) else value
