"""One vector for a row from the vectors of its tokens, in numpy; `bert_ms.model.pooling` does it in a graph."""

from __future__ import annotations

import numpy as np


def pooled(hidden_BSH: np.ndarray, mask_BS: np.ndarray, pooling: str) -> np.ndarray:
    """Vectors float32 [B, H]; mean and max of a row of padding alone are 0.

    Args:
        hidden_BSH: float32, vectors of tokens.
        mask_BS: 1 for tokens, 0 for padding.
        pooling: "cls", the first token's; "mean"; or "max", the largest of each number.
    """
    if pooling == "cls":
        return hidden_BSH[:, 0]
    mask_BS1 = mask_BS[..., None].astype(np.float32)
    if pooling == "max":
        largest_BH = np.where(mask_BS1 > 0, hidden_BSH, -np.inf).max(1)
        return np.where(mask_BS1.any(1), largest_BH, 0).astype(np.float32)
    means_BH: np.ndarray = (hidden_BSH * mask_BS1).sum(1) / np.maximum(mask_BS1.sum(1), 1)
    return means_BH.astype(np.float32)
