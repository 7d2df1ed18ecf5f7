"""The best path through the labels of words, where each step from label to label has a score."""

from __future__ import annotations

import numpy as np

# Score of what must not be.
IMPOSSIBLE = -10000.0
# The label of a position that is no part of the path.
NO_TAG = -100


def viterbi(logits_BSC: np.ndarray, transitions: np.ndarray, is_counted_BS: np.ndarray) -> np.ndarray:
    """The best path of each row.

    Args:
        logits_BSC: float [B, S, C].
        transitions: float [C, C], [to, from], START and STOP last.
        is_counted_BS: bool [B, S]; the path leaves the other positions out.

    Returns:
        int32 [B, S]: labels, NO_TAG where the path is not.

    Source: Viterbi 1967; Lample et al. 2016, section 2.2.
    """
    B, S, C = logits_BSC.shape
    best_BC = np.full((B, C), IMPOSSIBLE)
    best_BC[:, C - 2] = 0.0
    from_SBC = np.broadcast_to(np.arange(C), (S, B, C)).copy()
    for s in range(S):
        steps_BCC = best_BC[:, None, :] + transitions
        counted_B1 = is_counted_BS[:, s, None]
        from_SBC[s] = np.where(counted_B1, steps_BCC.argmax(-1), from_SBC[s])
        best_BC = np.where(counted_B1, steps_BCC.max(-1) + logits_BSC[:, s], best_BC)
    tag_B = (best_BC + transitions[C - 1]).argmax(-1)
    tags_BS = np.full((B, S), NO_TAG, np.int32)
    for s in reversed(range(S)):
        tags_BS[:, s] = np.where(is_counted_BS[:, s], tag_B, NO_TAG)
        tag_B = from_SBC[s, np.arange(B), tag_B]
    return tags_BS
