"""The table of rankings beside trainings says how far their orders agree, and both sides see the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import rank, rank_table
from bert_ms.config.loading import resolve_config


def candidate(name: str, logme: float, probe: float, behind: tuple[float, float]) -> dict[str, Any]:
    return {
        "source": name,
        "logme": {"value": logme, "low": logme - 0.1, "high": logme + 0.1},
        "probe": {"value": probe, "low": probe - 1, "high": probe + 1},
        "behind": {"value": sum(behind) / 2, "low": behind[0], "high": behind[1]},
    }


CANDIDATES = [
    candidate("a", 0.5, 80, (0, 0)),
    candidate("b", 0.4, 85, (-0.1, 0.3)),
    candidate("c", 0.1, 60, (0.2, 0.6)),
]
RANKING = {
    "what": "rank",
    "task": "sst2",
    "rows": 100,
    "points": 100,
    "available": 200,
    "measure": "accuracy",
    "first": ["a", "b"],
    "candidates": CANDIDATES,
}


def trainings(**scores: float) -> list[dict[str, Any]]:
    return [
        {"what": "train", "task": "sst2", "checkpoint": name, "seed": 1, "score": score}
        for name, score in scores.items()
    ]


@pytest.mark.parametrize(
    ("second", "tau"),
    [({"a": 3, "b": 2, "c": 1}, 1), ({"a": 1, "b": 2, "c": 3}, -1), ({"a": 2, "b": 3, "c": 1}, 1 / 3)],
)
def test_tau_counts_pairs_in_the_same_order(second: dict[str, float], tau: float) -> None:
    assert rank_table.kendall({"a": 0.3, "b": 0.2, "c": 0.1}, second) == pytest.approx(tau)


def test_the_table_tells_places_and_agreement() -> None:
    text = rank_table.table([RANKING, *trainings(a=81.0, b=82.0, c=70.0)])
    assert "| sst2 | a | 0.5000 (0.4000 to 0.6000) | accuracy 80.0 (79.0 to 81.0) | 81.00 | 1 | 2 | 2 |" in text
    assert "| sst2 | 100 rows | 200 rows | 1 | 0.33 | 1.00 | a or b | b | 1 of 1 |" in text
    assert "Of 1 data sets the whole order by LogME is that of training in 0, that by the probe in 1" in text


def test_a_task_that_is_not_all_trained_has_no_agreement_yet() -> None:
    text = rank_table.table([RANKING, *trainings(a=81.0)])
    assert "| 81.00 | 1 | 2 |  |" in text and "a or b" not in text


def test_rows_are_taken_at_equal_distances(tmp_path: Path) -> None:
    table, columns = tmp_path / "rows.tsv", tmp_path / "words.conll"
    table.write_text("text\tlabel\n" + "".join(f"row {n}\t1\n" for n in range(10)))
    assert rank.evenly(table, 3) == b"text\tlabel\nrow 0\t1\nrow 3\t1\nrow 6\t1\n"
    columns.write_text("-DOCSTART- (1)\n\n" + "".join(f"w{n}\tO\nend\tO\n\t\n" for n in range(4)))
    assert rank.evenly(columns, 2) == b"w0\tO\nend\tO\n\nw2\tO\nend\tO\n\n"


@pytest.mark.parametrize("name", list(rank.TASKS))
def test_a_tasks_configuration_is_there_and_has_its_metric(name: str) -> None:
    from bert_ms.data import datasets

    task = rank.TASKS[name]
    config = resolve_config(task.config)
    known = datasets.get(config.data.dataset, task=config.task)
    assert known is not None and known.metrics[0] == task.metric
