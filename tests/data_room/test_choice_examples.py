"""Tables of choices: SWAG's columns, one's own, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bert_ms.config import DataConfig
from bert_ms.data import choice_examples
from bert_ms.data.datasets import DATASETS
from bert_ms.errors import ConfigError, DataError

SWAG = ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3,label\n"
OWN = DataConfig(text_column="begin", choice_columns=("a", "b"), label_column="right")


def written(folder: Path, content: str, name: str = "some.csv") -> Path:
    (folder / name).write_text(content, encoding="utf-8")
    return folder / name


def test_an_end_of_swag_begins_with_its_first_words(tmp_path: Path) -> None:
    path = written(tmp_path, SWAG + '0,a,1,"He stops. He","He stops.",He,gold,"turns, slowly.",runs.,sits.,eats.,2\n')
    (example,) = choice_examples.read(path, DataConfig(), DATASETS["swag"], with_labels=True)
    assert (example.id, example.context, example.label) == ("0", "He stops.", 2)
    assert example.choices == ("He turns, slowly.", "He runs.", "He sits.", "He eats.")


def test_labels_may_have_names(tmp_path: Path) -> None:
    path = written(tmp_path, "begin,a,b,right\none,x,y,B\n")
    config = DataConfig(text_column="begin", choice_columns=("a", "b"), label_column="right", labels=("A", "B"))
    (example,) = choice_examples.read(path, config, with_labels=True)
    assert (example.choices, example.label) == (("x", "y"), 1)


def test_json_may_hold_the_choices_as_a_list(tmp_path: Path) -> None:
    path = written(tmp_path, '{"begin": "one", "ends": ["x", "y", "z"], "right": 2}\n', "some.jsonl")
    config = DataConfig(text_column="begin", choice_columns=("ends",), label_column="right")
    (example,) = choice_examples.read(path, config, with_labels=True)
    assert (example.choices, example.label) == (("x", "y", "z"), 2)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("one,x,y,2", r"line 2: column 'right' is '2', but there are only 2 choices, the first is 0"),
        ("one,x,y,b", r"line 2: column 'right' is 'b', expected a number from 0 to 1"),
        ("one,x,y,", r"line 2: column 'right' is '', expected a number"),
    ],
)
def test_a_label_that_is_no_choice_is_named(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        choice_examples.read(written(tmp_path, f"begin,a,b,right\n{row}\n"), OWN, with_labels=True)


def test_examples_have_equally_many_choices(tmp_path: Path) -> None:
    lines = '{"begin": "one", "ends": ["x", "y"]}\n{"begin": "two", "ends": ["x", "y", "z"]}\n'
    config = DataConfig(text_column="begin", choice_columns=("ends",))
    with pytest.raises(DataError, match="line 2: it has 3 choices, the first row 2"):
        choice_examples.read(written(tmp_path, lines, "some.jsonl"), config, with_labels=False)


def test_columns_of_choices_have_to_be_named(tmp_path: Path) -> None:
    path = written(tmp_path, "begin,a,b\none,x,y\n")
    with pytest.raises(ConfigError, match="data.choice_columns is not given"):
        choice_examples.read(path, DataConfig(text_column="begin"), with_labels=False)
