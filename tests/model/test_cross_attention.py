"""A decoder that attends to another encoder: what it reads, what it trains, what it is refused for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import bert_ms
from bert_ms import checkpoint
from bert_ms.config import BertConfig
from bert_ms.errors import CheckpointError, ConfigError

ms = pytest.importorskip("mindspore")

from bert_ms.kernels.ops import Dropout  # noqa: E402 - mindspore must be quiet first
from bert_ms.model import WithLoss, build  # noqa: E402

B, S, T, H, V = 3, 6, 5, 16, 30
CONFIG = BertConfig(
    vocab_size=V, hidden_size=H, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=8, initializer_range=0.3, is_decoder=True, add_cross_attention=True, add_pooler=False,
)  # fmt: skip


def network(task: str = "causal-lm", **changes: object):
    ms.set_seed(3)
    return build(dataclasses.replace(CONFIG, **changes), task)


def inputs() -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    mask = np.ones((B, S), np.int32)
    mask[1, 4:] = 0
    read = np.ones((B, T), np.int32)
    read[2, 3:] = 0
    ids = rng.integers(1, V, (B, S)).astype(np.int32)
    return [ids, mask, ids * 0, rng.normal(size=(B, T, H)).astype(np.float32), read]


def tensors(*arrays: np.ndarray) -> list:
    return [ms.Tensor(array) for array in arrays]


def test_both_modes_agree_on_logits_loss_and_gradients(request):
    labels, found = np.where(inputs()[1] == 1, inputs()[0], -100), []
    for mode in ("graph_mode", "pynative_mode"):
        request.getfixturevalue(mode)
        cell = network()
        parameters = list(cell.get_parameters())
        logits = cell(*tensors(*inputs())).asnumpy()
        batch = tensors(*inputs(), labels.astype(np.int32), np.array([3, 1], np.int32))
        loss, gradients = ms.value_and_grad(WithLoss(cell).set_train(True), None, parameters)(*batch)
        found.append([logits, loss.asnumpy(), *(g.asnumpy() for g in gradients)])
    learning = [p.name for p, g in zip(parameters, found[0][2:], strict=True) if np.abs(g).max() > 1e-6]
    assert {p.name for p in parameters} - set(learning) <= {p.name for p in parameters if p.name.endswith("key.bias")}
    for graph, eager in zip(*found, strict=True):
        np.testing.assert_allclose(graph, eager, atol=1e-5)


def test_the_encoders_padding_does_not_count_and_its_tokens_do(pynative_mode):
    cell, (ids, mask, types, states, read) = network(), inputs()
    before = cell(*tensors(ids, mask, types, states, read)).asnumpy()
    other = states.copy()
    other[2, 3:] = 7.0
    np.testing.assert_array_equal(cell(*tensors(ids, mask, types, other, read)).asnumpy(), before)
    other[2, 0] = 7.0
    after = cell(*tensors(ids, mask, types, other, read)).asnumpy()
    np.testing.assert_array_equal(after[:2], before[:2])
    assert np.abs(after[2] - before[2]).max() > 1e-2
    everywhere = cell(*tensors(ids, mask, types, states)).asnumpy()
    np.testing.assert_allclose(everywhere, cell(*tensors(ids, mask, types, states, read * 0 + 1)).asnumpy(), atol=1e-6)


def test_a_mask_for_each_query_is_followed(pynative_mode):
    cell, (ids, mask, types, states, read) = network(), inputs()
    each = np.repeat(read[:, None], S, 1)
    got = cell(*tensors(ids, mask, types, states, each)).asnumpy()
    np.testing.assert_allclose(got, cell(*tensors(ids, mask, types, states, read)).asnumpy(), atol=1e-5)


def test_a_decoder_without_a_head_gives_what_its_language_model_reads(pynative_mode):
    cell, bare = network(), network("encoder")
    weights = {p.name: p for p in cell.get_parameters()}
    for p in bare.get_parameters():
        p.set_data(weights[f"bert.{p.name}"].value())
    np.testing.assert_array_equal(
        bare(*tensors(*inputs()))[0].asnumpy(), cell.bert(*tensors(*inputs()))[0].asnumpy()
    )


def test_dropouts_of_a_layer_have_numbers_of_their_own():
    dropouts = []
    for layer in network().bert.encoder.layers:
        for block in (layer.attention, layer.cross_attention):
            dropouts += [block.composed.dropout, block.finish.dropout]
        dropouts.append(layer.feed_forward.finish.dropout)
    sites = [Dropout(0.1, site) for site in range(1, 11)]
    assert [int(d.twin.mask.site_key) for d in dropouts] == [int(d.twin.mask.site_key) for d in sites]


@pytest.mark.parametrize("format", ["mindspore", "safetensors"])
def test_a_decoder_comes_back_with_the_same_bits(tmp_path, format, pynative_mode):
    cell = network()
    checkpoint.save(cell, tmp_path / "out", format=format)
    again = bert_ms.from_pretrained(tmp_path / "out", "causal-lm")
    assert again.load_report.is_complete
    assert again.config == cell.config
    np.testing.assert_array_equal(again(*tensors(*inputs())).asnumpy(), cell(*tensors(*inputs())).asnumpy())


def test_a_file_tells_that_it_has_cross_attention(tmp_path):
    checkpoint.save(network(), tmp_path / "out", format="safetensors")
    (tmp_path / "out" / "config.json").unlink()
    config = checkpoint.open_checkpoint(tmp_path / "out", num_attention_heads=2).config
    assert (config.is_decoder, config.add_cross_attention, config.task) == (True, True, "causal-lm")


def test_the_zoo_has_no_place_for_cross_attention(tmp_path):
    with pytest.raises(CheckpointError, match=r"have no place for 'encoder\.layers\.0\.cross_attention"):
        checkpoint.save(network(), tmp_path / "out", format="modelzoo")


def test_cross_attention_is_refused_where_nothing_defines_it():
    with pytest.raises(ConfigError, match="question-answering has no other encoder to attend to: choose encoder or"):
        network("question-answering")
    with pytest.raises(ConfigError, match="relative_position 'sinusoid': NEZHA defines no cross attention"):
        network(relative_position="sinusoid")
