"""Every head: what it is built from, its outputs and loss in both modes, its dropout, its way to a file and back."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

import bert_ms
from bert_ms import checkpoint
from bert_ms.checkpoint import names
from bert_ms.config import BertConfig
from bert_ms.errors import CheckpointError
from bert_ms.tags.viterbi import viterbi
from tests.model.reference import encode
from tests.support import golden

ms = pytest.importorskip("mindspore")

from bert_ms.kernels.derived_mask import keep_mask  # noqa: E402 - mindspore must be quiet first
from bert_ms.model import HEADS, WithLoss, build  # noqa: E402
from bert_ms.model.heads.crf import Crf  # noqa: E402

B, C, S = 3, 2, 9
SMALL = BertConfig(
    vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=12, initializer_range=0.3,
)  # fmt: skip
WORDS = np.full((B, S), -100)
WORDS[0, 2], WORDS[1, 0], WORDS[1, 5], WORDS[2, 8] = 7, 3, 39, 11
TAGS = np.where(np.arange(S) < 6, np.arange(B * S).reshape(B, S) % 4, -100)
CLASSES = np.array([2, 0, -100])
YES_NO = np.array([1, 0, 1])
FOLLOWS = np.array([0, 1, 1])
MANY = np.array([[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0]], np.float32)
GRADES = np.array([0.5, -2.0, 3.25], np.float32)


@dataclasses.dataclass(frozen=True)
class Case:
    """A head with labels for it.

    Attributes:
        task: of HEADS.
        labels: of a batch.
        shapes: of the outputs.
        head: bare names of the head's parameters.
        config: what differs from SMALL.
    """

    task: str
    labels: tuple[np.ndarray, ...]
    shapes: tuple[tuple[int, ...], ...]
    head: tuple[str, ...]
    config: dict[str, object] = dataclasses.field(default_factory=dict)

    def network(self, **changes: object):
        ms.set_seed(1)
        return build(dataclasses.replace(SMALL, **self.config, **changes), self.task)

    def inputs(self) -> list[np.ndarray]:
        rng = np.random.default_rng(3)
        shape = (B, C, S) if self.task == "multiple-choice" else (B, S)
        mask = np.ones(shape)
        mask[1, ..., 6:] = 0
        types = np.broadcast_to(np.arange(S) >= 4, shape)
        return [array.astype(np.int32) for array in (rng.integers(1, 40, shape), mask, types)]


TRANSFORM = tuple(f"predictions.transform.{part}.{p}" for part in ("dense", "layer_norm") for p in ("weight", "bias"))
DECODER = ("predictions.decoder.weight",)
PREDICTIONS = ("predictions.bias", *TRANSFORM)
RELATION = ("seq_relationship.weight", "seq_relationship.bias")
CLASSIFIER = ("classifier.weight", "classifier.bias")
LSTM = tuple(
    f"lstm.{gate}_l0{way}" for gate in ("weight_ih", "weight_hh", "bias_ih", "bias_hh") for way in ("", "_reverse")
)
CASES = {
    "pretraining": Case("pretraining", (WORDS, FOLLOWS), ((B, S, 40), (B, 2)), (*PREDICTIONS, *RELATION)),
    "masked-lm": Case("masked-lm", (WORDS,), ((B, S, 40),), PREDICTIONS),
    "masked-lm untied": Case(
        "masked-lm", (WORDS,), ((B, S, 40),), (*PREDICTIONS, *DECODER),
        {"tie_word_embeddings": False},
    ),
    "causal-lm": Case("causal-lm", (WORDS,), ((B, S, 40),), PREDICTIONS),
    "next-sentence": Case("next-sentence", (FOLLOWS,), ((B, 2),), RELATION),
    "single": Case("sequence-classification", (CLASSES,), ((B, 3),), CLASSIFIER, {"num_labels": 3}),
    "multi-label": Case("sequence-classification", (MANY,), ((B, 4),), CLASSIFIER, {"num_labels": 4}),
    "regression": Case("sequence-classification", (GRADES,), ((B, 1),), CLASSIFIER, {"num_labels": 1}),
    "multiple-choice": Case("multiple-choice", (YES_NO,), ((B, C),), CLASSIFIER),
    "crf": Case(
        "token-classification", (TAGS,), ((B, S, 6),), (*CLASSIFIER, "crf.transitions"),
        {"num_labels": 4, "has_crf": True},
    ),
    "token-classification": Case("token-classification", (TAGS,), ((B, S, 4),), CLASSIFIER, {"num_labels": 4}),
    "lstm": Case(
        "token-classification", (TAGS,), ((B, S, 4),), (*CLASSIFIER, *LSTM),
        {"num_labels": 4, "has_lstm": True, "lstm_hidden_size": 5},
    ),
    "lstm crf": Case(
        "token-classification", (TAGS,), ((B, S, 6),), (*CLASSIFIER, *LSTM, "crf.transitions"),
        {"num_labels": 4, "has_lstm": True, "has_crf": True},
    ),
}  # fmt: skip
EVERY = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def tensors(*arrays: np.ndarray) -> list:
    return [ms.Tensor(a if a.dtype == np.float32 else a.astype(np.int32)) for a in arrays]


def flat(outputs) -> list[np.ndarray]:
    return [o.asnumpy() for o in (outputs if isinstance(outputs, tuple) else (outputs,))]


def bare_weights(cell) -> dict[str, np.ndarray]:
    return {names.without_encoder(p.name): p.asnumpy() for p in cell.get_parameters()}


def test_every_head_has_a_case():
    assert {case.task for case in CASES.values()} == set(HEADS) - {"encoder", "question-answering"}


@EVERY
def test_parameter_names_are_the_checkpoint_format(case):
    cell = case.network()
    assert {name for name in bare_weights(cell) if not name.startswith(names.ENCODER_PARTS)} == set(case.head)
    assert len(cell.parameters_dict()) == len(list(WithLoss(cell).get_parameters()))


NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@functools.cache
def training(name: str, mode: str):
    """A case's network, its parameters, and the function of loss and gradients in training, of one mode."""
    cell = CASES[name].network(**NO_DROPOUT)
    parameters = list(cell.get_parameters())
    return cell, parameters, ms.value_and_grad(WithLoss(cell).set_train(True), None, parameters)


