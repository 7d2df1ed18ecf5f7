"""Training step against PyTorch with Transformers:  python benchmarks/training_step.py"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import turns

if __name__ == "__main__":
    turns.main(
        "training",
        "Training step, question answering, float32",
        "One optimiser step from numpy arrays to the loss: forward and backward with dropout 0.1 everywhere, clipping "
        "by global norm, AdamW with decay groups. Peer: `BertForQuestionAnswering`, sdpa attention, "
        "`AdamW(fused=True)`, `clip_grad_norm_`. Both compute in float32 accuracy (ours splits factors into three "
        "bfloat16 where the processor has AMX; the peer's default `highest` matmul precision). Random weights.",
    )
