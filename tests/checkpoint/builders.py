"""Small checkpoints, right and wrong, written byte by byte."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms.checkpoint import architecture, names
from bert_ms.config import BertConfig

TINY = BertConfig(
    vocab_size=12,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=10,
    type_vocab_size=2,
)


def safetensors_bytes(header: Any, body: bytes = b"", *, length: int | None = None) -> bytes:
    """A safetensors file with any header; `length` lies about the header's."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def tensor(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    """One entry of a safetensors header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def varint(value: int) -> bytes:
    """A protobuf number."""
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def message(*fields: tuple[int, bytes | int]) -> bytes:
    """A protobuf message: (field number, content) with a number or bytes."""
    out = b""
    for number, content in fields:
        if isinstance(content, int):
            out += varint(number << 3) + varint(content)
        else:
            out += varint(number << 3 | 2) + varint(len(content)) + content
    return out


def ckpt_value(tag: str, dims: Iterable[int], kind: str, content: bytes) -> bytes:
    """One parameter of a MindSpore checkpoint."""
    body = message(*((1, d) for d in dims), (2, kind.encode()), (3, content))
    return message((1, message((1, tag.encode()), (2, body))))


def tiny_arrays(config: BertConfig = TINY, *, head: bool = False, seed: int = 0) -> dict[str, np.ndarray]:
    """Random parameters under our bare names."""
    random = np.random.default_rng(seed)
    shapes = architecture.encoder_shapes(config)
    if head:
        shapes |= {"qa_outputs.weight": (2, config.hidden_size), "qa_outputs.bias": (2,)}
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def write_safetensors(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """A right file, without the code under test."""
    header: dict[str, Any] = {}
    end = 0
    for name, array in arrays.items():
        header[name] = tensor(list(array.shape), end, end + array.nbytes)
        end += array.nbytes
    path.write_bytes(safetensors_bytes(header, b"".join(array.tobytes() for array in arrays.values())))
    return path


def write_tiny(directory: Path, config: BertConfig = TINY, *, head: bool = False, drop: Iterable[str] = ()) -> Path:
    """A directory as Hugging Face writes it."""
    directory.mkdir(exist_ok=True)
    arrays = {name: array for name, array in tiny_arrays(config, head=head).items() if name not in drop}
    written = names.HUGGING_FACE.names_of(arrays)
    write_safetensors(directory / "model.safetensors", {written[name].name: array for name, array in arrays.items()})
    config.save(directory / "config.json")
    return directory


def pickled(value: Any) -> bytes:
    """A number, text or tuple as PyTorch pickles it, without the end."""
    if isinstance(value, int):
        content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(content)]) + content
    if isinstance(value, str):
        return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()
    return b"(" + b"".join(map(pickled, value)) + b"t"


def pickled_tensor(
    shape: tuple[int, ...], strides: tuple[int, ...], *, numbers: int, begin: int = 0, kind: str = "FloatStorage"
) -> bytes:
    """A tensor as PyTorch pickles it, in the storage "0"."""
    storage = b"(" + pickled("storage") + f"ctorch\n{kind}\n".encode() + pickled("0") + pickled("cpu")
    storage += pickled(numbers) + b"tQ"
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    arguments = storage + pickled(begin) + pickled(shape) + pickled(strides) + hooks
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def pickled_mapping(**values: bytes) -> bytes:
    """A whole pickle of a mapping of names to pickled values."""
    return b"\x80\x02}(" + b"".join(pickled(name) + value for name, value in values.items()) + b"u."


def torch_zip(content: bytes, storage: bytes = b"", **kwargs: Any) -> bytes:
    """PyTorch's zip archive with any pickle in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **kwargs) as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/data/0", storage)
    return buffer.getvalue()


def torch_legacy(content: bytes, storage: bytes = b"", *, keys: bytes = b"\x80\x02](X\x01\0\0\x000e.") -> bytes:
    """PyTorch's older file with any pickle in it."""
    magic = b"\x80\x02" + pickled(0x1950A86A20F9469CFC6C) + b".\x80\x02" + pickled(1001) + b"."
    system = b"\x80\x02}(" + pickled("little_endian") + b"\x88u."
    return magic + system + content + keys + (len(storage) // 4).to_bytes(8, "little") + storage


def table_block(pairs: Mapping[bytes, bytes]) -> bytes:
    """A block of a LevelDB table, its keys written whole."""
    body = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in pairs.items())
    return body + bytes(4) + (1).to_bytes(4, "little")


