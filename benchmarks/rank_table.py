"""The table of rankings beside trainings."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

Results = Sequence[Mapping[str, Any]]


def table(results: Results) -> str:
    """Scores of rankings and trainings as Markdown, task by task, with how far their orders agree."""
    rankings = {result["task"]: result for result in results if result["what"] == "rank"}
    lines = [
        "# Ranked without training, and trained",
        "",
        "`bert-ms hub rank` on at most 1,000 rows, and the same checkpoints trained on at most 2,000, those among "
        "them, for four epochs, then scored on at most 1,000 that neither saw (the mean over the seeds; from the least "
        "to the greatest where there are several). Scores in percent; in brackets after LogME and probe: 95 % "
        "intervals. Of tags at most 10,000 words are ranked: all in entities where there is room, and a part of the "
        "others. "
        "`random` has weights that learned nothing.",
        "",
        "`python benchmarks/rank.py --data DIR --work DIR --checkpoints minilm chinese=DIR`",
        "",
        "| data | checkpoint | LogME | probe | trained | place by LogME | by probe | by training |",
        "|---|---|---|---|---|---|---|---|",
        *(line for name, ranking in rankings.items() for line in _rows(name, ranking, results)),
        "",
        "## Do the orders agree?",
        "",
        "Kendall's tau is 1 where two orders are the same and -1 where one is the other turned round. Called are the "
        "pairs of which the ranking says that it can tell them apart: the interval of their difference to the first "
        "one has no 0.",
        "",
        "| data | ranked | trained on | seeds | tau of LogME | tau of the probe | start from | best when trained | "
        "called pairs in the same order |",
        "|---|---|---|---|---|---|---|---|---|",
        *(line for name, ranking in rankings.items() for line in _agreement(name, ranking, results)),
        "",
        _summary(rankings, results),
        "",
    ]
    return "\n".join(lines)


def kendall(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    """Kendall's tau-a of two scores of the same things: agreeing pairs minus the others, of all pairs."""
    pairs = list(combinations(first, 2))
    signs = [_sign(first[a] - first[b]) * _sign(second[a] - second[b]) for a, b in pairs]
    return sum(signs) / len(pairs)


def trained(name: str, results: Results) -> dict[str, list[float]]:
    """Scores of every seed, by checkpoint."""
    found: dict[str, list[float]] = {}
    for result in results:
        if result["what"] == "train" and result["task"] == name:
            found.setdefault(result["checkpoint"], []).append(result["score"])
    return found


def called(ranking: Mapping[str, Any], after: Mapping[str, float]) -> tuple[int, int]:
    """Of the checkpoints that the ranking says are behind its first, how many are when trained, and how many are."""
    best, *others = ranking["candidates"]
    behind = [c["source"] for c in others if c["behind"]["low"] > 0]
    return sum(after[name] < after[best["source"]] for name in behind), len(behind)


def _rows(name: str, ranking: Mapping[str, Any], results: Results) -> list[str]:
    scores, by_probe = _means(name, ranking, results), _values(ranking, "probe")
    lines = []
    for place, candidate in enumerate(ranking["candidates"], 1):
        source = candidate["source"]
        values = trained(name, results).get(source, [])
        cells = [
            name,
            source,
            _interval(candidate["logme"], 4),
            f"{ranking['measure']} {_interval(candidate['probe'], 1)}",
            _spread(values),
            str(place),
            str(_place(source, by_probe)),
            str(_place(source, scores)) if scores else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _agreement(name: str, ranking: Mapping[str, Any], results: Results) -> list[str]:
    values = trained(name, results)
    after = _means(name, ranking, results)
    if not after:
        return []
    right, count = called(ranking, after)
    rows, points = ranking["rows"], ranking["points"]
    cells = [
        name,
        f"{rows:,} rows" + (f", {points:,} words" if points != rows else ""),
        f"{ranking['available']:,} rows",
        str(min(map(len, values.values()))),
        *(f"{kendall(_values(ranking, by), after):.2f}" for by in ("logme", "probe")),
        " or ".join(ranking["first"]),
        max(after, key=lambda source: after[source]),
        f"{right} of {count}",
    ]
    return [f"| {' | '.join(cells)} |"]


def _summary(rankings: Mapping[str, Mapping[str, Any]], results: Results) -> str:
    """In how many data sets the orders agree in full."""
    found = [(ranking, after) for name, ranking in rankings.items() if (after := _means(name, ranking, results))]
    full = [sum(kendall(_values(ranking, by), after) == 1 for ranking, after in found) for by in ("logme", "probe")]
    best = sum(
        ranking["candidates"][0]["source"] == max(after, key=lambda name: after[name]) for ranking, after in found
    )
    pairs = [called(ranking, after) for ranking, after in found]
    return (
        f"Of {len(found)} data sets the whole order by LogME is that of training in {full[0]}, that by the probe in "
        f"{full[1]}; the first by LogME is the best when trained in {best}. Of {sum(count for _, count in pairs)} "
        f"called pairs {sum(right for right, _ in pairs)} are in the same order when trained."
    )


def _means(name: str, ranking: Mapping[str, Any], results: Results) -> dict[str, float]:
    """Mean score of every checkpoint when trained; nothing until all are."""
    means = {source: statistics.mean(some) for source, some in trained(name, results).items()}
    return means if len(means) == len(ranking["candidates"]) else {}


def _values(ranking: Mapping[str, Any], by: str) -> dict[str, float]:
    return {candidate["source"]: candidate[by]["value"] for candidate in ranking["candidates"]}


def _place(source: str, scores: Mapping[str, float]) -> int:
    return 1 + sum(value > scores[source] for value in scores.values())


def _interval(values: Mapping[str, float], digits: int) -> str:
    return f"{values['value']:.{digits}f} ({values['low']:.{digits}f} to {values['high']:.{digits}f})"


def _spread(values: Sequence[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.2f}" if values else ""
    return f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)
