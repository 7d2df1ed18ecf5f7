"""Name tables: every file explained, every rule reversible."""

from __future__ import annotations

import pytest

from bert_ms.checkpoint import architecture, names, read
from bert_ms.checkpoint.names.rules import NameTable, Rule
from bert_ms.config import BertConfig
from bert_ms.errors import CheckpointError
from tests.support import golden

WORD = "embeddings.word_embeddings.weight"
HEADS = {
    "hf_bert_pretraining": ("predictions.bias", "predictions.transform.layer_norm.weight", "seq_relationship.weight"),
    "hf_bert_mlm_untied": ("predictions.decoder.weight", "predictions.decoder.bias", "predictions.bias"),
    "hf_bert_mlm_sharded": ("predictions.bias", "predictions.transform.dense.weight"),
    "hf_bert_lmhead_cross": ("encoder.layers.2.cross_attention.layer_norm.bias", "predictions.bias"),
    "hf_bert_nsp": ("seq_relationship.weight", "seq_relationship.bias"),
    "hf_bert_seqcls": ("classifier.weight", "classifier.bias"),
    "hf_bert_tokencls": ("classifier.weight", "classifier.bias"),
    "hf_bert_multiplechoice": ("classifier.weight", "classifier.bias"),
    "hf_bert_qa": ("qa_outputs.weight", "qa_outputs.bias"),
    "hf_nezha_pretraining": ("predictions.bias", "seq_relationship.weight"),
    "modelzoo_pretraining": ("predictions.bias", "predictions.transform.layer_norm.weight", "seq_relationship.bias"),
    "modelzoo_squad_nezha": ("qa_outputs.weight", "encoder.layers.2.attention.relative_positions.weight"),
    "modelzoo_cls": ("classifier.weight", "pooler.dense.weight"),
    "modelzoo_ner_crf_lstm": ("crf.transitions", "lstm.weight_ih_l0", "lstm.bias_hh_l0_reverse", "classifier.bias"),
}


@pytest.mark.parametrize("fixture", HEADS)
def test_every_name_of_a_peers_file_is_explained(fixture: str) -> None:
    translation = names.translate(read(golden(fixture)), file=fixture)
    assert translation.unknown == ()
    assert set(HEADS[fixture]) <= set(translation.found)


@pytest.mark.parametrize("fixture", HEADS)
def test_names_go_there_and_back(fixture: str) -> None:
    found = names.translate(read(golden(fixture)), file=fixture).found
    tables = [names.OURS]
    if not any(name.startswith(("lstm.", "crf.")) for name in found):
        tables.append(names.HUGGING_FACE)
    if not any("cross_attention" in name or name.startswith("predictions.decoder") for name in found):
        tables.append(names.MODEL_ZOO)
    for table in tables:
        written = table.names_of(found)
        assert len({f.name for f in written.values()}) == len(found)
        back = names.translate([f.name for f in written.values()], file=table.name)
        assert back.table is table
        assert {ours: f.name for ours, f in back.found.items()} == {ours: f.name for ours, f in written.items()}


@pytest.mark.parametrize("fixture", ["hf_bert_model", "hf_bert_qa", "modelzoo_bert_model", "modelzoo_squad"])
def test_written_names_are_those_of_the_peers_own_files(fixture: str) -> None:
    translation = names.translate(read(golden(fixture)), file=fixture)
    written = translation.table.names_of(translation.found)
    assert {ours: f.name for ours, f in written.items()} == {ours: f.name for ours, f in translation.found.items()}


def test_nezha_is_written_under_its_own_prefix() -> None:
    translation = names.translate(read(golden("hf_nezha_qa")), file="hf_nezha_qa")
    written = names.HUGGING_FACE_NEZHA.names_of(translation.found)
    assert {f.name for f in written.values()} == {f.name for f in translation.found.values()}


