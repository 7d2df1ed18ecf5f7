"""Writes inputs.npz, outputs.npz and cases.json here: what Transformers' `generate` makes of the network beside it."""

import json

import numpy as np
import torch
import transformers
from transformers.generation import logits_process as processors

LENGTHS = (6, 3, 9, 5)
FREE = {"repetition_penalty": 1.4}
CASES = {
    "greedy": {},
    "greedy_types": {"has_types": True},
    "greedy_eos": {"eos_token_id": 98},
    "greedy_free": {**FREE, "max_new_tokens": 16},
    "beams": {"num_beams": 3, "num_return_sequences": 3},
    "beams_short": {"num_beams": 3, "length_penalty": 0.0, "eos_token_id": [98, 63]},
    "beams_eos": {"num_beams": 3, "eos_token_id": 98, "num_return_sequences": 3},
    "beams_long": {"num_beams": 3, "length_penalty": 2.0, "eos_token_id": [98, 63], "num_return_sequences": 2},
    "beams_early": {"num_beams": 3, "eos_token_id": [98, 63], "early_stopping": True},
    "beams_never": {"num_beams": 3, "eos_token_id": [98, 63], "early_stopping": "never"},
    "beams_free": {"num_beams": 3, **FREE, "eos_token_id": 22, "max_new_tokens": 16, "num_return_sequences": 2},
}
FILTERS = {
    "temperature": processors.TemperatureLogitsWarper(0.7),
    "top_k": processors.TopKLogitsWarper(5),
    "top_p": processors.TopPLogitsWarper(0.8),
    "top_p_small": processors.TopPLogitsWarper(0.05),
    "repetition_penalty": processors.RepetitionPenaltyLogitsProcessor(1.4),
}


def prompts() -> dict[str, np.ndarray]:
    """Four prompts, padded on the left."""
    rng, width = np.random.default_rng(0), max(LENGTHS)
    names = ("input_ids", "attention_mask", "token_type_ids")
    arrays = {name: np.zeros((len(LENGTHS), width), np.int64) for name in names}
    for row, length in enumerate(LENGTHS):
        arrays["input_ids"][row, width - length :] = rng.integers(1, 120, length)
        arrays["attention_mask"][row, width - length :] = 1
        arrays["token_type_ids"][row, width - length :] = np.arange(length) >= 2
    return arrays


def main() -> None:
    network = transformers.BertLMHeadModel.from_pretrained(".", attn_implementation="eager").eval()
    inputs = prompts()
    outputs: dict[str, np.ndarray] = {}
    for name, case in CASES.items():
        settings = {"max_new_tokens": 12, **case}
        given = {key: torch.tensor(inputs[key]) for key in ("input_ids", "attention_mask")}
        if settings.pop("has_types", False):
            given["token_type_ids"] = torch.tensor(inputs["token_type_ids"])
        done = network.generate(
            **given, **settings, do_sample=False, pad_token_id=0, return_dict_in_generate=True, output_scores=True
        )
        outputs[f"{name}.tokens"] = done.sequences[:, inputs["input_ids"].shape[1] :].numpy().astype(np.int32)
        if "num_beams" in settings:
            outputs[f"{name}.scores"] = done.sequences_scores.numpy()
    rng = np.random.default_rng(1)
    inputs["scores"] = rng.normal(0, 2, (4, 30)).astype(np.float32)
    inputs["seen"] = rng.integers(0, 30, (4, 7))
    for name, process in FILTERS.items():
        outputs[f"filter.{name}"] = process(torch.tensor(inputs["seen"]), torch.tensor(inputs["scores"])).numpy()
    np.savez_compressed("inputs.npz", **inputs)
    np.savez_compressed("outputs.npz", **outputs)
    with open("cases.json", "w", encoding="utf-8") as file:
        json.dump({"transformers": transformers.__version__, "cases": CASES}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
