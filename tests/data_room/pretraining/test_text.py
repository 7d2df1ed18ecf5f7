"""Raw text files as sentences, and sentences as a corpus of word pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bert_ms.config import DataConfig, PretrainingConfig
from bert_ms.data.pretraining import corpus, sentences, text, words
from bert_ms.errors import DataError
from bert_ms.tokenization import Tokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", "##c", "c", "d", ".", "今", "天", "气", "很", "好"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocab(PIECES)


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("It costs 3.5 dollars, e.g. in Dr. No by J. R. Smith. Yes.",
         ["It costs 3.5 dollars, e.g. in Dr. No by J. R. Smith.", "Yes."]),
        ("He said: “Go.” Then he left (at once.) It was late.",
         ["He said: “Go.”", "Then he left (at once.)", "It was late."]),
        ("Already cut , as here . Next one .", ["Already cut , as here .", "Next one ."]),
        ("天气好。我们走吧！“真的？”他问……走", ["天气好。", "我们走吧！", "“真的？”", "他问……", "走"]),
        ("no mark at all", ["no mark at all"]),
        ("...", ["..."]),
        ("   ", []),
    ],
)  # fmt: skip
def test_paragraphs_are_cut_at_the_ends_of_sentences(paragraph: str, expected: list[str]) -> None:
    assert sentences.split(paragraph) == expected


def test_cutting_loses_nothing_but_blanks() -> None:
    paragraph = "A b.C d! “E f?” g... H. 好。i；j  k. L"
    assert "".join(sentences.split(paragraph)).replace(" ", "") == paragraph.replace(" ", "")


def test_blank_lines_and_files_begin_documents(tmp_path: Path) -> None:
    one = write(tmp_path, "1.txt", "﻿a\r\nb\r\n\r\n\r\n  c  \n")
    two = write(tmp_path, "2.txt", "d\n")
    assert [*text.stream([one, two], "sentences")] == [("a", True), ("b", False), ("c", True), ("d", True)]


def test_each_paragraph_is_a_document(tmp_path: Path) -> None:
    path = write(tmp_path, "1.txt", "One. Two.\nThree.\n\nFour.\n")
    expected = [("One.", True), ("Two.", False), ("Three.", True), ("Four.", True)]
    assert [*text.stream([path], "paragraphs")] == expected


def test_a_folder_and_a_pattern_stand_for_their_files(tmp_path: Path) -> None:
    files = [write(tmp_path, name, "a\n") for name in ("b.txt", "deep/a.txt", "z.txt")]
    write(tmp_path, ".hidden", "x\n")
    write(tmp_path, ".git/a.txt", "x\n")
    assert text.files_of(tmp_path) == sorted(files)
    assert text.files_of(tmp_path / "*.txt") == [files[0], files[2]]
    assert text.files_of(tmp_path / "**" / "a.txt") == [files[1]]


@pytest.mark.parametrize(
    ("path", "message"), [("nothing", "no file, and no pattern"), ("empty", "folder without files")]
)
def test_no_files_is_an_error(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=f"{path} is .*{message}"):
        text.files_of(tmp_path / path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a\n\xff\xfe\n", "not UTF-8 .byte 0xff after line"), (b"a" * 60, "line 1 has more than 50")],
)
def test_a_bad_file_is_explained(tmp_path: Path, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_LINE", 50)
    (tmp_path / "bad.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(text.stream([tmp_path / "bad.txt"], "sentences"))


class TestCorpus:
    """Sentences one after the other, a separator after each document."""

    def load(self, path: Path, tokenizer: Tokenizer, storage: str = "memory", **pretraining) -> corpus.Corpus:
        data = DataConfig(storage=storage, cache_dir=str(path.parent / "cache"))
        return corpus.load(path, tokenizer, data, PretrainingConfig(**pretraining))

    def test_holds_sentences_documents_and_separators(self, tmp_path: Path, tokenizer: Tokenizer) -> None:
        path = write(tmp_path, "1.txt", "abc a\nd\n\n\u200b\n\nd d\n")
        found = self.load(path, tokenizer)
        assert tokenizer.tokens(found.ids) == ["a", "##b", "##c", "a", "d", "[SEP]", "d", "d", "[SEP]"]
        assert found.inside.tolist() == [False, True, True, False, False, False, False, False, False]
        assert (found.starts.tolist(), found.lengths.tolist()) == ([0, 4, 6], [4, 1, 2])
        assert found.documents.tolist() == [0, 2, 3]

    def test_does_not_depend_on_how_it_is_read(self, tmp_path: Path, tokenizer: Tokenizer, monkeypatch) -> None:
        path = write(tmp_path, "1.txt", "abc a\nd\n\n\u200b\na\n\n" * 5 + "\u200b\nd")
        whole, on_disk = self.load(path, tokenizer), self.load(path, tokenizer, "mindrecord")
        monkeypatch.setattr(corpus, "_CHUNK", 2)
        for other in (on_disk, self.load(path, tokenizer), self.load(path, tokenizer, "mindrecord")):
            assert other.digest == whole.digest
            for name in ("ids", "inside", "starts", "lengths", "documents"):
                np.testing.assert_array_equal(getattr(other, name), getattr(whole, name))
        assert isinstance(on_disk.ids, np.memmap)

    def test_several_files_are_one_corpus(self, tmp_path: Path, tokenizer: Tokenizer) -> None:
        one = write(tmp_path, "one.txt", "a\nd\n\nabc\n")
        write(tmp_path, "many/1.txt", "a\nd\n")
        write(tmp_path, "many/2.txt", "abc")
        assert self.load(one, tokenizer).digest == self.load(tmp_path / "many", tokenizer).digest

    def test_is_made_again_when_it_was_cut_off(self, tmp_path: Path, tokenizer: Tokenizer) -> None:
        path = write(tmp_path, "1.txt", "abc a\nd\n")
        before = self.load(path, tokenizer, "mindrecord").digest
        ids = next((tmp_path / "cache").glob("corpus-*/ids.bin"))
        ids.write_bytes(ids.read_bytes()[:-4])
        assert self.load(path, tokenizer, "mindrecord").digest == before

    def test_without_text_is_an_error(self, tmp_path: Path, tokenizer: Tokenizer) -> None:
        for storage in ("memory", "mindrecord"):
            with pytest.raises(DataError, match="holds no text"):
                self.load(write(tmp_path, "1.txt", "\n \n\u200b\n"), tokenizer, storage)
        assert not [*(tmp_path / "cache").glob("corpus-*/*")]

    def test_chinese_words_come_from_spaces_a_dictionary_or_a_function(
        self, tmp_path: Path, tokenizer: Tokenizer
    ) -> None:
        spaced = write(tmp_path, "spaced.txt", "今天 天气 很 好.\n")
        plain = write(tmp_path, "plain.txt", "今天天气很好.\n")
        listed = write(tmp_path, "words.lst", "今天 100\n天气\n天天\n")
        expected = [False, True, False, True, False, False, False, False]
        assert self.load(spaced, tokenizer, chinese_words="spaces").inside.tolist() == expected
        assert self.load(plain, tokenizer, chinese_words=str(listed)).inside.tolist() == expected
        assert not self.load(plain, tokenizer).inside.any()
        cut = corpus.load(
            plain, tokenizer, DataConfig(storage="memory"), PretrainingConfig(),
            segment=lambda sentence: [sentence[at : at + 3] for at in range(0, len(sentence), 3)],
        )  # fmt: skip
        assert cut.inside.tolist() == [False, True, True, False, True, True, False, False]

    def test_a_missing_dictionary_is_named(self) -> None:
        with pytest.raises(DataError, match="chinese_words is nowhere.lst, and there is no such file"):
            words.segmenter("nowhere.lst")
