"""Scores of the next token: what is taken from them before one is chosen, and the choice."""

from __future__ import annotations

import numpy as np

REMOVED = -np.inf


def log_softmax(scores_RV: np.ndarray) -> np.ndarray:
    """Logarithms of the probabilities that logits stand for, over the last axis."""
    shifted_RV = scores_RV - scores_RV.max(-1, keepdims=True)
    return shifted_RV - np.log(np.exp(shifted_RV).sum(-1, keepdims=True))


def penalise_repetition(scores_RV: np.ndarray, seen_RT: np.ndarray, penalty: float) -> np.ndarray:
    """Scores with those of tokens that a row has already divided by the penalty, or multiplied if they are negative.

    Args:
        scores_RV: float [R, V].
        seen_RT: int [R, T], ids of each row; a negative one stands for none.
        penalty: more than 1 discourages repetition; 1 changes nothing.

    Source: Keskar et al. 2019 (CTRL), section 4.1; sign rule of Hugging Face.
    """
    if penalty == 1.0:
        return scores_RV
    is_seen_RV = np.zeros(scores_RV.shape, bool)
    row, at = np.nonzero(seen_RT >= 0)
    is_seen_RV[row, seen_RT[row, at]] = True
    return np.where(is_seen_RV, np.where(scores_RV < 0, scores_RV * penalty, scores_RV / penalty), scores_RV)


def keep_top_k(scores_RV: np.ndarray, k: int) -> np.ndarray:
    """Scores with all but the k largest of a row (and what equals the last of them) REMOVED; 0 keeps all.

    Source: Fan, Lewis and Dauphin 2018, section 5.4.
    """
    if k <= 0 or k >= scores_RV.shape[-1]:
        return scores_RV
    least_R1 = np.partition(scores_RV, -k, axis=-1)[:, -k, None]
    return np.where(scores_RV < least_R1, REMOVED, scores_RV)


def keep_top_p(scores_RV: np.ndarray, p: float) -> np.ndarray:
    """Scores of the fewest most probable tokens that hold a share p of the probability; the others are REMOVED.

    The most probable token always stays. Source: Holtzman et al. 2020, section 3.1.
    """
    if p >= 1.0:
        return scores_RV
    order_RV = np.argsort(scores_RV, axis=-1, kind="stable")
    ascending_RV = np.take_along_axis(scores_RV, order_RV, -1)
    share_RV = np.cumsum(np.exp(log_softmax(ascending_RV.astype(np.float64))), axis=-1)
    is_tail_RV = share_RV <= 1.0 - p
    is_tail_RV[:, -1] = False
    removed_RV = np.zeros(scores_RV.shape, bool)
    np.put_along_axis(removed_RV, order_RV, is_tail_RV, -1)
    return np.where(removed_RV, REMOVED, scores_RV)


def draw(scores_RV: np.ndarray, chance_R: np.ndarray) -> np.ndarray:
    """A token for each row by its probability: the one in whose share of [0, 1) the row's chance falls, int64 [R]."""
    share_RV = np.cumsum(np.exp(log_softmax(scores_RV.astype(np.float64))), axis=-1)
    token_R = (share_RV <= (chance_R * share_RV[:, -1])[:, None]).sum(-1)
    last_R = scores_RV.shape[-1] - 1 - np.argmax((scores_RV > REMOVED)[:, ::-1], axis=-1)
    return np.minimum(token_R, last_R)
