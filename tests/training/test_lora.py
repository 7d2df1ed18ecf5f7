"""Low-rank adapters: PEFT's own numbers, what learns, what is saved, and the network after merging."""

from __future__ import annotations

import json
import shutil

import mindspore as ms
import numpy as np
import pytest
from mindspore import ParameterTuple, Tensor
from safetensors.numpy import load_file, save_file

import bert_ms
from bert_ms import checkpoint
from bert_ms.config import BertConfig
from bert_ms.errors import CheckpointError, ConfigError
from bert_ms.model import WithLoss
from bert_ms.model.frozen import spare_frozen_gradients
from bert_ms.model.lora import adapters
from tests.support import PACKAGED_DATA

BASE, PEFT = PACKAGED_DATA / "golden" / "hf_bert_qa", PACKAGED_DATA / "training" / "lora"
TARGETS = ("*.attention.query.weight", "*.attention.value.weight", "*.feed_forward.intermediate.weight")
CONFIG = BertConfig(
    vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
    max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip


def base() -> ms.nn.Cell:
    return bert_ms.from_pretrained(BASE, task="question-answering")


def batch() -> list[Tensor]:
    return [Tensor(array.astype(np.int32)) for array in np.load(BASE / "inputs.npz").values()]


def peft_name(name: str) -> str:
    """PEFT's name of one of our parameters."""
    name = name.replace(".adapter.lora_A", ".lora_A.weight").replace(".adapter.lora_B", ".lora_B.weight")
    for ours, theirs in ((".layers.", ".layer."), (".attention.", ".attention.self."), (".feed_forward.intermediate.",
                         ".intermediate.dense.")):  # fmt: skip
        name = name.replace(ours, theirs)
    return f"base_model.model.{name}"


def test_an_adapter_of_peft_gives_pefts_outputs_loss_and_gradients(graph_mode):
    expected = np.load(PEFT / "expected.npz")
    cell = bert_ms.load_adapter(base(), PEFT)
    for name, output in zip(("start_logits", "end_logits"), cell(*batch()[:3]), strict=True):
        np.testing.assert_allclose(output.asnumpy(), expected[name], atol=1e-5, err_msg=name)
    learning = ParameterTuple(cell.trainable_params())
    loss, gradients = ms.value_and_grad(WithLoss(cell), None, learning)(*batch())
    np.testing.assert_allclose(float(loss), expected["loss"], rtol=1e-5)
    found = {peft_name(p.name): g.asnumpy() for p, g in zip(learning, gradients, strict=True)}
    assert {f"gradient:{name}" for name in found} == {name for name in expected if name.startswith("gradient:")}
    size = max(np.abs(gradient).max() for gradient in found.values())
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient, expected[f"gradient:{name}"], atol=1e-5 * size, err_msg=name)


def test_an_adapter_is_saved_as_peft_saves_it(graph_mode, tmp_path):
    bert_ms.save_adapter(bert_ms.load_adapter(base(), PEFT), tmp_path / "adapter", base="somewhere")
    ours, theirs = (load_file(place / "adapter_model.safetensors") for place in (tmp_path / "adapter", PEFT))
    assert ours.keys() == theirs.keys() and len(ours) == 20
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)
    config, known = (json.loads((place / "adapter_config.json").read_text()) for place in (tmp_path / "adapter", PEFT))
    same = ("peft_type", "task_type", "r", "lora_alpha", "bias", "fan_in_fan_out", "use_dora", "use_rslora")
    assert {key: config[key] for key in same} == {key: known[key] for key in same}
    assert set(config["modules_to_save"]) == set(known["modules_to_save"])
    assert config["base_model_name_or_path"] == "somewhere"
    assert "bert.encoder.layer.2.attention.self.value" in config["target_modules"]
    assert all(any(name.endswith(end) for end in known["target_modules"]) for name in config["target_modules"])


def test_the_merged_network_computes_the_same_and_is_saved_like_any_other(graph_mode, tmp_path):
    cell = bert_ms.load_adapter(base(), PEFT)
    with pytest.raises(CheckpointError, match="has LoRA adapters.*merge_adapter"):
        checkpoint.save(cell, tmp_path / "model")
    expected = [output.asnumpy() for output in cell(*batch()[:3])]
    checkpoint.save(bert_ms.merge_adapter(cell), tmp_path / "model", format="safetensors")
    for output, known in zip(cell(*batch()[:3]), expected, strict=True):
        np.testing.assert_allclose(output.asnumpy(), known, atol=1e-6)
    again = bert_ms.from_pretrained(tmp_path / "model", task="question-answering")
    for one, other in zip(cell.get_parameters(), again.get_parameters(), strict=True):
        np.testing.assert_array_equal(one.asnumpy(), other.asnumpy(), err_msg=one.name)


