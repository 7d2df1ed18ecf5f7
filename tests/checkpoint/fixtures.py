"""The golden fixtures of every task, in one table, with the way from our outputs and labels to theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support import golden

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
ENCODER, QA, PRETRAINING, MLM = "encoder", "question-answering", "pretraining", "masked-lm"
SEQUENCE, TOKENS = "sequence-classification", "token-classification"
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
        labels: our labels, from the peer's inputs; None where the fixture has no loss.
        more: inputs after the three fixed ones.
    """

    name: str
    task: str = ENCODER
    file: str = ""
    outputs: Callable[[tuple[np.ndarray, ...], Arrays], dict[str, np.ndarray]] = lambda out, _: _encoder(out)
    dropped: int = 0
    labels: Callable[[Arrays], tuple[np.ndarray, ...]] | None = None
    more: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.name}/{self.file}" if self.file else self.name

    @property
    def has_hidden_states(self) -> bool:
        """Whether all hidden states are among the outputs, from the embeddings on."""
        return not self.name.startswith(("tf2_", "gluonnlp_"))

    @property
    def source(self) -> Path:
        """What `from_pretrained` gets."""
        return golden(self.name) / self.file if self.file else golden(self.name)

    def arrays(self, kind: str) -> dict[str, np.ndarray]:
        """Arrays of `inputs`, `outputs`, `grads` or `extra`."""
        with np.load(golden(self.name) / f"{kind}.npz") as file:
            return dict(file)

    def inputs(self) -> tuple[np.ndarray, ...]:
        """int32 arrays in the fixed order, and what comes after them."""
        arrays = self.arrays("inputs")
        return (*(arrays[name].astype(np.int32) for name in INPUTS), *(arrays[name] for name in self.more))


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


def _logits(out: tuple[np.ndarray, ...], _: Arrays) -> dict[str, np.ndarray]:
    return {"logits": out[0]}


def _two_logits(out: tuple[np.ndarray, ...], _: Arrays) -> dict[str, np.ndarray]:
    return dict(zip(("prediction_logits", "seq_relationship_logits"), out, strict=True))


def _zoo_pretraining(out: tuple[np.ndarray, ...], inputs: Arrays) -> dict[str, np.ndarray]:
    """The zoo's departure: log-softmax, of the masked positions only."""
    rows = np.arange(len(out[0]))[:, None]
    masked = out[0][rows, inputs["masked_lm_positions"]].reshape(-1, out[0].shape[-1])
    return {"mlm_log_probs": log_softmax(masked, -1), "nsp_log_probs": log_softmax(out[1], -1)}


def _google_pretraining(out: tuple[np.ndarray, ...], _: Arrays) -> dict[str, np.ndarray]:
    return {"mlm_logits_all_positions": out[0], "nsp_logits": out[1]}


def _expert_words(out: tuple[np.ndarray, ...], inputs: Arrays) -> dict[str, np.ndarray]:
    """The experts give logits of the masked positions alone."""
    return {"mlm_logits": out[0][np.arange(len(out[0]))[:, None], inputs["masked_lm_positions"]]}


def _gluon_pretraining(out: tuple[np.ndarray, ...], inputs: Arrays) -> dict[str, np.ndarray]:
    """GluonNLP gives logits of the masked positions alone."""
    words = out[0][np.arange(len(out[0]))[:, None], inputs["masked_positions"]]
    return {"mlm_logits": words, "nsp_logits": out[1]}


def _gluon_spans(out: tuple[np.ndarray, ...], _: Arrays) -> dict[str, np.ndarray]:
    return {"logits": np.stack(out, axis=-1)}


def _zoo_classes(out: tuple[np.ndarray, ...], _: Arrays) -> dict[str, np.ndarray]:
    """The zoo's departure: log-softmax, but for one of its metrics."""
    return {"log_probs": log_softmax(out[0], -1), "raw_logits": out[0]}


def _zoo_tags(out: tuple[np.ndarray, ...], _: Arrays) -> dict[str, np.ndarray]:
    """The zoo's departure: log-softmax, of all tokens in one row after the other."""
    return {"log_probs": log_softmax(out[0].reshape(-1, out[0].shape[-1]), -1)}


def named(*names: str) -> Callable[[Arrays], tuple[np.ndarray, ...]]:
    """Labels that our losses take as the peer has them."""
    return lambda inputs: tuple(inputs[name] for name in names)


