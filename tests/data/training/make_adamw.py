"""Writes adamw.npz: 20 updates of torch.optim.AdamW on given gradients. Needs torch; run from this directory."""

import numpy as np
import torch

STEPS, RATE, DECAY, EPS = 20, 0.02, 0.01, 1e-6


def main() -> None:
    rng = np.random.default_rng(7)
    weight, bias = rng.standard_normal((5, 3)).astype(np.float32), rng.standard_normal(3).astype(np.float32)
    gradients = [rng.standard_normal((STEPS, *p.shape)).astype(np.float32) for p in (weight, bias)]
    rates = (RATE * np.linspace(1, 0.1, STEPS)).astype(np.float64)
    parameters = [torch.nn.Parameter(torch.tensor(p)) for p in (weight, bias)]
    groups = [{"params": parameters[:1], "weight_decay": DECAY}, {"params": parameters[1:], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, eps=EPS)
    after = [[], []]
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = float(rates[step])
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.tensor(gradient[step])
        optimizer.step()
        for kept, parameter in zip(after, parameters, strict=True):
            kept.append(parameter.detach().numpy().copy())
    np.savez_compressed(
        "adamw.npz", weight=weight, bias=bias, weight_gradients=gradients[0], bias_gradients=gradients[1], rates=rates,
        weight_after=np.stack(after[0]), bias_after=np.stack(after[1]), decay=DECAY, eps=EPS, torch=torch.__version__,
    )  # fmt: skip


if __name__ == "__main__":
    main()
