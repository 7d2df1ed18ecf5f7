"""Tensors of the Open Inference Protocol: as JSON, and as bytes behind the JSON (the extension binary_tensor_data)."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import orjson
from pydantic import Field

from .bodies import parse
from .problems import Place, Refusal
from .schemas import Given, Taken

HEADER_LENGTH = "Inference-Header-Content-Length"
MAX_RANK = 4
Parameters = Annotated[
    dict[str, bool | int | float | str | list[str] | None], Field(max_length=64, description="of the protocol, or ours")
]
Size = Annotated[int, Field(ge=0, le=2**63 - 1)]
_INTEGERS: dict[str, np.dtype[Any]] = {"INT32": np.dtype("<i4"), "INT64": np.dtype("<i8")}


class InputTensor(Taken):
    """A tensor of a request."""

    name: str = Field(min_length=1, max_length=128)
    shape: list[Size] = Field(min_length=1, max_length=MAX_RANK)
    datatype: Literal["BYTES", "INT32", "INT64"]
    parameters: Parameters | None = None
    data: list[Any] | None = Field(None, description="row by row, flat or nested; not with binary data")


class WantedOutput(Taken):
    """An output that is asked for."""

    name: str = Field(min_length=1, max_length=128)
    parameters: Parameters | None = None


class InferRequest(Taken):
    """Texts, or token ids."""

    id: str | None = Field(None, max_length=256, description="comes back in the answer")
    parameters: Parameters | None = Field(
        None, description="options of the native wire; `kind` chooses where a model has several"
    )
    inputs: list[InputTensor] = Field(min_length=1, max_length=8)
    outputs: list[WantedOutput] | None = Field(None, max_length=16)
    binary: bytes | None = Field(None, exclude=True, json_schema_extra={"x-hidden": True})


class OutputTensor(Given):
    """A tensor of an answer."""

    name: str
    shape: list[int]
    datatype: Literal["BYTES", "FP32", "INT64"]
    parameters: dict[str, Any] | None = None
    data: list[str | int | float] | None = None


class InferReply(Given):
    """What the model gave."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


def read(body: bytes, headers: Mapping[str, str]) -> Any:
    """The JSON of a request, and under `binary` the bytes behind it.

    Raises:
        Refusal: 400, where the JSON is none or its declared length cannot be; 415 for another content type.
    """
    media = headers.get("Content-Type", "application/json").split(";")[0].strip().lower()
    if media not in ("application/json", "application/octet-stream"):
        raise Refusal(415, "unsupported_media_type", "expected a body of Content-Type: application/json.")
    declared = headers.get(HEADER_LENGTH)
    if declared is None:
        value = parse(body)
        return _without_binary(value)
    if not (declared.isascii() and declared.isdecimal() and len(declared) < 12 and int(declared) <= len(body)):
        raise Refusal(400, "bad_header_length", f"{HEADER_LENGTH} is not a length within the body.")
    value = _without_binary(parse(body[: int(declared)]))
    return {**value, "binary": body[int(declared) :]} if isinstance(value, dict) else value


def _without_binary(value: Any) -> Any:
    if isinstance(value, dict) and "binary" in value:
        raise Refusal(422, "invalid_request", "/binary is not known here.", [Place("/binary", "is not known here.")])
    return value


def arrays(body: InferRequest) -> dict[str, np.ndarray]:
    """The tensors of a request by name: of integers, or of texts (dtype object).

    Raises:
        Refusal: 422, with a pointer to the tensor that is not what it says.
    """
    found: dict[str, np.ndarray] = {}
    rest = memoryview(body.binary or b"")
    for index, tensor in enumerate(body.inputs):
        where = f"/inputs/{index}"
        if tensor.name in found:
            raise refused(f"{where}/name", f"{tensor.name!r} is given twice.")
        count = math.prod(tensor.shape)
        length = (tensor.parameters or {}).get("binary_data_size")
        if (length is None) == (tensor.data is None):
            raise refused(where, "expected either data, or binary_data_size among the parameters.")
        if length is None:
            values = _flat(tensor, where, count)
        else:
            if type(length) is not int or not 0 <= length <= len(rest):
                raise refused(f"{where}/parameters/binary_data_size", "is not a length within the body.")
            values, rest = _binary(tensor, bytes(rest[:length]), where, count), rest[length:]
        found[tensor.name] = values.reshape(tensor.shape)
    if len(rest):
        raise refused("/inputs", f"{len(rest)} bytes of the body belong to no tensor.")
    return found


