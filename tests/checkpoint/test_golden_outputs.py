"""Every fixture of BERT and NEZHA with every head loads completely and gives its peer's numbers."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest

import bert_ms
from bert_ms.checkpoint import names
from tests.checkpoint.fixtures import ENCODER, FIXTURES, PRETRAINING, QA, TOKENS, Fixture, log_softmax
from tests.support import golden

ms = pytest.importorskip("mindspore")

from bert_ms.model import HEADS  # noqa: E402 - mindspore must be quiet first
from bert_ms.model.heads.crf import viterbi  # noqa: E402

TOLERANCE = 1e-5
NO_SMALLER = 0.1
WITHOUT_CHECKPOINT = {"minilm_embeddings", "squad_features", "tokenization"}
ALL = pytest.mark.parametrize("fixture", FIXTURES, ids=[f.id for f in FIXTURES])
WITH_HIDDEN_STATES = [f for f in FIXTURES if f.task == ENCODER and f.has_hidden_states]


@pytest.fixture(autouse=True)
def _eager(pynative_mode: None) -> None:
    """Operator by operator: nothing to compile for networks this small. The model's own tests compare the modes."""


def _tensors(*arrays: np.ndarray) -> tuple[ms.Tensor, ...]:
    """Whole numbers as int32; floats, which only labels are, as they come."""
    return tuple(ms.Tensor(a if a.dtype == np.float32 else a.astype(np.int32)) for a in arrays)


@functools.cache
def _loaded(fixture: Fixture) -> ms.nn.Cell:
    """The fixture's network, for tests that leave it as it is; a BiLSTM reads padding, as the zoo's does, and what
    GluonNLP zeroes is zeroed."""
    cell = bert_ms.from_pretrained(fixture.source, fixture.task)
    if fixture.name.startswith("modelzoo_ner") and cell.lstm is not None:
        masked = cell.lstm.construct
        cell.lstm.construct = lambda hidden, _mask: masked(hidden)
    if fixture.name.startswith("gluonnlp"):
        _zero_padding(cell if fixture.task == ENCODER else cell.bert)
    return cell


def _zero_padding(encoder: ms.nn.Cell) -> None:
    """GluonNLP's departure: hidden states of padding are zero, which its heads read, too."""
    whole = encoder.construct

    def zeroed(ids, mask, *more):
        hidden, *rest = whole(ids, mask, *more)
        return hidden * mask.expand_dims(-1).astype(ms.float32), *rest

    encoder.construct = zeroed


def _flat(outputs: object) -> tuple[np.ndarray, ...]:
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return tuple(o.asnumpy() for o in outputs)


