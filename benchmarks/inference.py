"""Inference against PyTorch with Transformers:  python benchmarks/inference.py"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import turns

if __name__ == "__main__":
    turns.main(
        "inference",
        "Inference, encoder with pooler, float32",
        "One forward pass from numpy ids to numpy vectors, with padding. Peer: `BertModel` under `inference_mode`, "
        "sdpa attention. Both compute in float32 accuracy (ours splits factors into three bfloat16 where the "
        "processor has AMX; the peer's default `highest` matmul precision). Random weights.",
    )
