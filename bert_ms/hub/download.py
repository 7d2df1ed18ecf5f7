"""Fetching a model's files from where a catalogue says they are: only when asked to, resumable, checked."""

from __future__ import annotations

import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bert_ms.checkpoint import manifest
from bert_ms.errors import CheckpointError
from bert_ms.hub import store
from bert_ms.hub.catalogue import Model

OFFLINE = "BERT_MS_OFFLINE"
MIRROR = "BERT_MS_MIRROR"
TIMEOUT_SECONDS = 30
_BLOCK = 1 << 20
# (bytes so far, bytes in all or None, file) -> None
Watch = Callable[[int, int | None, str], None]


def get(model: Model, *, watch: Watch | None = None, max_gigabytes: float = store.MAX_GIGABYTES) -> Path:
    """Bring a model's files to this machine.

    An interrupted download goes on when it is asked for again. With $BERT_MS_MIRROR set, files come from
    `<mirror>/<name>/<file>` instead of the entry's own address.

    Args:
        model: with `files`, and with `url` unless there is a mirror.
        watch: told of progress.
        max_gigabytes: a larger file is refused.

    Raises:
        CheckpointError: $BERT_MS_OFFLINE is set, nothing says where the files are, the server does not give them, or
            they are not what the catalogue says.
    """
    if os.environ.get(OFFLINE, "") not in ("", "0"):
        raise CheckpointError(f"{OFFLINE} is set: nothing is downloaded. Bring files: bert-ms hub add {model.name} DIR")
    base = _base(model)
    with store.placing(model.name) as scratch:
        for name in model.files:
            target = scratch / name
            if not target.exists():
                _fetch(f"{base}/{urllib.parse.quote(name)}", scratch / f"{name}.incomplete", watch, max_gigabytes)
                os.replace(scratch / f"{name}.incomplete", target)
            digest = model.sha256.get(name)
            if digest is not None and manifest.sha256(target) != digest:
                target.unlink()
                raise CheckpointError(
                    f"{base}/{name} has another sha256 than the catalogue's {digest[:16]}...: it was thrown away."
                )
    return store.folder(model.name)


def _base(model: Model) -> str:
    mirror = os.environ.get(MIRROR)
    base = f"{mirror.rstrip('/')}/{model.name}" if mirror else model.url.rstrip("/")
    if not base or not model.files:
        raise CheckpointError(
            f"nothing says where the files of '{model.name}' can be fetched: set {MIRROR}, give the entry `url` and "
            f"`files` in a catalogue of your own, or bring them by hand from {model.origin or 'their origin'} and say "
            f"bert-ms hub add {model.name} DIR."
        )
    if urllib.parse.urlsplit(base).scheme not in ("https", "http"):
        raise CheckpointError(f"{base} is no address of the web: expected https://... (folders are added by hub add).")
    return base


def _fetch(address: str, part: Path, watch: Watch | None, max_gigabytes: float) -> None:
    """Go on with, or begin, the file behind an address."""
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            if done and answer.status != 206:  # the server sends all of it
                done = 0
            total = _total(answer, done)
            limit = int(max_gigabytes * 1e9)
            if total is not None and total > limit:
                raise CheckpointError(f"{address} has {total / 1e9:.1f} GB, expected at most {max_gigabytes:g}.")
            with part.open("ab" if done else "wb") as file:
                while block := answer.read(_BLOCK):
                    done += len(block)
                    if done > limit:
                        raise CheckpointError(f"{address} has more than {max_gigabytes:g} GB.")
                    file.write(block)
                    if watch is not None:
                        watch(done, total, part.stem)
                file.flush()
                os.fsync(file.fileno())
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left of it: what is there is whole, or another file's
            part.unlink()
            raise CheckpointError(f"{address} is shorter than what was fetched of it before: try again.") from None
        raise CheckpointError(f"{address}: the server says {error.code} {error.reason}.") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise CheckpointError(
            f"{address} cannot be reached ({getattr(error, 'reason', error)}). The same command goes on; without a "
            f"network, bring the files by hand: bert-ms hub add."
        ) from None
    if total is not None and done != total:
        raise CheckpointError(f"{address}: {done:,} of {total:,} bytes came. The same command goes on.")


def _total(answer: Any, done: int) -> int | None:
    length = answer.headers.get("Content-Length", "")
    return done + int(length) if length.isdecimal() else None
