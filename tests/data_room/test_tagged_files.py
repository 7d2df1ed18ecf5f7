"""Sentences are read from columns, lists and spans, in every scheme, and what is wrong with a file is said by line."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from bert_ms.config import DataConfig
from bert_ms.data import datasets, tagged_files
from bert_ms.data.tagged import TaggedData
from bert_ms.errors import ConfigError, DataError
from tests.support import shared_data

TASK = "token-classification"


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Write text (or objects, one a line) to a file, and read it."""

    def from_text(content: Any, name: str = "some.conll", dataset: str | None = None, **options: Any) -> TaggedData:
        needs_tags, limit = options.pop("needs_tags", True), options.pop("limit", None)
        if not isinstance(content, str):
            content = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in content)
        (tmp_path / name).write_text(content, encoding="utf-8")
        row = datasets.get(dataset, task=TASK)
        return tagged_files.read(tmp_path / name, DataConfig(**options), row, needs_tags=needs_tags, limit=limit)

    return from_text


def words_of(data: TaggedData) -> list[str]:
    return [" ".join(example.words) for example in data.examples]


def tags_of(data: TaggedData) -> list[str]:
    return [" ".join(example.tags or ()) for example in data.examples]


class TestColumns:
    """CoNLL's columns."""

    def test_blank_lines_and_documents_separate_sentences(self, read):
        data = read("-DOCSTART- (17)\n\nAnn\tB-PER\nleft\tO\n\t\nYork\tB-LOC\n-DOCSTART- -X-\nHe\tO\n")
        assert words_of(data) == ["Ann left", "York", "He"]
        assert tags_of(data) == ["B-PER O", "B-LOC", "O"]
        assert [example.id for example in data.examples] == ["0", "1", "2"]
        assert (data.scheme, data.joiner, data.types()) == ("bio", " ", ["LOC", "PER"])

    def test_the_last_line_needs_no_end_and_lines_may_end_as_on_windows(self, read):
        assert words_of(read("\ufeffAnn B-PER\r\nleft O\r\n\r\nHe O")) == ["Ann left", "He"]

    def test_the_first_column_is_the_word_and_the_last_the_tag_unless_said_otherwise(self, read):
        text = "EU NNP B-NP B-ORG\ncalls VBZ B-VP O\n"
        assert tags_of(read(text)) == ["B-ORG O"]
        assert tags_of(read(text, label_column="2")) == ["B-NP B-VP"]
        data = read(text, text_column="1", label_column="-2")
        assert (words_of(data), tags_of(data)) == (["NNP VBZ"], ["B-NP B-VP"])

    def test_only_line_feeds_end_lines_and_only_tabs_separate_where_there_are_some(self, read):
        data = read("a\u2028b\tO\nNew York\tB-LOC\n\u3000\tO\n")
        assert data.examples[0].words == ("a\u2028b", "New York", "\u3000")

    def test_bmes_of_characters_becomes_bio_and_a_text_without_blanks(self, read):
        data = read("高 B-NAME\n勇 M-NAME\n文 E-NAME\n： O\n汉 S-RACE\n", name="some.bmes")
        assert tags_of(data) == ["B-NAME I-NAME I-NAME O B-RACE"]
        assert (data.scheme, data.joiner) == ("bmes", "")

    def test_iob1_becomes_bio(self, read):
        data = read("a\tI-X\nb\tI-X\nc\tB-X\nd\tI-Y\n")
        assert (tags_of(data), data.scheme) == (["B-X I-X B-X B-Y"], "iob1")

    def test_positions_of_weibo_are_taken_off(self, read):
        data = read("科0\tO\n技1\tO\n10\tB-PER.NAM\n", dataset="weibo")
        assert data.examples[0].words == ("科", "技", "1")
        with pytest.raises(DataError, match=r"line 2: '技' does not end in a digit"):
            read("科0\tO\n技\tO\n", dataset="weibo")

    def test_words_alone_are_enough_to_predict(self, read):
        data = read("Ann\nleft\n\nHe\n", needs_tags=False)
        assert (words_of(data), data.examples[0].tags, data.scheme) == (["Ann left", "He"], None, None)
        assert read("Ann\tNNP\nleft\tVBD\n", needs_tags=False).examples[0].tags is None
        assert tags_of(read("Ann\tB-PER\n", needs_tags=False)) == ["B-PER"]
        with pytest.raises(DataError, match=r"line 1: 'Ann' is one column, expected a word and its tag"):
            read("Ann\nleft\n")

    def test_a_limit_takes_the_first_sentences(self, read):
        assert words_of(read("a O\n\nb O\n\nc O\n", limit=2)) == ["a", "b"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a\tO\nb\n", r"line 2: 'b' has 1 columns \(between tabs\), those before have 2"),
            ("a O\n\nb X O\n", r"line 3: 'b X O' has 3 columns \(between blanks\)"),
            ("a\tNN\n", r"line 1: 'NN' is no tag of 'a': expected O, or B-.*data.label_column"),
            ("-DOCSTART-\n\n", "holds no sentences"),
            ("\n \n", "is empty, expected words in columns"),
        ],
    )
    def test_what_is_wrong_is_said_with_its_line(self, read, text: str, message: str):
        with pytest.raises(DataError, match=message):
            read(text)

    def test_columns_that_are_not_there_are_refused(self, read):
        with pytest.raises(ConfigError, match=r"label_column is 2, but .* has 2 columns: expected -2 to 1"):
            read("a\tO\n", label_column="2")
        with pytest.raises(ConfigError, match="text_column is 'word', but .* has no header: give a number"):
            read("a\tO\n", text_column="word")

    def test_a_scheme_that_is_named_must_be_kept_to(self, read, caplog):
        text = "a O\n\nb O\nc I-X\nd I-X\ne B-Y\nf I-X\n"
        with pytest.raises(DataError, match=r"line 4: tag I-X after O cannot be in tagging 'bio'"):
            read(text, tagging="bio")
        with pytest.raises(DataError, match=r"line 1: tag S-X after the sentence's beginning cannot be in tagging 'io"):
            read("a S-X\n", tagging="iob1")
        assert tags_of(read(text))[1] == "O B-X I-X B-Y B-X"
        with caplog.at_level(logging.WARNING):
            read("a B-X\nb M-X\n")
        assert "1 sentences have tags that 'bmes' does not allow: read as seqeval does" in caplog.text


