"""What a load came to: percentiles, rates, padding, errors; as a dictionary and as a Markdown table."""

from __future__ import annotations

import collections
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.load_client import Sent

_SAMPLE = re.compile(r"^(bertms_\w+)(?:\{[^}]*\})? ([\d.eE+-]+)$", re.MULTILINE)
HEAD = ("server", "load", "tokens", "requests", "answered/s", "p50 ms", "p95 ms", "p99 ms", "waiting p50",
        "computing p50", "rows/batch", "padding", "CPU ms: load + server + engine", "refused (429)",
        "failed")  # fmt: skip


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of all does not exceed; None where there is none."""
    ordered = sorted(values)
    return ordered[max(0, -(-round(share * 1000) * len(ordered) // 1000) - 1)] if ordered else None


def summary(sent: Sequence[Sent], seconds: float) -> dict[str, Any]:
    """Numbers of one load.

    Args:
        sent: its requests.
        seconds: that it took, from the first request to the last answer.
    """
    answered = [one.seconds for one in sent if one.status == 200]
    refused = [one.seconds for one in sent if one.status == 429]
    found: dict[str, Any] = {
        "requests": len(sent),
        "answered": len(answered),
        "seconds": seconds,
        "per_second": len(answered) / seconds,
        "statuses": {str(key): count for key, count in sorted(collections.Counter(o.status for o in sent).items())},
        "refused_p99_ms": _ms(percentile(refused, 0.99)),
    }
    for share in (50, 95, 99):
        found[f"p{share}_ms"] = _ms(percentile(answered, share / 100))
    for name in ("tok", "queue", "infer", "post"):
        values = [one.timings[name] for one in sent if name in one.timings]
        found[f"{name}_p50_ms"] = _ms(percentile(values, 0.5))
    return found


def samples(text: str) -> dict[str, float]:
    """Metrics of a scrape, summed over their labels."""
    found: dict[str, float] = collections.defaultdict(float)
    for name, value in _SAMPLE.findall(text):
        if not name.endswith("_bucket"):
            found[name] += float(value)
    return dict(found)


def batches(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """What a server's metrics tell of the batches between two scrapes; nothing where there was none."""

    def grown(name: str) -> float:
        return after.get(f"bertms_{name}", 0.0) - before.get(f"bertms_{name}", 0.0)

    found = {"compiles": grown("compile_total"), "engine_restarts": grown("engine_restarts_total")}
    count = grown("batch_size_count")
    if count:
        found["batches"] = count
        found["rows_per_batch"] = grown("batch_size_sum") / count
        found["tokens_per_batch"] = grown("batch_tokens_sum") / count
        found["padding_ratio"] = grown("padding_ratio_sum") / count
    return found


def table(results: Sequence[dict[str, Any]]) -> str:
    """All loads as a Markdown table."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    return "\n".join([*lines, *("| " + " | ".join(_cells(one)) + " |" for one in results)])


def write(about: dict[str, Any], head: str, text: str, *, json_file: Path | None, markdown_file: Path | None) -> None:
    """Keep results for programs, and their table under a head for people, where files are named for them."""
    if json_file:
        json_file.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    if markdown_file:
        markdown_file.write_text(f"{head}\n\n{text}\n", encoding="utf-8")


def _cells(one: dict[str, Any]) -> list[str]:
    def number(key: str, digits: int = 1) -> str:
        value = one.get(key)
        return "" if value is None else f"{value:.{digits}f}"

    statuses = one["statuses"]
    failed = sum(count for status, count in statuses.items() if status not in ("200", "429"))
    padding = one.get("padding_ratio")
    costs = [number(f"{part}_cpu_ms", 2) for part in ("load", "server", "engine")]
    return [
        one["server"], one["load"], one["length"], str(one["requests"]), number("per_second"), number("p50_ms"),
        number("p95_ms"), number("p99_ms"), number("queue_p50_ms"), number("infer_p50_ms"), number("rows_per_batch"),
        "" if padding is None else f"{100 * padding:.0f} %", " + ".join(filter(None, costs)),
        str(statuses.get("429", 0)), str(failed),
    ]  # fmt: skip


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
