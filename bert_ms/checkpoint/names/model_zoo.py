"""The MindSpore model zoo's names (official/nlp/Bert), today's and those of about r1.1."""

from __future__ import annotations

from bert_ms.checkpoint.names.rules import NameTable, Rule

OPTIMISER = "optimiser state"
COUNTER = "counter of the zoo's evaluation"

_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "p": {"weight": ("weight",), "bias": ("bias",)},
    "norm": {"weight": ("gamma", "weight"), "bias": ("beta", "bias")},
    "part": {"query": ("query_layer",), "key": ("key_layer",), "value": ("value_layer",)},
    "gate": {n: (n,) for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
    "way": {"l0": ("l0",), "l0_reverse": ("l0_reverse",)},
}

_RULES = (
    Rule("embeddings.word_embeddings.weight", "bert_embedding_lookup.embedding_table"),
    Rule(
        "embeddings.token_type_embeddings.weight",
        "bert_embedding_postprocessor.token_type_embedding.embedding_table",
        older=("bert_embedding_postprocessor.embedding_table",),
    ),
    Rule(
        "embeddings.position_embeddings.weight",
        "bert_embedding_postprocessor.full_position_embedding.embedding_table",
        older=("bert_embedding_postprocessor.full_position_embeddings",),
    ),
    Rule("embeddings.layer_norm.{norm}", "bert_embedding_postprocessor.layernorm.{norm}"),
    Rule("encoder.layers.{i}.attention.{part}.{p}", "bert_encoder.layers.{i}.attention.attention.{part}.{p}"),
    Rule(
        "encoder.layers.{i}.attention.relative_positions.weight",
        "bert_encoder.layers.{i}.attention.attention._generate_relative_positions_embeddings.embeddings_table",
    ),
    Rule("encoder.layers.{i}.attention.output.{p}", "bert_encoder.layers.{i}.attention.output.dense.{p}"),
    Rule("encoder.layers.{i}.attention.layer_norm.{norm}", "bert_encoder.layers.{i}.attention.output.layernorm.{norm}"),
    Rule("encoder.layers.{i}.feed_forward.intermediate.{p}", "bert_encoder.layers.{i}.intermediate.{p}"),
    Rule("encoder.layers.{i}.feed_forward.output.{p}", "bert_encoder.layers.{i}.output.dense.{p}"),
    Rule("encoder.layers.{i}.feed_forward.layer_norm.{norm}", "bert_encoder.layers.{i}.output.layernorm.{norm}"),
    Rule("pooler.dense.{p}", "dense.{p}"),
    Rule("predictions.bias", "cls1.output_bias"),
    Rule("predictions.transform.dense.{p}", "cls1.dense.{p}"),
    Rule("predictions.transform.layer_norm.{norm}", "cls1.layernorm.{norm}"),
    Rule("seq_relationship.{p}", "cls2.dense.{p}"),
    Rule("classifier.{p}", "dense_1.{p}"),
    Rule("qa_outputs.{p}", "dense1.{p}"),
    Rule("lstm.{gate}_{way}", "lstm.{gate}_{way}"),
    Rule("crf.transitions", "loss.transitions", prefix=""),
)

MODEL_ZOO = NameTable(
    name="MindSpore model zoo",
    rules=_RULES,
    words=_WORDS,
    wrappers="bert|network|net|model|backbone|_backbone",
    known_unused=(
        (r"(.*\.)?(adam_[mv]|lamb_[mv]|moments?|moment[12]|accum|accu_grads?|grad_sum|stat)\..*", OPTIMISER),
        (r"(.*\.)?(global_step|scale_sense|current_iterator_step|last_overflow_iterator_step)", OPTIMISER),
        (r"(.*\.)?(learning_rate|momentum|beta[12]_power|loss_scale|epoch_num|step_num|accumulation_step)", OPTIMISER),
        (r"(.*\.)?(total_num|start_num|end_num)", COUNTER),
    ),
    encoder_prefix="bert.bert.",
    head_prefix="bert.",
    dialect={"seq_length": 0},
)
