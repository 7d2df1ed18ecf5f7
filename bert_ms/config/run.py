"""What a run is made of: data, model, optimiser, schedule, precision, training and evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from bert_ms.config.data import DataConfig
from bert_ms.config.objective import LoraConfig, LossConfig, RegularizationConfig
from bert_ms.config.pretraining import PretrainingConfig
from bert_ms.config.section import Section, plain


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Section):
    """Where the weights come from, and what of their configuration this run changes.

    Attributes:
        source: a directory, a file, or a catalogue name; `minilm` is the embedded default. `scratch` draws new weights
            by the seed, for a network of `config` with the vocabulary `vocab`. To evaluate and predict also an exported
            folder.
        config: a config file, for weights that come without one.
        token_head: what labels tokens: each by itself ("softmax"), with a CRF over the labels, or with a BiLSTM before.
        problem_type: what the labels of texts are; "auto" finds out from the data.
        vocab: a vocabulary file, for weights that come without one.
        do_lower_case: casing, for a vocabulary that does not say; None takes what comes with the weights.
        hidden_dropout_prob: None keeps the weights' own.
        attention_probs_dropout_prob: None keeps the weights' own.
        allow_missing: patterns of parameters that the file need not have.
        allow_unused: patterns of parameters in the file that the network need not have.
    """

    source: str = "minilm"
    config: str | None = None
    token_head: Literal["softmax", "crf", "lstm", "lstm_crf"] = "softmax"
    problem_type: Literal["auto", "single_label_classification", "multi_label_classification", "regression"] = "auto"
    vocab: str | None = None
    do_lower_case: bool | None = None
    hidden_dropout_prob: float | None = None
    attention_probs_dropout_prob: float | None = None
    allow_missing: tuple[str, ...] = ()
    allow_unused: tuple[str, ...] = ()

    def problems(self) -> Iterator[str]:
        yield from self._in_range(0, 0.999, "hidden_dropout_prob", "attention_probs_dropout_prob")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Section):
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
class ScheduleConfig(Section):
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
class PrecisionConfig(Section):
    """Numbers that the network computes in; LayerNorm, softmax and loss stay in float32.

    Attributes:
        dtype: of matrix products and activations; parameters are kept in float32. "int8" is for evaluation and
            prediction on a CPU: the layers' weights are rounded when they are loaded.
        loss_scale: "dynamic" and "static" are for float16; "auto" takes dynamic for float16, else none.
        init_scale: first (or static) scale.
        scale_factor: the dynamic scale is multiplied or divided by this.
        growth_interval: steps without overflow before the dynamic scale grows.
        min_scale: the dynamic scale never falls below.
        max_skipped_steps: so many overflowing steps in a row end the run, with advice.
    """

    dtype: Literal["float32", "float16", "bfloat16", "int8"] = "float32"
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
class TrainingConfig(Section):
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
class EvaluationConfig(Section):
    """How logits become answers and scores.

    Attributes:
        batch_size: rows a step and device.
        n_best: spans kept for each question; words for each gap.
        max_answer_length: longest answer, or continuation of a text, in tokens.
        label_threshold: of several labels, those with at least this probability are given.
        null_threshold: no answer is chosen when null_score_diff is above this; "search" finds the best on the data.
        language: answers are compared by words as SQuAD does ("en") or by characters as CMRC2018 does ("zh"); "auto"
            finds out from the gold answers.
    """

    batch_size: int = 32
    n_best: int = 20
    max_answer_length: int = 30
    label_threshold: float = 0.5
    null_threshold: float | Literal["search"] = 0.0
    language: Literal["auto", "en", "zh"] = "auto"

    def problems(self) -> Iterator[str]:
        yield from self._at_least(1, "batch_size", "n_best", "max_answer_length")
        yield from self._in_range(0, 1, "label_threshold")


@dataclass(frozen=True, kw_only=True)
class RunConfig(Section):
    """One run, as a YAML file under `configs/` describes it.

    Attributes:
        task: a task name of the `tasks` table.
        output_dir: the run folder; an unfinished run found there is resumed.
        seed: of data order, dropout and new weights.
        seeds: train once with each of these instead, in `seed_N` of the output_dir.
        device: auto takes Ascend, then GPU, then CPU, whichever is there.
        threads: of the CPU; None takes all cores.
    """

    task: str = "question-answering"
    output_dir: str = "runs/squad"
    seed: int = 42
    seeds: tuple[int, ...] = ()
    device: Literal["auto", "cpu", "gpu", "ascend"] = "auto"
    threads: int | None = None
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    regularization: RegularizationConfig = field(default_factory=RegularizationConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def problems(self) -> Iterator[str]:
        yield from self._in_range(0, 2**31 - 1, "seed")
        for seed in self.seeds:
            if not 0 <= seed <= 2**31 - 1:
                yield f"seeds has {seed}: expected 0 to {2**31 - 1}."
        if len(set(self.seeds)) < len(self.seeds):
            yield f"seeds is {list(self.seeds)}: expected each only once."
        yield from self._in_range(1, 1024, "threads")
        stride, longest = self.data.stride, self.data.max_length
        if self.task == "question-answering" and stride >= longest:
            yield f"data.stride {stride} is not below max_length {longest}: windows would never move on."
        if len(self.output_dir) > 1000:
            yield f"output_dir is {self.output_dir[:40]}..., {len(self.output_dir):,} characters: expected a path."
        if not self.output_dir.strip():
            yield "output_dir is empty: expected a directory, for example runs/squad."

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for YAML."""
        return plain(self)
