"""Broken and hostile PyTorch files: each gives one precise error, and nothing in them is run."""

from __future__ import annotations

import io
import os
import pickle
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bert_ms import checkpoint
from bert_ms.checkpoint.readers import opcodes
from bert_ms.errors import CheckpointError
from tests.checkpoint.builders import pickled, pickled_mapping, pickled_tensor, torch_legacy, torch_zip
from tests.support import PACKAGED_DATA

FILES = PACKAGED_DATA / "golden" / "torch_files"
FORMS = pytest.mark.parametrize("form", ["zip", "legacy"])
BOTH: dict[str, Callable[..., bytes]] = {"zip": torch_zip, "legacy": torch_legacy}
GOOD = pickled_tensor((2,), (1,), numbers=2)
WHOLE = pickled_mapping(a=GOOD)


class _Runs:
    """A pickle that would run a command."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def _read(path: Path) -> None:
    weights = checkpoint.read(path)
    for name in weights:
        assert weights[name] is not None


@FORMS
@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_calls_the_shell_is_refused_and_not_run(tmp_path: Path, form: str, protocol: int) -> None:
    mark = tmp_path / "was_run"
    bomb = pickle.dumps({"a": _Runs(mark)}, protocol=protocol)
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(BOTH[form](bomb, bytes(8)))
    with pytest.raises(CheckpointError, match=r"asks for posix\.system, which is no part of a tensor"):
        checkpoint.open_checkpoint(tmp_path)
    assert not mark.exists()
    pickle.loads(bomb)  # the bomb is real
    assert mark.exists()


@FORMS
@pytest.mark.parametrize(
    "name",
    ["builtins eval", "torch.storage UntypedStorage", "torch FloatTensor", "collections defaultdict", "os OrderedDict",
     "torch._utils _rebuild_qtensor", "numpy.core.multiarray scalar", "argparse Namespace",
     "torch ComplexFloatStorage"],
)  # fmt: skip
def test_every_other_name_is_refused_by_name(tmp_path: Path, form: str, name: str) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(BOTH[form](pickled_mapping(a=f"c{name.replace(' ', chr(10))}\n".encode()), bytes(8)))
    with pytest.raises(CheckpointError, match=rf"asks for {name.replace(' ', '.')}, which is no part of a tensor"):
        checkpoint.read(path)


# name -> (content of the pickle, text of the error)
PICKLES: dict[str, tuple[bytes, str]] = {
    "opcode of objects": (pickled_mapping(a=b"(iposix\nsystem\n"), r"the pickle opcode INST, which no file"),
    "opcode of new objects": (pickled_mapping(a=b"ccollections\nOrderedDict\n)\x81"), r"the pickle opcode NEWOBJ"),
    "opcode of extensions": (pickled_mapping(a=b"\x82\x01"), r"the pickle opcode EXT1"),
    "attributes of a function": (
        pickled_mapping(a=b"ctorch._utils\n_rebuild_tensor_v2\n}b"),
        r"a _Name where a dict should be",
    ),
    "call of a storage": (pickled_mapping(a=b"ctorch\nFloatStorage\n)R"), r"a call of torch\.FloatStorage"),
    "call of a text": (pickled_mapping(a=pickled("x") + b")R"), r"a call of what is no function"),
    "storage of no storage": (pickled_mapping(a=pickled(("storage", "x", "0", "cpu", 1)) + b"Q"), r"id of no storage"),
    "unknown persistent id": (pickled_mapping(a=pickled(("module", "x", "0", "cpu", 1)) + b"Q"), r"id of no storage"),
    "nothing on the stack": (b"\x80\x02.", r"IndexError"),
    "no end": (b"\x80\x02}(", r"pickle exhausted|opcode b?'|cannot be followed"),
    "text of 2^62 bytes": (b"\x80\x02\x8d" + (2**62).to_bytes(8, "little"), r"a value of 4611686018427387904 bytes"),
    "text of 2 GB": (b"\x80\x02X" + (2**31).to_bytes(4, "little"), r"a value of 2147483648 bytes"),
    "key of a list": (b"\x80\x02}(]" + GOOD + b"u.", r"a key that is a list"),
    "key of deep tuples": (b"\x80\x02}()" + b"\x85" * 200_000 + GOOD + b"u.", r"a key that is a tuple"),
    "memory of nothing": (pickled_mapping(a=b"h\x07"), r"KeyError: 7"),
    "many opcodes": (b"\x80\x02" + b"]0" * 3 + b"]" * 1_000_001 + b".", r"more than 1000000 opcodes|opcode POP"),
    "no mapping": (b"\x80\x02" + GOOD + b".", r"holds a Tensor: expected a mapping of names to tensors"),
    "no tensors": (pickled_mapping(epoch=pickled(3)), r"holds no tensors|a storage '0' of no tensor"),
    "lists beside tensors": (pickled_mapping(a=GOOD, b=b"]"), r"'b' is a list: save the state_dict alone"),
    "negative size": (pickled_mapping(a=pickled_tensor((-2,), (1,), numbers=2)), r"the size -2"),
    "negative stride": (pickled_mapping(a=pickled_tensor((2,), (-1,), numbers=2)), r"the size -1"),
    "negative begin": (pickled_mapping(a=pickled_tensor((2,), (1,), numbers=2, begin=-1)), r"the size -1"),
    "size of a text": (pickled_mapping(a=pickled_tensor(("2",), (1,), numbers=2)), r"a size that is no number"),  # type: ignore[arg-type]
    "fewer strides": (pickled_mapping(a=pickled_tensor((2, 1), (1,), numbers=2)), r"2 sizes and 1 strides"),
    "many axes": (pickled_mapping(a=pickled_tensor((1,) * 17, (1,) * 17, numbers=2)), r"17 sizes and 17 strides"),
    "shape past the storage": (
        pickled_mapping(a=pickled_tensor((3,), (1,), numbers=2)),
        r"storage of 2 numbers does not",
    ),
    "begin past the storage": (pickled_mapping(a=pickled_tensor((2,), (1,), numbers=2, begin=1)), r"from 1 on, which"),
    "stride past the storage": (pickled_mapping(a=pickled_tensor((2,), (2,), numbers=2)), r"strides \[2\] from 0 on"),
    "one number a billion times": (
        pickled_mapping(a=pickled_tensor((2**40,), (0,), numbers=2)),
        r"shape \[1099511627776",
    ),
    "storage past the file": (
        pickled_mapping(a=pickled_tensor((3,), (1,), numbers=3)),
        r"needs 12 bytes of .* has only 8",
    ),
    "storage of 2^61 numbers": (
        pickled_mapping(a=pickled_tensor((1,), (1,), numbers=2**61)),
        r"needs 9223372036854775808",
    ),
}


@FORMS
@pytest.mark.parametrize("case", PICKLES)
def test_a_broken_pickle_is_refused(tmp_path: Path, form: str, case: str) -> None:
    content, error = PICKLES[case]
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(BOTH[form](content, bytes(8)))
    with pytest.raises(CheckpointError, match=error):
        checkpoint.read(path)


def _archive(*members: tuple[str, bytes], **kwargs: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **kwargs) as archive:  # type: ignore[arg-type]
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def _overlapping() -> bytes:
    """An archive whose list has the same bytes as two members."""
    content = torch_zip(WHOLE, bytes(4000))
    at, end = content.rfind(b"PK\x01\x02"), content.rfind(b"PK\x05\x06")
    again = content[at:end].replace(b"data/0", b"data/1")
    size = int.from_bytes(content[end + 12 : end + 16], "little") + len(again)
    tail = content[end : end + 12] + size.to_bytes(4, "little") + content[end + 16 :]
    return content[:end] + again + tail


ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "compressed": (lambda: torch_zip(WHOLE, bytes(8), compression=zipfile.ZIP_DEFLATED), r"is a compressed archive"),
    "bomb": (
        lambda: torch_zip(WHOLE, bytes(64 << 20), compression=zipfile.ZIP_DEFLATED),
        r"is a compressed archive \('archive/data.pkl' is \d+ bytes that unpack to \d+\)",
    ),
    "overlapping members": (_overlapping, r"its members overlap"),
    "storage missing": (lambda: _archive(("x/data.pkl", WHOLE)), r"storage '0', which is not in the file"),
    "big-endian": (
        lambda: _archive(("x/data.pkl", WHOLE), ("x/byteorder", b"big"), ("x/data/0", bytes(8))),
        r"written by a big-endian machine",
    ),
    "a script": (
        lambda: _archive(("x/data.pkl", pickled_mapping(a=b"c__torch__.Net\nNet\n)\x81")), ("x/code/net.py", b"")),
        r"asks for __torch__\.Net\.Net",
    ),
    "cut": (lambda: torch_zip(WHOLE, bytes(8))[:-30], r"is cut or damaged: File is not a zip file"),
    "list moved": (
        lambda: torch_zip(WHOLE, bytes(8)).replace(b"PK\x01\x02", b"PK\x01\x07"),
        r"is cut or damaged: Bad magic number for central directory",
    ),
    "member moved": (
        lambda: b"PK\x03\x05".join(torch_zip(WHOLE, bytes(8)).rsplit(b"PK\x03\x04", 1)),
        r"is damaged: 'archive/data/0' is not where its list of members says",
    ),
}
LEGACY: dict[str, tuple[Callable[[], bytes], str]] = {
    "storage cut": (lambda: torch_legacy(WHOLE, bytes(8))[:-3], r"storage '0' ends at byte \d+, but the file has"),
    "storage of 2^63": (
        lambda: torch_legacy(WHOLE, bytes(8))[:-16] + b"\xff" * 8 + bytes(8),
        r"storage '0' ends at byte 73786976294838206\d+",
    ),
    "keys of nothing": (
        lambda: torch_legacy(WHOLE, bytes(8), keys=b"\x80\x02](X\x01\0\0\x001e."),
        r"lists a storage '1' of no tensor",
    ),
    "keys twice": (
        lambda: torch_legacy(WHOLE, bytes(8), keys=b"\x80\x02](" + pickled("0") * 2 + b"e."),
        r"lists it twice",
    ),
    "no keys": (lambda: torch_legacy(WHOLE, bytes(8), keys=b"\x80\x02]."), r"storage '0', which is not in the file"),
    "keys of numbers": (lambda: torch_legacy(WHOLE, bytes(8), keys=b"\x80\x02}."), r"does not list its storages"),
    "big-endian": (
        lambda: torch_legacy(WHOLE, bytes(8)).replace(b"little_endian\x88", b"little_endian\x89"),
        r"written by a big-endian machine",
    ),
    "another version": (
        lambda: torch_legacy(WHOLE, bytes(8)).replace(pickled(1001), pickled(1002)),
        r"has another version than 1001",
    ),
    "magic alone": (lambda: torch_legacy(WHOLE)[:15], r"is cut or damaged: its pickle cannot be followed"),
}


@pytest.mark.parametrize("case", [*ARCHIVES, *(f"old: {name}" for name in LEGACY)])
def test_a_broken_file_is_refused(tmp_path: Path, case: str) -> None:
    make, error = LEGACY[case[5:]] if case.startswith("old: ") else ARCHIVES[case]
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(make())
    with pytest.raises(CheckpointError, match=error):
        checkpoint.read(path)


def test_a_list_of_members_larger_than_any_networks_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    content = torch_zip(WHOLE, bytes(8))
    end = content.rfind(b"PK\x05\x06")
    lying = bytearray(content[:end] + bytes(20 << 20) + content[end:])
    at = lying.rfind(b"PK\x05\x06")
    lying[at + 12 : at + 16] = (20 << 20).to_bytes(4, "little")
    path.write_bytes(lying)
    with pytest.raises(CheckpointError, match=r"its list of members has 20971520 bytes, more than"):
        checkpoint.read(path)


def test_random_damage_never_gives_anything_but_a_checkpoint_error(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    originals = [
        (FILES / f"{name}.pt").read_bytes() for name in ("kinds_zip", "kinds_legacy", "training_zip", "protocol4")
    ]
    path = tmp_path / "w"
    refused = 0
    for turn in range(400):
        content = bytearray(originals[turn % 4])
        if turn % 3 == 0:
            del content[int(random.integers(1, len(content))) :]
        for at in random.integers(0, len(content), 4):
            content[at] = int(random.integers(256))
        path.write_bytes(content)
        try:
            _read(path)
        except CheckpointError:
            refused += 1
    assert 200 < refused <= 400


def test_memory_that_an_opcode_claims_is_not_given(tmp_path: Path) -> None:
    """An index of 2^32 in the machine's memory, for which Python's own unpickler would fill 64 GB."""
    path = tmp_path / "m.pt"
    path.write_bytes(torch_zip(pickled_mapping(a=GOOD + b"r\xff\xff\xff\xff"), bytes(8)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert checkpoint.read(path).shapes == {"a": (2,)}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # kilobytes


def test_the_names_that_are_allowed_are_these() -> None:
    assert sorted(map(str, opcodes._ALLOWED)) == [
        "collections.OrderedDict", "torch.BFloat16Storage", "torch.BoolStorage", "torch.ByteStorage",
        "torch.CharStorage", "torch.DoubleStorage", "torch.FloatStorage", "torch.HalfStorage", "torch.IntStorage",
        "torch.LongStorage", "torch.ShortStorage", "torch._utils._rebuild_parameter", "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
    ]  # fmt: skip