def _zoo_masked(inputs: Arrays) -> tuple[np.ndarray, ...]:
    """The zoo's masked words, given by positions and weights, as labels of all positions."""
    assert set(np.unique(inputs["masked_lm_weights"])) <= {0.0, 1.0}
    labels = np.full(inputs["input_ids"].shape, -100)
    row, at = np.nonzero(inputs["masked_lm_weights"])
    labels[row, inputs["masked_lm_positions"][row, at]] = inputs["masked_lm_ids"][row, at]
    return labels, inputs["next_sentence_labels"].reshape(-1)


def _gluon_masked(inputs: Arrays) -> tuple[np.ndarray, ...]:
    """GluonNLP's masked words, all of which count."""
    labels = np.full(inputs["input_ids"].shape, -100)
    np.put_along_axis(labels, inputs["masked_positions"], inputs["masked_lm_ids"], axis=1)
    return labels, inputs["next_sentence_labels"]


_SPAN = named("start_positions", "end_positions")
_ONE = named("labels")
_TWO = named("labels", "next_sentence_label")

HUGGING_FACE = (
    Fixture("hf_bert_model"),
    Fixture("hf_bert_model_gelu_new"),
    Fixture("hf_bert_model_relu"),
    Fixture("hf_bert_model_nopool"),
    Fixture("hf_bert_model_bf16"),
    Fixture("hf_bert_model_f16"),
    Fixture("hf_bert_model_legacy_bin", dropped=1),
    Fixture("hf_bert_qa", QA, outputs=_spans, labels=_SPAN),
    Fixture("hf_bert_qa_negpos", QA, outputs=_spans, labels=_SPAN),
    Fixture("hf_bert_relative_key", dropped=1),
    Fixture("hf_bert_relative_key_query", dropped=1),
    Fixture("hf_nezha_model"),
    Fixture("hf_nezha_model_mr8"),
    Fixture("hf_nezha_qa", QA, outputs=_spans, labels=_SPAN),
    Fixture("hf_bert_pretraining", PRETRAINING, outputs=_two_logits, labels=_TWO),
    Fixture("hf_bert_pretraining_legacy_bin", PRETRAINING, outputs=_two_logits, dropped=2, labels=_TWO),
    Fixture("hf_bert_mlm", MLM, outputs=_logits, labels=_ONE),
    Fixture("hf_bert_mlm_untied", MLM, outputs=_logits, dropped=1, labels=_ONE),
    Fixture("hf_bert_mlm_sharded", MLM, outputs=_logits, labels=_ONE),
    Fixture("hf_bert_mlm_relative_key_query", MLM, outputs=_logits, dropped=1, labels=_ONE),
    Fixture("hf_bert_lmhead", "causal-lm", outputs=_logits, labels=_ONE),
    Fixture(
        "hf_bert_lmhead_cross", "causal-lm", outputs=_logits, labels=_ONE,
        more=("encoder_hidden_states", "encoder_attention_mask"),
    ),
    Fixture("hf_bert_nsp", "next-sentence", outputs=_logits, labels=_ONE),
    Fixture("hf_bert_seqcls", SEQUENCE, outputs=_logits, labels=_ONE),
    Fixture("hf_bert_seqcls_regression", SEQUENCE, outputs=_logits, labels=_ONE),
    Fixture("hf_bert_seqcls_multilabel", SEQUENCE, outputs=_logits, labels=_ONE),
    Fixture("hf_bert_multiplechoice", "multiple-choice", outputs=_logits, labels=_ONE),
    Fixture("hf_bert_tokencls", TOKENS, outputs=_logits, labels=_ONE),
    Fixture("hf_nezha_pretraining", PRETRAINING, outputs=_two_logits, labels=_TWO),
    Fixture("hf_nezha_mlm", MLM, outputs=_logits, labels=_ONE),
    Fixture("hf_nezha_mlm_mr8", MLM, outputs=_logits, labels=_ONE),
    Fixture("hf_nezha_seqcls", SEQUENCE, outputs=_logits, labels=_ONE),
    Fixture("hf_nezha_tokencls", TOKENS, outputs=_logits, labels=_ONE),
)  # fmt: skip
MODEL_ZOO = (
    Fixture("modelzoo_bert_model", outputs=_zoo_encoder),
    Fixture("modelzoo_bert_model_nezha", outputs=_zoo_encoder, dropped=1),
    Fixture("modelzoo_bert_model_oldnames", outputs=_zoo_encoder),
    Fixture("modelzoo_bert_model_oldnames_nezha", outputs=_zoo_encoder, dropped=1),
    Fixture("modelzoo_squad", QA, outputs=_zoo_spans, dropped=5, labels=_SPAN),
    Fixture("modelzoo_squad_nezha", QA, outputs=_zoo_spans, dropped=6, labels=_SPAN),
    Fixture("modelzoo_squad_train_adamw", QA, "squad-1_2.ckpt", outputs=_zoo_spans, dropped=126),
    Fixture("modelzoo_squad_train_adamw", QA, "squad_noslots.ckpt", outputs=_zoo_spans, dropped=5),
    Fixture("modelzoo_squad_train_adamw_lossscale", QA, outputs=_zoo_spans, dropped=129),
    Fixture("modelzoo_squad_train_lamb", QA, outputs=_zoo_spans, dropped=126),
    Fixture("modelzoo_pretraining", PRETRAINING, outputs=_zoo_pretraining, labels=_zoo_masked),
    Fixture("modelzoo_pretraining_nezha", PRETRAINING, outputs=_zoo_pretraining, labels=_zoo_masked, dropped=1),
    Fixture("modelzoo_cls", SEQUENCE, outputs=_zoo_classes, labels=named("label_ids")),
    Fixture("modelzoo_cls_nezha", SEQUENCE, outputs=_zoo_classes, labels=named("label_ids"), dropped=1),
    Fixture("modelzoo_ner", TOKENS, outputs=_zoo_tags, labels=named("label_ids"), dropped=2),
    Fixture("modelzoo_ner_nezha", TOKENS, outputs=_zoo_tags, labels=named("label_ids"), dropped=3),
    Fixture("modelzoo_ner_crf", TOKENS, outputs=_logits, labels=named("label_ids"), dropped=2),
    Fixture("modelzoo_ner_crf_nezha", TOKENS, outputs=_logits, labels=named("label_ids"), dropped=3),
    Fixture("modelzoo_ner_lstm", TOKENS, outputs=_zoo_tags, labels=named("label_ids"), dropped=2),
    Fixture("modelzoo_ner_lstm_nezha", TOKENS, outputs=_zoo_tags, labels=named("label_ids"), dropped=3),
    Fixture("modelzoo_ner_crf_lstm", TOKENS, outputs=_logits, labels=named("label_ids"), dropped=2),
)
TENSORFLOW = (
    Fixture("tf1_bert", PRETRAINING, outputs=_google_pretraining, labels=_zoo_masked),
    Fixture("tf1_bert_pretrain_slots", PRETRAINING, outputs=_google_pretraining, labels=_zoo_masked, dropped=125),
    Fixture("tf1_bert_squad", QA, outputs=_spans, labels=_SPAN, dropped=113),
    Fixture("tf1_bert_classifier", SEQUENCE, outputs=_logits, labels=named("label_ids"), dropped=115),
    Fixture("tf2_checkpoint_encoder_v2", outputs=_zoo_encoder, dropped=1),
    Fixture("tf2_savedmodel_expert", outputs=_zoo_encoder, dropped=6),
    Fixture("tf2_savedmodel_expert", MLM, "saved_model", outputs=_expert_words, dropped=3),
)
GLUON = (
    Fixture("gluonnlp_bert", file="bert.params", outputs=_zoo_encoder, dropped=8),
    Fixture(
        "gluonnlp_bert", PRETRAINING, "bert.params", outputs=_gluon_pretraining, labels=_gluon_masked, dropped=1
    ),
    Fixture(
        "gluonnlp_bert", PRETRAINING, "bert_dedup.params", outputs=_gluon_pretraining, labels=_gluon_masked
    ),
    Fixture(
        "gluonnlp_bert", PRETRAINING, "bert_legacy_collect_params.params", outputs=_gluon_pretraining,
        labels=_gluon_masked,
    ),
    Fixture("gluonnlp_classifier", SEQUENCE, outputs=_logits, labels=_ONE),
    Fixture("gluonnlp_qa", QA, outputs=_gluon_spans, labels=_SPAN),
)  # fmt: skip
FIXTURES = (*HUGGING_FACE, *MODEL_ZOO, *TENSORFLOW, *GLUON)
