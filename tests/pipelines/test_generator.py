"""Generation by the network: Transformers' texts, and the cache against reading everything anew."""

from __future__ import annotations

import json

import numpy as np
import pytest

import bert_ms
from bert_ms.config import BertConfig
from bert_ms.errors import ConfigError, DataError
from bert_ms.pipelines.generator import Generator
from tests.support import golden

ms = pytest.importorskip("mindspore")

from bert_ms.model import build  # noqa: E402 - mindspore must be quiet first
from bert_ms.model.heads.causal_cache import CausalSteps  # noqa: E402

FOLDER = "hf_bert_lmhead_generate"
CASES = (
    "greedy", "greedy_types", "greedy_eos", "greedy_free", "beams", "beams_short", "beams_eos", "beams_long",
    "beams_early", "beams_never", "beams_free",
)  # fmt: skip


@pytest.fixture(scope="module")
def network():
    return bert_ms.from_pretrained(golden(FOLDER), "causal-lm")


@pytest.fixture(scope="module")
def generator(network) -> Generator:
    """One for all, so that graphs are compiled once."""
    return Generator(network)


def arrays(kind: str) -> dict[str, np.ndarray]:
    with np.load(golden(FOLDER) / f"{kind}.npz") as file:
        return dict(file)


def test_every_case_is_looked_at() -> None:
    assert set(json.loads((golden(FOLDER) / "cases.json").read_text())["cases"]) == set(CASES)


@pytest.mark.parametrize(
    ("name", "side"), [*((name, "left") for name in CASES), ("greedy_types", "right"), ("beams_eos", "right")]
)
def test_texts_are_transformers(name: str, side: str, generator, graph_mode) -> None:
    case = json.loads((golden(FOLDER) / "cases.json").read_text())["cases"][name]
    inputs, outputs = arrays("inputs"), arrays("outputs")
    prompts = [inputs[key] for key in ("input_ids", "attention_mask", "token_type_ids")]
    if side == "right":
        order = np.argsort(1 - prompts[1], axis=1, kind="stable")
        prompts = [np.take_along_axis(array, order, 1) for array in prompts]
    settings = {"max_new_tokens": 12, **case}
    if not settings.pop("has_types", False):
        prompts = prompts[:2]
    ends = settings.get("eos_token_id", [])
    settings["eos_token_id"] = tuple(np.atleast_1d(ends).tolist())
    done = generator.generate(*prompts, **settings)
    for ours, theirs in zip(done.rows(), outputs[f"{name}.tokens"].tolist(), strict=True):
        end = next((i for i, token in enumerate(theirs) if token in settings["eos_token_id"]), len(theirs) - 1)
        assert ours == theirs[: end + 1]
    if "num_beams" in settings:
        np.testing.assert_allclose(done.scores, outputs[f"{name}.scores"], rtol=1e-5)


KINDS = {
    "absolute": {},
    "relative_key": {"position_embedding_type": "relative_key"},
    "relative_key_query": {"position_embedding_type": "relative_key_query"},
    "learned": {"relative_position": "learned", "max_relative_position": 3},
    "sinusoid": {"relative_position": "sinusoid", "max_relative_position": 3},
    "cross": {"is_decoder": True, "add_cross_attention": True},
}


