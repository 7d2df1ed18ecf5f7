"""The comparisons of loading and of sentence vectors: what they compare, and the tables that they write."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import encode, loading

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
    shown = encode.table(
        {
            **facts,
            "texts": {"from": "f", "count": 2000},
            "tokens": {"least": 3, "most": 90, "mean": 20.0},
            "least_cosine": 0.999999,
            "versions": dict.fromkeys(encode.SIDES, "v"),
            "texts_per_second": dict.fromkeys(encode.SIDES, SPREAD),
            "ratio": SPREAD,
        }
    )
    assert "bert_ms / peer, pair by pair: **1.50 (1.00-2.00)**" in shown
