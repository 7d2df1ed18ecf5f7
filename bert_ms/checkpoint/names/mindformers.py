"""Mindformers' names of BERT (1.0), whose blocks keep their output and feed-forward matrices as [in, out].

Source: mindformers/models/bert/bert.py and convert_weight.py, which also tell which matrices are turned. No file that
mindformers itself wrote was there to check against.
"""

from __future__ import annotations

from bert_ms.checkpoint.names.model_zoo import MODEL_ZOO
from bert_ms.checkpoint.names.rules import NameTable, Rule

_BLOCK = "bert_encoder.encoder.blocks.{i}"

MINDFORMERS = NameTable(
    name="mindformers",
    rules=(
        Rule("embeddings.word_embeddings.weight", "word_embedding.embedding_table"),
        Rule(
            "embeddings.position_embeddings.weight", "embedding_postprocessor.full_position_embedding.embedding_table"
        ),
        Rule("embeddings.token_type_embeddings.weight", "embedding_postprocessor.token_type_embedding.embedding_table"),
        Rule("embeddings.layer_norm.{norm}", "embedding_postprocessor.layernorm.{norm}"),
        Rule("encoder.layers.{i}.attention.{part}.{p}", _BLOCK + ".attention.{part}.{p}"),
        Rule("encoder.layers.{i}.attention.output.{p}", _BLOCK + ".attention.projection.{p}", is_transposed=True),
        Rule("encoder.layers.{i}.attention.layer_norm.{norm}", _BLOCK + ".layernorm2.{norm}"),
        Rule("encoder.layers.{i}.feed_forward.intermediate.{p}", _BLOCK + ".output.mapping.{p}", is_transposed=True),
        Rule("encoder.layers.{i}.feed_forward.output.{p}", _BLOCK + ".output.projection.{p}", is_transposed=True),
        Rule("encoder.layers.{i}.feed_forward.layer_norm.{norm}", _BLOCK + ".layernorm1.{norm}"),
        Rule("pooler.dense.{p}", "dense.{p}"),
        Rule("predictions.bias", "mlmloss.output_bias", prefix=""),
        Rule("predictions.transform.dense.{p}", "mlmloss.dense.{p}", prefix=""),
        Rule("predictions.transform.layer_norm.{norm}", "mlmloss.layernorm.{norm}", prefix=""),
        Rule("predictions.decoder.weight", "mlmloss.vocab_dense.weight", prefix=""),  # its converter leaves a copy
        Rule("seq_relationship.{p}", "nsploss.dense.{p}", prefix=""),
        Rule("classifier.{p}", "classifier.{p}", prefix=""),
        Rule("qa_outputs.{p}", "qa_outputs.{p}", prefix=""),
    ),
    words={
        "p": {"weight": ("weight",), "bias": ("bias",)},
        "norm": {"weight": ("gamma",), "bias": ("beta",)},
        "part": {"query": ("dense1",), "key": ("dense2",), "value": ("dense3",)},
    },
    wrappers="bert|network|model|backbone",
    known_unused=MODEL_ZOO.known_unused,
    encoder_prefix="bert.",
    # mindformers' own LayerNorm has 1e-5, and its GELU is MindSpore's, by tanh.
    dialect={"model_type": "bert", "layer_norm_eps": 1e-5, "hidden_act": "gelu_tanh", "pad_token_id": None},
)
