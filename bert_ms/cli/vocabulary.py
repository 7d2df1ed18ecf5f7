"""`bert-ms vocabulary`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bert_ms.data.pretraining.vocabulary import learn_vocabulary


def learn(arguments: argparse.Namespace) -> None:
    """Learn word pieces from text, and say where they are."""
    tokenizer = learn_vocabulary(
        arguments.text, arguments.directory, size=arguments.size, do_lower_case=not arguments.cased
    )
    print(f"{Path(arguments.directory) / 'vocab.txt'}: {tokenizer.vocab_size:,} word pieces")
