"""How fast sentences become vectors: `bulk_encode` against what sentence-transformers does in PyTorch.

    python benchmarks/encode.py [--texts FILE] [--count 2000] [--int8]

Sentences of mixed length by the same MiniLM on the same threads in float32; with --int8 ours once more with dtype int8,
whose vectors are compared with ours in float32. The peer sorts by length, takes batches of
32 padded to their longest, pools the mean and normalises, under `inference_mode`. Both start from texts; sides run turn
and turn about; vectors must agree (cosine of each at least 0.99999). Without --texts, lines of the packaged SQuAD
sample. The peer runs in an environment of its own, see peer_env.py.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # for the sides as well: PYTHONPATH need not be set
SAMPLE = HERE.parent / "bert_ms" / "sample"
SIDES = ("bert_ms", "pytorch")
ROUNDED = "bert_ms, INT8"
BATCH, LONGEST = 32, 256
LEAST_COSINE = 0.99999


def main() -> None:
    """Run both sides in turns and write the table."""
    options = _options()
    if options.side:
        _serve(options)
    else:
        _compare(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, help="one text a line")
    parser.add_argument("--count", type=int, default=2000, help="texts (default 2000)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side (default 7)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each side (default 2)")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder of the table")
    parser.add_argument("--int8", action="store_true", help="ours once more, with dtype int8")
    parser.add_argument("--side", choices=(*SIDES, ROUNDED), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def sentences(path: Path | None, count: int) -> list[str]:
    """The first texts of a file, or sentences of the packaged passages.

    Raises:
        SystemExit: there are fewer than `count`.
    """
    if path is not None:
        found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    else:
        files = (json.loads((SAMPLE / f"squad_{name}.json").read_text(encoding="utf-8")) for name in ("train", "dev"))
        passages = [p for file in files for article in file["data"] for p in article["paragraphs"]]
        found = [s for p in passages for s in re.split(r"(?<=[.!?]) ", p["context"])]
        found += [question["question"] for p in passages for question in p["qas"]]
    if len(found) < count:
        raise SystemExit(f"there are only {len(found)} texts: give --texts FILE with more, or --count {len(found)}.")
    return found[:count]


def _compare(options: argparse.Namespace) -> None:
    from benchmarks.peer_env import peer_python
    from benchmarks.turns import machine, spread

    texts = sentences(options.texts, options.count)
    pythons = {"bert_ms": sys.executable, "pytorch": str(peer_python())}
    pythons |= {ROUNDED: sys.executable} if options.int8 else {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        workers = {side: _start(python, side, folder, options) for side, python in pythons.items()}
        facts = {side: _ask(worker, "ready") for side, worker in workers.items()}
        vectors = {side: np.load(folder / f"{side}.npy") for side in workers}
        cosine = _least_cosine(*(vectors[side] for side in SIDES))
        seconds: dict[str, list[float]] = {side: [] for side in workers}
        for _ in range(options.rounds):
            for side, worker in workers.items():
                seconds[side].append(_ask(worker, "run"))
        for worker in workers.values():
            worker.communicate(timeout=60)
    document = {
        "title": "Sentences to vectors, MiniLM, float32",
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "threads": options.threads,
        "rounds": options.rounds,
        "texts": {"from": options.texts.name if options.texts else "the packaged SQuAD sample", "count": len(texts)},
        "tokens": facts["pytorch"]["tokens"],
        "least_cosine": cosine,
        "versions": {side: facts[side]["versions"] for side in SIDES},
        "texts_per_second": {side: spread([len(texts) / s for s in values]) for side, values in seconds.items()},
        "ratio": spread([theirs / ours for ours, theirs in zip(*(seconds[side] for side in SIDES), strict=True)]),
    }
    if options.int8:
        cosines = (vectors[ROUNDED].astype(np.float64) * vectors["bert_ms"]).sum(1)
        ratios = [ours / rounded for ours, rounded in zip(seconds["bert_ms"], seconds[ROUNDED], strict=True)]
        document["int8"] = {"least_cosine": float(cosines.min()), "mean_cosine": float(cosines.mean()),
                            "ratio": spread(ratios)}  # fmt: skip
    text = table(document)
    print(text)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "encode.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (options.output / "encode.md").write_text(text, encoding="utf-8")


def _least_cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The least of all pairs of vectors of length 1, in float64.

    Raises:
        SystemExit: the sides do not compute the same.
    """
    least = float((ours.astype(np.float64) * theirs.astype(np.float64)).sum(1).min())
    if ours.shape != theirs.shape or not least >= LEAST_COSINE:
        raise SystemExit(f"the sides disagree: the least cosine is {least}, expected {LEAST_COSINE} or more.")
    return least