def table_bytes(*blocks: bytes, kind: int = 0, handles: Mapping[bytes, bytes] | None = None) -> bytes:
    """A LevelDB table of blocks that are as given; `kind` is their compression, `handles` lies about their places."""
    out, places = b"", {}
    for block in blocks:
        places[b"~%d" % len(places)] = varint(len(out)) + varint(len(block))
        out += _with_trailer(block, kind)
    index = table_block(places if handles is None else handles)
    handle = varint(len(out)) + varint(len(index))
    out += _with_trailer(index, 0)
    return out + (b"\0\0" + handle).ljust(40, b"\0") + 0xDB4775248B80FB57.to_bytes(8, "little")


def _with_trailer(block: bytes, kind: int) -> bytes:
    crc = 0xFFFFFFFF
    for byte in block + bytes([kind]):
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return block + bytes([kind]) + masked.to_bytes(4, "little")


def bundle_entry(
    shape: Iterable[int], size: int, *, dtype: int = 1, shard: int = 0, offset: int = 0, more: bytes = b""
) -> bytes:
    """What the index of a TensorFlow checkpoint says of a tensor."""
    dims = message(*((2, message((1, n))) for n in shape))
    return message((1, dtype), (2, dims), (3, shard), (4, offset), (5, size)) + more


def write_bundle(directory: Path, tensors: Mapping[str, bytes], data: bytes, *, header: bytes | None = None) -> Path:
    """A TensorFlow checkpoint with any entries; returns its index."""
    pairs = {b"": message((1, 1), (3, message((1, 1)))) if header is None else header}
    pairs |= {name.encode(): entry for name, entry in sorted(tensors.items())}
    index = directory / "m.ckpt.index"
    index.write_bytes(table_bytes(table_block(pairs)))
    (directory / "m.ckpt.data-00000-of-00001").write_bytes(data)
    return index


def write_tensorflow(directory: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """A right TensorFlow checkpoint of float32 arrays by their names there."""
    tensors, data = {}, b""
    for name, array in arrays.items():
        tensors[name] = bundle_entry(array.shape, array.nbytes, offset=len(data))
        data += array.tobytes()
    return write_bundle(directory, tensors, data)


def mxnet_array(
    shape: Iterable[int],
    content: bytes,
    *,
    flag: int = 0,
    magic: int = 0xF993FAC9,
    kind: int = 0,
    rank: int | None = None,
) -> bytes:
    """One array of an MXNet .params file, of the second version unless `magic` says another."""
    shape = tuple(shape)
    rank = len(shape) if rank is None else rank
    head = magic.to_bytes(4, "little")
    if magic in (0xF993FAC9, 0xF993FACA):
        head += kind.to_bytes(4, "little", signed=True)
    if magic >= 0xF993FAC8:
        head += rank.to_bytes(4, "little") + b"".join(n.to_bytes(8, "little", signed=True) for n in shape)
    else:
        head += b"".join(n.to_bytes(4, "little") for n in shape)
    return head + (1).to_bytes(4, "little") + bytes(4) + flag.to_bytes(4, "little", signed=True) + content


def mxnet_bytes(*arrays: bytes, names: Iterable[str], count: int | None = None) -> bytes:
    """An MXNet .params file; `count` lies about how many arrays there are."""
    names = list(names)
    out = (0x112).to_bytes(8, "little") + bytes(8) + (len(arrays) if count is None else count).to_bytes(8, "little")
    out += b"".join(arrays) + len(names).to_bytes(8, "little")
    return out + b"".join(len(name.encode()).to_bytes(8, "little") + name.encode() for name in names)


def object_graph(names: Mapping[str, str]) -> bytes:
    """The text tensor in which TensorFlow 2 keeps the names that people gave, by the keys of the index."""
    attributes = (message((2, name.encode()), (3, key.encode())) for key, name in names.items())
    graph = b"".join(message((1, message((2, attribute)))) for attribute in attributes)
    return varint(len(graph)) + bytes(4) + graph
