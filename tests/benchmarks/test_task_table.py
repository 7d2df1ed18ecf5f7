"""The table of the task comparison says what the results say."""

from __future__ import annotations

from typing import Any

from benchmarks.task_table import table


def result(side: str, seed: int, *f1: float, task: str = "mrpc") -> dict[str, Any]:
    """One run with these scores after its epochs."""
    return {"side": side, "task": task, "seed": seed, "rows": [3668, 408], "threads": 1, "versions": side,
            "epochs": [{"f1": value, "accuracy": value - 5} for value in f1], "losses": [0.5] * len(f1)}  # fmt: skip


PEER = [result("peer", seed, 99.0, value) for seed, value in zip((42, 43, 44), (86.0, 87.0, 88.5), strict=True)]


def test_scores_are_those_after_the_last_epoch() -> None:
    text = table([*PEER, result("ours", 42, 95.0, 86.5)])
    assert "| MRPC | f1 | 42 | 87.17 (86.00 to 88.50) | 86.50 | -0.67 | yes |" in text
    assert "| MRPC | 42 | f1 86.00, accuracy 81.00 | f1 86.50, accuracy 81.50 | 0.500, 0.500 | 0.500, 0.500 |" in text


def test_a_mean_outside_the_peers_seeds_is_said_to_be_outside() -> None:
    assert "| +1.83 | no: 0.50 above |" in table([*PEER, result("ours", 42, 89.0)])
    assert "| -2.17 | no: 1.00 below |" in table([*PEER, result("ours", 42, 85.0)])


def test_one_seed_claims_no_spread() -> None:
    assert "| 86.00 | 86.50 | +0.50 | one seed |" in table([PEER[0], result("ours", 42, 86.5)])


def test_a_side_without_results_is_left_empty() -> None:
    assert "| MRPC | f1 | 42, 43, 44 | 87.17 (86.00 to 88.50) |  |  |  |" in table(PEER)
