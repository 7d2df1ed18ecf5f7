"""The small pieces that report.html is made of; everything that is given is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


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
    body = ""
    for name, cells in rows:
        wrapped = (cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in cells)
        body += f'<tr><th scope="row">{escape(name)}</th>{"".join(wrapped)}</tr>'
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def number_text(value: str | float) -> str:
    """A cell of a finding's table: text as it is, whole numbers as counts, others with one decimal."""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.1f}"


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
