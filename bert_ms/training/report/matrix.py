"""A confusion matrix as a table whose cells are shaded by their part of the row."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from bert_ms.metrics.confusion import folded, most_confused
from bert_ms.tasks.findings import ConfusionFinding
from bert_ms.training.report.elements import breakable, scrolled

_MOST_LABELS, _KEPT_LABELS = 16, 12
_FEW_LABELS, _SHORT_LABEL = 4, 6  # heads of more and longer labels stand upright
_SHORT_NAME = 14
_STRONG = 0.55  # cells shaded more than this are written in the light ink


def matrix(finding: ConfusionFinding) -> str:
    """The table as HTML; of many labels, those with the most errors."""
    rows, columns, counts = list(finding.rows), list(finding.columns), [list(row) for row in finding.counts]
    note = ""
    if len(rows) > _MOST_LABELS:
        note = f"The {_KEPT_LABELS} labels with the most errors of {len(rows):,}, the others taken together."
        rows, columns, counts = _reduced(rows, columns, counts)
    is_upright = len(columns) > _FEW_LABELS and max(map(len, columns)) > _SHORT_LABEL
    kind = "confusion upright" if is_upright else "confusion"
    head = "".join(f'<th scope="col"><span>{breakable(name)}</span></th>' for name in columns)
    body = ""
    for at, (name, row) in enumerate(zip(rows, counts, strict=True)):
        total = sum(count or 0 for count in row)
        cells = "".join(_cell(count, total, is_right=at == column) for column, count in enumerate(row))
        short = ' class="short"' if len(name) <= _SHORT_NAME else ""
        body += f'<tr><th scope="row"{short}>{breakable(name)}</th>{cells}<td class="sum">{total:,}</td></tr>'
    below = f'<p class="quiet">{escape(note)}</p>' if note else ""
    shown = (
        f'<table class="{kind}"><thead><tr><th scope="col">gold \\ predicted</th>{head}'
        f'<th scope="col" class="sum">all</th></tr></thead><tbody>{body}</tbody></table>'
    )
    return below + scrolled(shown)


def _cell(count: int | None, total: int, *, is_right: bool) -> str:
    if count is None:
        return "<td></td>"
    share = count / total if total else 0.0
    kind = ("right" if is_right else "wrong") + (" strong" if share > _STRONG else "")
    if not count:
        return f'<td class="{kind} none">0</td>'
    return f'<td class="{kind}" style="--p:{share:.3f}" title="{100 * share:.1f} % of its row">{count:,}</td>'


def _reduced(
    rows: Sequence[str], columns: Sequence[str], counts: Sequence[Sequence[int | None]]
) -> tuple[list[str], list[str], list[list[int | None]]]:
    """The most confused labels; a last one that stands for none at all stays."""
    table = np.array([[count or 0 for count in row] for row in counts], np.int64)
    kept = most_confused(table, _KEPT_LABELS)
    if counts[-1][-1] is None and len(rows) - 1 not in kept:
        kept.append(len(rows) - 1)
    values: list[list[int | None]] = [list(row) for row in folded(table, kept).tolist()]
    values[-1][-1] = None
    if counts[-1][-1] is None:
        values[-2][-2] = None
    return [*(rows[at] for at in kept), "others"], [*(columns[at] for at in kept), "others"], values
