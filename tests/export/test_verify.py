"""An exported network is compared with its Cell on real text, and refused where they differ."""

from __future__ import annotations

import numpy as np
import pytest

from bert_ms.errors import CheckpointError
from bert_ms.tokenization import Tokenizer
from tests import tiny

ms = pytest.importorskip("mindspore")
onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra [onnx])")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra [onnx])")

from bert_ms import model  # noqa: E402 - mindspore must be quiet first
from bert_ms.config import BertConfig  # noqa: E402
from bert_ms.export.onnx_graph import build  # noqa: E402
from bert_ms.export.onnx_graph.files import MODEL_FILE, save  # noqa: E402
from bert_ms.export.onnx_session import OnnxSession  # noqa: E402
from bert_ms.export.verify import text_batch, verify  # noqa: E402

WORDS = tiny.vocabulary(200)
SIZES = {"vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
         "intermediate_size": 24, "max_position_embeddings": 40, "initializer_range": 0.2}  # fmt: skip
TAGGER = BertConfig(**SIZES, num_labels=3, has_crf=True, has_lstm=True)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocab(WORDS)


@pytest.fixture(autouse=True)
def _eager(pynative_mode: None) -> None:
    """Operator by operator: nothing to compile for networks this small."""


def test_what_was_written_passes(tokenizer: Tokenizer, tmp_path) -> None:
    """A BiLSTM and a CRF, whose padded rows no fixture has."""
    network = model.build(TAGGER, "token-classification")
    save(build(network), tmp_path)
    found = verify(
        network,
        OnnxSession(tmp_path / MODEL_FILE, threads=1).run,
        tokenizer=tokenizer,
        config=network.config,
        task="token-classification",
    )
    assert found.passed and found.inputs == 5
    assert found.shapes == ((1, 24), (4, 40))  # the network's longest
    assert found.max_abs_difference < 1e-5 < found.tolerance


@pytest.mark.parametrize(("added", "said"), [(1e-2, "differs from the Cell by 0.01"), (np.nan, "by inf")])
def test_what_differs_is_refused(tokenizer: Tokenizer, added: float, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        _verify_encoder(tokenizer, lambda outputs: [output + np.float32(added) for output in outputs])


def test_outputs_of_another_shape_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(CheckpointError, match="returns arrays of .* for a batch of 1 rows of 24 tokens"):
        _verify_encoder(tokenizer, lambda outputs: [output[:, :1] for output in outputs])


def _verify_encoder(tokenizer: Tokenizer, change) -> None:
    """A Cell against itself with its outputs changed."""
    network = model.build(BertConfig(**SIZES, add_pooler=False), "encoder")

    def exported(arrays):
        return change([network(*map(ms.Tensor, arrays))[0].asnumpy()])

    verify(network, exported, tokenizer=tokenizer, config=network.config, task="encoder", shapes=[(1, 24)])


def test_rows_are_real_text_of_mixed_length(tokenizer: Tokenizer) -> None:
    ids, mask, types = text_batch(tokenizer, TAGGER, "token-classification", 4, 40)
    lengths = mask.sum(1)
    assert lengths[0] == 40 and sorted(set(lengths), reverse=True) == list(lengths) and lengths[-1] == 10
    assert (ids[mask == 0] == tokenizer.pad_token_id).all() and types.any()


def test_choices_come_in_groups(tokenizer: Tokenizer) -> None:
    assert [array.shape for array in text_batch(tokenizer, TAGGER, "multiple-choice", 2, 24)] == [(2, 3, 24)] * 3
