"""An exported folder appears whole or not at all, and its record is read strictly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bert_ms.errors import CheckpointError
from bert_ms.export.folder import (
    FILE_NAME,
    ExportRecord,
    Verification,
    is_exported,
    read_record,
    staged_folder,
    stored_files,
)


def record(**fields: Any) -> ExportRecord:
    values: dict[str, Any] = {
        "format": "mindir",
        "task": "question-answering",
        "inputs": ("input_ids", "attention_mask", "token_type_ids"),
        "outputs": ("start_logits", "end_logits"),
        "buckets": ((1, 128), (8, 384)),
        "source": {"name": "tiny", "sha256": "0" * 64},
        "verification": Verification(
            inputs=9, shapes=((1, 128), (8, 384)), max_abs_difference=2e-6, tolerance=1e-4, passed=True
        ),
        "versions": {"bert_ms": "0.1.0"},
        "created": "2025-01-01T00:00:00+00:00",
    }
    return ExportRecord(**{**values, **fields})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An exported folder with a file, and with one in a folder below."""
    made = tmp_path / "exported"
    with staged_folder(made) as scratch:
        (scratch / "config.json").write_text("{}")
        (scratch / "model_1x128.mindir").write_bytes(b"a graph")
        (scratch / "weights").mkdir()
        (scratch / "weights" / "data_0").write_bytes(b"numbers")
        record(files=stored_files(scratch)).write(scratch)
    return made


def change(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Edit the record's JSON in place."""
    values = json.loads((folder / FILE_NAME).read_text())
    edit(values)
    (folder / FILE_NAME).write_text(json.dumps(values))


def test_what_was_written_is_read_again(folder: Path) -> None:
    found = read_record(folder)
    assert found == record(files=found.files)
    assert list(found.files) == ["config.json", "model_1x128.mindir", "weights/data_0"]
    assert found.size == sum((folder / name).stat().st_size for name in found.files)
    assert is_exported(folder)
    assert not is_exported(folder / "weights")


def test_a_folder_without_a_record_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is no exported folder: it has no export.json"):
        read_record(tmp_path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda r: r.update(formt="onnx"), "unknown key 'formt': did you mean 'format'"),
        (lambda r: r.pop("outputs"), "it lacks outputs"),
        (lambda r: r.update(format="pickle"), "format is 'pickle': expected one of onnx, mindir, air"),
        (lambda r: r.update(task="chess"), "unknown task 'chess'"),
        (lambda r: r.update(task=None), "task is null: expected text"),
        (lambda r: r.update(outputs="logits"), "outputs is 'logits': expected a list"),
        (lambda r: r.update(row_outputs=["pooled_output"]), "row_outputs names what is no output"),
        (lambda r: r.update(buckets=[]), r"format is mindir and buckets is \(\)"),
        (lambda r: r.update(buckets=[[0, 128]]), "a number below 1"),
        (lambda r: r.update(buckets=[[1, 2, 3]]), "buckets is"),
        (lambda r: r.update(format="onnx"), "format is onnx and buckets is"),
        (lambda r: r.update(source=["tiny"]), "source is .*expected a mapping"),
        (lambda r: r.update(files=[]), "files is .*expected a mapping"),
        (lambda r: r["files"].pop("config.json"), "files has no config.json"),
        (lambda r: r["files"].update(other="x"), r"files.other is 'x', not a mapping"),
        (lambda r: r["files"]["config.json"].update(bytes=True), "files.config.json.bytes is true"),
        (lambda r: r["verification"].update(passed="yes"), "verification.passed is 'yes'"),
        (lambda r: r["verification"].update(max_abs_difference=float("nan")), "verification.max_abs_difference is nan"),
        (lambda r: r.update(format_version=2), "has layout 2, newer than 1: upgrade bert_ms"),
    ],
)
def test_a_record_that_is_not_as_it_should_be_is_refused(folder: Path, edit: Any, message: str) -> None:
    change(folder, edit)
    with pytest.raises(CheckpointError, match=message):
        read_record(folder)


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"\xff\xfe", b"{" * 100_000, b'{"format": NaN}'])
def test_a_record_that_is_no_mapping_is_refused(folder: Path, content: bytes) -> None:
    (folder / FILE_NAME).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"export.json is no record of an exported network"):
        read_record(folder)


def test_a_record_of_megabytes_is_not_read(folder: Path) -> None:
    with (folder / FILE_NAME).open("r+b") as file:
        file.truncate(1 << 30)
    with pytest.raises(CheckpointError, match="has 1,073,741,824 bytes: expected at most"):
        read_record(folder)


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "..", "weights/../../secret", "a/b/c", "", "weights//data_0", "a\\b", "export.json"],
)
def test_a_file_name_that_leads_out_is_not_followed(folder: Path, name: str) -> None:
    (folder.parent / "secret").write_text("x")
    change(folder, lambda r: r["files"].update({name: {"sha256": "0" * 64, "bytes": 1}}))
    with pytest.raises(CheckpointError, match="is not the name of a file in this folder; it is not followed"):
        read_record(folder)


def test_a_link_that_leads_out_is_not_followed(folder: Path) -> None:
    outside = folder.parent / "graph"
    outside.write_bytes(b"a graph")
    (folder / "model_1x128.mindir").unlink()
    (folder / "model_1x128.mindir").symlink_to(outside)
    with pytest.raises(CheckpointError, match=r"model_1x128.mindir links out of its folder"):
        read_record(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "weights" / "data_0").unlink()
    with pytest.raises(CheckpointError, match=r"export.json names weights/data_0, which is not there"):
        read_record(folder)


def test_a_file_of_another_size_or_content_is_refused(folder: Path) -> None:
    (folder / "model_1x128.mindir").write_bytes(b"a grape")
    with pytest.raises(CheckpointError, match=r"model_1x128.mindir is not what was exported: its sha256 differs"):
        read_record(folder)
    assert read_record(folder, verify=False).format == "mindir"
    (folder / "model_1x128.mindir").write_bytes(b"a graph, longer")
    with pytest.raises(CheckpointError, match=r"has 15 bytes, and 7 by export.json"):
        read_record(folder, verify=False)


def test_a_block_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="on purpose"), staged_folder(tmp_path / "new" / "exported") as scratch:
        (scratch / "model.onnx").write_bytes(b"half")
        raise ValueError("on purpose")
    assert not (tmp_path / "new" / "exported").exists()
    assert not list((tmp_path / "new").iterdir())


def test_an_exported_folder_is_replaced_only_on_demand_and_only_as_a_whole(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    with pytest.raises(CheckpointError, match=r"holds an exported network: name another folder, or overwrite it"):
        staged_folder(folder).__enter__()
    with pytest.raises(ValueError, match="on purpose"), staged_folder(folder, overwrite=True):
        raise ValueError("on purpose")
    assert sorted(folder.rglob("*")) == before
    with staged_folder(folder, overwrite=True) as scratch:
        (scratch / "config.json").write_text("{}")
        record(files=stored_files(scratch)).write(scratch)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", FILE_NAME]
    assert [path.name for path in folder.parent.iterdir()] == ["exported"]


def test_other_peoples_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(CheckpointError, match="holds other files, which are left as they are"):
            staged_folder(tmp_path, overwrite=overwrite).__enter__()
    with pytest.raises(CheckpointError, match="is no folder"):
        staged_folder(tmp_path / "thesis.txt", overwrite=True).__enter__()
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
