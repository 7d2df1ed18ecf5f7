"""The peer's side of the pretraining comparison: fixed batches, dropout 0, the loss of every step.

    PEER_PYTHON benchmarks/peer_pretraining.py --batches FILE.npz --model DIR [--learning-rate 1e-4] [--warmup-steps 10]

DIR has Hugging Face's `config.json` and `model.safetensors` with every parameter of `BertForMaskedLM` (`bert.*` without
pooler, `cls.predictions.*`), or of `BertForPreTraining` (pooler and `cls.seq_relationship.*` as well) where the batches
carry next_sentence_label. A tied decoder need not be in the file. A parameter that is missing or left over is an error,
since it would be random.

FILE.npz has arrays for N steps of B rows, integers of any width:

    input_ids, attention_mask, token_type_ids   [N, B, S]
    masked_positions                            [N, B, P]  positions in the row; any valid position where labels is -100
    labels                                      [N, B, P]  the true token of each masked position, -100 for a filler
    next_sentence_label                         [N, B]     optional; 0 where the second part follows the first

One step a batch: loss = mean cross entropy over all labels of the batch that are not -100, plus the mean cross entropy
of next_sentence_label where there is one; AdamW (betas 0.9 and 0.999, eps 1e-6, decay 0.01 but none on biases and
LayerNorm), gradients clipped to global norm 1, linear warm-up to the peak with its last step, then linear decay that
would reach 0 at step N. The last line printed is JSON: {"losses": [N floats], "versions": text}; the loss of a step is
the one before its update.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import transformers

IGNORED = -100


def main() -> None:
    """Train on the given batches and print the losses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--warmup-steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with np.load(options.batches, allow_pickle=False) as archive:
        batches = {name: archive[name].astype(np.int64) for name in archive.files}
    network = load(options.model, with_next_sentence="next_sentence_label" in batches)
    losses = train(network, batches, peak=options.learning_rate, warmup=options.warmup_steps)
    versions = f"PyTorch {torch.__version__}, Transformers {transformers.__version__}"
    print(json.dumps({"losses": losses, "versions": versions}), flush=True)


def load(folder: Path, *, with_next_sentence: bool) -> torch.nn.Module:
    """The network with dropout 0, every parameter from the file.

    Raises:
        SystemExit: the file has other parameters than the network.
    """
    kind = transformers.BertForPreTraining if with_next_sentence else transformers.BertForMaskedLM
    config = transformers.BertConfig.from_pretrained(
        folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, classifier_dropout=0.0
    )
    network, report = kind.from_pretrained(folder, config=config, dtype=torch.float32, output_loading_info=True)
    wrong = {what: sorted(names) for what, names in report.items() if names}
    if wrong:
        raise SystemExit(f"{folder} does not fill {kind.__name__}: {wrong}")
    return network.train()


def train(network: torch.nn.Module, batches: Mapping[str, np.ndarray], *, peak: float, warmup: int) -> list[float]:
    """One step for each batch; the loss of every step."""
    bare = {name for name, _ in network.named_parameters() if name.endswith("bias") or "LayerNorm" in name}
    groups = [
        {"params": [p for n, p in network.named_parameters() if n not in bare], "weight_decay": 0.01},
        {"params": [p for n, p in network.named_parameters() if n in bare], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=peak, eps=1e-6)
    losses, steps = [], len(batches["input_ids"])
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = peak * rate(step, warmup=warmup, steps=steps)
        loss = network(**arguments(batches, step)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if (step + 1) % 10 == 0:
            print(f"step {step + 1}: loss {losses[-1]:.5f}", flush=True)
    return losses


def rate(step: int, *, warmup: int, steps: int) -> float:
    """Part of the peak learning rate; the first step is step 0, and none has rate 0."""
    return (step + 1) / warmup if step < warmup else (steps - step) / (steps - warmup)


def arguments(batches: Mapping[str, np.ndarray], step: int) -> dict[str, torch.Tensor]:
    """What the network takes: labels stand at their positions [B, S], -100 elsewhere."""
    ids = batches["input_ids"][step]
    labels = np.full(ids.shape, IGNORED, np.int64)
    rows, columns = np.nonzero(batches["labels"][step] != IGNORED)
    labels[rows, batches["masked_positions"][step][rows, columns]] = batches["labels"][step][rows, columns]
    given = {
        "input_ids": ids,
        "attention_mask": batches["attention_mask"][step],
        "token_type_ids": batches["token_type_ids"][step],
        "labels": labels,
    }
    if "next_sentence_label" in batches:
        given["next_sentence_label"] = batches["next_sentence_label"][step]
    return {name: torch.from_numpy(array) for name, array in given.items()}


if __name__ == "__main__":
    main()
