"""Writes objectives.npz: reshaped cross entropies and R-Drop losses with their gradients, by PyTorch.

Needs torch; run from this directory.
"""

import numpy as np
import torch
from torch.nn import functional as F

IGNORED, ALPHA = -100, 1.5
# name -> (smoothing, gamma, whether classes have weights)
SHAPES = {
    "plain": (0.0, 0.0, False), "weighted": (0.0, 0.0, True), "smoothed": (0.1, 0.0, False),
    "weighted_smoothed": (0.1, 0.0, True), "focal": (0.0, 2.0, False), "focal_half": (0.0, 0.5, False),
    "all": (0.1, 2.0, True),
}  # fmt: skip


def shaped(logits, labels, weight, smoothing, gamma):
    """cross_entropy, with each row's part multiplied by (1 - p)^gamma."""
    if gamma == 0:
        return F.cross_entropy(logits, labels, weight=weight, label_smoothing=smoothing, ignore_index=IGNORED)
    rows = F.cross_entropy(
        logits, labels, weight=weight, label_smoothing=smoothing, ignore_index=IGNORED, reduction="none"
    )
    counted = labels != IGNORED
    safe = torch.where(counted, labels, torch.zeros_like(labels))
    p = F.softmax(logits, -1).gather(1, safe[:, None])[:, 0]
    norm = (torch.ones(logits.shape[1], dtype=logits.dtype) if weight is None else weight)[safe][counted].sum()
    return ((1 - p) ** gamma * rows)[counted].sum() / norm


def divergence(p, q, counted):
    """Half of both Kullback-Leibler divergences, mean over the rows that count."""
    p, q = F.log_softmax(p, -1), F.log_softmax(q, -1)
    both = F.kl_div(p, q.exp(), reduction="none").sum(-1) + F.kl_div(q, p.exp(), reduction="none").sum(-1)
    return (both / 2)[counted].mean()


def kept(into, name, loss, *inputs):
    gradients = torch.autograd.grad(loss, inputs)
    into[f"{name}_loss"] = np.float64(loss.item())
    for k, gradient in enumerate(gradients):
        into[f"{name}_gradient{k}"] = gradient.numpy().astype(np.float32)


def main() -> None:
    rng = np.random.default_rng(11)
    logits = (3 * rng.standard_normal((9, 4))).astype(np.float32)
    labels = np.array([0, 1, 2, 3, IGNORED, 1, 1, IGNORED, 0], np.int32)
    weight = np.array([0.2, 1.0, 3.5, 0.7], np.float32)
    other = (logits + rng.standard_normal(logits.shape)).astype(np.float32)
    ends, other_ends = (rng.standard_normal((9, 4)).astype(np.float32) for _ in range(2))
    positions = np.array([0, 3, 2, 1, 1, 0, 3, 2, 1], np.int32)
    into = {"logits": logits, "labels": labels, "weight": weight, "other": other, "ends": ends,
            "other_ends": other_ends, "positions": positions, "alpha": ALPHA, "torch": torch.__version__}  # fmt: skip
    y, w, at = torch.tensor(labels).long(), torch.tensor(weight).double(), torch.tensor(positions).long()
    one, two, three, four = (
        torch.tensor(x).double().requires_grad_() for x in (logits, other, ends, other_ends)
    )
    for name, (smoothing, gamma, is_weighted) in SHAPES.items():
        kept(into, name, shaped(one, y, w if is_weighted else None, smoothing, gamma), one)
    counted, always = y != IGNORED, torch.ones(9, dtype=torch.bool)
    both = (F.cross_entropy(one, y) + F.cross_entropy(two, y)) / 2
    kept(into, "r_drop", both + ALPHA * divergence(one, two, counted), one, two)
    spans = sum(F.cross_entropy(x, at) for x in (one, two, three, four)) / 4
    kl = (divergence(one, two, always) + divergence(three, four, always)) / 2
    kept(into, "r_drop_spans", spans + ALPHA * kl, one, two, three, four)
    value, again = one[:, :1], two[:, :1]
    target = torch.tensor(weight[positions]).double()[:, None]
    squares = (F.mse_loss(value, target) + F.mse_loss(again, target)) / 2 + ALPHA * F.mse_loss(value, again)
    kept(into, "r_drop_values", squares, one, two)
    true = torch.tensor(logits[:, ::-1].copy() > 0).double()
    p, q = torch.sigmoid(one), torch.sigmoid(two)
    bits = [torch.stack((torch.log(x), torch.log(1 - x)), -1) for x in (p, q)]
    each = (bits[0].exp() - bits[1].exp()) * (bits[0] - bits[1])
    several = (F.binary_cross_entropy_with_logits(one, true) + F.binary_cross_entropy_with_logits(two, true)) / 2
    kept(into, "r_drop_several", several + ALPHA * each.sum(-1).mean() / 2, one, two)
    np.savez_compressed("objectives.npz", **into)


if __name__ == "__main__":
    main()