class TestLists:
    """JSON lines with words and tags."""

    def test_keys_are_the_usual_ones_or_those_said(self, read):
        data = read([{"tokens": ["Ann", "left"], "tags": ["B-PER", "O"], "id": 7}], "some.jsonl")
        assert (words_of(data), tags_of(data), data.examples[0].id) == (["Ann left"], ["B-PER O"], "7")
        lines = [{"w": ["Ann"], "t": ["O"]}]
        assert words_of(read(lines, "some.json", text_column="w", label_column="t")) == ["Ann"]

    def test_numbers_are_tags_by_the_names_of_the_labels(self, read):
        lines = [{"tokens": ["Ann", "left"], "ner_tags": [1, 0]}]
        assert tags_of(read(lines, "some.jsonl", labels=("O", "B-PER"))) == ["B-PER O"]
        with pytest.raises(DataError, match=r"line 1: 'ner_tags' holds 1, expected texts: name the tags in order"):
            read(lines, "some.jsonl")

    def test_words_alone_are_enough_to_predict(self, read):
        lines = [{"words": ["Ann"]}]
        assert read(lines, "some.jsonl", needs_tags=False).examples[0].tags is None
        with pytest.raises(DataError, match=r"line 1: has no 'tags' or 'ner_tags' or 'labels'; found keys \['words'\]"):
            read(lines, "some.jsonl")

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ('{"tokens": ["a", "b"], "tags": ["O"]}', "line 1: tokens has 2 words, tags 1 tags"),
            ('{"tokens": ["a", 5], "tags": ["O", "O"]}', "line 1: 'tokens' holds 5, expected texts"),
            ('{"tokens": ["a"], "tags": "O"}', "line 1: 'tags' is 'O', expected a list of texts"),
            ('{"tokens": ["\\ud800"], "tags": ["O"]}', "line 1: holds half a surrogate pair"),
            ('{"tokens": ["a"], "tags": ["O"]}\n{"tokens"', "line 2: .*not valid JSON"),
            ('{"tokens": ["a"], "tags": ["O"]}\n\n{"tokens": ["a"], "tags": ["no"]}', "line 3: 'no' is no tag of 'a'"),
        ],
    )
    def test_what_is_wrong_is_said_with_its_line(self, read, line: str, message: str):
        with pytest.raises(DataError, match=message):
            read(line, "some.jsonl")


