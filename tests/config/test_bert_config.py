"""BertConfig reads every peer's keys, checks them all, and is written so that it reads back equal."""

from __future__ import annotations

import json

import pytest

from bert_ms.config import BertConfig
from bert_ms.errors import ConfigError

ENCODERS = {
    "hf_bert_model": {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0, "task": "encoder"},
    "hf_bert_model_gelu_new": {"hidden_act": "gelu_tanh"},
    "hf_bert_model_relu": {"hidden_act": "relu"},
    "hf_bert_relative_key": {"position_embedding_type": "relative_key"},
    "hf_bert_qa": {"task": "question-answering"},
    "hf_nezha_model_mr8": {"relative_position": "sinusoid", "max_relative_position": 8},
    "hf_nezha_qa": {"relative_position": "sinusoid", "max_relative_position": 64, "task": "question-answering"},
    "modelzoo_bert_model": {"hidden_act": "gelu_tanh", "layer_norm_eps": 1e-7, "pad_token_id": None},
    "modelzoo_squad_nezha": {"relative_position": "learned", "max_relative_position": 16},
    "tf1_bert": {"hidden_act": "gelu_tanh", "layer_norm_eps": 1e-12, "pad_token_id": None},
}


@pytest.mark.parametrize("name", ENCODERS)
def test_a_peers_file_means_here_what_it_means_there(name, golden):
    config = BertConfig.from_file(golden(f"{name}/config.json"))
    assert {key: getattr(config, key) for key in ENCODERS[name]} == ENCODERS[name]
    assert (config.vocab_size, config.hidden_size, config.num_hidden_layers) == (120, 32, 3)


@pytest.mark.parametrize("name", ENCODERS)
def test_what_is_written_reads_back_equal(name, golden, tmp_path):
    config = BertConfig.from_file(golden(f"{name}/config.json"))
    config.save(tmp_path / "config.json")
    assert BertConfig.from_file(tmp_path) == config
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


def test_labels_travel_with_the_config(tmp_path):
    config = BertConfig(labels=("no", "yes"), task="sequence-classification")
    config.save(tmp_path / "config.json")
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["id2label"] == {"0": "no", "1": "yes"} and written["label2id"] == {"no": 0, "yes": 1}
    assert written["architectures"] == ["BertForSequenceClassification"]
    assert BertConfig.from_file(tmp_path).labels == ("no", "yes")


def test_a_zoo_yaml_file_is_looked_into(tmp_path):
    file = tmp_path / "task_squad_config.yaml"
    file.write_text(
        "epoch_num: 3\nbert_net_cfg:\n  seq_length: 384\n  vocab_size: 30522\n  hidden_size: 768\n"
        "  use_relative_positions: False\n  dtype: mstype.float32\n  compute_type: mstype.float16\n"
    )
    config = BertConfig.from_file(file)
    assert (config.hidden_size, config.layer_norm_eps, config.hidden_act) == (768, 1e-7, "gelu_tanh")


def test_all_problems_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        BertConfig.from_dict(
            {
                "model_type": "bert",
                "hidden_size": 770,
                "num_atention_heads": 12,
                "hidden_act": "gleu",
                "layer_norm_eps": "small",
                "vocab_size": 0,
                "hidden_dropout_prob": 1.5,
            }
        )
    text = str(caught.value)
    for part in (
        "6 problems:",
        "hidden_size 770 is not divisible by num_attention_heads 12: choose 768 or 780.",
        "unknown config key 'num_atention_heads': did you mean 'num_attention_heads'?",
        "unknown hidden_act 'gleu': did you mean 'gelu'?",
        "layer_norm_eps is 'small' (str): expected a number.",
        "vocab_size is 0: expected at least 1.",
        "hidden_dropout_prob is 1.5: expected a probability in [0, 1).",
    ):
        assert part in text
    assert len(text) < 1500  # one screen


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"model_type": "roberta"}, "unknown model_type 'roberta'"),
        ({"model_type": "bert", "pruned_heads": {"0": [1]}}, "networks with pruned heads are not supported"),
        ({"relative_position": "learned", "position_embedding_type": "relative_key"}, "exclude each other"),
        ({"model_type": "bert", "id2label": {"0": "a", "2": "b"}}, "expected 0 to 1 without gaps"),
        ({"labels": ["a"], "num_labels": 2}, "num_labels is 2 but 1 labels are named"),
        ({"hidden_size": True}, "hidden_size is True (bool): expected a whole number."),
        ({"pad_token_id": 30522}, "pad_token_id 30522 is outside the vocabulary of 30522 entries"),
        ({"relative_position": "sinusoid", "hidden_size": 36}, "need an even hidden_size"),
        ({"add_cross_attention": True}, "cross attention belongs to a decoder"),
    ],
)
def test_what_cannot_be_is_refused(values, text):
    with pytest.raises(ConfigError) as caught:
        BertConfig.from_dict(values)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b'{"hidden_size": 768,', "is not valid JSON"),
        (b"[1, 2]", "holds a list; expected a mapping"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
    ],
)
def test_a_broken_file_is_named(content, text, tmp_path):
    file = tmp_path / "config.json"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        BertConfig.from_file(tmp_path)
    assert text in str(caught.value) and str(file) in str(caught.value)


def test_broken_yaml_is_named(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("hidden_size: [768")
    with pytest.raises(ConfigError, match=r"config\.yaml is not valid YAML"):
        BertConfig.from_file(file)


def test_a_missing_file_and_an_empty_directory_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere.json does not exist: name a JSON or YAML file"):
        BertConfig.from_file(tmp_path / "nowhere.json")
    with pytest.raises(ConfigError, match=r"has no config.json or bert_config.json"):
        BertConfig.from_file(tmp_path)


def test_a_config_is_frozen():
    with pytest.raises(AttributeError):
        BertConfig().hidden_size = 5  # type: ignore[misc]
