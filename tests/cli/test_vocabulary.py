"""`bert-ms vocabulary`: from text to a vocabulary that a network from scratch takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bert_ms.cli import main
from bert_ms.tokenization import Tokenizer
from tests.support import shared_data


def test_it_writes_a_vocabulary_of_the_size_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shared_data("corpus/sample_text.txt")
    assert main(["vocabulary", str(text), str(tmp_path / "made"), "--size", "300", "--cased"]) == 0
    assert "vocab.txt: 300 word pieces" in capsys.readouterr().out
    tokenizer = Tokenizer.from_pretrained(tmp_path / "made" / "vocab.txt")
    assert tokenizer.vocab_size == 300 and not tokenizer.options.do_lower_case


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vocabulary", "nowhere.txt", str(tmp_path / "made")]) != 0
    assert "nowhere.txt is no file" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
