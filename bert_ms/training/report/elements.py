"""The small pieces that report.html is made of; everything that is given is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_MANY = 24  # rows of a table that is shown whole
_SHORT = 14  # characters of a row's name that are never broken


def section(title: str, body: str) -> str:
    """A part of the page with its heading; nothing if there is nothing in it."""
    return f"<section><h2>{escape(title)}</h2>\n{body}</section>" if body else ""


def card(title: str, note: str, body: str, *, kind: str = "") -> str:
    """A box with a heading and a sentence, either of which may be empty; the body is HTML."""
    head = f"<h3>{escape(title)}</h3>" if title else ""
    below = f'<p class="quiet">{escape(note)}</p>' if note else ""
    return f'<div class="card{f" {kind}" if kind else ""}">{head}{below}{body}</div>'


def table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """A table that scrolls if it is too wide.

    Args:
        head: of the columns.
        rows: each its first cell, then the others as HTML, perhaps with a <td> of their own.
    """
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = []
    for name, cells in rows:
        wrapped = (cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in cells)
        kind = "" if len(name) > _SHORT else ' class="short"'
        lines.append(f'<tr><th scope="row"{kind}>{breakable(name)}</th>{"".join(wrapped)}</tr>')
    body = "".join(lines)
    return scrolled(f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>", is_tall=len(lines) > _MANY)


def scrolled(html: str, *, is_tall: bool = False) -> str:
    """What may be wider than its place, or is too tall; it can be scrolled with the keyboard too."""
    return f'<div class="scroll{" tall" if is_tall else ""}" tabindex="0">{html}</div>'


def number_text(value: str | float) -> str:
    """A cell of a finding's table: text as it is, whole numbers as counts, others with one decimal."""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.1f}"


def cell(value: str | float) -> str:
    """A cell of a finding's table as HTML: words to the left, numbers to the right."""
    text = number_text(value)
    if isinstance(value, str) and any(map(str.isalpha, value)):
        return f'<td class="word">{breakable(text)}</td>'
    return f"<td>{escape(text)}</td>"


def breakable(text: str) -> str:
    """Escaped text that may be broken after each underscore, as long labels have them."""
    return escape(text).replace("_", "_<wbr>")


def facts(values: Iterable[tuple[str, object]]) -> str:
    """A list of names and values."""
    return "<dl>" + "".join(f"<dt>{escape(n)}</dt><dd>{escape(str(v))}</dd>" for n, v in values) + "</dl>"


def badges(texts: Iterable[str]) -> str:
    """Short facts in a row."""
    shown = "".join(f'<span class="badge">{escape(text)}</span>' for text in texts)
    return f"<p>{shown}</p>" if shown else ""


def bar(percent: float) -> str:
    """A cell with a bar; the number itself stands in another cell."""
    width = min(max(percent, 0.0), 100.0)
    return f'<td class="bar" aria-hidden="true"><span><i style="width:{width:.1f}%"></i></span></td>'
