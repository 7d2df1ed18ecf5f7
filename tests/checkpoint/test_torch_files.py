"""PyTorch's files, read without PyTorch and without running anything in them."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bert_ms import checkpoint
from bert_ms.config import BertConfig
from bert_ms.errors import CheckpointError
from tests.checkpoint.builders import pickled_mapping, pickled_tensor, torch_legacy, torch_zip
from tests.support import PACKAGED_DATA, golden, shared_data

FILES = PACKAGED_DATA / "golden" / "torch_files"
FORMS = pytest.mark.parametrize("form", ["zip", "legacy"])
BOTH: dict[str, Callable[..., bytes]] = {"zip": torch_zip, "legacy": torch_legacy}


@pytest.mark.parametrize("file", ["kinds_zip.pt", "kinds_legacy.pt", "protocol4.pt"])
def test_every_type_view_and_stride_is_what_torch_reads(file: str) -> None:
    weights = checkpoint.read(FILES / file)
    with np.load(FILES / "kinds.npz") as theirs:
        assert set(weights) == {name for name in theirs.files if not name.startswith("model.")}
        assert len(weights) == 19
        for name in weights:
            assert weights.shapes[name] == theirs[name].shape
            assert weights[name].dtype == theirs[name].dtype
            np.testing.assert_array_equal(weights[name], theirs[name])


@FORMS
def test_the_parameters_of_a_training_state_are_found(form: str) -> None:
    weights = checkpoint.read(FILES / f"training_{form}.pt")
    with np.load(FILES / "kinds.npz") as theirs:
        for name in ("weight", "bias"):
            np.testing.assert_array_equal(weights[name], theirs[f"model.{name}"])
    assert set(weights) == {"weight", "bias"}
    assert weights.texts == {"epoch": "3", "name": "run"}


def test_a_whole_module_is_refused_by_name() -> None:
    with pytest.raises(CheckpointError, match=r"asks for torch\.nn\.modules\.linear\.Linear, which is no part of a te"):
        checkpoint.read(FILES / "module.pt")


@FORMS
def test_the_pickles_of_python_2_are_read(tmp_path: Path, form: str) -> None:
    """An OrderedDict called with its pairs, and names as byte strings."""
    pair = b"(U\x01a" + pickled_tensor((2,), (1,), numbers=2) + b"t"
    content = b"\x80\x02ccollections\nOrderedDict\n(](" + pair + b"etR."
    path = tmp_path / "old.bin"
    path.write_bytes(BOTH[form](content, b"\0\0\x80?" * 2))
    np.testing.assert_array_equal(checkpoint.read(path)["a"], np.ones(2, np.float32))


@pytest.mark.parametrize(
    ("folder", "tensors", "task"),
    [
        ("allennlp-bert-xsmall-dummy", 23, "encoder"),
        ("camphr-bert_h16_l3_v32006", 55, "encoder"),
    ],
)
def test_published_files_load_completely(folder: str, tensors: int, task: str) -> None:
    opened = checkpoint.open_checkpoint(shared_data(f"weights/{folder}"))
    assert (len(opened.entries), opened.unknown, opened.task) == (tensors, (), task)
    assert all(np.isfinite(opened.array(name)).all() for name in opened.entries)


def test_a_published_file_beside_another_models_vocabulary_is_refused(tmp_path: Path) -> None:
    folder = shared_data("weights/camphr-ner_bert")
    with pytest.raises(CheckpointError, match=r"vocab\.txt has 405 entries, the word table only 402 rows"):
        checkpoint.open_checkpoint(folder)
    for name in ("pytorch_model.bin", "config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    opened = checkpoint.open_checkpoint(tmp_path)
    assert (opened.task, opened.config.num_labels, opened.unknown) == ("token-classification", 9, ())


def test_shards_with_an_index_are_one_checkpoint(tmp_path: Path) -> None:
    tensors = {"a": pickled_tensor((1,), (1,), numbers=1), "b": pickled_tensor((2, 1), (1, 1), numbers=2)}
    for number, (name, tensor) in enumerate(tensors.items(), start=1):
        content = torch_zip(pickled_mapping(**{name: tensor}), bytes(4 * number))
        (tmp_path / f"pytorch_model-0000{number}-of-00002.bin").write_bytes(content)
    names = {name: f"pytorch_model-0000{i}-of-00002.bin" for i, name in enumerate(tensors, start=1)}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    weights = checkpoint.read(tmp_path)
    assert weights.shapes == {"a": (1,), "b": (2, 1)}
    assert weights.format == "sharded PyTorch"


@FORMS
def test_reading_a_large_file_takes_little_more_memory_than_it_has(tmp_path: Path, form: str) -> None:
    numbers = 4 << 20
    turned = pickled_tensor((1024, 4096), (1, 1024), numbers=numbers)
    plain = pickled_tensor((4096, 1024), (1024, 1), numbers=numbers)
    for tensor in (plain, turned):
        path = tmp_path / "large.bin"
        path.write_bytes(BOTH[form](pickled_mapping(a=tensor), bytes(4 * numbers)))
        tracemalloc.start()
        array = checkpoint.read(path)["a"]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert array.size == numbers
        assert peak < 1.1 * path.stat().st_size


def test_a_configuration_can_be_told_from_a_pickle_alone(tmp_path: Path) -> None:
    source = golden("hf_bert_pretraining_legacy_bin") / "pytorch_model.bin"
    (tmp_path / "pytorch_model.bin").write_bytes(source.read_bytes())
    opened = checkpoint.open_checkpoint(tmp_path, num_attention_heads=4)
    own = BertConfig.from_file(source.parent)
    assert (opened.config.layer_norm_eps, opened.config.hidden_act) == (own.layer_norm_eps, own.hidden_act)
    assert opened.dropped["copy of a tied parameter"] == ("cls.predictions.decoder.weight",)
