"""What a server can be told: addresses, keys, limits, models; each value with its default."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bert_ms.errors import ConfigError

from .spec import ModelSpec

Device = Literal["auto", "cpu", "gpu", "ascend"]
Dtype = Literal["float32", "float16", "bfloat16", "int8"]
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
SHORTEST_KEY = 16  # characters; shorter ones can be guessed from their hash


def _listed(value: Any) -> Any:
    """YAML and flags give lists: fields that cannot change are tuples."""
    return tuple(map(_listed, value)) if isinstance(value, list) else value


def hashed(key: str) -> str:
    """`sha256:...` of an API key; what is hashed already is left.

    Raises:
        ValueError: it is no key, or too short to be one.
    """
    if _HASH.fullmatch(key):
        return key
    if key.startswith("sha256:"):
        raise ValueError("a hash is 'sha256:' followed by 64 digits of 0-9 and a-f")
    if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError(f"a key has at least {SHORTEST_KEY} characters of ASCII, without spaces")
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def _hashes(value: Any) -> Any:
    keys = _listed([value] if isinstance(value, str) else value)
    if isinstance(keys, tuple) and all(isinstance(key, str) for key in keys):
        return tuple(map(hashed, keys))
    return keys


Keys = Annotated[tuple[str, ...], BeforeValidator(_hashes)]
Shapes = Annotated[tuple[tuple[int, int], ...], BeforeValidator(_listed)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, protected_namespaces=())


class ModelSettings(_Strict):
    """One model; what is left out is the server's own setting, or what the weights say."""

    source: str = Field(min_length=1, description="a directory, a file, or a catalogue name")
    task: str | None = Field(None, description="whose network is run; default what the weights were trained for")
    engine: Literal["auto", "cell", "onnx"] | None = Field(None, description="MindSpore or ONNX Runtime")
    device: Device | None = None
    dtype: Dtype | None = Field(None, description="numbers to compute in; int8: on a CPU, rounded as it is loaded")
    threads: int | None = Field(None, ge=1, le=1024)
    max_length: int | None = Field(None, ge=4, le=65_536)
    shapes: Shapes | None = Field(None, description="(rows, tokens) of the batches that are compiled before the start")
    max_batch_tokens: int | None = Field(None, ge=1)
    max_queue_items: int | None = Field(None, ge=1)
    max_queue_tokens: int | None = Field(None, ge=1)
    max_queue_seconds: float | None = Field(None, gt=0, le=3600)
    watchdog_seconds: float | None = Field(None, gt=0, le=3600)
    start_seconds: float | None = Field(None, gt=0, le=86_400)
    compile_cache: str | None = Field(None, min_length=1)
    allow_new_head: bool = Field(False, description="serve a network whose head is random (for tests)")


