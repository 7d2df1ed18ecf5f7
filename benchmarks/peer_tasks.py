"""The peer's side of the task comparison: one data set fine-tuned with PyTorch and Transformers.

    PEER_PYTHON benchmarks/peer_tasks.py --data SPLITS --model MINILM --task mrpc --seed 42

SPLITS is what `real_data.py` wrote, MINILM the folder of the weights, PEER_PYTHON the interpreter of `peer_env.py`. The
scores come from scikit-learn, SciPy and seqeval. The last line printed is the result as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
import transformers

from benchmarks import real_data
from benchmarks.real_data import RealTask

POOL = 50
MULTIPLE = 8
IGNORED = -100
Rows = list[dict[str, Any]]


def main() -> None:
    """Train, evaluate after each epoch, print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that real_data.py wrote")
    parser.add_argument("--model", type=Path, required=True, help="folder of the pretrained model")
    parser.add_argument("--task", required=True, choices=list(real_data.TASKS))
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    task = real_data.TASKS[options.task]
    side = (TokenSide if task.kind == "tokens" else TextSide)(task, options.task, options.data, options.model)
    losses, scores = train(side, task, options.seed)
    versions = f"PyTorch {torch.__version__}, Transformers {transformers.__version__}"
    result = {"side": "peer", "task": options.task, "seed": options.seed, "rows": [len(side.train), len(side.dev)],
              "epochs": scores, "losses": losses, "threads": options.threads, "versions": versions}  # fmt: skip
    print(json.dumps(result), flush=True)


