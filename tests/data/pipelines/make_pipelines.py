"""Makes the checkpoints of this folder and golden.json, what Hugging Face's pipelines answer with them.

    python tests/data/pipelines/make_pipelines.py      # in an environment with torch and transformers (5.24 was used)

Networks are tiny and random, with weights large enough for answers to differ.
"""

from __future__ import annotations

import json
import string
from pathlib import Path

import torch
import transformers
from transformers import BertConfig, BertTokenizerFast, pipeline

HERE = Path(__file__).resolve().parent
WORDS = (
    "the a of to and in is was it for on as with by that this he she they we you i not are at from his her an were "
    "about text example sport politics science city london paris john smith anna works lives company game good bad "
    "movie film great terrible love hate question answer who where when what why"
).split()
PIECES = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.punctuation, *string.digits, *string.ascii_lowercase,
    *(f"##{c}" for c in string.ascii_lowercase + string.digits), "##ing", "##ed", "##s", *WORDS,
]  # fmt: skip
TEXTS = [
    "The film is good.",
    "John Smith lives in London and works for Acmecorp in Paris.",
    "a",
    "Who was it that she loved? The terrible game was terrible, unquestionably terrible!",
    "Wolfgang Amadeus is not from Xyz-city",
]
PAIRS = [["The film is good.", "She hates the movie."], ["a", "John works in the city of London."]]
MASKED = ["the [MASK] is good.", "she [MASK] in [MASK] ."]


def config(**more: object) -> BertConfig:
    return BertConfig(
        vocab_size=len(dict.fromkeys(PIECES)), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, initializer_range=0.3, **more,
    )  # fmt: skip


def save(name: str, network: str, tokenizer: BertTokenizerFast, **more: object) -> str:
    torch.manual_seed(len(name))
    model = getattr(transformers, network)(config(**more)).eval()
    model.save_pretrained(HERE / name)
    tokenizer.save_pretrained(HERE / name)
    for extra in ("tokenizer.json", "special_tokens_map.json"):
        (HERE / name / extra).unlink(missing_ok=True)
    (HERE / name / "vocab.txt").write_text("\n".join(dict.fromkeys(PIECES)) + "\n")
    return str(HERE / name)


def labels(*names: str) -> dict[str, object]:
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}


def main() -> None:
    vocabulary = HERE / "vocab.txt"
    vocabulary.write_text("\n".join(dict.fromkeys(PIECES)) + "\n")
    tokenizer = BertTokenizerFast(str(vocabulary), do_lower_case=True)
    vocabulary.unlink()
    single = save("labels", "BertForSequenceClassification", tokenizer, **labels("neg", "neutral", "pos"))
    several = save(
        "topics", "BertForSequenceClassification", tokenizer, problem_type="multi_label_classification",
        **labels("sport", "politics", "science"),
    )  # fmt: skip
    number = save("number", "BertForSequenceClassification", tokenizer, problem_type="regression", **labels("score"))
    inference = save(
        "inference", "BertForSequenceClassification", tokenizer, **labels("contradiction", "neutral", "entailment")
    )
    tags = save("tags", "BertForTokenClassification", tokenizer, **labels("O", "B-PER", "I-PER", "B-LOC", "I-LOC"))
    words = save("words", "BertForMaskedLM", tokenizer)
    encoder = save("encoder", "BertModel", tokenizer)

    golden: dict[str, object] = {"texts": TEXTS, "pairs": PAIRS, "masked": MASKED}
    pairs = [{"text": a, "text_pair": b} for a, b in PAIRS]
    for name, path in (("labels", single), ("topics", several), ("number", number)):
        nlp = pipeline("text-classification", path)
        golden[name] = nlp(TEXTS, top_k=None)
        golden[f"{name}_pairs"] = [nlp(pair, top_k=None) for pair in pairs]
    nlp = pipeline("zero-shot-classification", inference)
    for multi in (False, True):
        found = nlp(TEXTS, ["sport", "politics", "science"], hypothesis_template="this text is about {}.", multi_label=multi)
        golden[f"zero_shot_{multi}"] = [{"labels": one["labels"], "scores": one["scores"]} for one in found]
    nlp = pipeline("token-classification", tags)
    golden["tags"] = {
        strategy: [
            [{key: (float(v) if key == "score" else v) for key, v in one.items()} for one in found]
            for found in nlp(TEXTS, aggregation_strategy=strategy, ignore_labels=["O"])
        ]
        for strategy in ("none", "simple", "first", "average", "max")
    }
    nlp = pipeline("fill-mask", words)
    golden["words"] = nlp(MASKED, top_k=4)
    golden["words_targets"] = nlp(MASKED[0], targets=["film", "game", "city"])
    nlp = pipeline("feature-extraction", encoder)
    golden["encoder"] = [nlp(text)[0] for text in TEXTS[:3]]
    (HERE / "golden.json").write_text(json.dumps(golden, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
