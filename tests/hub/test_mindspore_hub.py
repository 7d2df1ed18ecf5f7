"""MindSpore Hub both ways.

mindspore_hub is not on PyPI, so `stand_in` below stands in for it: with a card, a directory and a checkpoint it does
what `mindspore_hub.load(card, source="local")` of 2.0 does. Where the real one is installed every test of loading runs
with it too; only its look-ups of hosts and links are answered here, so that no network is needed.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import bert_ms
from bert_ms.checkpoint import manifest
from bert_ms.errors import CheckpointError, ConfigError
from bert_ms.hub.publish import publish
from tests.checkpoint.builders import TINY, write_tiny
from tests.checkpoint.fixtures import Fixture
from tests.support import REPOSITORY, golden

ms = pytest.importorskip("mindspore")

SHIM = "mindspore_hub_conf.py"
QA = "question-answering"
Load = Callable[..., tuple[Any, list[str]]]


def stand_in(card: Path, *args: Any, pretrained: bool = True, **kwargs: Any) -> tuple[Any, list[str]]:
    """The hub's loading contract; also gives the names that it would only warn about."""
    lines = card.read_text(encoding="utf-8").split("\n")
    marks = [i for i, line in enumerate(lines) if line.startswith("---")]
    assert len(marks) == 2
    header = yaml.load("\n".join(lines[marks[0] + 1 : marks[1]]), Loader=yaml.FullLoader)
    repository = card.parent / header["repo-link"].strip("<>").rsplit("/", 1)[-1]
    sys.path.insert(0, str(repository))
    try:
        spec = importlib.util.spec_from_file_location(SHIM, repository / SHIM)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        network = module.create_network(header["model-name"].lower(), *args, **kwargs)
    finally:
        sys.path.remove(str(repository))
    left: list[str] = []
    if pretrained:
        link = header["asset"][0]["asset-link"].strip("<>")
        parameters = ms.load_checkpoint(str(card.parent / link.rsplit("/", 1)[-1]))
        left, _ = ms.load_param_into_net(network, parameters)
    return network, left


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """mindspore_hub itself with its cache in `tmp_path/hub`; names of hosts and links are answered here."""
    module = pytest.importorskip("mindspore_hub", reason="mindspore_hub is not installed (it is not on PyPI)")
    monkeypatch.setattr("socket.gethostbyname", lambda host: "127.0.0.1")
    monkeypatch.setattr("mindspore_hub._utils.check.urlopen", lambda request, context: None)
    monkeypatch.setattr("mindspore_hub.manage.CACHE_DIR", str(tmp_path / "hub"))
    monkeypatch.setattr(sys, "path", [*sys.path])  # to which it adds the repository's folder
    return module


