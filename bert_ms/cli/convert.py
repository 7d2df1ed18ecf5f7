"""`bert-ms convert`."""

from __future__ import annotations

import argparse

from bert_ms.hub.convert import convert as convert_checkpoint


def convert(arguments: argparse.Namespace) -> None:
    """Write a checkpoint in another format and say where."""
    written = convert_checkpoint(
        arguments.source, arguments.destination, format=arguments.format, config=arguments.model_config
    )
    print(written)
