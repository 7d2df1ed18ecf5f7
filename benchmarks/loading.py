"""How long a BERT-base file takes to load, and how much memory: bert_ms against Transformers.

    python benchmarks/loading.py [--rounds 7] [--layers 12]

Files of Hugging Face's names are made on the spot with random weights, one as safetensors and one as PyTorch's .bin.
Every load is a process of its own; the sides take turns, so that both meet the same weather and a file that the system
holds in memory already. A file may be mapped and not read before its numbers are used, so each side is also timed until
it has read every weight once. The peer runs in an environment of its own, see peer_env.py.
"""

# ruff: noqa: E402 - the clock starts before the other imports

from __future__ import annotations

from time import perf_counter

STARTED = perf_counter()  # before anything is imported that a side would not import without this script

import argparse
import datetime
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # for the sides as well: PYTHONPATH need not be set
KINDS = {"safetensors": "model.safetensors", "bin": "pytorch_model.bin"}
SIDES = ("bert_ms", "transformers")
TITLE = "Loading a file of Hugging Face's names"
TIMES = {"load": "from_pretrained", "usable": "and every weight read", "with_imports": "and the imports"}
MEGABYTE = 2**20


def main() -> None:
    """Run both sides in turns and write the table."""
    options = _options()
    if options.side == "make":
        _make(options)
    elif options.side:
        _load(options)
    else:
        _compare(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--layers", type=int, default=12, help="of 768 (default 12, which is BERT-base)")
    parser.add_argument("--rounds", type=int, default=7, help="loads of each file by each side (default 7)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each side (default 2)")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder of the table")
    parser.add_argument("--side", choices=("make", *SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _compare(options: argparse.Namespace) -> None:
    from benchmarks.peer_env import peer_python
    from benchmarks.turns import machine, spread

    pythons = {"bert_ms": sys.executable, "transformers": str(peer_python())}
    with tempfile.TemporaryDirectory() as scratch:
        _run(pythons["transformers"], "make", Path(scratch), options)
        results = []
        for kind in options.kinds:
            folder = Path(scratch) / kind
            runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
            for count in range(options.rounds + 1):
                for side in SIDES:
                    answer = _run(pythons[side], side, folder, options)
                    if count:  # the first round brings the file and the libraries into memory
                        runs[side].append(answer)
            size = (folder / KINDS[kind]).stat().st_size / MEGABYTE
            results.append({"kind": kind, "file_mb": size} | _summary(runs, size, spread))
    document = {
        "title": TITLE,
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "threads": options.threads,
        "rounds": options.rounds,
        "layers": options.layers,
        "results": results,
    }
    text = table(document)
    print(text)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "loading.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (options.output / "loading.md").write_text(text, encoding="utf-8")


def _summary(runs: dict[str, list[dict[str, Any]]], size: float, spread: Any) -> dict[str, Any]:
    """Times of both sides with the ratio of each pair, and what memory grew by, in sizes of the file."""
    sums = [run["checksum"] for side in SIDES for run in runs[side]]
    if max(sums) - min(sums) > 1e-3 * max(map(abs, sums)):
        raise SystemExit(f"the sides loaded different weights: their sums are {sorted(set(sums))}.")
    found: dict[str, Any] = {"versions": {side: runs[side][0]["versions"] for side in SIDES}}
    for time in TIMES:
        seconds = {side: [run[time] for run in runs[side]] for side in SIDES}
        ratios = [ours / theirs for ours, theirs in zip(*(seconds[side] for side in SIDES), strict=True)]
        found[time] = {side: spread(seconds[side]) for side in SIDES} | {"ratio": spread(ratios)}
    found["memory"] = {side: spread([run["grown_mb"] / size for run in runs[side]]) for side in SIDES}
    return found


def table(document: dict[str, Any]) -> str:
    """The comparison as Markdown."""
    from benchmarks.turns import shown

    lines = [
        f"# {document['title']}",
        "",
        f"`python benchmarks/loading.py --layers {document['layers']} --rounds {document['rounds']}`. Seconds, median "
        "(least-most); below 1, ours is the quicker. Memory: what the process grew by at its peak while it loaded and "
        "read, in sizes of the file.",
        "",
        "| file | time | ours | peer | ours / peer, pair by pair | memory ours | peer |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in document["results"]:
        memory = " | ".join(f"{result['memory'][side]['median']:.2f}" for side in SIDES)
        for time, words in TIMES.items():
            cells = " | ".join(shown(result[time][column]) for column in (*SIDES, "ratio"))
            lines.append(f"| {result['kind']}, {result['file_mb']:.0f} MB | {words} | {cells} | {memory} |")
    versions = document["results"][0]["versions"]
    lines += ["", f"{document['date']}; {document['machine']}; {document['threads']} threads a side."]
    lines += [f"{name.capitalize()}: {versions[side]}." for name, side in zip(("ours", "peer"), SIDES, strict=True)]
    return "\n".join(lines) + "\n"


def _run(python: str, side: str, folder: Path, options: argparse.Namespace) -> Any:
    command = [python, __file__, "--side", side, "--folder", str(folder), "--layers", str(options.layers)]
    count = str(options.threads)
    environment = {**os.environ, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "GLOG_v": "3",
                   "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{side} ended with exit code {done.returncode}; its messages are above.")
    return json.loads(done.stdout.splitlines()[-1])


def _make(options: argparse.Namespace) -> None:
    """The files, by the peer."""
    import torch
    import transformers

    torch.manual_seed(0)
    network = transformers.BertModel(transformers.BertConfig(num_hidden_layers=options.layers))
    for kind in KINDS:
        network.save_pretrained(options.folder / kind)
    torch.save(network.state_dict(), options.folder / "bin" / KINDS["bin"])
    (options.folder / "bin" / KINDS["safetensors"]).unlink()
    print("null")


def _load(options: argparse.Namespace) -> None:
    """One load, timed: by the clock from the call on, and from the start of this script on."""
    load, read, versions = (_ours if options.side == "bert_ms" else _peer)()
    before = _resident_mb()
    begun = perf_counter()
    network = load(options.folder)
    loaded = perf_counter()
    checksum = read(network)
    ended = perf_counter()
    answer = {
        "load": loaded - begun,
        "usable": ended - begun,
        "with_imports": ended - STARTED,
        "grown_mb": _peak_mb() - before,
        "checksum": checksum,
        "versions": versions,
    }
    print(json.dumps(answer), flush=True)


def _ours() -> tuple[Any, Any, str]:
    import mindspore as ms

    import bert_ms
    from bert_ms.kernels.pages import drop_library_pages

    for module in ("bert_ms.hub.load", "bert_ms.model"):  # of which from_pretrained is made; the peer's has it all
        importlib.import_module(module)
    drop_library_pages()  # loading does that, too, and would hide as much of what it takes

    def read(network: Any) -> float:
        return sum(float(parameter.asnumpy().sum()) for parameter in network.get_parameters())

    return bert_ms.from_pretrained, read, f"bert_ms {bert_ms.__version__}, MindSpore {ms.__version__}"


def _peer() -> tuple[Any, Any, str]:
    import torch
    import transformers

    auto_model, _ = transformers.AutoModel, transformers.BertModel  # lazily imported

    def read(network: Any) -> float:
        return sum(float(parameter.detach().sum()) for parameter in network.parameters())

    versions = f"PyTorch {torch.__version__}, Transformers {transformers.__version__}"
    return auto_model.from_pretrained, read, versions


def _resident_mb() -> float:
    """Memory that this process has now; from here on its peak is counted anew, where the system allows it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _peak_mb()
    return _status_mb("VmRSS")


def _peak_mb() -> float:
    return _status_mb("VmHWM")


def _status_mb(key: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


if __name__ == "__main__":
    main()
