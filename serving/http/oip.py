"""The Open Inference Protocol (KServe v2): health, metadata, and inference on texts or on token ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson
from flask import Response

from bert_ms import __version__

from ..faults import EngineError, ServiceFault, UnknownModel
from ..service import ServedModel
from . import tensors
from .bodies import validated
from .exchange import current
from .native import KINDS
from .problems import Refusal
from .schemas import Given
from .tensors import InferReply, InferRequest, refused
from .wire import JSON, Wire, as_json

# Parameters that the protocol or its clients give a meaning of their own, which is none here.
_NOT_OURS = ("binary_data_output", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "kind")
_IDS = ("input_ids", "attention_mask", "token_type_ids")
_NOT_ASKED = ("tokenize", "similarity")


class Live(Given):
    """Health; `ready` is asked for under both names."""

    live: bool
    ready: bool | None = None


class ServerMetadata(Given):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(Given):
    """A tensor of a model."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Given):
    """A model; it takes texts or ids, not both at once."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelReady(Given):
    """Whether a model answers."""

    name: str
    ready: bool


def register(wire: Wire) -> None:
    """Add the routes."""

    def server() -> dict[str, Any]:
        return {"name": "bert-ms", "version": __version__, "extensions": ["binary_tensor_data"]}

    def live() -> Response:
        return as_json({"live": wire.repository.is_live}, 200 if wire.repository.is_live else 503)

    def ready() -> Response:
        is_ready = wire.repository.is_ready
        return as_json({"live": is_ready, "ready": is_ready}, 200 if is_ready else 503)

    def metadata(name: str, version: str | None = None) -> dict[str, Any]:
        return _metadata(_model(wire, name, version))

    def model_ready(name: str, version: str | None = None) -> Response:
        is_ready = _model(wire, name, version).state == "ready"
        return as_json({"name": name, "ready": is_ready}, 200 if is_ready else 503)

    def infer(body: InferRequest, name: str, version: str | None = None) -> Response:
        return _infer(wire, body, _model(wire, name, version))

    def add(method: str, path: str, name: str, summary: str, view: Callable[..., Any], **more: Any) -> None:
        wire.add(method=method, path=path, name=name, summary=summary, view=view, tag="oip", **more)

    health = {"is_guarded": False, "statuses": (200, 503), "gives": Live}
    add("GET", "/v2", "oip_server", "Say what the server is", server, gives=ServerMetadata)
    add("GET", "/v2/health/live", "oip_live", "Whether the process answers", live, **health)
    add("GET", "/v2/health/ready", "oip_ready", "Whether every model answers", ready, **health)
    for path, suffix in (("/v2/models/<name>", ""), ("/v2/models/<name>/versions/<version>", "_version")):
        add("GET", path, f"oip_model{suffix}", "Say what a model takes and gives", metadata, gives=ModelMetadata,
            may_fail=(404,))  # fmt: skip
        add("GET", f"{path}/ready", f"oip_model_ready{suffix}", "Whether a model answers", model_ready,
            gives=ModelReady, statuses=(200, 503), may_fail=(404,))  # fmt: skip
        add("POST", f"{path}/infer", f"oip_infer{suffix}", "Have a model answer", infer, takes=InferRequest,
            gives=InferReply, raw=lambda body, headers: _read(wire, body, headers), is_counted=True)  # fmt: skip


def _read(wire: Wire, body: bytes, headers: Mapping[str, str]) -> InferRequest:
    return validated(InferRequest, tensors.read(body, headers), max_items=wire.settings.max_items)


def _model(wire: Wire, name: str, version: str | None) -> ServedModel:
    model = wire.repository.get(name)
    if version is not None and version != model.version:
        raise UnknownModel(f"{name} is served in version {model.version} only.", code="unknown_version")
    return model


def _infer(wire: Wire, body: InferRequest, model: ServedModel) -> Response:
    exchange = current()
    exchange.model = model.name
    given = tensors.arrays(body)
    if "input_ids" in given:
        outputs = _of_ids(wire, given, model)
    else:
        outputs = _of_texts(wire, body, given, model)
    head = {"model_name": model.name, "model_version": model.version}
    if body.id is not None:
        head["id"] = body.id
    content, length = tensors.reply(head, outputs, body)
    if length is None:
        return Response(content, content_type=JSON)
    headers = {tensors.HEADER_LENGTH: str(length)}
    return Response(content, content_type="application/octet-stream", headers=headers)


def _of_ids(wire: Wire, given: Mapping[str, np.ndarray], model: ServedModel) -> dict[str, np.ndarray]:
    exchange = current()
    exchange.kind, exchange.pointer = "infer", lambda index: "/inputs"
    for name, array in given.items():
        if name not in _IDS:
            raise refused("/inputs", f"{name} is not known beside input_ids: expected {', '.join(_IDS)}.")
        if array.dtype.kind != "i" or array.ndim != 2:
            raise refused("/inputs", f"{name} has to be INT32 or INT64 of shape [rows, tokens].")
        if array.shape != given["input_ids"].shape:
            raise refused("/inputs", f"{name} has the shape {list(array.shape)}, input_ids another.")
    ids = given["input_ids"]
    if not ids.size or len(ids) > wire.settings.max_items:
        raise refused("/inputs", f"input_ids has {ids.shape[0]} rows of {ids.shape[1]} tokens: expected 1 to "
                      f"{wire.settings.max_items} rows, with tokens.")  # fmt: skip
    exchange.items, exchange.tokens = len(ids), int(ids.size)
    mask = given.get("attention_mask", np.ones_like(ids))
    outputs = model.infer_ids(ids, mask, given.get("token_type_ids", np.zeros_like(ids)), exchange.call)
    if not all(np.isfinite(array).all() for array in outputs.values()):
        raise EngineError("the network gave NaN or infinity.")
    return {name: np.asarray(array, np.float32) for name, array in outputs.items()}


def _of_texts(
    wire: Wire, body: InferRequest, given: Mapping[str, np.ndarray], model: ServedModel
) -> dict[str, np.ndarray]:
    exchange = current()
    texts = {name: _texts(name, array, wire.settings.max_items) for name, array in given.items()}
    kind = _kind(body, set(texts), model)
    options = {key: value for key, value in (body.parameters or {}).items() if key not in _NOT_OURS}
    try:
        chosen = validated(KINDS[kind].options, options, max_items=0)
    except Refusal as refusal:
        refusal.places = [type(p)(f"/parameters{p.pointer}", p.detail) for p in refusal.places]
        raise
    inputs: list[Any] = list(texts.get("text", ()))
    if kind == "qa":
        pairs = zip(texts["question"], texts["context"], strict=False)
        inputs = [{"question": question, "context": context} for question, context in pairs]
        if len(texts["question"]) != len(texts["context"]):
            raise refused("/inputs", "question and context have to hold as many texts as each other.")
    elif "text_pair" in texts:
        if len(texts["text_pair"]) != len(inputs):
            raise refused("/inputs", "text and text_pair have to hold as many texts as each other.")
        inputs = list(zip(inputs, texts["text_pair"], strict=True))
    exchange.pointer = lambda index: f"/inputs/0/data/{index}"
    try:
        _, reply = wire.ask(kind, model.name, inputs, chosen.model_dump())
    except ServiceFault as fault:
        fault.field = f"parameters/{fault.field}" if fault.field in options else None
        raise
    return _outputs(kind, reply.results)


def _texts(name: str, array: np.ndarray, limit: int) -> list[str]:
    if array.dtype.kind != "O" or not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise refused("/inputs", f"{name} has to be BYTES of shape [texts] or [texts, 1].")
    if not 1 <= array.size <= limit:
        raise refused("/inputs", f"{name} has {array.size} texts: expected 1 to {limit}.")
    values: list[str] = array.ravel().tolist()
    return values


def _kind(body: InferRequest, names: set[str], model: ServedModel) -> str:
    """Which kind of request texts are meant as: the one that is named, else the first that the model answers."""
    kinds = [kind for kind in model.kinds() if kind not in _NOT_ASKED]
    named = (body.parameters or {}).get("kind")
    if named is not None and named not in kinds:
        raise refused("/parameters/kind", f"{model.name} answers {', '.join(kinds) or 'ids only'}.")
    kind = str(named) if named is not None else "qa" if "question" in names else kinds[0] if kinds else ""
    allowed = {"qa": [{"question", "context"}], "classify": [{"text"}, {"text", "text_pair"}]}.get(kind, [{"text"}])
    if kind not in kinds or names not in allowed:
        expected = " or ".join(" and ".join(sorted(one)) for one in allowed)
        raise refused("/inputs", f"{model.name} takes {expected}, or input_ids; not {', '.join(sorted(names))}.")
    return kind


def _outputs(kind: str, results: list[Any]) -> dict[str, np.ndarray]:
    if kind == "embed":
        vectors = np.stack(results).astype(np.float32)
        if not np.isfinite(vectors).all():
            raise EngineError("the network gave NaN or infinity.")
        return {"embedding": vectors}
    found = {"results": _column([orjson.dumps(one).decode() for one in results])}
    if kind == "qa":
        nothing = {"text": "", "start": 0, "end": 0, "score": 0.0}
        best = [(one["answers"] or [nothing])[0] for one in results]
        found["answer"] = _column([one["text"] for one in best])
        found |= {name: np.array([one[name] for one in best], np.int64) for name in ("start", "end")}
    if kind == "classify":
        best = [one[0] for one in results]
        found["label"] = _column([one["label"] for one in best])
    if kind in ("qa", "classify"):
        found["score"] = np.array([one["score"] for one in best], np.float32)
    return found


def _column(texts: list[str]) -> np.ndarray:
    found = np.empty(len(texts), object)
    found[:] = texts
    return found


def _metadata(model: ServedModel) -> dict[str, Any]:
    kinds = [kind for kind in model.kinds() if kind not in _NOT_ASKED]
    texts = [name for kind in kinds for name in (("question", "context") if kind == "qa" else ("text",))]
    texts += ["text_pair"] if "classify" in kinds else []
    inputs = [(name, "BYTES", [-1]) for name in dict.fromkeys(texts)] + [(name, "INT64", [-1, -1]) for name in _IDS]
    found: dict[str, tuple[str, list[int]]] = {}
    for kind in kinds:
        if kind == "embed":
            found["embedding"] = ("FP32", [-1, model.config.hidden_size])
            continue
        found["results"] = ("BYTES", [-1])
        if kind == "qa":
            found |= {"answer": ("BYTES", [-1]), "start": ("INT64", [-1]), "end": ("INT64", [-1])}
        if kind == "classify":
            found["label"] = ("BYTES", [-1])
        if kind in ("qa", "classify"):
            found["score"] = ("FP32", [-1])
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": "mindspore_bert",
        "inputs": [dict(zip(("name", "datatype", "shape"), one, strict=True)) for one in inputs],
        "outputs": [{"name": name, "datatype": kind, "shape": shape} for name, (kind, shape) in found.items()],
    }
