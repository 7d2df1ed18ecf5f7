"""Random numbers that are a pure function of where they are used: seed, epoch, row and place."""

from __future__ import annotations

import numpy as np

_GAMMA = 0x9E3779B97F4A7C15
_BITS = 0xFFFFFFFFFFFFFFFF


def uniform(rows: np.ndarray, count: int, *key: int) -> np.ndarray:
    """Numbers in [0, 1), `count` for each row; the same for the same row and key, whatever else is asked for.

    Each is the SplitMix64 output of a state made of key, row and place, so that no generator has to be kept, and any
    row of any epoch can be drawn at once. Source: Steele, Lea and Flood 2014, with the finaliser `mix64variant13`.

    Args:
        rows: int [B], numbers of rows, at least 0.
        count: of numbers a row.
        key: what else decides: seed, epoch, purpose.

    Returns:
        float64 [B, count].
    """
    state = np.zeros(1, np.uint64)
    for part in key:
        state = _mixed(state + np.uint64((part + 1) * _GAMMA & _BITS))
    states_B1 = _mixed(state + (np.asarray(rows, np.uint64)[:, None] + np.uint64(1)) * np.uint64(_GAMMA))
    steps_1C = np.arange(1, count + 1, dtype=np.uint64)[None] * np.uint64(_GAMMA)
    return (_mixed(states_B1 + steps_1C) >> np.uint64(11)) * 2.0**-53


def _mixed(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
