"""Examples to look at as HTML: texts with marks, probabilities as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from bert_ms.tasks.findings import Exhibit, GalleryFinding, Part, Share
from bert_ms.training.report.elements import badges, facts

_MARKS = {"gold": "gold", "predicted": "predicted", "both": "gold predicted", "wrong": "wrong"}
_SHARE_MEANINGS = {"gold": "gold", "predicted": "predicted", "both": "gold, predicted", "wrong": "wrong", "": ""}


def gallery(finding: GalleryFinding) -> str:
    """Its heading, how many there are, and the examples."""
    shown, count = len(finding.exhibits), finding.count
    told = f"{shown} of {count:,}" if count > shown else f"{count:,}"
    note = f'<p class="quiet">{escape(finding.note)}</p>' if finding.note else ""
    examples = "".join(exhibit(each, finding.meanings) for each in finding.exhibits)
    return f'<h3>{escape(finding.title)} <span class="badge">{told}</span></h3>{note}{examples}'


def legend(meanings: Mapping[str, str]) -> str:
    """What the marks say."""
    marks = " ".join(f'<mark class="{_MARKS[mark]}">{escape(text)}</mark>' for mark, text in meanings.items())
    return f'<p class="quiet">{marks}</p>' if marks else ""


def exhibit(example: Exhibit, meanings: Mapping[str, str]) -> str:
    """One example on a card."""
    origin = f'<p class="quiet small">{escape(example.origin)}</p>' if example.origin else ""
    heading = f'<p class="asked">{escape(example.heading)}</p>' if example.heading else ""
    passages = "".join(f'<p class="passage">{marked(parts, meanings)}</p>' for parts in example.passages)
    listed = facts(example.facts) if example.facts else ""
    return (
        f'<article class="card question">{origin}{heading}{passages}{_shares(example.shares)}{listed}'
        f"{badges(example.badges)}</article>"
    )


def marked(parts: Sequence[Part], meanings: Mapping[str, str]) -> str:
    """A text with its marks; pointing at one tells what it means."""
    html = []
    for part in parts:
        text = escape(part.text)
        label = f"<sub>{escape(part.label)}</sub>" if part.label else ""
        if part.mark:
            title = escape(meanings.get(part.mark, ""))
            text = f'<mark class="{_MARKS[part.mark]}" title="{title}">{text}{label}</mark>'
            label = ""
        html.append(text + label)
    return "".join(html)


def _shares(shares: Sequence[Share]) -> str:
    """Probabilities with bars; what is gold and what was predicted is also written."""
    rows = []
    for share in shares:
        tag = f' <span class="badge">{_SHARE_MEANINGS[share.mark]}</span>' if share.mark else ""
        kind = _MARKS.get(share.mark, "")
        width = 100 * min(max(share.probability, 0.0), 1.0)
        rows.append(
            f'<li class="share {kind}"><span class="name">{escape(share.name)}{tag}</span>'
            f'<span class="track" aria-hidden="true"><i style="width:{width:.1f}%"></i></span>'
            f'<span class="much">{share.probability:.1%}</span></li>'
        )
    return f'<ul class="shares">{"".join(rows)}</ul>' if rows else ""
