"""`bert-ms doctor`: what this machine has, what is missing, and the command that mends it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata, util
from pathlib import Path

import psutil

from bert_ms import __version__, compat, kernels
from bert_ms.errors import BertMsError
from bert_ms.hub import catalogue

GOOD, MISSING, NOTE = "good", "missing", "note"
_MARKS = {GOOD: "ok", MISSING: "!!", NOTE: "--"}
_GIB = 1 << 30

OPTIONAL = {
    "serve": ("flask", "waitress", "pydantic", "prometheus_client", "orjson", "greenlet"),
    "onnx": ("onnx", "onnxruntime"),
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        name: what it is.
        state: good, missing (something here does not work without it) or note (worth knowing, or optional).
        detail: what was found.
        remedy: the command or step that mends it; empty where nothing is wrong.
    """

    name: str
    state: str
    detail: str
    remedy: str = ""


def doctor(arguments: argparse.Namespace) -> int:
    """Print every finding; 1 if anything that all of bert_ms needs is missing."""
    findings = list(examine())
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"[{_MARKS[finding.state]}] {finding.name:18s} {finding.detail}")
            if finding.remedy:
                print(f"     {'':18s} -> {finding.remedy}")
        print(f"\n{_conclusion(findings)}")
    return int(any(finding.state == MISSING for finding in findings))


def _conclusion(findings: Sequence[Finding]) -> str:
    missing = sum(finding.state == MISSING for finding in findings)
    advice = sum(finding.state == NOTE and finding.remedy != "" for finding in findings)
    more = f"; {advice} more could be better (->)" if advice else ""
    return f"{missing or 'Nothing is'} missing{more}."


def examine() -> Iterator[Finding]:
    """All findings, one after the other."""
    yield Finding("bert_ms", GOOD, f"{__version__} in {Path(__file__).resolve().parent.parent}")
    yield _python()
    yield _numpy()
    yield from _mindspore()
    yield _cann()
    yield _processor()
    yield _memory()
    yield _disk()
    yield _compiler()
    operators = kernels.status()
    yield Finding("operators", GOOD if ": used" in operators else NOTE, operators)
    yield _embedded_model()
    for extra, modules in OPTIONAL.items():
        yield _optional(extra, modules)


def _python() -> Finding:
    version = platform.python_version()
    if (3, 10) <= sys.version_info[:2] <= (3, 12):
        return Finding("Python", GOOD, f"{version} ({sys.executable})")
    return Finding("Python", MISSING, f"{version}: MindSpore 2.10 runs on 3.10 to 3.12", "use one of these")


def _numpy() -> Finding:
    version = metadata.version("numpy")
    if version.startswith("1."):
        return Finding("numpy", GOOD, version)
    return Finding(
        "numpy", MISSING, f"{version}: MindSpore 2.10 is built for numpy 1", f"{_pip()} 'numpy>=1.26,<2'"
    )


def _mindspore() -> Iterator[Finding]:
    wanted = ", ".join(compat.SUPPORTED_MINDSPORE)
    remedy = f"{_pip()} 'mindspore=={compat.SUPPORTED_MINDSPORE[-1]}.*'"
    try:
        version = str(compat.mindspore().__version__)
        devices = compat.available_devices()
    except BertMsError as error:
        yield Finding("MindSpore", MISSING, str(error), remedy)
        return
    if version.startswith(compat.SUPPORTED_MINDSPORE):
        yield Finding("MindSpore", GOOD, version)
    else:
        yield Finding("MindSpore", MISSING, f"{version}: expected {wanted}", remedy)
    yield Finding("devices", GOOD, ", ".join(devices) + " (device=auto takes the first)")


def _cann() -> Finding:
    """The Ascend toolkit, found through the variable that its set_env.sh sets, or where it is installed by default."""
    homes = [os.environ.get(name) for name in ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")]
    for home in [Path(name) for name in homes if name] + [Path("/usr/local/Ascend/ascend-toolkit/latest")]:
        if home.is_dir():
            remedy = "" if any(homes) else f"source {home.parent}/set_env.sh before using Ascend devices"
            return Finding("CANN (Ascend)", NOTE if remedy else GOOD, f"{_cann_version(home)} in {home}", remedy)
    if shutil.which("npu-smi"):
        remedy = "install CANN 8.2 to 9.1 and source its set_env.sh"
        return Finding("CANN (Ascend)", MISSING, "a driver (npu-smi) but no toolkit", remedy)
    return Finding("CANN (Ascend)", NOTE, "none: only needed for Ascend devices")


def _cann_version(home: Path) -> str:
    """From `version=8.2.RC1` or, elsewhere, `runtime_running_version=[7.6.0.1:8.2.RC1]` (component : toolkit)."""
    for file in (*sorted(home.glob("*-linux/ascend_toolkit_install.info")), home / "version.cfg"):
        if file.is_file():
            found = re.search(r"^\w*version=\[?(?:[\w.]+:)?([\w.]+)", file.read_text(errors="replace"), re.M | re.I)
            if found:
                return found[1]
    return "of unknown version"


def _processor() -> Finding:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Finding("CPU", GOOD, f"{usable} cores usable, {platform.machine()}")


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    detail = f"{memory.available / _GIB:.1f} GiB free of {memory.total / _GIB:.1f}"
    if memory.available < 3 * _GIB:
        return Finding("memory", NOTE, detail, "the packaged sample takes about 3 GiB: close other programs")
    return Finding("memory", GOOD, detail)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    detail = f"{free / _GIB:.1f} GiB free in {Path.cwd()}"
    if free < 2 * _GIB:
        return Finding("disk", NOTE, detail, "a run keeps about 5 x its weights: give output_dir= a place with room")
    return Finding("disk", GOOD, detail)


def _compiler() -> Finding:
    for name in ("g++", "clang++", "c++"):
        if path := shutil.which(name):
            return Finding("C++ compiler", GOOD, path)
    if util.find_spec("ziglang"):
        return Finding("C++ compiler", GOOD, "ziglang (from PyPI)")
    return Finding("C++ compiler", NOTE, "none: native operators cannot be built", f"{_pip()} ziglang")


def _embedded_model() -> Finding:
    try:
        return Finding("embedded model", GOOD, f"minilm in {catalogue.resolve('minilm')}")
    except BertMsError as error:
        return Finding("embedded model", NOTE, str(error), catalogue.models()["minilm"].install)


def _optional(extra: str, modules: tuple[str, ...]) -> Finding:
    absent = [module for module in modules if util.find_spec(module) is None]
    if absent:
        remedy = f"{_pip()} {' '.join(absent).replace('_', '-')} 'numpy<2'"
        return Finding(f"extra [{extra}]", NOTE, f"without {', '.join(absent)}", remedy)
    return Finding(f"extra [{extra}]", GOOD, ", ".join(modules))


def _pip() -> str:
    return f"{sys.executable} -m pip install"
