"""What to tell the owner of a file that is no checkpoint, or none that can be read here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

_NOT_RUN = "Nothing in it was opened or run. If weights are in it, save them as safetensors where you trust it"

# (the first bytes, what such a file is, what to do)
_SIGNATURES: tuple[tuple[Callable[[bytes], bool], str, str], ...] = (
    (
        lambda head: head.startswith(b"PK\x03\x04"),
        "a zip archive that PyTorch did not write (an .npz, or a packed folder)",
        _NOT_RUN,
    ),
    (
        lambda head: len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5,
        "a Python pickle that PyTorch did not write",
        _NOT_RUN,
    ),
    (
        lambda head: head.startswith(b"\x89HDF\r\n\x1a\n"),
        "an HDF5 file (Keras or TensorFlow .h5)",
        "Convert it with transformers: `TFAutoModel` to `save_pretrained(OUT, safe_serialization=True)`",
    ),
    (lambda head: head.startswith(b"\x1f\x8b"), "a gzip archive", "Unpack it and name the checkpoint inside"),
    (
        lambda head: head.startswith(b"version https://git-lfs"),
        "a git-lfs pointer, not the file itself",
        "Run `git lfs pull` where it was cloned",
    ),
    (
        lambda head: head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")),
        "a web page, probably an error page saved by a download",
        "Download the checkpoint again",
    ),
    (lambda head: head.lstrip().startswith(b"{"), "JSON text", "Name the file with the weights, or its directory"),
)


def explain(path: Path, head: bytes, size: int, *, supported: Sequence[str]) -> str:
    """One or two sentences: what the file is, and what to do.

    Args:
        path: the file.
        head: its first bytes.
        size: its size in bytes.
        supported: names of the formats that can be read.
    """
    known = ", ".join(supported)
    if size == 0:
        return f"{path} is empty (0 bytes): the download or copy did not finish."
    if not any(head):
        stored = getattr(path.stat(), "st_blocks", 0) * 512
        return (
            f"{path} begins with {len(head)} zero bytes ({size} bytes, {stored} of them on disk): "
            f"an unfinished download or a sparse file, not a checkpoint."
        )
    for matches, what, advice in _SIGNATURES:
        if matches(head):
            return f"{path} is {what}; weights are read from {known} files. {advice}."
    return (
        f"{path} is no checkpoint that can be read here: its first bytes are {head[:8].hex(' ')}, "
        f"and weights are read from {known} files."
    )
