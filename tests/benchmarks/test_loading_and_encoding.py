"""The comparisons of loading and of sentence vectors: what they compare, and the tables that they write."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import encode, exported, loading

SPREAD = {"median": 1.5, "min": 1.0, "max": 2.0}


def test_the_packaged_sample_has_two_thousand_sentences_of_mixed_length() -> None:
    texts = encode.sentences(None, 2000)
    lengths = [len(text) for text in texts]
    assert len(texts) == 2000 and min(lengths) < 30 and max(lengths) > 300
    with pytest.raises(SystemExit, match="there are only"):
        encode.sentences(None, 1_000_000)


def test_vectors_that_differ_end_the_comparison() -> None:
    same = np.eye(3, dtype=np.float32)
    assert encode._least_cosine(same, same) == 1.0
    with pytest.raises(SystemExit, match=r"the least cosine is 0\.0, expected 0\.99999 or more"):
        encode._least_cosine(same, same[::-1])


def test_both_tables_tell_the_ratio() -> None:
    facts = {"title": "t", "date": "d", "machine": "m", "threads": 2, "rounds": 7}
    both = dict.fromkeys(loading.SIDES, SPREAD)
    result = {"kind": "bin", "file_mb": 418.0, "memory": both, "versions": dict.fromkeys(loading.SIDES, "v")}
    result |= {time: {**both, "ratio": SPREAD} for time in loading.TIMES}
    shown = loading.table({**facts, "layers": 12, "results": [result]})
    assert shown.count("| bin, 418 MB |") == 3 and "1.50 (1.00-2.00)" in shown
    encoded = {
        **facts,
        "texts": {"from": "f", "count": 2000},
        "tokens": {"least": 3, "most": 90, "mean": 20.0},
        "least_cosine": 0.999999,
        "versions": dict.fromkeys(encode.SIDES, "v"),
        "texts_per_second": dict.fromkeys(encode.SIDES, SPREAD),
        "ratio": SPREAD,
    }
    shown = encode.table(encoded)
    assert "bert_ms / peer, pair by pair: **1.50 (1.00-2.00)**" in shown and "INT8" not in shown
    encoded["texts_per_second"][encode.ROUNDED] = SPREAD
    shown = encode.table({**encoded, "int8": {"least_cosine": 0.99, "mean_cosine": 0.998, "ratio": SPREAD}})
    assert "| bert_ms, INT8 | 2 (1-2) |" in shown
    assert "float32, ours, pair by pair: **1.50 (1.00-2.00)**" in shown
    assert "0.9980 on average, 0.9900 at least" in shown


def test_a_network_that_is_rounded_as_it_is_loaded_stands_beside_its_exports() -> None:
    speeds = {exported.CELL: [2.0, 4.0], exported.CELL_INT8: [4.0, 6.0]}
    scores = {"exact_match": 40.0, "f1": 50.0, "mb": 90.0}
    networks = {exported.CELL: scores, exported.CELL_INT8: {**scores, "f1": 49.5}}
    subject = {"name": "MiniLM", "networks": networks}
    row = exported.line(subject, exported.CELL_INT8, {"rows": 8, "length": 128, "speeds": speeds})
    assert row == (
        "| MiniLM | Cell, INT8 | (8, 128) | 5.00 (4.00-6.00) | 1.75 (1.50-2.00) | 40.00 | 49.50 | +0.50 | 90 |"
    )