class TestSpans:
    """CLUENER's lines."""

    def test_characters_are_words_and_last_characters_are_of_the_entity(self, read):
        data = read([{"text": "叶老桂在 A行", "label": {"name": {"叶老桂": [[0, 2]]}, "company": {"A行": [[5, 6]]}}}],
                    "some.json")  # fmt: skip
        assert "".join(data.examples[0].words) == "叶老桂在 A行"
        assert tags_of(data) == ["B-name I-name I-name O O B-company I-company"]
        assert data.joiner == ""

    def test_of_spans_that_overlap_the_longest_is_taken(self, read, caplog):
        label = {"company": {"银行": [[1, 2]]}, "book": {"《银行》": [[0, 3]]}}
        with caplog.at_level(logging.WARNING):
            assert tags_of(read([{"text": "《银行》", "label": label}], "some.json")) == ["B-book I-book I-book I-book"]
        assert "1 spans overlap longer ones and are left out" in caplog.text

    def test_texts_alone_are_enough_to_predict(self, read):
        assert read([{"text": "你好"}], "some.json", needs_tags=False).examples[0].tags is None
        with pytest.raises(DataError, match=r"line 1: has no 'label'; found keys \['text'\]"):
            read([{"text": "你好"}], "some.json")

    @pytest.mark.parametrize(
        ("label", "message"),
        [
            ({"a": {"你": [[1, 1]]}}, r"a '你' is not at \[1, 1\], where '好' stands"),
            ({"a": {"你": [[0, 2]]}}, r"a '你' at \[0, 2\] lies outside the text's 2 characters"),
            ({"a": {"你": [0, 0]}}, "'label' is .*, expected {type: {text:"),
            ({"a": ["你"]}, "'label' is .*, expected {type: {text:"),
        ],
    )
    def test_a_span_that_is_not_where_it_should_be_is_an_error(self, read, label: Any, message: str):
        with pytest.raises(DataError, match=f"line 1: {message}"):
            read([{"text": "你好", "label": label}], "some.json")


def test_a_format_of_other_tasks_is_refused(read):
    with pytest.raises(ConfigError, match=r"data.format is csv, for sentences of tagged words expected one of conll"):
        read("a\tO\n", format="csv")
    assert words_of(read("a\tO\n", name="some.json", format="conll")) == ["a"]


@pytest.mark.parametrize(
    ("dataset", "file", "sentences", "words", "entities", "scheme"),
    [
        ("wnut17", "ner/wnut17train.conll", 3394, 62730, 1975, "bio"),
        ("wnut17", "ner/wnut17_emerging.dev.conll", 1009, 15733, 836, "bio"),
        ("bc5cdr", "ner/bc5cdr_dev.txt", 3949, 94437, 9455, "iob1"),
        ("ncbi", "ner/NCBI-disease_dev.txt", 923, 23969, 787, "bio"),
        ("resume", "zh/resumeNER_dev.char.bmes", 463, 13890, 1497, "bmes"),
        ("weibo", "zh/weiboNER_2nd_conll.train", 1350, 73778, 1895, "iob1"),
        ("cluener", "zh/cluener_train.json", 10748, 401764, 23970, "bio"),
    ],
)
def test_real_data_has_the_sentences_words_and_entities_that_it_should(
    dataset: str, file: str, sentences: int, words: int, entities: int, scheme: str
) -> None:
    data = tagged_files.read(shared_data(file), DataConfig(), datasets.get(dataset, task=TASK))
    assert len(data.examples) == sentences
    assert sum(len(example.words) for example in data.examples) == words
    assert sum(tag[0] == "B" for example in data.examples for tag in example.tags or ()) == entities
    assert data.scheme == scheme
    assert data.joiner == ("" if file.startswith("zh") else " ")
