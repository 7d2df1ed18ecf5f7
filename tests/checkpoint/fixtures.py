"""The golden fixtures that this issue loads, in one table, with the way from our outputs to theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support import golden

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
ENCODER, QA = "encoder", "question-answering"
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Fixture:
    """A peer's checkpoint with its inputs and outputs.

    Attributes:
        name: of the folder.
        task: to load it for.
        file: inside the folder, where it holds several checkpoints.
        outputs: our outputs, as the peer presents them.
        dropped: how many tensors are known and not needed.
    """

    name: str
    task: str = ENCODER
    file: str = ""
    outputs: Callable[[tuple[np.ndarray, ...], Arrays], dict[str, np.ndarray]] = lambda out, _: _encoder(out)
    dropped: int = 0

    @property
    def id(self) -> str:
        return f"{self.name}/{self.file}" if self.file else self.name

    @property
    def source(self) -> Path:
        """What `from_pretrained` gets."""
        return golden(self.name) / self.file if self.file else golden(self.name)

    def arrays(self, kind: str) -> dict[str, np.ndarray]:
        """Arrays of `inputs`, `outputs`, `grads` or `extra`."""
        with np.load(golden(self.name) / f"{kind}.npz") as file:
            return dict(file)

    def inputs(self) -> tuple[np.ndarray, ...]:
        """int32 arrays in the fixed order."""
        arrays = self.arrays("inputs")
        return tuple(arrays[name].astype(np.int32) for name in INPUTS)


def _encoder(out: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    names = ("last_hidden_state", "pooler_output")
    return dict(zip(names, out, strict=False))


def _zoo_encoder(out: tuple[np.ndarray, ...], _: Arrays) -> dict[str, np.ndarray]:
    return dict(zip(("sequence_output", "pooled_output"), out, strict=True))


def _spans(out: tuple[np.ndarray, ...], _: Arrays) -> dict[str, np.ndarray]:
    return dict(zip(("start_logits", "end_logits"), out, strict=True))


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """In float64."""
    x = x.astype(np.float64)
    shifted = x - x.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


def _zoo_spans(out: tuple[np.ndarray, ...], inputs: Arrays) -> dict[str, np.ndarray]:
    """The zoo's departure: log-softmax over the sequence, padding included, plus 100 where tokens are."""
    logs = [log_softmax(logits, 1) for logits in out]
    start, end = (one + 100.0 * inputs["attention_mask"] for one in logs)
    return {"log_probs": np.stack(logs, axis=-1), "start_scores": start, "end_scores": end}


HUGGING_FACE = (
    Fixture("hf_bert_model"),
    Fixture("hf_bert_model_gelu_new"),
    Fixture("hf_bert_model_relu"),
    Fixture("hf_bert_model_nopool"),
    Fixture("hf_bert_model_bf16"),
    Fixture("hf_bert_model_f16"),
    Fixture("hf_bert_qa", QA, outputs=_spans),
    Fixture("hf_bert_qa_negpos", QA, outputs=_spans),
    Fixture("hf_bert_relative_key", dropped=1),
    Fixture("hf_bert_relative_key_query", dropped=1),
    Fixture("hf_nezha_model"),
    Fixture("hf_nezha_model_mr8"),
    Fixture("hf_nezha_qa", QA, outputs=_spans),
)
MODEL_ZOO = (
    Fixture("modelzoo_bert_model", outputs=_zoo_encoder),
    Fixture("modelzoo_bert_model_nezha", outputs=_zoo_encoder, dropped=1),
    Fixture("modelzoo_bert_model_oldnames", outputs=_zoo_encoder),
    Fixture("modelzoo_bert_model_oldnames_nezha", outputs=_zoo_encoder, dropped=1),
    Fixture("modelzoo_squad", QA, outputs=_zoo_spans, dropped=5),
    Fixture("modelzoo_squad_nezha", QA, outputs=_zoo_spans, dropped=6),
    Fixture("modelzoo_squad_train_adamw", QA, "squad-1_2.ckpt", outputs=_zoo_spans, dropped=126),
    Fixture("modelzoo_squad_train_adamw", QA, "squad_noslots.ckpt", outputs=_zoo_spans, dropped=5),
    Fixture("modelzoo_squad_train_adamw_lossscale", QA, outputs=_zoo_spans, dropped=129),
    Fixture("modelzoo_squad_train_lamb", QA, outputs=_zoo_spans, dropped=126),
)
FIXTURES = (*HUGGING_FACE, *MODEL_ZOO)
