"""Configuration keys of every peer, told apart and translated into ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bert_ms.errors import unknown

# Hugging Face class -> our task.
ARCHITECTURES = {
    "BertModel": "encoder",
    "BertForPreTraining": "pretraining",
    "BertForMaskedLM": "masked-lm",
    "BertLMHeadModel": "causal-lm",
    "BertForNextSentencePrediction": "next-sentence",
    "BertForSequenceClassification": "sequence-classification",
    "BertForMultipleChoice": "multiple-choice",
    "BertForTokenClassification": "token-classification",
    "BertForQuestionAnswering": "question-answering",
}
ARCHITECTURES |= {name.replace("Bert", "Nezha", 1): task for name, task in ARCHITECTURES.items() if task != "causal-lm"}

# Keys that say nothing about the network here: bookkeeping of the peers, generation settings, run settings of the zoo.
_HUGGING_FACE_IGNORED = {
    "_name_or_path", "_num_labels", "_commit_hash", "_attn_implementation", "_attn_implementation_autoset",
    "attn_implementation", "transformers_version", "torch_dtype", "dtype", "use_cache", "gradient_checkpointing",
    "output_attentions", "output_hidden_states", "output_past", "return_dict", "torchscript", "use_bfloat16",
    "chunk_size_feed_forward", "bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id", "mask_token_id",
    "decoder_start_token_id", "is_encoder_decoder", "finetuning_task", "prefix", "task_specific_params",
    "tokenizer_class", "directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers",
    "pooler_size_per_head", "pooler_type", "summary_type", "xla_device", "tf_legacy_loss", "max_length", "min_length",
    "do_sample", "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty", "temperature", "top_k", "top_p",
    "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size",
    "bad_words_ids", "num_return_sequences", "output_scores", "return_dict_in_generate", "forced_bos_token_id",
    "forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens",
    "begin_suppress_tokens", "cross_attention_hidden_size", "tie_encoder_decoder", "language", "name", "model_name",
    "vocab_file", "max_seq_length", "id2label", "label2id", "architectures", "model_type", "pruned_heads",
    "layer_norm_type", "ln_type", "bert_ms_version", "do_lower_case", "embedding_size", "use_relative_position",
}  # fmt: skip
_ZOO_IGNORED = {
    "seq_length", "dtype", "compute_type", "batch_size", "hidden_probs_dropout_prob", "input_mask_from_dataset",
    "token_type_ids_from_dataset", "enable_fused_layernorm", "use_one_hot_embeddings", "use_packed_embeddings",
    "use_relative_positions", "loss_scale_value", "scale_factor", "scale_window",
}  # fmt: skip
_ZOO_SIGNS = ("seq_length", "use_relative_positions", "compute_type", "hidden_probs_dropout_prob")
_HUGGING_FACE_SIGNS = ("model_type", "architectures", "transformers_version", "layer_norm_eps", "bert_ms_version")

# GluonNLP's hyperparameters of a BERTEncoder, with what Hugging Face calls them; its hidden_size is the inner one.
_GLUON_SIGNS = ("units", "num_layers", "num_heads")
_GLUON_KEYS = {
    "num_layers": "num_hidden_layers", "units": "hidden_size", "hidden_size": "intermediate_size",
    "max_length": "max_position_embeddings", "num_heads": "num_attention_heads", "activation": "hidden_act",
    "token_type_vocab_size": "type_vocab_size", "dropout": "hidden_dropout_prob",
}  # fmt: skip
_GLUON_IGNORED = {"attention_cell", "scaled", "use_residual", "embed_size", "embed_dropout", "word_embed"}

_GOOGLE_KEYS = (
    "attention_probs_dropout_prob", "hidden_act", "hidden_dropout_prob", "hidden_size", "initializer_range",
    "intermediate_size", "max_position_embeddings", "num_attention_heads", "num_hidden_layers", "type_vocab_size",
    "vocab_size",
)  # fmt: skip
_GOOGLE_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu", "relu": "relu", "tanh": "tanh"}
_GOOGLE_MAX_RELATIVE_POSITION = 64  # fixed in NEZHA's attention

_ZOO_LAYER_NORM_EPS = 1e-7  # nn.LayerNorm's default, which the zoo never overrides
_ZOO_MAX_RELATIVE_POSITION = 16  # fixed in the zoo's attention


def recognise(values: Mapping[str, Any]) -> str:
    """Whose keys these are: "zoo", "hugging-face", "google" or, for nothing but our own field names, "ours"."""
    if any(key in values for key in _HUGGING_FACE_SIGNS[:3]) or "bert_ms_version" in values:
        return "hugging-face"
    if any(key in values for key in _ZOO_SIGNS):
        return "zoo"
    if any(key in values for key in _HUGGING_FACE_SIGNS):
        return "hugging-face"
    return "google"


def translate(
    values: Mapping[str, Any], *, known: Iterable[str], plain: str = "google"
) -> tuple[dict[str, Any], list[str]]:
    """Our field values from a peer's mapping, with one sentence for each key that cannot be understood.

    Args:
        values: the peer's mapping; a zoo YAML with `*_net_cfg` sections is looked into.
        known: our own field names, taken as they are.
        plain: whose keys they are taken for where none of them tells.

    Returns:
        Values by our field names, and the problems found.
    """
    values = _gluon_in_hugging_face_keys(_zoo_section(values))
    known = set(known)
    dialect = recognise(values)
    dialect = plain if dialect == "google" else dialect
    ignored = {"zoo": _ZOO_IGNORED | _HUGGING_FACE_IGNORED}.get(dialect, _HUGGING_FACE_IGNORED)
    # A key may be both a field of ours and in the ignored list of a peer (num_labels in the zoo): the field wins.
    problems = [unknown("config key", key, known) for key in values if key not in known and key not in ignored]
    fields = {key: value for key, value in values.items() if key in known}
    if values.get("pruned_heads"):
        problems.append("pruned_heads is not empty: networks with pruned heads are not supported.")
    model_type = values.get("model_type", "bert")
    if model_type not in ("bert", "nezha"):
        problems.append(unknown("model_type", model_type, ("bert", "nezha")))
    _translate_labels(values, fields, problems)
    architectures = values.get("architectures")
    if isinstance(architectures, list) and architectures and "task" not in fields:
        fields["task"] = ARCHITECTURES.get(str(architectures[0]))
    if fields.get("position_embedding_type") is None:
        fields.pop("position_embedding_type", None)
    {"zoo": _from_zoo, "google": _from_google, "gluonnlp": _from_gluon, "hugging-face": _from_hugging_face}[dialect](
        values, fields
    )
    return fields, problems


def _zoo_section(values: Mapping[str, Any]) -> Mapping[str, Any]:
    sections = {key: value for key, value in values.items() if key.endswith("_net_cfg") and isinstance(value, dict)}
    if not sections:
        return values
    wanted = f"{values.get('bert_network', 'bert')}_net_cfg"
    return sections.get(wanted) or next(iter(sections.values()))


def _gluon_in_hugging_face_keys(values: Mapping[str, Any]) -> Mapping[str, Any]:
    if not all(key in values for key in _GLUON_SIGNS):
        return values
    translated = {_GLUON_KEYS.get(key, key): value for key, value in values.items() if key not in _GLUON_IGNORED}
    if "dropout" in values:
        translated["attention_probs_dropout_prob"] = values["dropout"]
    return {"model_type": "bert", "pad_token_id": None, **translated}


def _from_zoo(values: Mapping[str, Any], fields: dict[str, Any]) -> None:
    if values.get("use_relative_positions"):
        fields.setdefault("relative_position", "learned")
        fields.setdefault("max_relative_position", _ZOO_MAX_RELATIVE_POSITION)
    fields.setdefault("layer_norm_eps", _ZOO_LAYER_NORM_EPS)
    fields.setdefault("pad_token_id", None)
    if fields.get("hidden_act", "gelu") == "gelu":
        fields["hidden_act"] = "gelu_tanh"


def _from_google(values: Mapping[str, Any], fields: dict[str, Any]) -> None:
    if values.get("use_relative_position"):
        fields.setdefault("relative_position", "sinusoid")
    fields.setdefault("pad_token_id", None)
    if values.get("hidden_act") == "gelu":
        fields["hidden_act"] = "gelu_tanh"


def _from_gluon(values: Mapping[str, Any], fields: dict[str, Any]) -> None:
    fields.setdefault("pad_token_id", None)


def _from_hugging_face(values: Mapping[str, Any], fields: dict[str, Any]) -> None:
    if values.get("model_type") == "nezha" or values.get("use_relative_position"):
        fields.setdefault("relative_position", "sinusoid")


def _translate_labels(values: Mapping[str, Any], fields: dict[str, Any], problems: list[str]) -> None:
    id2label = values.get("id2label")
    if id2label is None or "labels" in fields:
        return
    try:
        by_id = {int(key): str(value) for key, value in id2label.items()}
    except (AttributeError, TypeError, ValueError):
        problems.append(f"id2label is {id2label!r}: expected a mapping of whole numbers to label names.")
        return
    if sorted(by_id) != list(range(len(by_id))):
        problems.append(f"id2label has the ids {sorted(by_id)}: expected 0 to {len(by_id) - 1} without gaps.")
        return
    names = [by_id[i] for i in range(len(by_id))]
    fields.setdefault("num_labels", len(names))
    if names != [f"LABEL_{i}" for i in range(len(names))]:
        fields["labels"] = names


def to_hugging_face(values: Mapping[str, Any], *, activation: str) -> dict[str, Any]:
    """JSON values in Hugging Face's keys; keys that only we have are kept where they differ from plain BERT."""
    out = {key: value for key, value in values.items() if key not in ("labels", "num_labels", "task", "hidden_act")}
    is_nezha = values["relative_position"] != "none"
    out["model_type"] = "nezha" if is_nezha else "bert"
    out["hidden_act"] = activation
    if not is_nezha:
        del out["relative_position"], out["max_relative_position"]
    if values["add_pooler"]:
        del out["add_pooler"]
    for key in ("has_crf", "has_lstm", "lstm_hidden_size", "problem_type"):
        if not values[key]:
            del out[key]
    task = values["task"]
    classes = [name for name, of in ARCHITECTURES.items() if of == task and name.startswith("Nezha") == is_nezha]
    if classes:
        out["architectures"] = classes[:1]
    elif task:
        out["task"] = task
    if values["num_labels"] is not None:
        names = list(values["labels"]) or [f"LABEL_{i}" for i in range(values["num_labels"])]
        out["id2label"] = {str(i): name for i, name in enumerate(names)}
        out["label2id"] = {name: i for i, name in enumerate(names)}
    return out


def google_objection(values: Mapping[str, Any]) -> str | None:
    """Why google-research's code (huawei-noah's for NEZHA) has no such network, or None if it has."""
    if values["hidden_act"] not in _GOOGLE_ACTIVATIONS:
        return f"google's code has no hidden_act '{values['hidden_act']}'"
    if values["position_embedding_type"] != "absolute":
        return f"google's code has no position_embedding_type '{values['position_embedding_type']}'"
    if values["relative_position"] == "learned":
        return "NEZHA in TensorFlow has sinusoids, no learned table"
    if values["relative_position"] == "sinusoid" and values["max_relative_position"] != _GOOGLE_MAX_RELATIVE_POSITION:
        return (
            f"NEZHA in TensorFlow has a max_relative_position of {_GOOGLE_MAX_RELATIVE_POSITION}, "
            f"not {values['max_relative_position']}"
        )
    return None


def to_google(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values in google-research's keys, for a network to which there is no `google_objection`."""
    out = {key: values[key] for key in _GOOGLE_KEYS}
    out["hidden_act"] = _GOOGLE_ACTIVATIONS[values["hidden_act"]]
    return out | ({"use_relative_position": True} if values["relative_position"] != "none" else {})