class ServerSettings(_Strict):
    """A server."""

    models: dict[str, ModelSettings] = Field(default_factory=dict, description="by the name that requests use")
    model_root: str | None = Field(None, description="folder below which models may be loaded while the server runs")

    host: str = Field("127.0.0.1", description="address of the data port; others than loopback need a key")
    port: int = Field(8080, ge=0, le=65_535, description="of requests; 0 takes a free one")
    admin_host: str = Field("127.0.0.1", description="address of the admin port; others than loopback need its key")
    admin_port: int = Field(8081, ge=0, le=65_535, description="of metrics and models; 0 takes a free one")
    api_keys: Keys = Field((), description="keys, or their sha256:..., that requests may carry")
    api_keys_file: str | None = Field(None, description="a file of such, one a line")
    admin_keys: Keys = Field((), description="the same for the admin port; without one no model is loaded or unloaded")
    admin_keys_file: str | None = None

    device: Device = "auto"
    engine: Literal["auto", "cell", "onnx"] = Field("auto", description="cell: MindSpore; onnx: an exported folder")
    dtype: Dtype | None = Field(None, description="numbers to compute in, default float32; int8: on a CPU")
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads of an operator")
    max_batch_tokens: int | None = Field(None, ge=1, description="default 4096 on CPU, 16384 elsewhere")
    max_queue_items: int = Field(512, ge=1, description="rows of a model that wait")
    max_queue_tokens: int = Field(65_536, ge=1, description="their tokens")
    max_queue_seconds: float = Field(10.0, gt=0, le=3600, description="their work, as far as it can be foretold")
    watchdog_seconds: float = Field(10.0, gt=0, le=3600, description="a silent engine is taken for dead after so long")
    start_seconds: float = Field(300.0, gt=0, le=86_400, description="the same, while it starts")
    compile_cache: str | None = Field(
        None, min_length=1, description="folder of compiled graphs, for the next start; nobody else may write to it"
    )

    max_body_bytes: int = Field(2 * 1024 * 1024, ge=1024, le=1 << 30, description="of a request")
    max_items: int = Field(32, ge=1, le=4096, description="inputs of a request")
    max_inflight: int = Field(256, ge=1, le=4096, description="requests that are worked on; the next one gets a 429")
    max_connections: int = Field(1024, ge=8, le=65_536, description="of each port")
    max_header_bytes: int = Field(16_384, ge=1024, le=262_144)
    request_timeout: float = Field(30.0, gt=0, le=3600, description="seconds for the answer; then 504")
    header_timeout: float = Field(10.0, gt=0, le=3600, description="seconds for the head to arrive; then 408")
    body_timeout: float = Field(30.0, gt=0, le=3600, description="seconds for the whole request to arrive; then 408")
    idle_timeout: float = Field(75.0, gt=0, le=3600, description="seconds that a connection may be silent")
    drain_timeout: float = Field(30.0, ge=0, le=3600, description="seconds for requests to be answered at the end")

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = Field("auto", description="auto: text on a terminal, else json")
    log_requests: bool = Field(True, description="a line for each request, without what it asked")
    tracing: bool = Field(False, description="spans by OpenTelemetry, as OTEL_... of the environment say")

    def checked(self) -> ServerSettings:
        """Itself, if it may be started.

        Raises:
            ConfigError: an address other machines can reach without a key, two servers on one port, or a model that
                cannot be.
        """
        problems = []
        for host, keys, name in (
            ("host", self.api_keys, "api_keys"),
            ("admin_host", self.admin_keys, "admin_keys"),
        ):
            value = getattr(self, host)
            if not keys and not is_loopback(value):
                problems.append(
                    f"{host} is {value}, but there is no API key: whoever reaches this machine could use the server. "
                    f"Set {name} (BERTMS_{name.upper()}, or a file by {name}_file), or leave {host} at 127.0.0.1."
                )
        if self.port == self.admin_port != 0 and self.host == self.admin_host:
            problems.append(f"port and admin_port are both {self.port}: choose another for one of them.")
        try:
            self.specs()
        except ConfigError as error:
            problems.append(str(error))
        if problems:
            raise ConfigError(problems)
        return self

    def specs(self) -> list[ModelSpec]:
        """What the engines are told, in the order in which the models were named."""
        return [self.spec(name, model) for name, model in self.models.items()]

    def spec(self, name: str, model: ModelSettings) -> ModelSpec:
        """What the engine of one model is told: its own settings before the server's."""
        given = {key: value for key, value in model.model_dump().items() if value is not None}
        shared = set(ModelSettings.model_fields) & set(ServerSettings.model_fields)
        return ModelSpec(name=name, **{**{key: getattr(self, key) for key in shared}, **given})

    def shown(self) -> dict[str, Any]:
        """Every value in YAML's own types; of secrets only how many there are."""
        values = self.model_dump(mode="json")
        for name in ("api_keys", "admin_keys"):
            count = len(getattr(self, name))
            values[name] = f"<{count} hidden>" if count else []
        values["models"] = {
            name: {key: value for key, value in model.items() if value not in (None, False)}
            for name, model in values["models"].items()
        }
        return values


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