def table(document: dict[str, Any]) -> str:
    """The comparison as Markdown."""
    from benchmarks.turns import shown

    texts, tokens = document["texts"], document["tokens"]
    lines = [
        f"# {document['title']}",
        "",
        f"{texts['count']:,} texts of {texts['from']}, {tokens['least']} to {tokens['most']} tokens (mean "
        f"{tokens['mean']:.0f}), from text to vector. Peer: sorted batches of {BATCH}, mean pooling, normalised. Least "
        f"cosine of a pair of vectors: {document['least_cosine']:.7f}.",
        "",
        "| side | texts/s: median (least-most) |",
        "|---|---|",
    ]
    lines += [f"| {side} | {shown(speed, 0)} |" for side, speed in document["texts_per_second"].items()]
    lines += ["", f"bert_ms / peer, pair by pair: **{shown(document['ratio'])}**", ""]
    if "int8" in document:
        int8 = document["int8"]
        cosines = f"{int8['mean_cosine']:.4f} on average, {int8['least_cosine']:.4f} at least"
        lines += [f"INT8 / float32, ours, pair by pair: **{shown(int8['ratio'])}**. Cosine of a vector with the one in "
                  f"float32: {cosines}.", ""]  # fmt: skip
    lines += [f"{document['date']}; {document['machine']}; {document['threads']} threads a side; "
              f"{document['rounds']} turns."]  # fmt: skip
    lines += [f"{name}: {document['versions'][side]}." for name, side in zip(("Ours", "Peer"), SIDES, strict=True)]
    return "\n".join(lines) + "\n"


def _start(python: str, side: str, folder: Path, options: argparse.Namespace) -> subprocess.Popen[str]:
    command = [python, __file__, "--side", side, "--folder", str(folder), "--threads", str(options.threads)]
    count = str(options.threads)
    environment = {**os.environ, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "GLOG_v": "3",
                   "BERT_MS_MINILM": str(_minilm())}  # fmt: skip
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def _minilm() -> Path:
    from bert_ms.hub.catalogue import resolve

    return resolve("minilm")


def _ask(worker: subprocess.Popen[str], word: str) -> Any:
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(word + "\n")
    worker.stdin.flush()
    for line in worker.stdout:
        if line.startswith("@@"):  # libraries may print
            return json.loads(line[2:])
    raise SystemExit("one side stopped: see its error above")


def _serve(options: argparse.Namespace) -> None:
    """One side: encode once and keep the vectors, then once more whenever asked to."""
    texts = json.loads((options.folder / "texts.json").read_text(encoding="utf-8"))
    if options.side == "pytorch":
        encode, facts = _peer(texts, options.threads)
    else:
        encode, facts = _ours(options.threads, "int8" if options.side == ROUNDED else None)
    for line in sys.stdin:
        if line.strip() == "ready":
            np.save(options.folder / f"{options.side}.npy", encode(texts))  # warms up, too: compiles every shape
            answer: Any = facts
        else:
            begun = perf_counter()
            encode(texts)
            answer = perf_counter() - begun
        print(f"@@{json.dumps(answer)}", flush=True)


def _ours(threads: int, dtype: str | None) -> tuple[Any, dict[str, Any]]:
    import mindspore as ms

    import bert_ms

    folder = os.environ["BERT_MS_MINILM"]
    encoder = bert_ms.SentenceEncoder(folder, device="cpu", dtype=dtype, batch_size=BATCH, threads=threads)
    return encoder.bulk_encode, {"versions": f"bert_ms {bert_ms.__version__}, MindSpore {ms.__version__}"}


def _peer(texts: list[str], threads: int) -> tuple[Any, dict[str, Any]]:
    import torch
    import transformers

    torch.set_num_threads(threads)
    folder = os.environ["BERT_MS_MINILM"]
    network = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def encode(texts: list[str]) -> np.ndarray:
        order = np.argsort([-len(text) for text in texts], kind="stable")  # by characters, as sentence-transformers
        found = []
        with torch.inference_mode():
            for begin in range(0, len(texts), BATCH):
                some = [texts[i] for i in order[begin : begin + BATCH]]
                batch = tokenizer(some, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
                hidden = network(**batch).last_hidden_state
                mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
                mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
                found.append(torch.nn.functional.normalize(mean, p=2, dim=1).numpy())
        vectors = np.concatenate(found)
        result = np.empty_like(vectors)
        result[order] = vectors
        return result

    lengths = [len(ids) for ids in tokenizer(texts, truncation=True, max_length=LONGEST)["input_ids"]]
    tokens = {"least": min(lengths), "most": max(lengths), "mean": float(np.mean(lengths))}
    return encode, {
        "versions": f"PyTorch {torch.__version__}, Transformers {transformers.__version__}",
        "tokens": tokens,
    }


if __name__ == "__main__":
    main()
