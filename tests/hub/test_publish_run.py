"""A run's model can be laid out as a card elsewhere, under another name, with all that its card says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bert_ms
from bert_ms.cli import main
from bert_ms.hub import card, publish
from tests.support import PACKAGED_DATA

TAGS = PACKAGED_DATA / "pipelines" / "tags"


@pytest.fixture
def run(tmp_path: Path, pynative_mode: None) -> Path:
    body = "# tags\n\nWhat it is."
    scores = {"f1": 50.0}
    publish.publish(TAGS, tmp_path / "run", name="tags", body=body, evaluation=scores, licence="MIT", companions=TAGS)
    return tmp_path / "run"


def test_the_new_card_says_what_the_old_one_said(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hub", "publish", str(run), str(tmp_path / "cards"), "--name", "Other Tags"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == tmp_path / "cards" / "card.md"
    header, body = card.content(path)
    assert (header["model-name"], header["evaluation"], header["license"]) == ("other_tags", "f1 50.0000", "MIT")
    assert body == "# tags\n\nWhat it is."
    assert (tmp_path / "cards" / "other_tags" / "mindspore_hub_conf.py").is_file()
    names = {p.name: p.asnumpy() for p in bert_ms.from_pretrained(run, "token-classification").get_parameters()}
    for parameter in bert_ms.from_pretrained(tmp_path / "cards", "token-classification").get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), names[parameter.name])


def test_a_folder_without_a_card_and_the_run_itself_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hub", "publish", str(TAGS), str(tmp_path / "cards")]) == 2
    assert "has no card.md: expected the folder of a finished run" in capsys.readouterr().err
    assert main(["hub", "publish", str(run), str(run)]) == 2
    assert "is the run itself" in capsys.readouterr().err
