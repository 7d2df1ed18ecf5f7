"""Compiles the native operators on the user's machine, once for each (sources, compiler, flags, processor)."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from bert_ms.errors import DeviceError

logger = logging.getLogger(__name__)

SOURCES = Path(__file__).parent / "src"
# Without -fno-trapping-math the compiler may not vectorise comparisons; NaN and inf keep their meaning.
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-pthread",
    "-w",
)
COMPILE_SECONDS = 300


class BuildError(DeviceError):
    """The native operators could not be compiled, or do not work on this machine."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler: the command, and what it says about itself."""

    command: tuple[str, ...]
    version: str


@lru_cache(maxsize=1)
def compiler() -> Compiler | None:
    """The first that runs of: $CXX, g++, clang++, the one in PyPI's package ziglang. None if there is none."""
    candidates = [tuple(os.environ["CXX"].split())] if os.environ.get("CXX") else []
    candidates += [("g++",), ("clang++",)]
    if importlib.util.find_spec("ziglang"):
        candidates.append((sys.executable, "-m", "ziglang", "c++"))
    for command in candidates:
        if shutil.which(command[0]) is None:
            continue
        try:
            done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            logger.debug("compiler %s does not run: %s", " ".join(command), error)
            continue
        return Compiler(command, done.stdout.splitlines()[0] if done.stdout else "")
    return None


def cache_directory() -> Path:
    """Where compiled operators are kept: $XDG_CACHE_HOME/bert_ms/kernels, else ~/.cache/bert_ms/kernels."""
    return _cache_directory(os.environ.get("XDG_CACHE_HOME"), os.environ.get("HOME"))


@lru_cache(maxsize=8)
def _cache_directory(given: str | None, _home: str | None) -> Path:
    """Kept, because a network asks a thousand times while it is built."""
    root = given or str(Path.home() / ".cache")
    return Path(root, "bert_ms", "kernels")


def library() -> Path:
    """The compiled operators, built now if they are not there yet.

    Returns:
        The shared library.

    Raises:
        BuildError: there is no compiler, it failed, or what it made does not work here. The text names the log.
    """
    found = compiler()
    if found is None:
        raise BuildError(
            "native operators need a C++ compiler, but there is no $CXX, g++, clang++ or ziglang: install g++, or run "
            "`pip install 'bert-ms[kernels]'`, or set BERT_MS_KERNELS=off."
        )
    return _library(found, cache_directory())


@lru_cache(maxsize=8)
def _library(found: Compiler, cache: Path) -> Path:
    problems = []
    for extra in ((), ("-DBERT_NO_AMX",)):
        flags = (*FLAGS, *_machine_flags(), *extra)
        try:
            path = _build(found, flags, cache / _key(found, flags))
            if ctypes.CDLL(str(path)).bert_is_allowed():
                return path
            problems.append("this process may not use the processor's tiles.")
        except BuildError as error:
            problems.append(str(error))
    raise BuildError(problems[0])


def _machine_flags() -> tuple[str, ...]:
    """For this very processor: a cache folder that several machines share holds one library for each."""
    return ("-march=native",) if platform.machine().lower() in ("x86_64", "amd64") else ("-mcpu=native",)


def _processor() -> str:
    """What the compiler's "native" depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.split(":")[0].strip() in names}))


def _key(found: Compiler, flags: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for path in sorted(SOURCES.iterdir()):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    digest.update("\0".join((*found.command, found.version, *flags, _processor())).encode())
    return digest.hexdigest()[:24]


def _build(found: Compiler, flags: tuple[str, ...], folder: Path) -> Path:
    target = folder / "libbert_ms_kernels.so"
    if target.is_file():
        return target
    log = folder / "build.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(str(folder / "lock")):
            if target.is_file():
                return target
            if log.is_file():  # what failed once fails again: the key holds all that it depends on
                raise BuildError(_failure(log))
            logger.info("compiling native operators with %s (once for this machine)", " ".join(found.command))
            with tempfile.TemporaryDirectory(dir=folder) as work:
                output = _compile(found, flags, Path(work))
                made = Path(work, target.name)
                if made.is_file():
                    output += _try_out(made)
                if made.is_file() and not output.endswith("failed\n"):
                    os.replace(made, target)
                    return target
            log.write_text(output, encoding="utf-8")
    except OSError as error:
        raise BuildError(f"native operators could not be built in {folder}: {error}. Set XDG_CACHE_HOME.") from error
    raise BuildError(_failure(log))


def _failure(log: Path) -> str:
    return (
        f"native operators could not be built; the reason is in {log}. Mend it and delete that file, or set "
        "BERT_MS_KERNELS=off."
    )


def _compile(found: Compiler, flags: tuple[str, ...], work: Path) -> str:
    """Compile every source, then link; returns what the compiler said."""
    sources = sorted(SOURCES.glob("*.cpp"))
    objects = [work / f"{source.stem}.o" for source in sources]

    def run(arguments: list[str]) -> str:
        try:
            done = subprocess.run(arguments, capture_output=True, text=True, timeout=COMPILE_SECONDS, cwd=work)
        except subprocess.SubprocessError as error:
            return f"{' '.join(arguments)}\n{error}\nfailed\n"
        return f"{' '.join(arguments)}\n{done.stdout}{done.stderr}" + ("failed\n" if done.returncode else "")

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        commands = [
            [*found.command, *flags, "-c", str(source), "-o", str(made)]
            for source, made in zip(sources, objects, strict=True)
        ]
        said = "".join(pool.map(run, commands))
    if all(made.is_file() for made in objects):
        said += run([*found.command, *flags, "-shared", *map(str, objects), "-o", str(work / "libbert_ms_kernels.so")])
    return said


def _try_out(library_path: Path) -> str:
    """Run the library's own test in a process of its own, which an illegal instruction may kill."""
    code = "import ctypes, sys; sys.exit(ctypes.CDLL(sys.argv[1]).bert_self_test())"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(library_path)], capture_output=True, text=True, timeout=60
        )
    except subprocess.SubprocessError as error:
        return f"self-test: {error}\nfailed\n"
    return f"self-test: exit code {done.returncode}\n{done.stderr}" + ("failed\n" if done.returncode else "")
