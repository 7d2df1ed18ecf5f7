"""Text files as data sets have them: UTF-8, bounded in size, read whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bert_ms.errors import DataError

MAX_FILE_BYTES = 2**30


def read_text(path: Path, *, kind: str = "text", endings: tuple[str, ...] = (), max_bytes: int = MAX_FILE_BYTES) -> str:
    """The content of a file, without a byte order mark.

    Args:
        path: the file.
        kind: what it should hold, for messages: "JSON".
        endings: of the files that are offered where `path` is a directory: ".json".
        max_bytes: a larger file is refused.

    Raises:
        DataError: the file is missing, a directory, a device, empty, too large, or not UTF-8.
    """
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix in endings)
        raise DataError(f"{path} is a directory, expected a {kind} file{f': one of {inside[:5]}?' if inside else '.'}")
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is no regular file but a device or a pipe: copy its content into a file.")
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise DataError(f"{path} has {size:,} bytes, expected at most {max_bytes:,}: split it into several files.")
        content = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except UnicodeDecodeError as error:
        guess = " (it looks like UTF-16)" if error.object[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise DataError(
            f"{path} is not UTF-8{guess}: {error.reason} at byte {error.start}. Convert it to UTF-8."
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not content.strip():
        raise DataError(f"{path} is empty, expected {kind}.")
    return content


def parse_json(content: str, where: str) -> Any:
    """The value that JSON text stands for.

    Args:
        content: of a file, or a line of one.
        where: names it in errors.

    Raises:
        DataError: it is not JSON (with line and column), or nested too deeply.
    """
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        near = content[max(error.pos - 20, 0) : error.pos + 20]
        raise DataError(
            f"{where} is not valid JSON: {error.msg} in line {error.lineno}, column {error.colno}, near {near!r}."
        ) from None
    except RecursionError:
        raise DataError(f"{where} cannot be read: its JSON is nested too deeply.") from None
    except ValueError:  # Python refuses them
        raise DataError(f"{where} cannot be read: it holds a number of thousands of digits.") from None
