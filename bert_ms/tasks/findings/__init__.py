"""What tasks have to show of their predictions, as plain data that a report can draw."""

from bert_ms.tasks.findings.kinds import (
    ChartFinding,
    ConfusionFinding,
    Exhibit,
    Finding,
    GalleryFinding,
    Part,
    Series,
    Share,
    TableFinding,
    as_json,
)

__all__ = [
    "ChartFinding",
    "ConfusionFinding",
    "Exhibit",
    "Finding",
    "GalleryFinding",
    "Part",
    "Series",
    "Share",
    "TableFinding",
    "as_json",
]