@pytest.fixture(params=["stand-in", "mindspore_hub"])
def hub_load(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads a card, by `stand_in` or by the hub itself; gives the network and the names that were left over."""
    if request.param == "stand-in":
        return stand_in
    hub = request.getfixturevalue("hub")
    left: list[str] = []

    def filled(network: Any, parameters: Any) -> None:
        left.extend(ms.load_param_into_net(network, parameters)[0])

    monkeypatch.setattr(importlib.import_module("mindspore_hub.load"), "load_param_into_net", filled)

    def load(card: Path, *args: Any, **kwargs: Any) -> tuple[Any, list[str]]:
        left.clear()
        with pytest.warns(UserWarning, match="Use local directory"):
            return hub.load(str(card), *args, source="local", **kwargs), [*left]

    return load


HUB_HEADER = """# bert_base

---

model-name: {name}

backbone-name: bert

module-type: nlp

fine-tunable: True

model-version: 1.5

train-dataset: squadv1.1

evaluation: F1score88.45 | exactmatch81

author: MindSpore team

update-time: 2022-03-30

repo-link: <https://gitee.com/mindspore/models/tree/r1.5/official/nlp/bert>

user-id: MindSpore

used-for: inference

mindspore-version: 1.5

asset:

-
    file-format: ckpt
    asset-link: <https://download.mindspore.cn/models/r1.5/{file}>
    asset-sha256: {digest}

license: Apache2.0

summary: bert is used for nlp

---

## Introduction
"""


@pytest.fixture
def hub_card(tmp_path: Path) -> Callable[..., Path]:
    """A card in the hub's own layout: /x/CARD.md, /x/bert/mindspore_hub_conf.py (ours), /x/FILE.ckpt of the zoo."""

    def make(fixture: str, file: str, *, name: str = "bert_base", card: str = "card.md", config: bool = True) -> Path:
        (tmp_path / "bert").mkdir(exist_ok=True)
        (tmp_path / "bert" / SHIM).write_text((REPOSITORY / SHIM).read_text(encoding="utf-8"))
        weights = tmp_path / f"{fixture}.ckpt"
        weights.write_bytes((golden(fixture) / file).read_bytes())
        if config:
            (tmp_path / "config.json").write_bytes((golden(fixture) / "config.json").read_bytes())
        text = HUB_HEADER.format(name=name, file=weights.name, digest=manifest.sha256(weights))
        (tmp_path / card).write_text(text, encoding="utf-8")
        return tmp_path / card

    return make


def _numpy(outputs: Any) -> tuple[np.ndarray, ...]:
    return tuple(o.asnumpy() for o in outputs)


@pytest.mark.parametrize("name", ["bert_base", "bert_finetuning", "bert_finetune", "BERT_base"])
@pytest.mark.parametrize("fixture", ["modelzoo_squad", "modelzoo_squad_nezha"])
def test_a_squad_card_of_the_hub_is_filled_completely(
    hub_load: Load, hub_card: Callable[..., Path], fixture: str, name: str
) -> None:
    network, left = hub_load(hub_card(fixture, "squad.ckpt", name=name))
    assert left == []
    golden_one = Fixture(fixture, QA)
    inputs = tuple(ms.Tensor(array) for array in golden_one.inputs())
    expected = bert_ms.from_pretrained(golden_one.source, QA)(*inputs)
    for ours, theirs in zip(_numpy(network(*inputs)), _numpy(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # its own
def test_a_name_of_the_hub_finds_our_entry_point_in_its_cache(
    hub: Any, hub_card: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "hub" / "mindspore" / "1.5"
    folder.mkdir(parents=True)
    card = hub_card("modelzoo_squad", "squad.ckpt")
    for path in (card, card.parent / "modelzoo_squad.ckpt", card.parent / "config.json", card.parent / "bert"):
        path.rename(folder / path.name)
    network = hub.load("mindspore/1.5/card", seq_length=24)
    filled = ms.load_checkpoint(str(folder / "modelzoo_squad.ckpt"))
    parameters = list(network.get_parameters())
    assert len(parameters) > 40
    for parameter in parameters:
        np.testing.assert_array_equal(parameter.asnumpy(), filled[parameter.name].asnumpy())


@pytest.mark.parametrize(
    ("fixture", "file"),
    [
        ("modelzoo_bert_model", "bert.ckpt"),
        ("modelzoo_bert_model_nezha", "bert.ckpt"),
        ("modelzoo_bert_model_oldnames", "bert_old.ckpt"),
        ("modelzoo_pretraining", "pretrain.ckpt"),
    ],
)
def test_an_encoder_card_is_filled_completely(
    hub_load: Load, hub_card: Callable[..., Path], fixture: str, file: str
) -> None:
    network, left = hub_load(hub_card(fixture, file))
    assert left == []
    assert {p.name for p in network.get_parameters()} <= set(ms.load_checkpoint(str(golden(fixture) / file)))


@pytest.mark.parametrize(
    ("fixture", "file", "task"),
    [
        ("modelzoo_cls", "classifier.ckpt", "sequence-classification"),  # as the hub's card of TNEWS
        ("modelzoo_ner", "ner.ckpt", "token-classification"),  # of CLUENER
        ("modelzoo_ner_crf", "ner.ckpt", "token-classification"),  # of CLUENER with a CRF
        ("modelzoo_ner_crf_lstm", "ner.ckpt", "token-classification"),  # of Chinese entities by BiLSTM and CRF
    ],
)
def test_a_card_with_labels_is_filled_head_included(
    hub_load: Load, hub_card: Callable[..., Path], fixture: str, file: str, task: str
) -> None:
    network, left = hub_load(hub_card(fixture, file, name="bert_finetune"), task=task)
    assert left == []
    golden_one = Fixture(fixture, task)
    inputs = tuple(ms.Tensor(array) for array in golden_one.inputs())
    ours, theirs = network(*inputs), bert_ms.from_pretrained(golden_one.source, task)(*inputs)
    np.testing.assert_array_equal(ours.asnumpy(), theirs.asnumpy())


def test_a_card_without_configuration_needs_only_what_shapes_do_not_tell(
    hub_load: Load, hub_card: Callable[..., Path]
) -> None:
    card = hub_card("modelzoo_squad", "squad.ckpt", config=False)
    with pytest.raises(CheckpointError, match="num_attention_heads cannot be told"):
        hub_load(card)
    network, left = hub_load(card, num_attention_heads=4, vocab_size=120, task=QA, seq_length=24)
    assert left == []
    assert network.config.layer_norm_eps == 1e-7


def test_a_nezha_without_configuration_needs_nothing(hub_load: Load, hub_card: Callable[..., Path]) -> None:
    network, left = hub_load(hub_card("modelzoo_squad_nezha", "squad.ckpt", config=False))
    assert left == []
    assert network.config.relative_position == "learned"


def test_another_task_on_a_cards_encoder_has_a_new_head_only(hub_load: Load, hub_card: Callable[..., Path]) -> None:
    network, left = hub_load(hub_card("modelzoo_bert_model", "bert.ckpt"), task=QA)
    assert network.load_report.initialised == ("qa_outputs.weight", "qa_outputs.bias")
    assert left == ["bert.dense1.weight", "bert.dense1.bias"]


def test_training_mode_is_set_on_request(hub_load: Load, hub_card: Callable[..., Path]) -> None:
    card = hub_card("modelzoo_squad", "squad.ckpt")
    assert hub_load(card, is_training=True)[0].training
    assert not hub_load(card, False)[0].training


def test_what_contradicts_the_checkpoint_is_refused(hub_load: Load, hub_card: Callable[..., Path]) -> None:
    card = hub_card("modelzoo_squad", "squad.ckpt")
    with pytest.raises(
        CheckpointError, match=r"has \{'vocab_size': 120\}, but the call asks for \{'vocab_size': 30522\}"
    ):
        hub_load(card, vocab_size=30522)
    with pytest.raises(ConfigError, match="seq_length 512 is more than the network's 40 positions"):
        hub_load(card, seq_length=512)
    with pytest.raises(ConfigError, match="unknown keyword 'seq_lenght': did you mean 'seq_length'"):
        hub_load(card, seq_lenght=24)
    with pytest.raises(ConfigError, match="give seq_length, task, num_labels, ... by keyword"):
        hub_load(card, 128)


def test_a_damaged_checkpoint_beside_a_card_is_refused(hub_load: Load, hub_card: Callable[..., Path]) -> None:
    card = hub_card("modelzoo_squad", "squad.ckpt")
    weights = card.parent / "modelzoo_squad.ckpt"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"modelzoo_squad\.ckpt has another sha256 than its card says"):
        hub_load(card)


def test_two_cards_of_one_name_are_told_apart_by_task(hub_load: Load, hub_card: Callable[..., Path]) -> None:
    squad = hub_card("modelzoo_squad", "squad.ckpt", card="squad.md")
    encoder = hub_card("modelzoo_bert_model", "bert.ckpt", card="encoder.md")
    assert hub_load(squad, task=QA)[1] == []
    network, left = hub_load(encoder, task="encoder")
    assert left == []
    assert len(network.trainable_params()) == 55


def _create(name: str, **kwargs: Any) -> Any:
    spec = importlib.util.spec_from_file_location(SHIM, REPOSITORY / SHIM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.create_network(name, **kwargs)


SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64,
         "max_position_embeddings": 40, "vocab_size": 120}  # fmt: skip


@pytest.mark.parametrize("name", ["bert_base", "bert_finetuning", "bert_finetune", "bert_large", "bert_thor"])
@pytest.mark.parametrize(
    ("task", "fixture", "file"), [("encoder", "modelzoo_bert_model", "bert.ckpt"), (QA, "modelzoo_squad", "squad.ckpt")]
)
def test_without_a_card_names_are_those_of_the_zoos_files(name: str, task: str, fixture: str, file: str) -> None:
    network = _create(name, task=task, seq_length=24, **SMALL)
    left, _ = ms.load_param_into_net(network, ms.load_checkpoint(str(golden(fixture) / file)))
    assert left == []
    golden_one = Fixture(fixture, task)
    inputs = tuple(ms.Tensor(array) for array in golden_one.inputs())
    expected = bert_ms.from_pretrained(golden_one.source, task)(*inputs)
    for ours, theirs in zip(_numpy(network(*inputs)), _numpy(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_bert_nezha_has_learned_relative_positions() -> None:
    network = _create("bert_nezha", task=QA, **SMALL)
    left, _ = ms.load_param_into_net(network, ms.load_checkpoint(str(golden("modelzoo_squad_nezha") / "squad.ckpt")))
    assert left == []


def test_an_unknown_model_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown model name 'bert_bse': did you mean 'bert_base'"):
        _create("bert_bse")


def test_a_published_network_is_loaded_by_the_hub_and_by_us(hub_load: Load, tmp_path: Path) -> None:
    cell = bert_ms.from_pretrained(golden("hf_bert_qa"), QA)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/vocab.txt").write_text("[PAD]\n")
    card = publish(
        cell, tmp_path / "x", name="Squad Tiny", body="## Use\n---\ntext", evaluation={"f1": 88.45},
        companions=tmp_path / "src",
    )  # fmt: skip
    assert sorted(str(p.relative_to(tmp_path / "x")) for p in (tmp_path / "x").rglob("*") if p.is_file()) == [
        "bert_ms.json", "card.md", "config.json", "squad_tiny.ckpt", "squad_tiny/mindspore_hub_conf.py", "vocab.txt",
    ]  # fmt: skip
    network, left = hub_load(card)
    assert left == []
    again = bert_ms.from_pretrained(tmp_path / "x", QA)
    inputs = tuple(ms.Tensor(array) for array in Fixture("hf_bert_qa", QA).inputs())
    for ours, hub, own in zip(cell(*inputs), network(*inputs), again(*inputs), strict=True):
        np.testing.assert_array_equal(ours.asnumpy(), hub.asnumpy())
        np.testing.assert_array_equal(ours.asnumpy(), own.asnumpy())


def test_a_card_has_every_field_that_the_hub_demands(tmp_path: Path) -> None:
    card = publish(write_tiny(tmp_path / "m"), tmp_path / "x", name="t", body="text", summary="a tiny one")
    header = yaml.safe_load(card.read_text().split("---")[1])
    required = {"backbone-name", "module-type", "fine-tunable", "model-version", "author", "update-time", "repo-link",
                "user-id", "used-for", "mindspore-version", "license", "summary"}  # fmt: skip
    assert required <= set(header)
    assert header["fine-tunable"] is True
    free = {key: str(value) for key, value in header.items() if key not in ("repo-link", "asset", "evaluation")}
    assert not [key for key, value in free.items() if ":" in value]
    assert header["asset"][0]["asset-sha256"] == manifest.sha256(tmp_path / "x/t.ckpt")


def test_two_published_models_live_in_one_process(hub_load: Load, tmp_path: Path) -> None:
    first = publish(write_tiny(tmp_path / "a", head=True), tmp_path / "x", name="first", body="")
    other = publish(golden("hf_bert_model"), tmp_path / "y", name="other", body="")
    one, left_one = hub_load(first)
    two, left_two = hub_load(other)
    assert left_one == left_two == []
    assert (one.config.vocab_size, two.config.vocab_size) == (TINY.vocab_size, 120)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"name": "..."}, "the model name '...' has no letter or digit"),
        ({"summary": "a: b"}, "summary 'a: b' has a colon, which the hub refuses"),
    ],
)
def test_what_the_hub_would_refuse_is_refused_before(tmp_path: Path, changes: dict[str, str], error: str) -> None:
    arguments = {"name": "t", "body": "", **changes}
    with pytest.raises(ConfigError, match=error):
        publish(write_tiny(tmp_path / "m"), tmp_path / "x", **arguments)
    assert not (tmp_path / "x").exists()
