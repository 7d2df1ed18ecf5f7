"""Follow the opcodes of a pickle that PyTorch wrote, without Python's unpickler: nothing named in it is looked up.

A pickle is a program for a stack machine. The machine here knows the few opcodes that a mapping of tensors takes and
the few global names that PyTorch gives its tensors; what those build are the inert descriptions below, never a class
or function of Python's. Every other name is an error that says it. Numbers and texts are decoded by the standard
library's `pickletools`, which executes nothing.

Source: CPython, Lib/pickletools.py (what each opcode does); PyTorch, torch/_utils.py and torch/serialization.py (the
arguments of `_rebuild_tensor_v2` and of the persistent ids).
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from bert_ms.errors import CheckpointError

MAX_OPCODES = 1_000_000
MAX_ARGUMENT_BYTES = 16 << 20
MAX_LINE_BYTES = 1024
MAX_RANK = 16
MAX_ARGUMENTS = 16

# Name of a storage class -> our stored type.
STORAGES = {
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
}


@dataclass(frozen=True)
class Storage:
    """Numbers in a row that tensors are views of.

    Attributes:
        key: the name that the file has for it.
        dtype: our stored type.
        size: how many numbers.
        begin: the first of them, where it is a part of what the file keeps under its key.
    """

    key: str
    dtype: str
    size: int
    begin: int = 0


@dataclass(frozen=True)
class Tensor:
    """A view of a storage; `begin` and `strides` count numbers, not bytes."""

    storage: Storage
    begin: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """A global name, looked up nowhere."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class _Mark:
    """Where on the stack a group of values begins."""


_MARK = _Mark()
_ORDERED_DICT = _Name("collections", "OrderedDict")
_TENSORS = {_Name("torch._utils", "_rebuild_tensor_v2"), _Name("torch._utils", "_rebuild_tensor")}
_PARAMETER = _Name("torch._utils", "_rebuild_parameter")
_ALLOWED = {_ORDERED_DICT, _PARAMETER, *_TENSORS, *(_Name("torch", storage) for storage in STORAGES)}


class _Bounded:
    """A file that gives at most so much at once, whatever length an opcode claims."""

    def __init__(self, file: BinaryIO):
        self.file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_ARGUMENT_BYTES:
            raise ValueError(f"a value of {size} bytes")
        return self.file.read(size)

    def readline(self) -> bytes:
        return self.file.readline(MAX_LINE_BYTES)

    def tell(self) -> int:
        return self.file.tell()


@dataclass(frozen=True)
class Described:
    """What a pickle describes.

    Attributes:
        value: texts, numbers, lists, tuples and dictionaries, with Storage and Tensor among them.
        storages: every storage that is mentioned, by its key.
    """

    value: Any
    storages: Mapping[str, Storage]


def run(path: Path, file: BinaryIO) -> Described:
    """What the pickle at the file's position describes; the position is after it then.

    Args:
        path: for errors.
        file: open for reading.

    Raises:
        CheckpointError: the pickle is cut or malformed, or asks for anything but tensors.
    """
    machine = _Machine(path)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(cast(BinaryIO, _Bounded(file)))):
            if count >= MAX_OPCODES:
                raise ValueError(f"more than {MAX_OPCODES} opcodes")
            step = _STEPS.get(opcode.name)
            if step is None:
                raise CheckpointError(
                    f"{path} uses the pickle opcode {opcode.name}, which no file of tensors needs. Nothing in it was "
                    f"run; save the state_dict alone, or convert the file where you trust it."
                )
            step(machine, argument)
        value = machine.pop()
    except CheckpointError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise CheckpointError(
            f"{path} is cut or damaged: its pickle cannot be followed ({type(error).__name__}: {error}). "
            f"Copy or download it again."
        ) from None
    return Described(value, machine.storages)


