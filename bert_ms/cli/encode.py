"""`bert-ms encode`: texts of a file, or of standard input, to vectors."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from bert_ms.errors import ConfigError


def encode(arguments: argparse.Namespace) -> None:
    """Encode a file and say what came of it."""
    from bert_ms.pipelines.sentences import SentenceEncoder
    from bert_ms.pipelines.sentences.files import encode_file

    options = {
        "pooling": arguments.pooling,
        "layers": _layers(arguments.layers),
        "normalize": {"yes": True, "no": False, None: None}[arguments.normalize],
        "max_length": arguments.max_length,
        "long_inputs": arguments.long_inputs,
        "batch_size": arguments.batch_size,
        "prompt": arguments.prompt,
        "device": arguments.device,
        "dtype": arguments.dtype,
    }
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(arguments.input)
        if arguments.input == "-":  # it can be read once only, and has to be read twice
            source = Path(scratch) / "stdin"
            with source.open("wb") as file:
                for block in iter(lambda: sys.stdin.buffer.read(1 << 20), b""):
                    file.write(block)
        encoder = SentenceEncoder(arguments.source, **options)
        with tqdm(unit=" texts", disable=arguments.quiet or None) as bar:
            found = encode_file(
                encoder,
                source,
                Path(arguments.output).expanduser(),
                format=arguments.format,
                column=arguments.column,
                called="standard input" if arguments.input == "-" else None,
                settings=json.dumps([str(arguments.source), options], default=str),
                watch=lambda count: bar.update(count - bar.n),
            )
    gone_on = f" ({found.resumed:,} of them done before)" if found.resumed else ""
    print(f"{found.path}: {found.count:,} texts, vectors of {found.width}{gone_on}")


def _layers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--layers is '{text}': expected numbers such as -1 or -1,-2,-3,-4.") from None
