"""The peer's side of a comparison, PyTorch with Transformers, run by the peer's own interpreter (see `peer_env.py`)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import transformers

from benchmarks import shapes, side


def training(config: transformers.BertConfig, rows: int, length: int) -> Callable[[], float]:
    """One optimiser step of question answering: dropout, fused AdamW, global-norm clip; gives the loss."""
    network = transformers.BertForQuestionAnswering._from_config(config, attn_implementation="sdpa").train()
    decayed = [p for n, p in network.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
    others = [p for n, p in network.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=3e-5, eps=1e-6, fused=True)
    inputs = shapes.batch(rows, length, with_labels=True)

    def step() -> float:
        ids, mask, types, start, end = (torch.from_numpy(array).long() for array in inputs)
        loss = network(
            input_ids=ids, attention_mask=mask, token_type_ids=types, start_positions=start, end_positions=end
        ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


def inference(config: transformers.BertConfig, rows: int, length: int) -> Callable[[], float]:
    """One forward pass from numpy ids to numpy vectors."""
    network = transformers.BertModel._from_config(config, attn_implementation="sdpa").eval()
    inputs = shapes.batch(rows, length, with_labels=False)

    def step() -> float:
        with torch.inference_mode():
            ids, mask, types = (torch.from_numpy(array).long() for array in inputs)
            output = network(input_ids=ids, attention_mask=mask, token_type_ids=types)
            return float(output.last_hidden_state.numpy()[0, 0, 0] + output.pooler_output.numpy()[0, 0])

    return step


def main() -> None:
    job, name, rows, length, threads = sys.argv[1], sys.argv[2], *(int(a) for a in sys.argv[3:6])
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    config = transformers.BertConfig(
        **shapes.MODELS[name],
        vocab_size=shapes.VOCABULARY,
        hidden_dropout_prob=shapes.DROPOUT,
        attention_probs_dropout_prob=shapes.DROPOUT,
    )
    step = {"training": training, "inference": inference}[job](config, rows, length)
    side.serve(step, lambda: {"versions": f"PyTorch {torch.__version__}, Transformers {transformers.__version__}"})


if __name__ == "__main__":
    main()
