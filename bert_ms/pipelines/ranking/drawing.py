"""Which rows, and which words of them, checkpoints are ranked by, and the parts that they are divided into."""

from __future__ import annotations

import numpy as np

PARTS = 10  # that rows are divided into; each is left out once to see how much a score depends on the rows
_LEAST_A_LABEL = 2


def draw(strata: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Numbers of `count` rows, ascending: of each stratum in proportion, but two at least where there is room.

    Args:
        strata: int [N], the stratum of each row.
        count: fewer rows than N; with more, all are taken.
        random: where chance comes from.
    """
    if count >= len(strata):
        return np.arange(len(strata))
    order = random.permutation(len(strata))
    by_stratum = order[np.argsort(strata[order], kind="stable")]
    _, which, sizes = np.unique(strata[by_stratum], return_inverse=True, return_counts=True)
    place = np.arange(len(strata)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    key = (place + random.random(len(sizes))[which]) / sizes[which]
    if len(sizes) * _LEAST_A_LABEL <= count:
        key[place < _LEAST_A_LABEL] = -1
    return np.sort(by_stratum[np.argsort(key, kind="stable")[:count]])


def divide(strata: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A part, 0 to PARTS - 1, for each row: rows of a stratum are shared out evenly."""
    order = random.permutation(len(strata))
    by_stratum = order[np.argsort(strata[order], kind="stable")]
    parts = np.empty(len(strata), np.int64)
    parts[by_stratum] = np.arange(len(strata)) % PARTS
    return parts


def level(strata: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Numbers of at most `count` points, ascending: strata larger than a common size are cut to it, others stay whole.

    Nearly all words are outside of entities. What vectors say of tags is limited by the few that are inside, so those
    are kept and the others thinned, as cases and controls are in medicine.

    Args:
        strata: int [N], 0 to S - 1, the stratum of each point.
        count: with N or more, all are taken; two of each stratum are taken in any case.
        random: where chance comes from.

    Source: Prentice and Pyke, "Logistic disease incidence models and case-control studies" (1979): such a choice moves
        the intercepts of a logistic model, not its slopes.
    """
    if count >= len(strata):
        return np.arange(len(strata))
    sizes = np.sort(np.bincount(strata))
    each = (count - (np.cumsum(sizes) - sizes)) // np.arange(len(sizes), 0, -1)  # were this one the first to be cut
    size = max(_LEAST_A_LABEL, int(each[np.argmax(each < sizes)]))
    order = random.permutation(len(strata))
    by_stratum = order[np.argsort(strata[order], kind="stable")]
    _, begins, which = np.unique(strata[by_stratum], return_index=True, return_inverse=True)
    return np.sort(by_stratum[np.arange(len(strata)) - begins[which] < size])