def test_old_names_mean_the_same_as_new_ones() -> None:
    old = names.translate(read(golden("modelzoo_bert_model_oldnames_nezha")), file="old").found
    new = names.translate(read(golden("modelzoo_bert_model_nezha")), file="new").found
    assert set(old) == set(new)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("embeddings.LayerNorm.gamma", "embeddings.layer_norm.weight"),
        ("bert.encoder.layer.3.output.LayerNorm.beta", "encoder.layers.3.feed_forward.layer_norm.bias"),
        ("module.bert.pooler.dense.bias", "pooler.dense.bias"),
        ("0.auto_model.embeddings.LayerNorm.weight", "embeddings.layer_norm.weight"),
        ("nezha.encoder.layer.0.attention.self.query.bias", "encoder.layers.0.attention.query.bias"),
        ("bert.bert.bert.bert_encoder.layers.11.output.dense.weight", "encoder.layers.11.feed_forward.output.weight"),
        ("network.network.bert.bert.dense.bias", "pooler.dense.bias"),
        ("bert.cls1.output_bias", "predictions.bias"),
        ("backbone.dense1.weight", "qa_outputs.weight"),
    ],
)
def test_prefixes_and_older_spellings_are_seen_through(name: str, ours: str) -> None:
    assert [ours] in [list(table.translate([name]).found) for table in names.TABLES]


@pytest.mark.parametrize(
    "name",
    [
        "adam_m.bert.bert.dense.weight",
        "lamb_v.bert.dense1.bias",
        "moments.bert.bert.dense.weight",
        "global_step",
        "scale_sense",
        "current_iterator_step",
        "last_overflow_iterator_step",
        "learning_rate",
        "accu_grads.bert.dense.bias",
        "total_num",
    ],
)
def test_training_state_is_recognised(name: str) -> None:
    translation = names.MODEL_ZOO.translate([name])
    assert translation.unknown == ()
    assert translation.found == {}
    assert sum(map(len, translation.dropped.values())) == 1


@pytest.mark.parametrize(
    "name",
    [
        "bert.embeddings.position_ids",
        "nezha.encoder.layer.0.attention.self.relative_positions_encoding.positions_encoding",
    ],
)
def test_buffers_are_recognised(name: str) -> None:
    assert list(names.HUGGING_FACE.translate([name]).dropped) == ["buffer that is computed anew"]


@pytest.mark.parametrize(
    "name",
    ["encoder.layer.01.output.dense.bias", "encoder.layer.-1.output.dense.bias", "encoder.layer.x", "embeddings.x"],
)
def test_names_that_only_look_alike_stay_unknown(name: str) -> None:
    assert names.HUGGING_FACE.translate([name]).unknown == (name,)


def test_two_names_for_one_parameter_are_refused() -> None:
    file = [f"bert.{WORD}", WORD]
    with pytest.raises(CheckpointError, match=rf"f: both 'bert\.{WORD}' and '{WORD}' in the file are '{WORD}'"):
        names.translate(file, file="f")


def test_a_file_of_another_network_shows_what_it_holds() -> None:
    with pytest.raises(
        CheckpointError, match=r"f holds no BERT or NEZHA network .* begins with: conv1\.weight, fc\.bias"
    ):
        names.translate(["fc.bias", "conv1.weight"], file="f")


def test_what_a_peer_has_no_place_for_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"Hugging Face files have no place for 'crf\.transitions'"):
        names.HUGGING_FACE.names_of(["crf.transitions"])


def test_a_table_may_turn_matrices() -> None:
    table = NameTable("turned", (Rule("pooler.dense.weight", "p/kernel", is_transposed=True),))
    assert table.translate(["p/kernel"]).found["pooler.dense.weight"].is_transposed
    assert table.names_of(["pooler.dense.weight"])["pooler.dense.weight"].is_transposed


@pytest.mark.parametrize(
    "config",
    [
        BertConfig(num_hidden_layers=2),
        BertConfig(num_hidden_layers=2, relative_position="learned", max_relative_position=16),
        BertConfig(num_hidden_layers=2, relative_position="sinusoid", add_pooler=False),
        BertConfig(num_hidden_layers=1, position_embedding_type="relative_key", max_position_embeddings=40),
    ],
    ids=lambda c: f"{c.relative_position}-{c.position_embedding_type}",
)
def test_expected_shapes_are_the_networks_parameters(config: BertConfig) -> None:
    model = pytest.importorskip("bert_ms.model")
    cell = model.build(config, "encoder")
    parameters = {name: tuple(p.shape) for name, p in cell.parameters_and_names()}
    assert parameters == architecture.encoder_shapes(config)
    assert set(names.OURS.translate(parameters).found) == set(parameters)