@pytest.mark.parametrize("name", CASES)
def test_outputs_loss_and_gradients_are_the_same_in_both_modes(name, request):
    found, case = [], CASES[name]
    for mode in ("graph_mode", "pynative_mode"):
        request.getfixturevalue(mode)
        cell, _, gradient = training(name, mode)
        outputs = flat(cell(*tensors(*case.inputs())))
        loss, gradients = gradient(*tensors(*case.inputs(), *case.labels))
        assert loss.dtype == ms.float32
        found.append((outputs, float(loss), [g.asnumpy() for g in gradients]))
    (graph, graph_loss, graph_gradients), (eager, eager_loss, eager_gradients) = found
    assert tuple(o.shape for o in graph) == case.shapes
    for one, other in zip(graph, eager, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert graph_loss == pytest.approx(eager_loss, rel=1e-5)
    assert graph_loss > 0
    for one, other in zip(graph_gradients, eager_gradients, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_a_few_steps_against_the_gradient_lower_the_loss_in_graph_mode(name, graph_mode):
    case = CASES[name]
    _, parameters, gradient = training(name, "graph_mode")
    before = [p.asnumpy().copy() for p in parameters]
    losses = []
    for _ in range(5):
        loss, gradients = gradient(*tensors(*case.inputs(), *case.labels))
        losses.append(float(loss))
        steps = [g.asnumpy() for g in gradients]
        length = np.sqrt(sum((step**2).sum() for step in steps))
        for p, step in zip(parameters, steps, strict=True):
            # Not set_data: the compiled function would go on with the data that it was compiled with.
            ms.ops.assign(p, ms.Tensor(p.asnumpy() - np.float32(0.1) / length * step))
    for p, value in zip(parameters, before, strict=True):
        ms.ops.assign(p, ms.Tensor(value))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.98 * losses[0]


@EVERY
def test_padding_does_not_change_the_logits_of_tokens(case, pynative_mode):
    cell, inputs = case.network(), case.inputs()
    whole = flat(cell(*tensors(*inputs)))
    short = flat(cell(*tensors(*(array[1:2, ..., :6] for array in inputs))))
    for one, other in zip(whole, short, strict=True):
        np.testing.assert_allclose(one[1:2, :6] if one.ndim == 3 else one[1:2], other, atol=1e-5)


@EVERY
def test_inputs_left_out_are_all_tokens_of_the_first_text(case, pynative_mode):
    cell, (ids, mask, types) = case.network(), case.inputs()
    full = flat(cell(*tensors(ids, np.ones_like(mask), np.zeros_like(types))))
    for one, other in zip(flat(cell(*tensors(ids))), full, strict=True):
        np.testing.assert_array_equal(one, other)


@EVERY
def test_half_precision_gives_float32_logits_near_the_exact_ones(case, pynative_mode):
    changes = {"initializer_range": 0.1, **case.config}
    config = dataclasses.replace(SMALL, **changes)
    exact, half = (build(config, case.task, dtype=dtype) for dtype in ("float32", "float16"))
    for one, other in zip(exact.get_parameters(), half.get_parameters(), strict=True):
        other.set_data(one.value())
    inputs = tensors(*case.inputs())
    for one, other in zip(flat(exact(*inputs)), flat(half(*inputs)), strict=True):
        assert other.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=2e-2)


DROPOUTS = {"of the classifier": ({"classifier_dropout": 0.5}, 0.5), "as everywhere": ({}, 0.3)}


@pytest.mark.parametrize("dropout", DROPOUTS.values(), ids=DROPOUTS)
@pytest.mark.parametrize("task", ["single", "token-classification", "multiple-choice"])
def test_dropout_stands_before_the_classifier_and_has_a_number_of_its_own(task, dropout, graph_mode):
    changes, p = dropout
    cell = CASES[task].network(hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2, **changes)
    inputs, (seed, step) = CASES[task].inputs(), (7, 12)
    sites = []

    def masks(site, shape, probability):
        sites.append(site)
        return keep_mask(seed, step, site, int(np.prod(shape)), probability).reshape(shape) / (1 - probability)

    w = bare_weights(cell)
    rows = [array.reshape(-1, S) for array in inputs]
    hidden = encode(cell.config, w, *rows, masks)[0][-1]
    if task != "token-classification":
        hidden = np.tanh(hidden[:, 0] @ w["pooler.dense.weight"].T + w["pooler.dense.bias"])
    dropped = hidden * masks(max(sites) + 1, hidden.shape, p)
    expected, without = ((x @ w["classifier.weight"].T + w["classifier.bias"]) for x in (dropped, hidden))
    (got,) = flat(cell.set_train(True)(*tensors(*inputs), ms.Tensor([seed, step], ms.int32)))
    np.testing.assert_allclose(got, expected.reshape(got.shape), atol=1e-5)
    assert np.abs(got - without.reshape(got.shape)).max() > 0.1


def test_a_tied_tables_gradient_is_the_sum_of_both_uses(pynative_mode):
    tied, untied = CASES["masked-lm"].network(), CASES["masked-lm untied"].network()
    own = {p.name: p for p in tied.get_parameters()}
    table = "bert.embeddings.word_embeddings.weight"
    for parameter in untied.get_parameters():
        parameter.set_data(own[table if "decoder" in parameter.name else parameter.name].value())
    batch = tensors(*CASES["masked-lm"].inputs(), WORDS)
    (one,) = ms.grad(WithLoss(tied), None, [own[table]])(*batch)
    weights = [untied.bert.embeddings.word_embeddings.weight, untied.predictions.decoder.weight]
    read, decoded = ms.grad(WithLoss(untied), None, weights)(*batch)
    assert min(np.abs(g.asnumpy()).max() for g in (read, decoded)) > 1e-3
    np.testing.assert_allclose(one.asnumpy(), read.asnumpy() + decoded.asnumpy(), atol=1e-7)


def test_words_to_come_do_not_change_a_causal_model(pynative_mode):
    cell, (ids, mask, types) = CASES["causal-lm"].network(), CASES["causal-lm"].inputs()
    assert cell.config.is_decoder
    changed = ids.copy()
    changed[:, 5:] = 1
    one, other = (flat(cell(*tensors(x, mask, types)))[0] for x in (ids, changed))
    np.testing.assert_allclose(one[:, :5], other[:, :5], atol=1e-6)
    assert np.abs(one[:, 5:] - other[:, 5:]).max() > 0.1


def brute_force(logits, transitions, labels):
    """Negative log-likelihood of one path and the best path, by scoring every path."""
    states = len(transitions)
    start, stop = states - 2, states - 1

    def score(path):
        steps = zip((start, *path), (*path, stop), strict=True)
        return sum(logits[i, tag] for i, tag in enumerate(path)) + sum(transitions[to, origin] for origin, to in steps)

    paths = list(itertools.product(range(states), repeat=len(logits)))
    scores = np.array([score(path) for path in paths])
    return np.log(np.exp(scores).sum()) - score(labels), paths[scores.argmax()]


def test_a_crf_is_the_definition_with_holes_in_the_path(pynative_mode):
    rng = np.random.default_rng(5)
    cell = Crf(dataclasses.replace(SMALL, num_labels=2))
    transitions = cell.transitions.asnumpy() + rng.normal(0, 2, (4, 4)).astype(np.float32)
    cell.transitions.set_data(ms.Tensor(transitions))
    logits = rng.normal(0, 2, (4, 6, 4)).astype(np.float32)
    labels = np.array([[0, 1, 1, 0, 1, 0], [1, -100, 0, -100, -100, 1], [-100, -100, 1, 0, -100, -100], [-100] * 6])
    rows = [(logits[row][labels[row] >= 0], labels[row][labels[row] >= 0]) for row in range(3)]
    exact = [brute_force(x.astype(float), transitions, path) for x, path in rows]
    loss, gradients = ms.value_and_grad(cell, None, [cell.transitions])(*tensors(logits, labels))
    assert float(loss) == pytest.approx(np.mean([nll for nll, _ in exact]), rel=1e-5)  # the empty row does not count
    assert np.isfinite(gradients[0].asnumpy()).all()
    tags = viterbi(logits, transitions, labels >= 0)
    assert (tags[labels < 0] == -100).all()
    for row, (_, best) in enumerate(exact):
        assert tuple(tags[row][labels[row] >= 0]) == best


def test_a_crf_stays_exact_over_long_rows(graph_mode):
    """Against one step after the other in float64, at scores whose exponentials would overflow."""
    rng = np.random.default_rng(6)
    cell = Crf(dataclasses.replace(SMALL, num_labels=9))
    x = rng.normal(0, 20, (2, 101, 11)).astype(np.float32)
    counted = np.arange(101) < np.array([[101], [50]])
    transitions = cell.transitions.asnumpy() + rng.normal(0, 5, (11, 11)).astype(np.float32)
    cell.transitions.set_data(ms.Tensor(transitions))
    labels = np.where(counted, rng.integers(0, 9, (2, 101)), -100)
    expected = []
    for row in range(2):
        length = int(counted[row].sum())
        path = [9, *labels[row, :length], 10]
        score = sum(float(x[row, s, path[s + 1]]) for s in range(length))
        score += sum(float(transitions[path[s + 1], path[s]]) for s in range(length + 1))
        alpha = np.full(11, -1e9)
        alpha[9] = 0
        for s in range(length):
            steps = alpha + transitions.astype(np.float64)
            alpha = np.log(np.exp(steps - steps.max(1, keepdims=True)).sum(1)) + steps.max(1) + x[row, s]
        last = alpha + transitions[10]
        expected.append(np.log(np.exp(last - last.max()).sum()) + last.max() - score)
    assert float(cell(*tensors(x, labels))) == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.parametrize("mode", ["graph_mode", "pynative_mode"])
def test_decoded_tags_are_labels_on_tokens_and_nothing_on_padding(mode, request):
    request.getfixturevalue(mode)
    cell, (ids, mask, types) = CASES["crf"].network(), CASES["crf"].inputs()
    tags = cell.decode(*tensors(ids, mask, types))
    assert tags.dtype == ms.int32
    np.testing.assert_array_equal(tags.asnumpy() == -100, mask == 0)
    assert set(np.unique(tags.asnumpy()[mask == 1])) <= {0, 1, 2, 3}  # never START or STOP
    short = cell.decode(*tensors(ids[1:2, :6], mask[1:2, :6], types[1:2, :6]))
    np.testing.assert_array_equal(tags.asnumpy()[1:2, :6], short.asnumpy())
    assert (cell.decode(*tensors(ids)).asnumpy() >= 0).all()


def test_choices_are_read_apart(pynative_mode):
    cell, inputs = CASES["multiple-choice"].network(), CASES["multiple-choice"].inputs()
    turned = [array[:, ::-1] for array in inputs]
    np.testing.assert_allclose(flat(cell(*tensors(*inputs)))[0], flat(cell(*tensors(*turned)))[0][:, ::-1], atol=1e-6)


def test_labels_of_minus_100_do_not_count(pynative_mode):
    for name in ("masked-lm", "causal-lm", "single", "token-classification", "crf"):
        case = CASES[name]
        cell = case.network()
        nothing = [np.full_like(array, -100) for array in case.labels]
        loss, gradients = ms.value_and_grad(WithLoss(cell), None, list(cell.get_parameters()))(
            *tensors(*case.inputs(), *nothing)
        )
        assert float(loss) == 0.0
        assert all(np.all(g.asnumpy() == 0) for g in gradients)
    case = CASES["single"]
    network = WithLoss(case.network())
    inputs = case.inputs()
    counted = [array[:2] for array in inputs]
    both = float(network(*tensors(*inputs, CLASSES))), float(network(*tensors(*counted, CLASSES[:2])))
    assert both[0] == pytest.approx(both[1], rel=1e-6)


@pytest.mark.parametrize(("num_labels", "labels", "problem_type"), [
    (3, CLASSES, "single_label_classification"), (4, MANY, "multi_label_classification"), (1, GRADES, "regression"),
    (3, np.outer(GRADES, [1, 2, 3]).astype(np.float32), "regression"),
])  # fmt: skip
def test_a_classifiers_loss_is_the_definition(num_labels, labels, problem_type, pynative_mode):
    inputs = CASES["single"].inputs()
    config = dataclasses.replace(SMALL, num_labels=num_labels, problem_type=problem_type)
    cell = build(config, "sequence-classification")
    x = flat(cell(*tensors(*inputs)))[0].astype(np.float64)
    if problem_type == "regression":
        expected = ((x - labels.reshape(x.shape)) ** 2).mean()
    elif problem_type == "multi_label_classification":
        expected = (np.log1p(np.exp(x)) - x * labels).mean()
    else:
        expected = np.mean([np.log(np.exp(x[r]).sum()) - x[r, labels[r]] for r in range(B) if labels[r] >= 0])
    assert float(WithLoss(cell)(*tensors(*inputs, labels))) == pytest.approx(expected, rel=1e-6)


def test_a_multi_label_loss_survives_extreme_logits(pynative_mode):
    from bert_ms.model.losses import MultiLabelLoss

    logits, labels = tensors(np.array([[500.0, -500.0, 90.0]], np.float32), np.array([[0.0, 1.0, 1.0]], np.float32))
    loss, gradient = ms.value_and_grad(MultiLabelLoss(), 0)(logits, labels)
    assert float(loss) == pytest.approx(1000 / 3, rel=1e-6)
    np.testing.assert_allclose(gradient.asnumpy(), [[1 / 3, -1 / 3, 0]], atol=1e-7)


def test_a_bare_configuration_is_settled_by_the_head():
    for task, head in HEADS.items():
        settled = build(SMALL, task, initialise=False).config
        assert settled.task == task
        assert settled.add_pooler == (head.reads_pooler or task == "encoder")
        assert settled.is_decoder == (task == "causal-lm")
        assert settled.num_labels == (2 if task in ("sequence-classification", "token-classification") else None)
    three = dataclasses.replace(SMALL, labels=("a", "b", "c"))
    assert build(three, "token-classification", initialise=False).config.labels == three.labels
    assert build(three, "token-classification", num_labels=5, initialise=False).config.labels == ()
    assert build(three, "multiple-choice", initialise=False).config.num_labels is None
    assert not build(dataclasses.replace(SMALL, add_pooler=False), "encoder", initialise=False).config.add_pooler


def test_a_crf_is_of_the_tokens_labels_alone():
    config = dataclasses.replace(SMALL, num_labels=4, has_crf=True)
    assert build(config, "token-classification", initialise=False).config.classifier_size == 6
    assert not build(config, "sequence-classification", initialise=False).config.has_crf
    new = bert_ms.from_pretrained(
        golden("hf_bert_model"), "token-classification",
        config=dataclasses.replace(BertConfig.from_file(golden("hf_bert_model")), has_crf=True, num_labels=4),
    )  # fmt: skip
    assert new.load_report.initialised == (*CLASSIFIER, "crf.transitions")
    assert new.classifier.bias.shape == (6,)


def test_a_files_crf_tells_the_number_of_labels(tmp_path):
    shutil.copy(golden("modelzoo_ner_crf") / "ner.ckpt", tmp_path)
    opened = checkpoint.open_checkpoint(tmp_path / "ner.ckpt", num_attention_heads=4)
    assert (opened.config.num_labels, opened.config.has_crf, opened.task) == (9, True, "token-classification")
    assert bert_ms.from_pretrained(golden("modelzoo_ner_crf"), "token-classification").config.num_labels == 9


@pytest.mark.parametrize("task", ["sequence-classification", "token-classification"])
def test_a_new_classifier_is_initialised_and_reported(task):
    cell = bert_ms.from_pretrained(golden("hf_bert_model"), task, num_labels=7)
    assert cell.load_report.initialised == CLASSIFIER
    assert cell.config.num_labels == 7
    weight = cell.classifier.weight.asnumpy()
    assert weight.shape == (7, 32)
    assert 0 < np.abs(weight).max() <= 0.04  # the normal of 0.02, cut off at two deviations
    assert not cell.classifier.bias.asnumpy().any()


def test_a_new_language_model_head_is_initialised_and_reported():
    cell = bert_ms.from_pretrained(golden("hf_bert_model"), "pretraining")
    assert set(cell.load_report.initialised) == {*PREDICTIONS, *RELATION}


def test_a_pooler_is_new_with_the_head_that_reads_it(tmp_path):
    pooler = {"pooler.dense.weight", "pooler.dense.bias"}
    cell = bert_ms.from_pretrained(golden("hf_bert_mlm"), "sequence-classification")
    assert set(cell.load_report.initialised) == {*pooler, *CLASSIFIER}
    cell = bert_ms.from_pretrained(golden("hf_bert_mlm"), "pretraining")
    assert set(cell.load_report.initialised) == {*pooler, *RELATION}
    with pytest.raises(CheckpointError, match=r"missing in the file: pooler\.dense\.weight"):
        bert_ms.from_pretrained(golden("hf_bert_tokencls"), "sequence-classification")


def test_a_files_own_classifier_is_not_replaced_by_one_of_another_size():
    with pytest.raises(CheckpointError, match=r"classifier\.weight \(network \[5, 32\], file \[3, 32\]\)"):
        bert_ms.from_pretrained(golden("hf_bert_seqcls"), "sequence-classification", num_labels=5)


@pytest.mark.parametrize("format", ["mindspore", "safetensors", "modelzoo", "tf1"])
@EVERY
def test_a_head_comes_back_from_every_format_with_the_same_bits(tmp_path: Path, case, format):
    cell = case.network()
    tagger = ("lstm.weight_ih_l0", "crf.transitions")
    without_place = {"modelzoo": DECODER, "safetensors": tagger, "tf1": (*DECODER, *tagger)}.get(format, ())
    without_place = next((name for name in without_place if name in case.head), None)
    if without_place:
        with pytest.raises(CheckpointError, match=f"have no place for '{without_place}'"):
            checkpoint.save(cell, tmp_path / "out", format=format)
        return
    checkpoint.save(cell, tmp_path / "out", format=format)
    again = bert_ms.from_pretrained(tmp_path / "out", case.task)
    assert again.load_report.is_complete
    assert again.load_report.initialised == ()
    assert again.config == cell.config
    bert_ms.convert(tmp_path / "out", tmp_path / "converted", format="mindspore")
    last = bert_ms.from_pretrained(tmp_path / "converted", case.task)
    for one, other, third in zip(cell.get_parameters(), again.get_parameters(), last.get_parameters(), strict=True):
        assert one.name == other.name == third.name
        assert one.asnumpy().tobytes() == other.asnumpy().tobytes() == third.asnumpy().tobytes()
