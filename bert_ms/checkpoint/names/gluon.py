"""GluonNLP's names: by the attributes of its blocks, and by the blocks' own names (`collect_params().save`)."""

from __future__ import annotations

from bert_ms.checkpoint.names.rules import NameTable, Rule

_WORDS = {
    "p": {"weight": ("weight",), "bias": ("bias",)},
    "norm": {"weight": ("gamma",), "bias": ("beta",)},
    "part": {name: (name,) for name in ("query", "key", "value")},
}
_CUSTOM = {"model_type": "bert", "pad_token_id": None}  # epsilon 1e-12, GELU by erf; padding learns like any token
_CELL = "encoder.transformer_cells.{i}"

ATTRIBUTES = NameTable(
    name="GluonNLP",
    rules=(
        Rule("embeddings.word_embeddings.weight", "word_embed.0.weight"),
        Rule("embeddings.position_embeddings.weight", "encoder.position_weight"),
        Rule("embeddings.token_type_embeddings.weight", "token_type_embed.0.weight"),
        Rule("embeddings.layer_norm.{norm}", "encoder.layer_norm.{norm}"),
        Rule("encoder.layers.{i}.attention.{part}.{p}", _CELL + ".attention_cell.proj_{part}.{p}"),
        Rule("encoder.layers.{i}.attention.output.{p}", _CELL + ".proj.{p}"),
        Rule("encoder.layers.{i}.attention.layer_norm.{norm}", _CELL + ".layer_norm.{norm}"),
        Rule("encoder.layers.{i}.feed_forward.intermediate.{p}", _CELL + ".ffn.ffn_1.{p}"),
        Rule("encoder.layers.{i}.feed_forward.output.{p}", _CELL + ".ffn.ffn_2.{p}"),
        Rule("encoder.layers.{i}.feed_forward.layer_norm.{norm}", _CELL + ".ffn.layer_norm.{norm}"),
        Rule("pooler.dense.{p}", "pooler.{p}"),
        Rule("predictions.transform.dense.{p}", "decoder.0.{p}"),
        Rule("predictions.transform.layer_norm.{norm}", "decoder.2.{norm}"),
        Rule("predictions.decoder.weight", "decoder.3.weight"),
        Rule("predictions.bias", "decoder.3.bias"),
        Rule("seq_relationship.{p}", "classifier.{p}"),
        Rule("classifier.{p}", "classifier.1.{p}", older=("classifier.0.{p}",)),  # .0 where it has no dropout
        Rule("qa_outputs.{p}", "span_classifier.{p}"),
    ),
    words=_WORDS,
    wrappers="bert",
    encoder_prefix="bert.",
    dialect=_CUSTOM,
    plain_keys="gluonnlp",
    stand_ins={"embeddings.word_embeddings.weight": "predictions.decoder.weight"},  # save_parameters(deduplicate=True)
)

_BLOCK = "bertencoder{n}_transformer{i}_"
BLOCKS = NameTable(
    name="GluonNLP (names of blocks)",
    rules=(
        Rule("embeddings.word_embeddings.weight", "bertmodel{n}_word_embed_embedding0_weight"),
        Rule("embeddings.position_embeddings.weight", "bertencoder{n}_position_weight"),
        Rule("embeddings.token_type_embeddings.weight", "bertmodel{n}_token_type_embed_embedding0_weight"),
        Rule("embeddings.layer_norm.{norm}", "bertencoder{n}_layernorm0_{norm}"),
        Rule("encoder.layers.{i}.attention.{part}.{p}", _BLOCK + "dotproductselfattentioncell0_{part}_{p}"),
        Rule("encoder.layers.{i}.attention.output.{p}", _BLOCK + "proj_{p}"),
        Rule("encoder.layers.{i}.attention.layer_norm.{norm}", _BLOCK + "layernorm0_{norm}"),
        Rule("encoder.layers.{i}.feed_forward.intermediate.{p}", _BLOCK + "positionwiseffn0_ffn_1_{p}"),
        Rule("encoder.layers.{i}.feed_forward.output.{p}", _BLOCK + "positionwiseffn0_ffn_2_{p}"),
        Rule("encoder.layers.{i}.feed_forward.layer_norm.{norm}", _BLOCK + "positionwiseffn0_layernorm0_{norm}"),
        Rule("pooler.dense.{p}", "bertmodel{n}_pooler_{p}"),
        Rule("predictions.transform.dense.{p}", "bertmodel{n}_dense0_{p}"),
        Rule("predictions.transform.layer_norm.{norm}", "bertmodel{n}_layernorm0_{norm}"),
        Rule("predictions.bias", "bertmodel{n}_word_embed_embedding0_bias"),  # of the decoder, tied to this table
        Rule("seq_relationship.{p}", "bertmodel{n}_cls_{p}"),
    ),
    words=_WORDS,
    dialect=_CUSTOM,
    plain_keys="gluonnlp",
)
