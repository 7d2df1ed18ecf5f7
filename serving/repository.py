"""The models of a server by name: loaded, loaded anew beside the one that answers, taken out."""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bert_ms.errors import BertMsError, unknown

from . import memory
from .engine.process import EngineProcess
from .faults import LoadFailed, Unavailable, UnknownModel, WrongTask
from .model import LoadedModel
from .served import Served
from .spec import ModelSpec

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 30.0


class ModelRepository:
    """A `service.Repository`.

    Args:
        specs: of the models to load at the start, in the order in which a request without a name tries them.
        root: folder below which models may be loaded later; None allows loading none but those of the specs, anew.
        make_spec: the spec of a model that is loaded later, from its name and its folder.
        start: starts an engine.

    Example:
        repository = ModelRepository([ModelSpec(name="minilm", source="minilm")])
        repository.start()
        repository.wait_started()
        repository.get("minilm").answer("embed", ["a text"], {}, Call.within(30)).results
    """

    def __init__(
        self,
        specs: Sequence[ModelSpec] = (),
        *,
        root: str | os.PathLike[str] | None = None,
        make_spec: Callable[[str, str], ModelSpec] = lambda name, source: ModelSpec(name=name, source=source),
        start: Callable[..., Any] = EngineProcess,
    ):
        self.observers: list[Callable[..., None]] = []
        self._specs = {spec.name: spec for spec in specs}
        self._root = Path(root).expanduser().resolve() if root is not None else None
        self._make_spec, self._start = make_spec, start
        self._served: dict[str, Served] = {}
        self._loading: set[str] = set()
        self._lock = threading.Lock()
        self._is_draining = self._is_closed = False

    @property
    def is_live(self) -> bool:
        """Whether it was not closed; says nothing of engines."""
        return not self._is_closed

    @property
    def is_ready(self) -> bool:
        """Whether every model answers."""
        served = list(self._served.values())
        return bool(served) and not self._is_draining and all(one.state == "ready" for one in served)

    def start(self) -> None:
        """Begin to load the models of the specs, all at once; returns at once."""
        for spec in self._specs.values():
            try:
                model = self._model(spec)
            except (BertMsError, OSError) as error:
                logger.error("model %s cannot be loaded: %s", spec.name, error)
                self._served[spec.name] = Served(spec.name, None, str(error))
            else:
                self._served[spec.name] = Served(spec.name, model)
                model.keeper.start()

    def wait_started(self, timeout: float | None = None) -> bool:
        """Wait until every model is ready, or has failed; whether all are ready."""
        until = None if timeout is None else time.monotonic() + timeout
        for one in list(self._served.values()):
            if one.model is not None:
                one.model.keeper.wait_started(None if until is None else max(until - time.monotonic(), 0))
        return self.is_ready

    def names(self) -> list[str]:
        """See `service.Repository`."""
        return sorted(self._served)

    def get(self, name: str | None = None) -> Served:
        """See `service.Repository`."""
        served = self._served
        if name is None and served:
            return next(iter(served.values()))
        if name is None or name not in served:
            text = unknown("model", name, served) if served and name is not None else "no model is served."
            raise UnknownModel(text)
        return served[name]

    def for_kind(self, kind: str, name: str | None = None) -> Served:
        """See `service.Repository`."""
        choice = [self.get(name)] if name is not None else list(self._served.values())
        for one in choice:
            if kind in one.kinds():
                return one
        unknown_yet = [one for one in choice if not one.kinds()]
        if unknown_yet:  # loading, or failed to
            one = unknown_yet[0]
            raise Unavailable.not_ready(one.name, state=one.state, reason=one.reason)
        if name is not None:
            able = ", ".join(choice[0].kinds())
            raise WrongTask(f"model {name!r} was trained for {choice[0].task} and answers {able}, not {kind}.")
        if not choice:
            raise UnknownModel("no model is served.")
        able = ", ".join(dict.fromkeys(known for one in choice for known in one.kinds()))
        raise WrongTask(f"no model here answers {kind}: expected one of {able}.")

    def index(self) -> list[dict[str, Any]]:
        """See `service.Repository`."""
        return [
            {
                "name": one.name,
                "version": one.version,
                "state": one.state,
                "reason": one.reason,
                "task": one.task,
                "dtype": one.dtype,
                "kinds": list(one.kinds()),
                "loaded_at": one.loaded_at,
            }
            for one in list(self._served.values())
        ]

    def load(self, name: str, source: str | None = None) -> None:
        """See `service.Repository`."""
        spec = self._spec(name, source)
        with self._lock:
            if self._is_draining or self._is_closed:
                raise Unavailable("the server is being stopped.", code="draining", retry_after=5.0)
            if name in self._loading:
                raise LoadFailed(f"model {name!r} is being loaded already.", code="load_in_progress")
            self._loading.add(name)
        try:
            self._load(spec)
        finally:
            with self._lock:
                self._loading.discard(name)

    def unload(self, name: str) -> None:
        """See `service.Repository`."""
        with self._lock:
            if name in self._loading:
                raise LoadFailed(f"model {name!r} is being loaded: take it out afterwards.", code="load_in_progress")
            served = self._served.pop(name, None)
        if served is None:
            self.get(name)  # says so
            return
        served.refuse()
        _end(served, served.model)
        logger.info("model taken out", extra={"values": {"model": name}})
        del served
        memory.give_back()

    def drain(self, timeout: float) -> bool:
        """See `service.Repository`."""
        self._is_draining = True
        until = time.monotonic() + timeout
        served = list(self._served.values())
        for one in served:
            one.refuse()
        return all([one.wait_unused(None, until) for one in served])

    def close(self) -> None:
        """See `service.Repository`."""
        self._is_draining = self._is_closed = True
        ends = [
            threading.Thread(target=one.model.keeper.close, name=f"close-{one.name}")
            for one in list(self._served.values())
            if one.model is not None
        ]
        for end in ends:
            end.start()
        for end in ends:
            end.join()

    def _load(self, spec: ModelSpec) -> None:
        """Load a model beside the one that has its name, and change over; see `load`."""
        try:
            model = self._model(spec)
        except (BertMsError, OSError) as error:
            raise LoadFailed(str(error)) from error
        before = self._served.get(spec.name)
        if before is None:
            self._served[spec.name] = Served(spec.name, model)
        model.keeper.start()
        if not model.keeper.wait_started():
            reason = model.reason
            if before is None:
                self._served.pop(spec.name, None)
            model.keeper.close()
            raise LoadFailed(f"model {spec.name!r} could not be loaded: {reason}")
        model.loaded_at = time.time()
        self._specs[spec.name] = spec
        values = {"model": spec.name, "source": spec.source, "version": model.version}
        logger.info("model loaded", extra={"values": values})
        if before is not None:
            _end(before, before.change(model))
            memory.give_back()  # the old model's
        if self._is_closed:  # meanwhile
            model.keeper.close()

    def _spec(self, name: str, source: str | None) -> ModelSpec:
        if source is None:
            if name not in self._specs:
                raise UnknownModel(f"no source is known for model {name!r}: name its folder.")
            return self._specs[name]
        folder = str(self._allowed(source))
        try:
            if name in self._specs:
                return dataclasses.replace(self._specs[name], source=folder)
            return self._make_spec(name, folder)
        except BertMsError as error:
            raise LoadFailed(str(error)) from error

    def _allowed(self, source: str) -> Path:
        """The folder or file of a source, which lies below the root with everything that it links to.

        Raises:
            LoadFailed: it does not, or is not there.
        """
        if self._root is None:
            raise LoadFailed("models are loaded from their settings only: no model root is set.", code="not_allowed")
        try:
            path = (self._root / source).resolve(strict=True)
            entries = [path, *path.iterdir()] if path.is_dir() else [path]
            outside = next((one for one in entries if not one.resolve().is_relative_to(self._root)), None)
        except (OSError, ValueError, RuntimeError) as error:
            raise LoadFailed(f"source {source!r} is not there: {type(error).__name__}.", code="not_allowed") from None
        if outside is not None or path == self._root:
            raise LoadFailed(f"source {source!r} is not below the model root, or links out of it.", code="not_allowed")
        return path

    def _model(self, spec: ModelSpec) -> LoadedModel:
        def tell(event: str, **values: Any) -> None:
            if event == "state":
                logger.info("model state", extra={"values": {"model": spec.name, **values}})
            for observer in list(self.observers):
                try:
                    observer(event, model=spec.name, **values)
                except Exception:  # a meter must not stop what it measures
                    logger.exception("an observer failed on %s", event)

        return LoadedModel(spec, tell=tell, start=self._start)


def open_repository(
    specs: Sequence[ModelSpec],
    *,
    root: str | os.PathLike[str] | None = None,
    make_spec: Callable[[str, str], ModelSpec] = lambda name, source: ModelSpec(name=name, source=source),
) -> ModelRepository:
    """A repository that has begun to load its models; see `ModelRepository`."""
    repository = ModelRepository(specs, root=root, make_spec=make_spec)
    repository.start()
    return repository


def _end(served: Served, model: LoadedModel | None) -> None:
    """Close a model once no request is with it."""
    if model is not None:
        served.wait_unused(model, time.monotonic() + DRAIN_SECONDS)
        model.keeper.close()
