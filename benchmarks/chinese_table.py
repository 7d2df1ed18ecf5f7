"""The table of the small Chinese BERT beside its random initialisation, from the results of both."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

SIDES = ("pretrained", "random")
Results = list[dict[str, Any]]


@dataclass(frozen=True)
class ChineseTask:
    """One data set to fine-tune on.

    Attributes:
        title: as the table has it.
        config: of `configs/`.
        metric: that is compared.
        epochs: of fine-tuning.
        max_length: in tokens.
        rates: learning rates to choose from.
    """

    title: str
    config: str
    metric: str
    epochs: int
    max_length: int
    rates: tuple[float, ...]


TASKS = {
    "chnsenticorp": ChineseTask("ChnSentiCorp", "chnsenticorp", "accuracy", 3, 128, (6e-4, 3e-4)),
    "weibo": ChineseTask("WeiboNER", "ner_weibo", "f1", 6, 192, (6e-4, 2e-4)),
}


def best_rate(results: Results, task: str, side: str, seed: int) -> float:
    """The learning rate with which a side scored best."""
    return max((r for r in results if _is(r, task, side) and r["seed"] == seed), key=lambda r: r["score"])["rate"]


def table(pretraining: dict[str, Any], results: Results) -> str:
    """Pretraining step by step and the scores of both sides, as Markdown."""
    seconds, last = pretraining["cpu_seconds"], pretraining["evaluations"][-1]
    time = "processor time was not recorded" if seconds is None else f"{seconds / 60:.1f} minutes of processor time"
    lines = [
        "# A small Chinese BERT beside its random initialisation",
        "",
        f"Pretrained on masked words and next sentences of ChnSentiCorp's and CLUENER's text, {last['step']:,} steps "
        f"({time}, start, compiling and evaluation included; threads: {pretraining['threads']}). Then both sides were "
        "fine-tuned by the same commands, but for where the weights come from, on all rows. Scores in percent after "
        "the last step, on the held-out file. No review of ChnSentiCorp's held-out file is in the text of pretraining "
        "or among the rows of fine-tuning. Each side has the better of two learning rates, by its score with the first "
        "seed.",
        "",
        "`python benchmarks/chinese.py --data DIR --work DIR`",
        "",
        "| data | score | seeds | pretrained: mean (each) | random: mean (each) | pretrained - random |",
        "|---|---|---|---|---|---|",
        *(_summary(name, results) for name in TASKS if any(r["task"] == name for r in results)),
        "",
        "## Every fine-tuning",
        "",
        "| data | weights | seed | learning rate | score | steps | CPU seconds |",
        "|---|---|---|---|---|---|---|",
        *map(_row, sorted(results, key=lambda r: (r["task"], r["side"], r["seed"], r["rate"]))),
        "",
        "## Pretraining",
        "",
        "| step | held-out loss of masked words | their accuracy | accuracy of next sentences |",
        "|---|---|---|---|",
        *map(_evaluation, pretraining["evaluations"]),
        "",
        f"{pretraining['versions']}, {pretraining['date']}. Commands are in chinese.json.",
        "",
    ]
    return "\n".join(lines)


def _evaluation(found: dict[str, Any]) -> str:
    accuracies = f"{found['masked_lm_accuracy']:.2f} | {found['next_sentence_accuracy']:.2f}"
    return f"| {found['step']} | {found['masked_lm_loss']:.3f} | {accuracies} |"


def _row(result: dict[str, Any]) -> str:
    seconds = "not recorded" if result["cpu_seconds"] is None else f"{result['cpu_seconds']:.0f}"
    numbers = f"{result['rate']:g} | {result['score']:.2f} | {result['step']} | {seconds}"
    return f"| {TASKS[result['task']].title} | {result['side']} | {result['seed']} | {numbers} |"


def _summary(name: str, results: Results) -> str:
    first = next(r["seed"] for r in results if r["task"] == name)
    scores = {side: _scores(results, name, side, first) for side in SIDES}
    seeds = sorted(set(scores[SIDES[0]]) | set(scores[SIDES[1]]))
    shown = [_mean_of(scores[side]) for side in SIDES]
    both = sorted(set(scores[SIDES[0]]) & set(scores[SIDES[1]]))
    ahead = [scores[SIDES[0]][seed] - scores[SIDES[1]][seed] for seed in both]
    tried = [{r["rate"] for r in results if _is(r, name, side) and r["seed"] == first} for side in SIDES]
    is_fair = all(
        rates == set(TASKS[name].rates) for rates in tried
    )  # the rate that a side still lacks may be its better one
    difference = f"{statistics.mean(ahead):+.2f}" if ahead and is_fair else "not all rates tried"
    named = ", ".join(map(str, seeds))
    return f"| {TASKS[name].title} | {TASKS[name].metric} | {named} | {' | '.join(shown)} | {difference} |"


def _scores(results: Results, name: str, side: str, first: int) -> dict[int, float]:
    """The score of each seed at the side's learning rate."""
    if not any(_is(r, name, side) for r in results):
        return {}
    rate = best_rate(results, name, side, first)
    return {r["seed"]: r["score"] for r in results if _is(r, name, side) and r["rate"] == rate}


def _mean_of(scores: dict[int, float]) -> str:
    if not scores:
        return ""
    each = ", ".join(f"{score:.2f}" for _, score in sorted(scores.items()))
    return f"{statistics.mean(scores.values()):.2f}" + (f" ({each})" if len(scores) > 1 else "")


def _is(result: dict[str, Any], task: str, side: str) -> bool:
    return (result["task"], result["side"]) == (task, side)
