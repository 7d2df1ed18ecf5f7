"""Tables of texts are read as their writers meant them, and every row that cannot be used is named."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from bert_ms.config import DataConfig
from bert_ms.data import text_examples
from bert_ms.data.datasets import DATASETS
from bert_ms.data.text_examples import MULTIPLE, REGRESSION, SINGLE
from bert_ms.errors import ConfigError, DataError
from bert_ms.records import TextExample
from tests.support import shared_data

Write = Callable[..., Path]
OWN = DataConfig(text_column="text", label_column="label")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(name: str, content: str, encoding: str = "utf-8") -> Path:
        (tmp_path / name).write_bytes(content.encode(encoding))
        return tmp_path / name

    return written


def read(path: Path, config: DataConfig = OWN, dataset: str | None = None, **options: object) -> list[TextExample]:
    known = DATASETS[dataset] if dataset is not None else None
    return text_examples.read(path, config, known, **{"with_labels": True, **options})  # type: ignore[arg-type]


def labels(examples: list[TextExample]) -> list[object]:
    return [example.label for example in examples]


def test_a_quotation_mark_is_a_character_in_tsv_and_quotes_in_csv(write: Write) -> None:
    tsv = read(write("a.tsv", 'text\tlabel\n" so it begins\t1\nhe said "no" twice\t0\n'))
    assert [e.text for e in tsv] == ['" so it begins', 'he said "no" twice']
    csv = read(write("a.csv", 'text,label\n"one, two\nand ""three""",1\nfour,0\n'))
    assert [e.text for e in csv] == ['one, two\nand "three"', "four"]


@pytest.mark.parametrize("mark", ["\t", ";"])
def test_quoted_cells_may_be_separated_by_tabs_or_semicolons(write: Write, mark: str) -> None:
    path = write("a.tsv", f'text{mark}label\n"one{mark} ""two"", three"{mark}1\n')
    config = DataConfig(text_column="text", label_column="label", format="csv")
    assert [(e.text, e.label) for e in read(path, config)] == [(f'one{mark} "two", three', "1")]


def test_byte_order_marks_carriage_returns_and_odd_line_separators_are_no_text(write: Write) -> None:
    examples = read(write("a.tsv", "text\tlabel\r\none\u2028two\x85three\t1\r\n\r\nfour\t0\r\n", "utf-8-sig"))
    assert [(e.id, e.text, e.label) for e in examples] == [("0", "one\u2028two\x85three", "1"), ("1", "four", "0")]


def test_columns_are_numbers_without_a_header(write: Write) -> None:
    config = DataConfig(text_column="2", label_column="0", has_header=False)
    examples = read(write("a.tsv", "good\tx\tone\nbad\tx\ttwo\n"), config)
    assert [(e.text, e.label) for e in examples] == [("one", "good"), ("two", "bad")]


