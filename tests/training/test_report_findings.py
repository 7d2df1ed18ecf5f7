"""How findings are drawn: matrices folded and shaded, charts inside their frames, galleries counted."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from bert_ms.tasks.findings import (
    ChartFinding,
    ConfusionFinding,
    Exhibit,
    Finding,
    GalleryFinding,
    Part,
    Series,
    Share,
    TableFinding,
)
from bert_ms.training.report.findings import sections


def texts(html: str, tag: str) -> list[str]:
    """What stands in each element of this tag, without markup."""
    return [re.sub(r"<[^>]+>", "", inside) for inside in re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", html, re.DOTALL)]


def confusion(size: int, *, has_none: bool = False) -> ConfusionFinding:
    """Label n was taken for label n + 1 n times."""
    counts: list[list[int | None]] = [[0] * size for _ in range(size)]
    for n in range(size):
        counts[n][n] = 100
        counts[n][(n + 1) % size] = n
    if has_none:
        counts[-1][-1] = None
    names = [f"label_{n}" for n in range(size)]
    return ConfusionFinding(title="Confusion", rows=names, columns=names, counts=counts)


def test_findings_of_one_section_stand_under_one_heading_in_their_order() -> None:
    found = [
        TableFinding(title="one", section="First", columns=["a"], rows=[]),
        GalleryFinding(title="two", section="First", exhibits=[], count=0),
        TableFinding(title="three", section="Second", columns=["a"], rows=[]),
    ]
    page = sections(found)
    assert texts(page, "h2") == ["First", "Second"]
    assert [re.sub(" .*", "", title) for title in texts(page, "h3")] == ["one", "two", "three"]
    assert sections([]) == ""


def test_every_kind_of_finding_can_be_drawn() -> None:
    kinds = {kind.kind for kind in Finding.__subclasses__()}
    assert kinds == {"table", "confusion", "chart", "gallery"}
    chart = ChartFinding(title="c", series=[], x_name="x", y_name="y")
    assert "Nothing was logged" in sections([chart])


def test_cells_of_a_matrix_are_shaded_by_their_part_of_the_row() -> None:
    page = sections([ConfusionFinding(title="c", rows=["a", "b"], columns=["a", "b"], counts=[[30, 10], [0, 5]])])
    assert '<td class="right strong" style="--p:0.750" title="75.0 % of its row">30</td>' in page
    assert '<td class="wrong" style="--p:0.250" title="25.0 % of its row">10</td>' in page
    assert '<td class="wrong none">0</td><td class="right strong" style="--p:1.000"' in page
    assert '<td class="sum">40</td>' in page


def test_of_many_labels_the_most_confused_are_shown_and_every_count_stays() -> None:
    page = sections([confusion(40)])
    assert "The 12 labels with the most errors of 40" in page
    names = [name for name in texts(page, "th") if name.startswith("label_") or name == "others"]
    assert names[:13] == [*(f"label_{n}" for n in range(28, 40)), "others"]
    # the row of label 38 sums to what it was: 100 right, 38 taken for 39
    assert '<td class="sum">138</td>' in page


def test_the_row_of_what_was_not_there_stays_among_many_labels() -> None:
    finding = confusion(40, has_none=True)
    last = [*finding.rows[:-1], "spurious"]
    page = sections([ConfusionFinding(title="c", rows=last, columns=last, counts=finding.counts)])
    assert "spurious" in texts(page, "th") and page.count("<td></td>") == 2


def test_a_table_has_a_bar_beside_its_numbers() -> None:
    rows = [["a_b", 1234, 50.0], ["c", 1, 150.0]]
    page = sections([TableFinding(title="t", columns=["Kind", "N", "F1"], rows=rows, bar="F1")])
    assert "1,234" in page and "50.0" in page and "a_<wbr>b" in page
    assert re.findall(r'<i style="width:([\d.]+)%">', page) == ["50.0", "100.0"]


def test_a_long_table_scrolls() -> None:
    rows = [[f"row {n}", n] for n in range(30)]
    assert 'class="scroll tall" tabindex="0"' in sections([TableFinding(title="t", columns=["a", "b"], rows=rows)])


@pytest.mark.parametrize("style", ["line", "dots", "bars"])
def test_points_of_a_chart_stay_inside_its_frame(style: str) -> None:
    series = Series(name="s", points=[(0.05, 0.0), (0.95, 1.0)], style=style, width=0.1)  # type: ignore[arg-type]
    ranges = {"x_range": (0.0, 1.0), "y_range": (0.0, 1.0)}
    page = sections([ChartFinding(title="c", series=[series], x_name="x", y_name="y", has_diagonal=True, **ranges)])
    assert page.count('class="diagonal"') == 1
    for name, most in (("cx|x1|x2|x", 460), ("cy|y1|y2", 270)):
        assert all(0 <= float(value) <= most for value in re.findall(rf' (?:{name})="([^"]+)"', page))


def test_a_chart_of_bars_is_told_in_words_and_carries_its_labels() -> None:
    series = Series(name="", points=[(0.1, 0.25), (0.9, 0.75)], style="bars", width=0.2, labels=["12", "34"])
    page = sections([ChartFinding(title="Calibration", series=[series], x_name="x", y_name="y")])
    assert 'aria-label="Calibration: Calibration: 0.25 at 0.1, 0.75 at 0.9."' in page
    assert [text for text in texts(page, "text") if text in ("12", "34")] == ["12", "34"]


def test_marks_have_titles_and_a_legend_of_the_section() -> None:
    exhibit = Exhibit(passages=[[Part("In "), Part("Oslo", "wrong", "PER → LOC")]])
    meanings = {"wrong": "another type"}
    page = sections([GalleryFinding(title="g", exhibits=[exhibit], count=7, meanings=meanings)])
    assert '<mark class="wrong">another type</mark>' in page
    assert '<mark class="wrong" title="another type">Oslo<sub>PER → LOC</sub></mark>' in page
    assert '<span class="badge">1 of 7</span>' in page


def test_the_legend_stands_above_the_first_gallery() -> None:
    gallery = GalleryFinding(title="g", exhibits=[Exhibit()], count=1, meanings={"gold": "what is gold"})
    page = sections([confusion(12), gallery, gallery])
    assert page.count("what is gold") == 1
    assert page.index("</table>") < page.index("what is gold") < page.index("<article")


def test_probabilities_say_in_words_what_is_gold() -> None:
    exhibit = Exhibit(shares=[Share("a", 0.75, "predicted"), Share("b", 0.25, "gold"), Share("c", 0.0)])
    page = sections([GalleryFinding(title="g", exhibits=[exhibit], count=1)])
    assert texts(page, "li") == ["a predicted75.0%", "b gold25.0%", "c0.0%"]


def test_findings_need_no_mindspore() -> None:
    code = (
        "import sys\nfrom bert_ms.tasks.findings import texts, choices, tags, questions\n"
        "from bert_ms.metrics import calibration, confusion, curves\nimport bert_ms.training.report\n"
        "sys.exit('mindspore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