def test_adapters_change_nothing_at_first_and_alone_learn_beside_the_head(graph_mode):
    cell = base()
    before = [output.asnumpy() for output in cell(*batch()[:3])]
    bert_ms.add_adapter(cell, rank=2, targets=TARGETS, train=("*.layers.2.*.layer_norm.*",), seed=4)
    for output, known in zip(cell(*batch()[:3]), before, strict=True):
        np.testing.assert_array_equal(output.asnumpy(), known)
    learning = {p.name for p in cell.trainable_params()}
    assert len(adapters(cell)) == 9
    beside = {name for name in learning if ".adapter." not in name}
    norms = {f"bert.encoder.layers.2.{half}.layer_norm.{p}" for half in ("attention", "feed_forward")
             for p in ("weight", "bias")}  # fmt: skip
    assert beside == norms | {"qa_outputs.weight", "qa_outputs.bias"}
    assert len(learning) == len(beside) + 18


def test_gradients_that_are_wanted_do_not_change_where_others_are_spared(graph_mode):
    def gradients(*, is_spared: bool) -> list[np.ndarray]:
        cell = bert_ms.load_adapter(base(), PEFT).set_train()
        learning = ParameterTuple(cell.trainable_params())
        if is_spared:
            spare_frozen_gradients(cell, {p.name for p in learning})
        key = Tensor(np.array([1, 2], np.int32))
        return [g.asnumpy() for g in ms.grad(WithLoss(cell), None, learning)(*batch(), key)]

    for plain, spared in zip(gradients(is_spared=False), gradients(is_spared=True), strict=True):
        np.testing.assert_array_equal(plain, spared)
        assert plain.any()


def test_a_new_pooler_learns_with_its_head(graph_mode):
    cell = bert_ms.from_pretrained(BASE, task="sequence-classification", num_labels=3)
    bert_ms.add_adapter(cell, rank=1)
    learning = {p.name for p in cell.trainable_params() if ".adapter." not in p.name}
    assert learning == {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}


def test_first_values_depend_on_the_seed_alone(graph_mode):
    drawn = []
    for seed in (1, 1, 2):
        ms.set_seed(seed + 7)
        cell = bert_ms.from_config(CONFIG, task="question-answering")
        drawn.append(adapters(bert_ms.add_adapter(cell, rank=2, seed=seed))["bert.encoder.layers.0.attention.query"])
    one, same, other = (adapter.lora_A.asnumpy() for adapter in drawn)
    assert (one == same).all() and (one != other).all()
    assert np.abs(one).max() <= 0.25 and not drawn[0].lora_B.asnumpy().any()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"targets": ("*.query",)}, r"lora.targets pattern '\*.query' matches none of the \d+ names"),
        ({"targets": ("*word_embeddings.weight",)}, "lora.targets pattern"),
        ({"train": ("*.poler.*",)}, r"lora.train pattern '\*.poler.\*' matches none"),
        ({"rank": 0}, "rank is 0: expected at least 1"),
    ],
)
def test_what_cannot_be_adapted_is_named(graph_mode, values, expected):
    with pytest.raises(ConfigError, match=expected):
        bert_ms.add_adapter(bert_ms.from_config(CONFIG, task="question-answering"), **values)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3': expected LORA"),
        ({"r": 10**9}, "r is 1000000000: expected a whole number"),
        ({"r": 4}, "has shapes .* by the r of"),
        ({"use_dora": True}, "use_dora is True, which is not computed here"),
        ({"lora_alpha": None}, "lora_alpha is None: expected a number"),
    ],
)
def test_adapters_that_are_not_understood_are_refused(tmp_path, changes, expected):
    place = shutil.copytree(PEFT, tmp_path / "adapter")
    config = json.loads((place / "adapter_config.json").read_text())
    (place / "adapter_config.json").write_text(json.dumps(config | changes))
    with pytest.raises(CheckpointError, match=expected):
        checkpoint.read_adapter(place)


def test_broken_adapter_files_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="adapter_config.json cannot be read"):
        checkpoint.read_adapter(tmp_path)
    place = shutil.copytree(PEFT, tmp_path / "adapter")
    tensors = load_file(place / "adapter_model.safetensors")
    name = "base_model.model.bert.encoder.layer.1.attention.self.query.lora_B.weight"
    save_file({k: v for k, v in tensors.items() if k != name}, place / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=r"of the adapter of 'encoder.layers.1.attention.query.weight' only"):
        checkpoint.read_adapter(place)
    save_file({**tensors, "base_model.model.up.lora_A.weight": tensors[name]}, place / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="belongs to no weight that is known"):
        checkpoint.read_adapter(place)


def test_an_adapter_of_another_network_changes_nothing(graph_mode):
    cell = bert_ms.from_config(CONFIG, task="question-answering")
    with pytest.raises(CheckpointError, match="'encoder.layers.0.attention.query.weight' is .16, 16. here, .32, 32."):
        bert_ms.load_adapter(cell, PEFT)
    assert not adapters(cell)