def test_json_lines_and_a_list_of_objects_are_the_same(write: Write) -> None:
    rows = [{"text": "one", "label": 1, "extra": None}, {"text": "two", "label": True}, {"text": "three", "label": "x"}]
    lines = read(write("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert labels(lines) == ["1", "true", "x"]
    assert read(write("b.json", json.dumps(rows))) == lines


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "text\tlabel\none\t1\ntwo\nthree\t1\t\nfour\t \n", (
            r"3 rows cannot be used:\n  - line 3: it has 1 columns, expected 2\n  - line 4: it has 3 columns, "
            r"expected 2\n  - line 5: column 'label' is empty, expected a label\nCorrect the file, or .*=drop"
        )),
        ("a.jsonl", '{"text": "one", "label": 1}\n{"text": 2\n[3]\n{"label": 1}\n{"text": "x", "label": [1]}\n', (
            r"4 rows cannot be used:\n  - line 2: it is not valid JSON: .*\n  - line 3: it is '\[3\]', expected an "
            r"object .*\n  - line 4: key 'text' is missing\n  and 1 more"
        )),
        ("a.jsonl", '{"text": "\\ud800", "label": 1}\n', "1 row cannot be used:\n.*half a surrogate pair"),
        ("a.csv", 'text,label\n"one"x,1\n', r"line 2 is not csv: .* doubled \(\"\"\)"),
        ("a.tsv", "label\ttexts\n1\tone\n", r"has no column 'text'. It has: 'label', 'texts'"),
        ("a.tsv", "\n\n", "is empty, expected a table"),
        ("a.tsv", "text\tlabel\n", "holds no rows with texts"),
        ("a.parquet", "x", r"its ending '.parquet' does not tell the format: say data.format=csv, tsv or jsonl"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_with_its_line(write: Write, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(name, content))


def test_bad_rows_are_left_out_where_it_is_asked_for(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    path = write("a.tsv", "text\tlabel\none\t1\ntwo\nthree\t0\nfour\t7\n")
    config = DataConfig(text_column="text", label_column="label", on_bad_answer="drop")
    with caplog.at_level(logging.WARNING):
        assert [e.text for e in read(path, config, labels=("0", "1"))] == ["one", "three"]
    assert "2 rows cannot be used" in caplog.text and "Left out." in caplog.text
    with pytest.raises(DataError, match="line 3"):  # a prediction for each row is wanted
        read(path, config, with_labels=False)


def test_an_unknown_label_is_named(write: Write) -> None:
    with pytest.raises(DataError, match="line 3: label 'fine' is not known: labels are bad, good"):
        read(write("a.tsv", "text\tlabel\none\tgood\ntwo\tfine\n"), labels=("bad", "good"))


def test_columns_that_are_not_named_are_asked_for(write: Write) -> None:
    path = write("a.csv", "title,kind\none,1\n")
    with pytest.raises(ConfigError, match=r"data.text_column is not given: which of the columns .*'title', 'kind'"):
        read(path, DataConfig())
    with pytest.raises(ConfigError, match=r"data.label_column is not given"):
        read(path, DataConfig(text_column="title"))
    assert len(read(path, DataConfig(text_column="title"), with_labels=False)) == 1


def test_ids_are_unique(write: Write) -> None:
    config = DataConfig(text_column="text", label_column="label", id_column="id")
    path = write("a.csv", "id,text,label\na,one,1\na,two,1\n")
    with pytest.raises(DataError, match="line 3: column 'id' is 'a', as in line 2: it must be unique"):
        read(path, config)


def test_an_empty_text_is_an_error_to_train_on_only(write: Write) -> None:
    path = write("a.tsv", "text\tlabel\n \t1\n")
    assert read(path)[0].text == " "
    with pytest.raises(DataError, match="its text is empty"):
        read(path, is_training=True)


def test_several_labels_come_from_a_cell_or_a_list(write: Write) -> None:
    config = DataConfig(text_column="text", label_column="label", label_separator=";")
    examples = read(write("a.csv", "text,label\none,a; b\ntwo,\nthree,b;b;\n"), config, problem_type=MULTIPLE)
    assert labels(examples) == [("a", "b"), (), ("b",)]
    lines = write("b.jsonl", '{"text": "one", "label": ["a", "b"]}\n{"text": "two", "label": []}\n')
    assert labels(read(lines, problem_type=MULTIPLE)) == [("a", "b"), ()]
    assert text_examples.found_labels(examples) == ("a", "b")


def test_numbers_are_finite(write: Write) -> None:
    path = write("a.csv", "text,label\none,3.5\ntwo,-1\n")
    assert labels(read(path, problem_type=REGRESSION)) == [3.5, -1.0]
    with pytest.raises(DataError, match="column 'label' is 'nan', expected a number"):
        read(write("b.csv", "text,label\none,nan\n"), problem_type=REGRESSION)


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        (["1", "0", "2"], SINGLE),
        (["3.0", "2.5"], REGRESSION),
        (["3.0", "2.0"], SINGLE),
        (["3.5", "good"], SINGLE),
        ([3, 2.5], REGRESSION),
        ([["a"], []], MULTIPLE),
    ],
)
def test_the_kind_of_labels_shows(write: Write, rows: list[object], kind: str) -> None:
    path = write("a.jsonl", "".join(json.dumps({"text": "x", "label": row}) + "\n" for row in rows))
    assert text_examples.guess_problem_type(path, OWN) == kind


def test_whole_numbers_are_sorted_by_value() -> None:
    examples = [TextExample("x", "x", label=name) for name in ("10", "9", "100")]
    assert text_examples.found_labels(examples) == ("9", "10", "100")


class TestKnownDataSets:
    """Files as their publishers pack them, training and test files apart."""

    NONE = DataConfig()

    def test_cola_has_a_header_only_in_its_test_file(self, write: Write) -> None:
        train = read(write("train.tsv", "gj04\t1\t\tThey drank.\ngj04\t0\t*\tThey drank the.\n"), self.NONE, "cola")
        assert [(e.id, e.text, e.label) for e in train] == [
            ("0", "They drank.", "1"), ("1", "They drank the.", "0")
        ]  # fmt: skip
        test = read(write("test.tsv", "index\tsentence\n7\tThey sang.\n"), self.NONE, "cola", with_labels=False)
        assert [(e.id, e.text, e.label) for e in test] == [("7", "They sang.", None)]

    def test_a_file_of_another_data_set_is_told_by_its_columns(self, write: Write) -> None:
        path = write("train.tsv", "sentence\tlabel\none\t1\n")
        with pytest.raises(DataError, match="has no column '#1 String', '#2 String'"):
            read(path, self.NONE, "mrpc")

    def test_xnli_takes_chinese_rows_and_mends_the_spelling(self, write: Write) -> None:
        train = write("train.tsv", "premise\thypo\tlabel\n一\t二\tcontradictory\n")
        assert labels(read(train, self.NONE, "xnli", labels=DATASETS["xnli"].labels)) == ["contradiction"]
        dev = "language\tgold_label\tsentence1\tsentence2\nar\tneutral\tx\ty\nzh\tneutral\t一\t二\n"
        assert [e.text for e in read(write("dev.tsv", dev), self.NONE, "xnli")] == ["一"]

    def test_qqp_leaves_its_broken_rows_out(self, write: Write) -> None:
        rows = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t1\t2\ta\tb\t0\nof it\n3\t3\t4\tc\td\t1\n"
        assert [e.id for e in read(write("train.tsv", rows), self.NONE, "qqp")] == ["1", "3"]

    def test_tnews_is_json_with_labels_that_are_codes(self, write: Write) -> None:
        path = write("train.json", '{"label": "108", "label_desc": "news_edu", "sentence": "一", "keywords": ""}\n')
        assert labels(read(path, self.NONE, "tnews", labels=DATASETS["tnews"].labels)) == ["108"]
        assert len(DATASETS["tnews"].labels) == 15

    @pytest.mark.parametrize(
        ("file", "dataset", "count", "first"),
        [
            ("glue/MRPC/train.regenerated_3668.tsv", "mrpc", 3668, "1"),
            ("glue/MRPC/dev.tsv", "mrpc", 408, "1"),
            ("glue/RTE/train.tsv", "rte", 2490, "not_entailment"),
            ("glue/CoLA/train.tsv", "cola", 8551, "1"),
            ("glue/STS-B/train.tsv", "stsb", 5749, 5.0),
            ("glue/WNLI/dev.tsv", "wnli", 71, "0"),
            ("zh/chnsenticorp_train.tsv", "chnsenticorp", 9600, "1"),
        ],
    )
    def test_the_real_file_is_read_whole(self, file: str, dataset: str, count: int, first: object) -> None:
        kind = DATASETS[dataset].problem_type or SINGLE
        examples = read(shared_data(file), self.NONE, dataset, problem_type=kind, labels=DATASETS[dataset].labels,
                        is_training=True)  # fmt: skip
        assert (len(examples), examples[0].label) == (count, first)
        assert all(e.text.strip() for e in examples)
