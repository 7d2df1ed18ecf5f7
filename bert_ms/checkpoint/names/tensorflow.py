"""Names in TensorFlow's checkpoints: google-research's and NEZHA's, and those of TensorFlow 2 and TF-Hub."""

from __future__ import annotations

from bert_ms.checkpoint.names.rules import NameTable, Rule

OPTIMISER = "optimiser state"
SETTING = "setting of the text preprocessing, or a counter"

_KERNEL = {"weight": ("kernel",), "bias": ("bias",)}
_NORM = {"weight": ("gamma",), "bias": ("beta",)}
_PARTS = {"query": ("query",), "key": ("key",), "value": ("value",)}
_OUTPUT = {"weight": ("weights",), "bias": ("bias",)}
# Adam's and Lamb's slots by the names that TF1 optimisers give them, after the variable's own.
_SLOTS = r"adam_[mv]|lamb_[mv]|Adam(_\d+)?|LAMB(_\d+)?|AdamWeightDecayOptimizer(_\d+)?|Momentum"

GOOGLE = NameTable(
    name="google-research (TensorFlow 1)",
    rules=(
        Rule("embeddings.{table}_embeddings.weight", "bert/embeddings/{table}_embeddings"),
        Rule("embeddings.layer_norm.{norm}", "bert/embeddings/LayerNorm/{norm}"),
        Rule(
            "encoder.layers.{i}.attention.{part}.{p}",
            "bert/encoder/layer_{i}/attention/self/{part}/{p}",
            is_transposed=True,
        ),
        Rule(
            "encoder.layers.{i}.attention.output.{p}",
            "bert/encoder/layer_{i}/attention/output/dense/{p}",
            is_transposed=True,
        ),
        Rule(
            "encoder.layers.{i}.attention.layer_norm.{norm}", "bert/encoder/layer_{i}/attention/output/LayerNorm/{norm}"
        ),
        Rule(
            "encoder.layers.{i}.feed_forward.intermediate.{p}",
            "bert/encoder/layer_{i}/intermediate/dense/{p}",
            is_transposed=True,
        ),
        Rule(
            "encoder.layers.{i}.feed_forward.output.{p}", "bert/encoder/layer_{i}/output/dense/{p}", is_transposed=True
        ),
        Rule("encoder.layers.{i}.feed_forward.layer_norm.{norm}", "bert/encoder/layer_{i}/output/LayerNorm/{norm}"),
        Rule("pooler.dense.{p}", "bert/pooler/dense/{p}", is_transposed=True),
        Rule("predictions.bias", "cls/predictions/output_bias"),
        Rule("predictions.transform.dense.{p}", "cls/predictions/transform/dense/{p}", is_transposed=True),
        Rule("predictions.transform.layer_norm.{norm}", "cls/predictions/transform/LayerNorm/{norm}"),
        Rule("seq_relationship.{out}", "cls/seq_relationship/output_{out}"),
        Rule("qa_outputs.{out}", "cls/squad/output_{out}"),
        Rule("classifier.{out}", "output_{out}"),
    ),
    words={
        "p": _KERNEL,
        "norm": _NORM,
        "part": _PARTS,
        "out": _OUTPUT,
        "table": {name: (name,) for name in ("word", "position", "token_type")},
    },
    known_unused=(
        (rf".+/({_SLOTS})", OPTIMISER),
        (r"(.*/)?(global_step|beta[12]_power|current_loss_scale|loss_scale|good_steps)", OPTIMISER),
    ),
    dialect={"hidden_act": "gelu"},
)

_BLOCK = "transformer/layer_{i}"
KERAS = NameTable(
    name="TensorFlow 2",
    rules=(
        Rule("embeddings.word_embeddings.weight", "word_embeddings/embeddings"),
        Rule(
            "embeddings.position_embeddings.weight",
            "position_embedding/embeddings",
            older=("position_embedding/position_embeddings",),
        ),
        Rule("embeddings.token_type_embeddings.weight", "type_embeddings/embeddings"),
        Rule("embeddings.layer_norm.{norm}", "embeddings/layer_norm/{norm}"),
        Rule(
            "encoder.layers.{i}.attention.{part}.{p}",
            _BLOCK + "/self_attention/{part}/{p}",
            is_transposed=True,
            merged="last",
        ),
        Rule(
            "encoder.layers.{i}.attention.output.weight",
            _BLOCK + "/self_attention/attention_output/kernel",
            is_transposed=True,
            merged="first",
        ),
        Rule("encoder.layers.{i}.attention.output.bias", _BLOCK + "/self_attention/attention_output/bias"),
        Rule("encoder.layers.{i}.attention.layer_norm.{norm}", _BLOCK + "/self_attention_layer_norm/{norm}"),
        Rule("encoder.layers.{i}.feed_forward.intermediate.{p}", _BLOCK + "/intermediate/{p}", is_transposed=True),
        Rule("encoder.layers.{i}.feed_forward.output.{p}", _BLOCK + "/output/{p}", is_transposed=True),
        Rule("encoder.layers.{i}.feed_forward.layer_norm.{norm}", _BLOCK + "/output_layer_norm/{norm}"),
        Rule("pooler.dense.{p}", "pooler_transform/{p}", is_transposed=True),
        Rule("predictions.bias", "cls/predictions/output_bias/bias", older=("cls/predictions/output_bias",)),
        Rule("predictions.transform.dense.{p}", "cls/predictions/transform/dense/{p}", is_transposed=True),
        Rule("predictions.transform.layer_norm.{norm}", "cls/predictions/transform/LayerNorm/{norm}"),
    ),
    words={"p": _KERNEL, "norm": _NORM, "part": _PARTS},
    wrappers="bert",
    separator="/",
    known_unused=(
        (r".*/\.OPTIMIZER_SLOT/.*", OPTIMISER),
        (r"(optimizer|Adam|AdamW|AdamWeightDecay|LAMB|SGD)(_\d+)?/.*|iter|global_step", OPTIMISER),
        (r"do_lower_case|save_counter", SETTING),
    ),
    dialect={"hidden_act": "gelu"},
)