def _assert_equal(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape, f"{name}: {ours.shape} against {theirs.shape}"
    difference = np.abs(ours - theirs).max()
    assert difference <= TOLERANCE, f"{name} differs by {difference:.2g}"


def _assert_relative(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Against the tensor's largest value; gradients that are zero but for rounding (of what a softmax over the sequence
    does not see) against NO_SMALLER."""
    difference = np.abs(ours - theirs).max() / max(np.abs(theirs).max(), NO_SMALLER)
    assert difference <= TOLERANCE, f"{name} differs by {difference:.2g} of its largest value"


def test_the_table_names_every_fixture_that_can_be_loaded() -> None:
    full_set = golden("tf1_bert").parent  # which is no part of the small copy beside the tests
    assert {p.name for p in full_set.iterdir() if p.is_dir()} == {f.name for f in FIXTURES} | WITHOUT_CHECKPOINT
    assert len(FIXTURES) == 67


@ALL
def test_a_checkpoint_loads_with_nothing_unexplained(fixture: Fixture) -> None:
    report = _loaded(fixture).load_report
    assert report.is_complete
    assert report.initialised == report.missing == report.unused == ()
    assert sum(map(len, report.dropped.values())) == fixture.dropped


@ALL
def test_outputs_are_the_peers(fixture: Fixture) -> None:
    cell = _loaded(fixture)
    theirs = fixture.arrays("outputs")
    ours = fixture.outputs(_flat(cell(*_tensors(*fixture.inputs()))), fixture.arrays("inputs"))
    assert set(ours) <= set(theirs)
    for name, value in ours.items():
        _assert_equal(name, value, theirs[name])
    assert ours
    hidden = {"hidden_states_3", "sequence_output"} & set(theirs)
    if fixture.task != ENCODER and hidden:
        rows = [array.reshape(-1, array.shape[-1]) for array in fixture.inputs()[:3]]
        for name in hidden:
            _assert_equal(name, cell.bert(*_tensors(*rows, *fixture.inputs()[3:]))[0].asnumpy(), theirs[name])


@pytest.mark.parametrize("fixture", WITH_HIDDEN_STATES, ids=lambda f: f.id)
def test_hidden_states_and_attentions_are_the_peers(fixture: Fixture) -> None:
    theirs = fixture.arrays("outputs")
    kinds = [kind for kind in ("hidden_states", "attentions") if f"{kind}_0" in theirs]
    cell = bert_ms.from_pretrained(fixture.source).set_outputs(*kinds)
    extras = cell(*_tensors(*fixture.inputs()))[-len(kinds) :]
    for kind, tensors in zip(kinds, extras, strict=True):
        assert len(tensors) == sum(name.startswith(f"{kind}_") for name in theirs)
        for i, tensor in enumerate(tensors):
            _assert_equal(f"{kind}_{i}", tensor.asnumpy(), theirs[f"{kind}_{i}"])


@pytest.mark.parametrize("name", ["tf2_checkpoint_encoder_v2", "tf2_savedmodel_expert", "gluonnlp_bert"])
def test_outputs_of_every_layer_are_the_peers(name: str) -> None:
    """Of peers that do not give the embeddings; GluonNLP's are zero on padding, ours are not."""
    fixture = next(f for f in FIXTURES if f.name == name)
    theirs, is_token = fixture.arrays("outputs"), fixture.inputs()[1] == 1
    is_token |= name.startswith("tf2")
    cell = bert_ms.from_pretrained(fixture.source).set_outputs("hidden_states", "attentions")
    hidden, attentions = cell(*_tensors(*fixture.inputs()))[-2:]
    of_layers = [theirs.get(f"encoder_outputs_{i}", theirs.get(f"hidden_states_{i + 1}")) for i in range(3)]
    for i, layer in enumerate(of_layers):
        _assert_equal(f"layer {i}", hidden[i + 1].asnumpy()[is_token], layer[is_token])
        if f"attentions_{i}" in theirs:
            rows = [a.swapaxes(1, 2)[is_token] for a in (attentions[i].asnumpy(), theirs[f"attentions_{i}"])]
            _assert_equal(f"attentions {i}", *rows)
    padding = hidden[3].asnumpy()[~is_token]
    assert np.abs(padding).min(initial=1) > 0 and np.abs(of_layers[2][~is_token]).max(initial=0) == 0


def test_inputs_left_out_default_to_all_tokens_of_the_first_text() -> None:
    fixture = Fixture("hf_bert_model")
    extra = fixture.arrays("extra")
    hidden, pooled = _flat(bert_ms.from_pretrained(fixture.source)(*_tensors(fixture.inputs()[0])))
    _assert_equal("last_hidden_state", hidden, extra["defaults_last_hidden_state"])
    _assert_equal("pooler_output", pooled, extra["defaults_pooler_output"])


def test_a_row_without_any_token_is_hugging_faces() -> None:
    fixture = Fixture("hf_bert_model")
    extra = fixture.arrays("extra")
    ids, _, types = fixture.inputs()
    hidden = _flat(
        bert_ms.from_pretrained(fixture.source)(*_tensors(ids, extra["allmasked_row_attention_mask"], types))
    )
    _assert_equal("last_hidden_state", hidden[0], extra["allmasked_row_last_hidden_state"])


@pytest.mark.parametrize("name", ["modelzoo_bert_model", "modelzoo_bert_model_nezha"])
def test_a_row_without_any_token_departs_from_the_zoo_by_name(name: str) -> None:
    """The zoo takes 10,000 from every score of such a row, which leaves them as if nothing were masked; we weigh all
    positions alike, as Hugging Face does. Undone by a mask of ones, but for what 10,000 costs in float32 digits."""
    fixture = Fixture(name)
    extra = fixture.arrays("extra")
    ids, _, types = fixture.inputs()
    mask = extra["allmasked_row_attention_mask"]
    is_empty = mask.sum(1) == 0
    assert is_empty.sum() == 1
    undone = np.where(is_empty[:, None], 1, mask)
    cell = bert_ms.from_pretrained(fixture.source)
    hidden = _flat(cell(*_tensors(ids, undone, types)))[0]
    theirs = extra["allmasked_row_sequence_output"]
    _assert_equal("rows with tokens", hidden[~is_empty], theirs[~is_empty])
    assert np.abs(hidden[is_empty] - theirs[is_empty]).max() < 5e-3


def test_a_boolean_mask_for_each_query_departs_from_hugging_face_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transformers' eager attention adds such a mask to the scores as the numbers 1 and 0; ours masks."""
    fixture = Fixture("hf_bert_model")
    extra = fixture.arrays("extra")
    ids, _, types = fixture.inputs()
    inputs = _tensors(ids, extra["mask4d_bool_attention_mask"][:, 0], types)
    theirs = extra["mask4d_bool_last_hidden_state"]
    cell = bert_ms.from_pretrained(fixture.source)
    assert np.abs(_flat(cell(*inputs))[0] - theirs).max() > 0.1
    for layer in cell.encoder.layers:
        monkeypatch.setattr(layer.attention.composed, "additive", lambda mask: mask.astype(ms.float32).expand_dims(1))
    _assert_equal("last_hidden_state", _flat(cell(*inputs))[0], theirs)


WITH_LOSS = [f for f in FIXTURES if f.labels is not None]


class ZooPretraining(ms.nn.Cell):
    """Our loss with google's departure, which the zoo has, too: it adds 1e-5 to the number of masked words."""

    def __init__(self, network: ms.nn.Cell, words: int):
        super().__init__(auto_prefix=False)
        self.network, self.factor = network, words / (words + 1e-5)

    def construct(self, ids, mask, types, labels, next_sentence_label):
        nothing = labels * 0 - 100
        words = self.network(ids, mask, types, labels, next_sentence_label * 0 - 100)
        return words * self.factor + self.network(ids, mask, types, nothing, next_sentence_label)


class ZooCrf(ms.nn.Cell):
    """Our loss with the zoo's departure: the step to STOP is scored from the label before the last."""

    def __init__(self, network: ms.nn.Cell):
        super().__init__(auto_prefix=False)
        self.network, self.crf = network, network.network.crf

    def construct(self, ids, mask, types, labels):
        to_stop = self.crf.transitions[self.crf.states - 1]
        wrong = ms.ops.gather(to_stop, labels[:, -1], 0) - ms.ops.gather(to_stop, labels[:, -2], 0)
        return self.network(ids, mask, types, labels) + wrong.mean()


def test_the_losses_cover_every_task_but_the_encoder() -> None:
    assert {f.task for f in WITH_LOSS} == set(HEADS) - {ENCODER}


@pytest.mark.parametrize("fixture", WITH_LOSS, ids=lambda f: f.id)
def test_loss_and_gradients_are_the_peers(fixture: Fixture) -> None:
    cell = _loaded(fixture)
    network = bert_ms.with_loss(cell).set_train(False)
    assert fixture.labels is not None
    labels = fixture.labels(fixture.arrays("inputs"))
    if fixture.name.startswith(("modelzoo_pretraining", "tf1_bert")) and fixture.task == PRETRAINING:
        network = ZooPretraining(network, int((labels[0] >= 0).sum()))
    if fixture.name.startswith("modelzoo_ner_crf"):
        network = ZooCrf(network)
    inputs = (*_tensors(*fixture.inputs()), *_tensors(*labels))
    parameters = {names.without_encoder(name): p for name, p in cell.parameters_and_names()}
    loss, gradients = ms.value_and_grad(network, None, list(parameters.values()))(*inputs)
    expected = json.loads((golden(fixture.name) / "loss.json").read_text())["loss"]
    assert float(loss) == pytest.approx(expected, rel=TOLERANCE)
    if fixture.name in ("hf_bert_mlm_sharded", "hf_bert_pretraining_legacy_bin"):  # come without gradients
        return
    by_name = dict(zip(parameters, gradients, strict=True))
    theirs = fixture.arrays("grads")
    found = names.translate(theirs, file="grads.npz").found
    assert len(found) == len(theirs) >= 4
    for ours, where in found.items():
        own = ours.replace("decoder.bias", "bias")  # of an untied decoder
        expected = theirs[where.name].T if where.is_transposed else theirs[where.name]
        _assert_relative(where.name, by_name[own].asnumpy(), expected)


@pytest.mark.parametrize("name", ["modelzoo_ner_lstm", "modelzoo_ner_lstm_nezha", "modelzoo_ner_crf_lstm"])
def test_a_bilstm_departs_from_the_zoo_by_name_in_rows_with_padding(name: str) -> None:
    """The zoo's BiLSTM reads padding and holes in the mask; ours reads tokens alone, and nothing else differs."""
    fixture = Fixture(name, TOKENS)
    inputs = fixture.inputs()
    (ours,) = _flat(bert_ms.from_pretrained(fixture.source, TOKENS)(*_tensors(*inputs)))
    (undone,) = _flat(_loaded(next(f for f in FIXTURES if f.name == name))(*_tensors(*inputs)))
    is_full = inputs[1].all(1)
    assert 0 < is_full.sum() < len(is_full)
    np.testing.assert_array_equal(ours[is_full], undone[is_full])
    assert np.abs(ours - undone)[~is_full].max() > 1e-3


@pytest.mark.parametrize("name", ["modelzoo_ner_crf", "modelzoo_ner_crf_nezha", "modelzoo_ner_crf_lstm"])
def test_the_best_path_and_the_sum_of_all_are_the_zoos_when_padding_is_taken_for_tokens(name: str) -> None:
    """The zoo's CRF walks over padding, too; ours does not."""
    fixture = next(f for f in FIXTURES if f.name == name)
    cell, (ids, mask, types), theirs = _loaded(fixture), fixture.inputs(), fixture.arrays("outputs")
    logits = cell(*_tensors(ids, mask, types))
    everywhere = np.ones(mask.shape, bool)
    path = viterbi(logits.asnumpy(), cell.crf.transitions.asnumpy(), everywhere)
    np.testing.assert_array_equal(path, theirs["viterbi_path"])
    sums = cell.crf.path_losses.twin.log_sum(logits, cell.crf.transitions, ms.Tensor(everywhere)).asnumpy()
    np.testing.assert_allclose(sums, theirs["log_normalizer"][:, 0], rtol=TOLERANCE)
    decoded = cell.decode(*_tensors(ids, mask, types)).asnumpy()
    assert ((decoded == -100) == (mask == 0)).all()
    np.testing.assert_array_equal(decoded[0], theirs["viterbi_path"][0])  # the row without padding


@pytest.mark.parametrize("name", ["modelzoo_ner", "modelzoo_ner_nezha"])
def test_the_zoos_mean_over_padding_is_ours_when_padding_is_labelled(name: str) -> None:
    """The zoo counts padding like any token, which the fixture's labels of every position undo; where padding is
    labelled -100, ours is the mean over tokens."""
    fixture = Fixture(name, TOKENS)
    cell = bert_ms.from_pretrained(fixture.source, TOKENS)
    inputs, labels = fixture.inputs(), fixture.arrays("inputs")["label_ids"]
    is_token = inputs[1] == 1
    assert 0 < is_token.sum() < is_token.size
    logs = log_softmax(_flat(cell(*_tensors(*inputs)))[0], -1)
    picked = -np.take_along_axis(logs, labels[:, :, None], 2)[:, :, 0]
    network = bert_ms.with_loss(cell)
    loss = network(*_tensors(*inputs, np.where(is_token, labels, -100)))
    assert float(loss) == pytest.approx(picked[is_token].mean(), rel=TOLERANCE)
    zoo = json.loads((golden(name) / "loss.json").read_text())["loss"]
    assert picked.mean() == pytest.approx(zoo, rel=TOLERANCE)
    assert abs(picked[is_token].mean() - zoo) > 1e-3


@pytest.mark.parametrize("name", ["modelzoo_squad", "modelzoo_squad_nezha"])
def test_the_zoos_loss_beyond_the_window_is_ours_with_its_departure_undone(name: str) -> None:
    """The zoo divides by all rows even where a position outside the window counts as 0; we leave such rows out."""
    fixture = Fixture(name)
    arrays = fixture.arrays("inputs")
    positions = arrays["start_positions_oor"], arrays["end_positions"]
    inputs = _tensors(*fixture.inputs())
    cell = bert_ms.from_pretrained(fixture.source, QA)
    logs = [log_softmax(logits, 1) for logits in _flat(cell(*inputs))]
    rows = range(len(positions[0]))
    length = logs[0].shape[1]
    picked = [[-log[r, at[r]] for r in rows if at[r] < length] for log, at in zip(logs, positions, strict=True)]
    zoo = sum(sum(one) / len(rows) for one in picked) / 2
    ours = sum(sum(one) / len(one) for one in picked) / 2
    expected = json.loads((golden(name) / "loss.json").read_text())["loss_with_start_positions_oor"]
    assert zoo == pytest.approx(expected, rel=TOLERANCE)
    loss = bert_ms.with_loss(cell).set_train(False)(*inputs, *_tensors(*positions))
    assert float(loss) == pytest.approx(ours, rel=TOLERANCE)
