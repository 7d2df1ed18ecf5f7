"""Prometheus metrics `bertms_...`: requests as the wire sees them, batches as the models tell of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from ..faults import ServiceFault
from ..service import Repository
from .exchange import Exchange

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS = (1, 2, 4, 8, 16, 32, 64)
TOKENS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384)
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# Refusals by the wire itself; those by the models are told by their observers.
_OWN_REASONS = {"too_many_requests", "body_too_large", "missing_key", "unknown_key", "forbidden", "request_timeout"}
_REASONS = {"queue_full", "deadline_exceeded", "client_closed_request", "loading", "draining", "engine_restarting",
            "engine_failed"}  # fmt: skip
_DEATHS = ("died", "unresponsive", "garbled", "poisoned")
_FAILING = ("429", "500", "503", "504")  # statuses that alarms count


class Metrics:
    """What one server counts; it has a registry of its own, so that several may live in a process.

    Args:
        repository: whose observer and whose numbers it takes.
    """

    def __init__(self, repository: Repository):
        self.registry = CollectorRegistry()
        self._parts: dict[tuple[Any, tuple[str, ...]], Any] = {}
        made: Any = {"registry": self.registry}
        by_task = ("model", "task")
        self.requests = Counter("bertms_requests", "Requests answered", ("model", "task", "code"), **made)
        self.request_seconds = Histogram(
            "bertms_request_seconds", "Seconds from the whole request to its answer", by_task, buckets=SECONDS, **made
        )
        self.tokenize_seconds = Histogram(
            "bertms_tokenize_seconds", "Seconds of a request's tokenizing", by_task, buckets=SECONDS, **made
        )
        self.queue_seconds = Histogram(
            "bertms_queue_seconds", "Longest wait in the queue of a batch's rows", ("model",), buckets=SECONDS, **made
        )
        self.infer_seconds = Histogram(
            "bertms_infer_seconds", "Seconds of a batch in the engine", ("model",), buckets=SECONDS, **made
        )
        self.batch_size = Histogram("bertms_batch_size", "Rows of a batch", ("model",), buckets=ROWS, **made)
        self.batch_tokens = Histogram(
            "bertms_batch_tokens", "Tokens of a batch without padding", ("model",), buckets=TOKENS, **made
        )
        self.padding_ratio = Histogram(
            "bertms_padding_ratio", "Share of padding in a batch", ("model",), buckets=SHARES, **made
        )
        self.rejected = Counter("bertms_rejected", "Requests refused", ("reason",), **made)
        self.compiles = Counter("bertms_compile", "Shapes compiled after a model was ready", ("model",), **made)
        self.restarts = Counter("bertms_engine_restarts", "Engines started again", ("model", "reason"), **made)
        self.inflight = Gauge("bertms_inflight", "Requests being answered", **made)
        self.registry.register(_Levels(repository))
        for reason in _OWN_REASONS | _REASONS:
            self.rejected.labels(reason)
        for name in repository.names():
            self._begin(name)
        repository.observers.append(self.observe)

    def observe(self, event: str, model: str = "", **values: Any) -> None:
        """What a model tells; see `Repository.observers`."""
        if event == "batch":
            padded = values["padded"]
            self.batch_size.labels(model).observe(values["rows"])
            self.batch_tokens.labels(model).observe(values["tokens"])
            self.padding_ratio.labels(model).observe(1 - values["tokens"] / padded if padded else 0.0)
            self.queue_seconds.labels(model).observe(values["queue_seconds"])
            self.infer_seconds.labels(model).observe(values["infer_seconds"])
        elif event == "rejected":
            self.rejected.labels(values["reason"]).inc()
        elif event == "engine_restart":
            self.restarts.labels(model, values["reason"]).inc()
        elif event == "compile":
            self.compiles.labels(model).inc()
        elif event == "state":
            self._begin(model)

    def count(self, exchange: Exchange, status: int) -> None:
        """A request that was answered or refused."""
        if exchange.code in _OWN_REASONS:
            self.rejected.labels(exchange.code).inc()
        task = exchange.kind or "none"
        if (self.requests, (exchange.model, task, str(status))) not in self._parts:
            for code in _FAILING:  # begin at 0, see `_begin`
                self.requests.labels(exchange.model, task, code)
        self._labelled(self.requests, exchange.model, task, str(status)).inc()
        if exchange.kind:
            self._labelled(self.request_seconds, exchange.model, task).observe(exchange.seconds())
            if "tok" in exchange.call.timings:
                self._labelled(self.tokenize_seconds, exchange.model, task).observe(exchange.call.timings["tok"])

    def count_refused(self, code: str) -> None:
        """A request that was refused before it was one."""
        self.rejected.labels(code).inc()

    def _begin(self, model: str) -> None:
        """Begin at 0 with what may happen to a model: Prometheus takes no first sight of a number for its growth."""
        self.compiles.labels(model)
        for reason in _DEATHS:
            self.restarts.labels(model, reason)

    def _labelled(self, metric: Any, *labels: str) -> Any:
        """A metric's part with these labels, which are few: kept, since the library's own look-up is slow."""
        found = self._parts.get((metric, labels))
        if found is None:
            found = self._parts[(metric, labels)] = metric.labels(*labels)
        return found

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self.registry)


class _Levels:
    """Numbers that are looked up when they are asked for."""

    def __init__(self, repository: Repository):
        self._repository = repository

    def collect(self) -> Iterator[Metric]:
        levels = {
            name: GaugeMetricFamily(f"bertms_{name}", text, labels=["model"])
            for name, text in (
                ("queue_items", "Rows that wait"),
                ("queue_tokens", "Tokens that wait"),
                ("engine_up", "Whether the engine answers"),
            )
        }
        labels = ["model", "version", "task", "state", "dtype"]
        info = GaugeMetricFamily("bertms_model_info", "The models that are served", labels=labels)
        for row in self._repository.index():
            info.add_metric([str(row.get(label) or "") for label in ("name", *labels[1:])], 1)
            stats = stats_of(self._repository, row["name"])
            for name, family in levels.items():
                family.add_metric([row["name"]], float(stats.get(name, 0)))
        yield from (*levels.values(), info)


def stats_of(repository: Repository, name: str) -> dict[str, Any]:
    """A model's numbers; empty where it went away meanwhile."""
    try:
        return repository.get(name).stats()
    except ServiceFault:
        return {}