class _Machine:
    """The stack and the memory; one method or table row an opcode."""

    def __init__(self, path: Path):
        self.path = path
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}
        self.pairs = 0

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a mark where a value should be")
        return value

    def pop_to_mark(self) -> list[Any]:
        values: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"a {type(self.stack[-1]).__name__} where a {kind.__name__} should be")
        return self.stack[-1]

    def put(self, index: int) -> None:
        self.memory[index] = self.stack[-1]

    def append(self, values: list[Any]) -> None:
        self.top(list).extend(values)

    def set_items(self, values: list[Any]) -> None:
        target = self.top(dict)
        if len(values) % 2:
            raise ValueError("a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, (str, int)):
                raise ValueError(f"a key that is a {type(key).__name__}")
            target[key] = value

    def mapping(self) -> None:
        values = self.pop_to_mark()
        self.push({})
        self.set_items(values)

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a global name that is no text")
        found = _Name(module, name)
        if found not in _ALLOWED:
            raise CheckpointError(
                f"{self.path} asks for {found}, which is no part of a tensor: only tensors are read, and nothing in "
                f"the file was run. Save the state_dict alone, or convert the file where you trust it."
            )
        self.push(found)

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, _Name) or not isinstance(arguments, tuple) or len(arguments) > MAX_ARGUMENTS:
            raise ValueError("a call of what is no function")
        if function == _ORDERED_DICT:
            self.push(self.ordered(*arguments))
        elif function == _PARAMETER:
            self.push(_tensor_itself(*arguments))
        elif function in _TENSORS:
            self.push(_rebuilt(*arguments))
        else:
            raise ValueError(f"a call of {function}")

    def build(self) -> None:
        """Attributes of a mapping: `_metadata`, with versions of modules. They are left out."""
        self.pop()
        self.top(dict)

    def persistent(self) -> None:
        identity = self.pop()
        if not isinstance(identity, tuple) or len(identity) > MAX_ARGUMENTS:
            raise ValueError("a persistent id of no storage")
        kind, storage, key, _device, size, *view = identity
        is_storage = isinstance(storage, _Name) and storage.name in STORAGES
        if kind != "storage" or not is_storage or not isinstance(key, (str, int)):
            raise ValueError("a persistent id of no storage")
        dtype, begin = STORAGES[storage.name], 0
        if view and view[0] is not None:
            _view_key, begin, size = view[0]
        _check_sizes((begin, size))
        found = Storage(str(key), dtype, size, begin)
        self.storages[found.key] = found
        self.push(found)

    def ordered(self, pairs: Any = ()) -> dict[Any, Any]:
        self.pairs += len(pairs)
        if self.pairs > MAX_OPCODES or not all(len(pair) == 2 and isinstance(pair[0], (str, int)) for pair in pairs):
            raise ValueError("an ordered mapping of no pairs")
        return {key: value for key, value in pairs}


def _tensor_itself(tensor: Any, *_requires_grad_and_hooks: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise ValueError("a parameter of no tensor")
    return tensor


def _rebuilt(storage: Any, begin: Any, shape: Any, strides: Any, *_more: Any) -> Tensor:
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise ValueError("a tensor of no storage")
    if len(shape) != len(strides) or len(shape) > MAX_RANK:
        raise ValueError(f"a tensor with {len(shape)} sizes and {len(strides)} strides")
    _check_sizes((begin, *shape, *strides))
    return Tensor(storage, begin, shape, strides)


def _check_sizes(values: tuple[Any, ...]) -> None:
    for value in values:
        if type(value) is not int or not 0 <= value < 2**62:
            raise ValueError(f"the size {value!r}" if type(value) is int else "a size that is no number")


def _group(kind: Callable[[list[Any]], Any], count: int | None = None) -> Callable[[_Machine, Any], None]:
    """An opcode that makes one value of the last `count`, or of all since the mark."""

    def step(machine: _Machine, _: Any) -> None:
        values = machine.pop_to_mark() if count is None else [machine.pop() for _ in range(count)][::-1]
        machine.push(kind(values))

    return step


def _constants() -> Iterator[tuple[str, Callable[[_Machine, Any], None]]]:
    for name in (
        "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
        "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    ):  # fmt: skip
        yield name, lambda machine, argument: machine.push(argument)
    for name, value in (("NONE", None), ("NEWTRUE", True), ("NEWFALSE", False)):
        yield name, lambda machine, _, value=value: machine.push(value)  # type: ignore[misc]
    for name in ("PUT", "BINPUT", "LONG_BINPUT"):
        yield name, lambda machine, index: machine.put(index)
    for name in ("GET", "BINGET", "LONG_BINGET"):
        yield name, lambda machine, index: machine.push(machine.memory[index])
    for name in ("PROTO", "FRAME", "STOP"):
        yield name, lambda machine, _: None


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict(_constants()),
    "MARK": lambda machine, _: machine.push(_MARK),
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memory)),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": _group(tuple),
    "TUPLE1": _group(tuple, 1),
    "TUPLE2": _group(tuple, 2),
    "TUPLE3": _group(tuple, 3),
    "LIST": _group(list),
    "DICT": lambda machine, _: machine.mapping(),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_item(),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "GLOBAL": lambda machine, names: machine.name(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(*[machine.pop() for _ in range(2)][::-1]),
    "BINPERSID": lambda machine, _: machine.persistent(),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
}