@pytest.mark.parametrize("kind", KINDS)
def test_remembered_positions_give_the_logits_of_reading_all_anew(kind: str, request) -> None:
    request.getfixturevalue("graph_mode" if kind == "learned" else "pynative_mode")
    config = BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=1 if kind == "learned" else 2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=11, initializer_range=0.4, **KINDS[kind],
    )  # fmt: skip
    ms.set_seed(2)
    cell, rng = build(config, "causal-lm"), np.random.default_rng(3)
    ids, types = rng.integers(1, 30, (3, 11)), rng.integers(0, 2, (3, 11))
    types[:, 5:] = types[:, 4:5]
    starts = np.array([0, 3, 4])
    more = [rng.normal(size=(3, 4, 16)).astype(np.float32), np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 1, 1]])]
    steps = CausalSteps(cell)
    if kind == "cross":
        steps.attend_to(*more)


    def anew() -> np.ndarray:
        """Logits of every position of every row, [3, 11, 30], read from the row's own begin."""
        given = [np.zeros((3, 11), np.int32) for _ in range(3)]
        for row, start in enumerate(starts):
            for array, values in zip(given, (ids, np.ones_like(ids), types), strict=True):
                array[row, : 11 - start] = values[row, start:]
        inputs = [*given, *([more[0], more[1].astype(np.int32)] if kind == "cross" else [])]
        logits = cell(*map(ms.Tensor, inputs)).asnumpy()
        return np.stack([np.roll(one, start, 0) for one, start in zip(logits, starts, strict=True)])

    expected, logits = anew(), steps.start(ids[:, :5], starts, types[:, :5], 11)
    for length in range(5, 11):
        np.testing.assert_allclose(logits, expected[:, length - 1], atol=1e-5)
        parents = np.arange(3)
        if length == 8:  # as beams are exchanged
            parents = np.array([2, 0, 0])
            ids, types, starts, more = ids[parents], types[parents], starts[parents], [m[parents] for m in more]
            ids[:, 8:] = rng.integers(1, 30, (3, 3))
            expected = anew()
        logits = steps.advance(ids[:, length], parents)
    np.testing.assert_allclose(logits, expected[:, 10], atol=1e-5)


def test_each_text_reads_its_own_encoder_in_this_call_alone(pynative_mode) -> None:
    config = BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=16, initializer_range=0.4, is_decoder=True, add_cross_attention=True,
    )  # fmt: skip
    ms.set_seed(5)
    generator = Generator(build(config, "causal-lm"), max_new_tokens=5)
    prompts, states = np.array([[3, 4], [3, 4]]), np.random.default_rng(1).normal(0, 3, (2, 4, 16))
    without = generator.generate(prompts).rows()
    first, second = generator.generate(prompts, encoder_hidden_states=states).rows()
    assert without[0] == without[1]
    assert first != second
    turned = generator.generate(prompts, encoder_hidden_states=states[::-1], num_beams=3, num_return_sequences=3)
    alone = generator.generate(prompts[:1], encoder_hidden_states=states[:1], num_beams=3, num_return_sequences=3)
    assert turned.rows()[3:] == alone.rows()
    drawn = generator.generate(prompts, encoder_hidden_states=states, do_sample=True, top_k=1, num_return_sequences=2)
    assert drawn.rows() == [first, first, second, second]
    assert generator.generate(prompts).rows() == without
    with pytest.raises(DataError, match="encoder_hidden_states has 1 rows for 2 prompts"):
        generator.generate(prompts, encoder_hidden_states=states[:1])


def test_one_graph_reads_prompts_and_one_reads_words(generator, graph_mode) -> None:
    graphs = generator.steps.cell.compile_cache
    generator.generate(np.full((4, 9), 5), max_new_tokens=4)
    before = len(graphs)
    assert 2 <= before <= 3  # with that of twelve beams
    generator.generate(np.full((4, 14), 5), max_new_tokens=9)  # the same powers of two
    assert len(graphs) == before


def test_other_networks_and_too_long_texts_are_refused(network, pynative_mode) -> None:
    with pytest.raises(ConfigError, match="MaskedLM foresees no next word: give a network of task causal-lm"):
        Generator(build(network.config, "masked-lm", initialise=False))
    with pytest.raises(DataError, match="the network has 40 positions"):
        Generator(network).generate(np.ones((1, 30)), max_new_tokens=11)
    with pytest.raises(ConfigError, match="has no cross attention: leave encoder_hidden_states out"):
        Generator(network).generate(np.ones((1, 3)), encoder_hidden_states=np.ones((1, 2, 32)))
