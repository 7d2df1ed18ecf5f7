"""What the speed comparisons run: models, batches, and random inputs that are the same on both sides."""

from __future__ import annotations

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
