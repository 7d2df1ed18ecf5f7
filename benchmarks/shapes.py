"""What the speed comparisons run: models, batches, and random inputs that are the same on both sides."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

MODELS = {
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "minilm": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
}
BATCHES = ((8, 128), (8, 384))
DROPOUT = 0.1
VOCABULARY = 30522


def batch(rows: int, length: int, *, with_labels: bool) -> list[np.ndarray]:
    """Ids, mask and token types [B, S], and start and end [B] if asked for. Rows are half full at least."""
    rng = np.random.default_rng(20)
    lengths = rng.integers(length // 2, length + 1, rows)
    lengths[0] = length
    mask = (np.arange(length) < lengths[:, None]).astype(np.int32)
    ids = rng.integers(1000, VOCABULARY, (rows, length)).astype(np.int32) * mask
    types = ((np.arange(length) >= length // 4) & (mask == 1)).astype(np.int32)
    inputs = [ids, mask, types]
    if with_labels:
        inputs += [rng.integers(1, length // 2, rows).astype(np.int32) for _ in range(2)]
    return inputs


def random_network(folder: Path, task: str = "encoder", **shape: Any) -> Path:
    """Write a network that learned nothing, the same one always, with MiniLM's vocabulary; gives the folder.

    Args:
        folder: where to; what is there already stays.
        task: what it is for.
        shape: what is other than MiniLM's configuration.
    """
    if not folder.is_dir():
        import mindspore as ms

        import bert_ms
        from bert_ms import checkpoint, compat
        from bert_ms.hub.catalogue import resolve

        compat.use_device("cpu")
        ms.set_seed(0)
        config = dataclasses.replace(bert_ms.BertConfig.from_file(resolve("minilm") / "config.json"), **shape)
        network = bert_ms.from_config(config, task)
        checkpoint.save(network, folder, tokenizer=bert_ms.Tokenizer.from_pretrained("minilm"))
    return folder
