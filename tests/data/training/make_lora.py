"""Writes lora/: an adapter by PEFT on golden/hf_bert_qa with random numbers in it, its outputs, loss and gradients.

Needs torch, transformers and peft; run from this directory.
"""

from pathlib import Path

import numpy as np
import peft
import torch
from transformers import BertForQuestionAnswering

BASE = Path("../golden/hf_bert_qa")


def main() -> None:
    inputs = {name: torch.tensor(array).long() for name, array in np.load(BASE / "inputs.npz").items()}
    base = BertForQuestionAnswering.from_pretrained(BASE, attn_implementation="eager")
    config = peft.LoraConfig(
        task_type="QUESTION_ANS", r=3, lora_alpha=6, target_modules=["query", "value", "intermediate.dense"],
        modules_to_save=["qa_outputs"],
    )  # fmt: skip
    network = peft.get_peft_model(base, config).eval()
    torch.manual_seed(3)
    learning = {name: p for name, p in network.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for p in learning.values():
            p.add_(0.2 * torch.randn_like(p))
    output = network.base_model.model(**inputs)  # PEFT's own forward for this task drops token_type_ids
    output.loss.backward()
    kept = {"start_logits": output.start_logits, "end_logits": output.end_logits, "loss": output.loss}
    for name, p in learning.items():
        kept[f"gradient:{name.replace('.default', '').replace('modules_to_save.', '')}"] = p.grad
    network.save_pretrained("lora")
    (Path("lora") / "README.md").unlink()
    np.savez_compressed("lora/expected.npz", **{name: value.detach().numpy() for name, value in kept.items()})


if __name__ == "__main__":
    main()
