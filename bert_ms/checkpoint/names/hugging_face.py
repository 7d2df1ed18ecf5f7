"""Hugging Face's names of BERT and Nezha, today's and those of converted TensorFlow checkpoints."""

from __future__ import annotations

from dataclasses import replace

from bert_ms.checkpoint.names.rules import NameTable, Rule

BUFFER = "buffer that is computed anew"

_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "p": {"weight": ("weight",), "bias": ("bias",)},
    "norm": {"weight": ("weight", "gamma"), "bias": ("bias", "beta")},
    "table": {"word": ("word",), "position": ("position",), "token_type": ("token_type",)},
    "part": {"query": ("query",), "key": ("key",), "value": ("value",)},
}

_RULES = (
    Rule("embeddings.{table}_embeddings.weight", "embeddings.{table}_embeddings.weight"),
    Rule("embeddings.layer_norm.{norm}", "embeddings.LayerNorm.{norm}"),
    Rule("encoder.layers.{i}.attention.{part}.{p}", "encoder.layer.{i}.attention.self.{part}.{p}"),
    Rule(
        "encoder.layers.{i}.attention.relative_positions.weight",
        "encoder.layer.{i}.attention.self.distance_embedding.weight",
    ),
    Rule("encoder.layers.{i}.attention.output.{p}", "encoder.layer.{i}.attention.output.dense.{p}"),
    Rule("encoder.layers.{i}.attention.layer_norm.{norm}", "encoder.layer.{i}.attention.output.LayerNorm.{norm}"),
    Rule("encoder.layers.{i}.cross_attention.{part}.{p}", "encoder.layer.{i}.crossattention.self.{part}.{p}"),
    Rule(
        "encoder.layers.{i}.cross_attention.relative_positions.weight",
        "encoder.layer.{i}.crossattention.self.distance_embedding.weight",
    ),
    Rule("encoder.layers.{i}.cross_attention.output.{p}", "encoder.layer.{i}.crossattention.output.dense.{p}"),
    Rule(
        "encoder.layers.{i}.cross_attention.layer_norm.{norm}",
        "encoder.layer.{i}.crossattention.output.LayerNorm.{norm}",
    ),
    Rule("encoder.layers.{i}.feed_forward.intermediate.{p}", "encoder.layer.{i}.intermediate.dense.{p}"),
    Rule("encoder.layers.{i}.feed_forward.output.{p}", "encoder.layer.{i}.output.dense.{p}"),
    Rule("encoder.layers.{i}.feed_forward.layer_norm.{norm}", "encoder.layer.{i}.output.LayerNorm.{norm}"),
    Rule("pooler.dense.{p}", "pooler.dense.{p}"),
    Rule("predictions.bias", "cls.predictions.bias"),
    Rule("predictions.transform.dense.{p}", "cls.predictions.transform.dense.{p}"),
    Rule("predictions.transform.layer_norm.{norm}", "cls.predictions.transform.LayerNorm.{norm}"),
    Rule("predictions.decoder.{p}", "cls.predictions.decoder.{p}"),
    Rule("seq_relationship.{p}", "cls.seq_relationship.{p}"),
    Rule("classifier.{p}", "classifier.{p}"),
    Rule("qa_outputs.{p}", "qa_outputs.{p}"),
)

BERT = NameTable(
    name="Hugging Face",
    rules=_RULES,
    words=_WORDS,
    wrappers=r"bert|nezha|module|model|\d+\.auto_model|auto_model",
    known_unused=(
        (r"(.*\.)?embeddings\.(position_ids|token_type_ids)", BUFFER),
        (r"(.*\.)?relative_positions_encoding\.positions_encoding", BUFFER),
    ),
    encoder_prefix="bert.",
    plain_keys="hugging-face",  # files of before model_type was written
)
NEZHA = replace(BERT, encoder_prefix="nezha.")