def train(side: TextSide | TokenSide, task: RealTask, seed: int) -> tuple[list[float], list[dict[str, float]]]:
    """AdamW with decay groups, linear warm-up and decay, clipping by global norm.

    Returns:
        The mean training loss of each epoch, and the scores after each epoch.
    """
    network, random = side.network, np.random.default_rng(seed)
    bare = [name for name, _ in network.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
    groups = [
        {"params": [p for n, p in network.named_parameters() if n not in bare], "weight_decay": 0.01},
        {"params": [p for n, p in network.named_parameters() if n in bare], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=task.learning_rate, eps=1e-6, fused=True)
    steps = task.epochs * -(-len(side.train) // task.batch_size)
    warmup = -(-steps // 10)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, warmup, steps)
    losses, scores = [], []
    for epoch in range(task.epochs):
        network.train()
        total = []
        for rows in grouped(side.train, task.batch_size, random):
            loss = network(**side.batch(rows)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            total.append(loss.item())
        losses.append(float(np.mean(total)))
        scores.append(side.score(logits(side)))
        print(f"epoch {epoch + 1}: loss {losses[-1]:.4f}, {scores[-1]}", flush=True)
    return losses, scores


def grouped(rows: Rows, size: int, random: np.random.Generator) -> Iterator[Rows]:
    """All rows once in a random order, in batches of similar length."""
    order = random.permutation(len(rows))
    batches = []
    for begin in range(0, len(order), POOL * size):
        pool = sorted(order[begin : begin + POOL * size], key=lambda row: len(rows[row]["input_ids"]))
        batches += [pool[start : start + size] for start in range(0, len(pool), size)]
    for index in random.permutation(len(batches)):
        yield [rows[row] for row in batches[index]]


@torch.inference_mode()
def logits(side: TextSide | TokenSide) -> list[np.ndarray]:
    """The network's output for each row to evaluate on, in their order; [L], or [S, L] with padding cut off."""
    side.network.eval()
    lengths = [len(row["input_ids"]) for row in side.dev]
    order = np.argsort(lengths, kind="stable")
    results: list[np.ndarray] = [np.empty(0)] * len(order)
    for begin in range(0, len(order), 64):
        chosen = order[begin : begin + 64]
        outputs = side.network(**side.batch([side.dev[row] for row in chosen])).logits.numpy()
        for row, output in zip(chosen, outputs, strict=True):
            results[row] = output[: lengths[row]] if output.ndim == 2 else output
    return results


def padded(rows: Rows, fill: dict[str, int]) -> dict[str, torch.Tensor]:
    """Ids, mask and token types [B, S], S a multiple of 8; other columns as `fill` says, or one a row."""
    length = -(-max(len(row["input_ids"]) for row in rows) // MULTIPLE) * MULTIPLE
    fill = {"input_ids": 0, "attention_mask": 0, "token_type_ids": 0, **fill}
    return {
        name: torch.tensor([row[name] + [fill[name]] * (length - len(row[name])) for row in rows])
        if name in fill
        else torch.tensor([row[name] for row in rows])
        for name in rows[0]
    }


class TextSide:
    """Sentences or pairs of sentences to a class or a number."""

    def __init__(self, task: RealTask, name: str, data: Path, model: Path):
        self.task = task
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(model)
        self.train, self.dev = (self._rows(path) for path in real_data.files(name, data))
        self.network = transformers.BertForSequenceClassification.from_pretrained(
            model, num_labels=1 if task.kind == "regression" else len(task.labels)
        )

    def _rows(self, path: Path) -> Rows:
        rows = real_data.read_table(self.task, path)
        texts, pairs, labels = zip(*rows, strict=True)
        encoded = self.tokenizer(list(texts), list(pairs) if pairs[0] is not None else None,
                                 truncation=True, padding=False, max_length=self.task.max_length,
                                 return_token_type_ids=True)  # fmt: skip
        numbers = [float(x) if self.task.kind == "regression" else self.task.labels.index(x) for x in labels]
        names = ("input_ids", "attention_mask", "token_type_ids")
        return [{**{key: encoded[key][row] for key in names}, "labels": number} for row, number in enumerate(numbers)]

    def batch(self, rows: Rows) -> dict[str, torch.Tensor]:
        """Arguments of the network."""
        return padded(rows, {})

    def score(self, outputs: list[np.ndarray]) -> dict[str, float]:
        """GLUE's scores, in percent."""
        import sklearn.metrics as sk
        from scipy import stats

        gold, stacked = np.array([row["labels"] for row in self.dev]), np.stack(outputs)
        if self.task.kind == "regression":
            values = {"pearson": stats.pearsonr(gold, stacked[:, 0]), "spearman": stats.spearmanr(gold, stacked[:, 0])}
            return {name: 100 * float(value.statistic) for name, value in values.items()}
        measures: dict[str, Callable[..., float]] = {
            "accuracy": sk.accuracy_score,
            "f1": sk.f1_score,
            "matthews": sk.matthews_corrcoef,
        }
        return {name: 100 * float(measure(gold, stacked.argmax(1))) for name, measure in measures.items()}


class TokenSide:
    """Words to tags: the first token of a word carries its label, the others are ignored."""

    def __init__(self, task: RealTask, name: str, data: Path, model: Path):
        self.task = task
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(model)
        train, dev = (real_data.read_sentences(path) for path in real_data.files(name, data))
        self.labels = sorted({tag for _, tags in train for tag in tags})
        self.gold = [tags for _, tags in dev]
        self.train, self.dev = self._rows(train), self._rows(dev)
        self.network = transformers.BertForTokenClassification.from_pretrained(model, num_labels=len(self.labels))

    def _rows(self, sentences: list[tuple[list[str], list[str]]]) -> Rows:
        rows = []
        for words, tags in sentences:
            encoded = self.tokenizer(words, is_split_into_words=True, truncation=True, padding=False,
                                     max_length=self.task.max_length, return_token_type_ids=True)  # fmt: skip
            labels, before = [], None
            for word in encoded.word_ids():
                is_first = word is not None and word != before
                known = is_first and tags[word] in self.labels
                labels.append(self.labels.index(tags[word]) if known else IGNORED)
                before = word
            names = ("input_ids", "attention_mask", "token_type_ids")
            rows.append({**{key: encoded[key] for key in names}, "labels": labels, "words": encoded.word_ids()})
        return rows

    def batch(self, rows: Rows) -> dict[str, torch.Tensor]:
        """Arguments of the network."""
        return padded([{k: v for k, v in row.items() if k != "words"} for row in rows], {"labels": IGNORED})

    def score(self, outputs: list[np.ndarray]) -> dict[str, float]:
        """Entity-wise scores, in percent; a word without a token of its own counts as outside."""
        from seqeval.metrics import f1_score, precision_score, recall_score

        predicted = []
        for row, output, gold in zip(self.dev, outputs, self.gold, strict=True):
            tags, best = ["O"] * len(gold), output.argmax(-1)
            for token, word in reversed(list(enumerate(row["words"]))):
                if word is not None:
                    tags[word] = self.labels[best[token]]
            predicted.append(tags)
        measures = {"f1": f1_score, "precision": precision_score, "recall": recall_score}
        return {name: 100 * float(measure(self.gold, predicted)) for name, measure in measures.items()}


if __name__ == "__main__":
    main()
