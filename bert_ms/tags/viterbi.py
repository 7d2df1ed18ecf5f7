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
    from_to = np.ascontiguousarray(transitions.T, np.float64)
    # best_SCB[s]: the best score of a path up to s by its label there. Labels come before rows, so that the largest
    # of all is taken over whole vectors; where it came from is looked up on the way back, for one label a row.
    best_SCB = np.empty((S + 1, C, B))
    best_SCB[0], best_SCB[0, C - 2] = IMPOSSIBLE, 0.0
    logits_SCB = np.ascontiguousarray(logits_BSC.transpose(1, 2, 0), np.float64)
    counted_SB = np.ascontiguousarray(is_counted_BS.T)
    is_full_S = counted_SB.all(1)
    steps_CCB = np.empty((C, C, B))
    for s in range(S):
        np.add(best_SCB[s][:, None], from_to[:, :, None], out=steps_CCB)
        np.max(steps_CCB, 0, out=best_SCB[s + 1])
        best_SCB[s + 1] += logits_SCB[s]
        if not is_full_S[s]:
            best_SCB[s + 1] = np.where(counted_SB[s], best_SCB[s + 1], best_SCB[s])
    tag_B = (best_SCB[S] + from_to[:, C - 1 :]).argmax(0)
    tags_BS = np.full((B, S), NO_TAG, np.int32)
    for s in reversed(range(S)):
        tags_BS[:, s] = np.where(counted_SB[s], tag_B, NO_TAG)
        before_B = (best_SCB[s] + from_to[:, tag_B]).argmax(0)
        tag_B = before_B if is_full_S[s] else np.where(counted_SB[s], before_B, tag_B)
    return tags_BS