def refused(pointer: str, detail: str) -> Refusal:
    """A tensor that cannot be used."""
    return Refusal(422, "invalid_tensor", detail, [Place(pointer, detail)])


def _flat(tensor: InputTensor, where: str, count: int) -> np.ndarray:
    values: list[Any] = tensor.data or []
    for _ in range(MAX_RANK):
        if not any(isinstance(value, list) for value in values):
            break
        if not all(isinstance(value, list) for value in values):
            raise refused(f"{where}/data", "lists and values stand side by side.")
        values = [item for value in values for item in value]
    if len(values) != count:
        raise refused(f"{where}/data", f"has {len(values)} values, but the shape has {count}.")
    kind: type = str if tensor.datatype == "BYTES" else int
    for index, value in enumerate(values):
        if type(value) is not kind:
            raise refused(f"{where}/data/{index}", f"is no {'text' if kind is str else 'whole number'}.")
    if kind is str:
        return _texts(values)
    return _whole(values, tensor.datatype, where)


def _whole(values: Sequence[int], datatype: str, where: str) -> np.ndarray:
    limits = np.iinfo(_INTEGERS[datatype])
    for index, value in enumerate(values):
        if not limits.min <= value <= limits.max:
            raise refused(f"{where}/data/{index}", f"is out of the range of {datatype}.")
    return np.array(values, _INTEGERS[datatype])


def _binary(tensor: InputTensor, data: bytes, where: str, count: int) -> np.ndarray:
    if tensor.datatype == "BYTES":
        values = _of_bytes(data, where)
    else:
        dtype = _INTEGERS[tensor.datatype]
        if len(data) % dtype.itemsize:
            raise refused(where, f"its {len(data)} bytes are no multiple of {dtype.itemsize}.")
        values = np.frombuffer(data, dtype)
    if values.size != count:
        raise refused(where, f"its bytes hold {values.size} values, but the shape has {count}.")
    return values


def _of_bytes(data: bytes, where: str) -> np.ndarray:
    """Texts, each behind its length as four bytes, little-endian."""
    values, at = [], 0
    while at < len(data):
        if at + 4 > len(data):
            raise refused(where, "its bytes end within a length.")
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        if at + length > len(data):
            raise refused(where, "its bytes end within a text.")
        try:
            values.append(data[at : at + length].decode())
        except UnicodeDecodeError:
            raise refused(where, f"text {len(values)} is not UTF-8.") from None
        at += length
    return _texts(values)


def _texts(values: Sequence[str]) -> np.ndarray:
    found = np.empty(len(values), object)
    found[:] = values
    return found


def reply(head: Mapping[str, Any], outputs: Mapping[str, np.ndarray], body: InferRequest) -> tuple[bytes, int | None]:
    """The body of an answer, with the length of its JSON where bytes follow it.

    Args:
        head: what stands beside the outputs.
        outputs: arrays of float32, int64 or texts (dtype object).
        body: the request: which outputs it wants, and which of them as bytes.

    Raises:
        Refusal: 422, where it wants one that there is not.
    """
    all_binary = bool((body.parameters or {}).get("binary_data_output"))
    wanted = {name: all_binary for name in outputs}
    if body.outputs:
        wanted = {}
        for index, one in enumerate(body.outputs):
            if one.name not in outputs:
                raise refused(f"/outputs/{index}/name", f"there are only {', '.join(outputs)}.")
            wanted[one.name] = bool((one.parameters or {}).get("binary_data", all_binary))
    tensors, parts = [], []
    for name, is_binary in wanted.items():
        array = outputs[name]
        kind = {"O": "BYTES", "f": "FP32", "i": "INT64"}[array.dtype.kind]
        tensor: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": kind}
        if is_binary:
            parts.append(_as_bytes(array))
            tensor["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            tensor["data"] = array.ravel().tolist() if kind == "BYTES" else np.ascontiguousarray(array.ravel())
        tensors.append(tensor)
    text = orjson.dumps({**head, "outputs": tensors}, option=orjson.OPT_SERIALIZE_NUMPY)
    return text + b"".join(parts), len(text) if parts else None


def _as_bytes(array: np.ndarray) -> bytes:
    if array.dtype.kind != "O":
        return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    texts = [text.encode() for text in array.ravel().tolist()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)
