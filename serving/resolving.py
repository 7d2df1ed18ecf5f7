"""Settings from a YAML file, the environment and flags, the later ones before the earlier ones."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from bert_ms.config.yaml_text import Entry, parse_mapping
from bert_ms.errors import ConfigError, unknown

from .settings import ModelSettings, ServerSettings

PREFIX = "BERTMS_"
MAX_KEY_FILE = 1 << 20
# Found relative to where the server is started; the sample's run, if it was made.
DEFAULT_MODELS = {"minilm": "minilm"}
SAMPLE_RUN = ("squad_sample", "runs/squad_sample")
_FIELDS = ServerSettings.model_fields


def resolve(
    *,
    models: Sequence[str] = (),
    file: str | os.PathLike[str] | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> ServerSettings:
    """The settings of a server: defaults, then the file, then BERTMS_... of the environment, then flags.

    Args:
        models: DIR, catalogue name, or name=DIR each; with any, the file's own models are left out.
        file: YAML; keys are those of `ServerSettings`.
        environment: the process's own if None.
        flags: values by key, text or of the key's type; None stands for one not given.

    Returns:
        Settings that may be started. Where no model is named, the embedded default, with the sample's question
        answering where its run is.

    Raises:
        ConfigError: every key that is unknown (with the nearest), value that does not fit, and rule that is broken.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    if file is not None:
        values.update(_of_file(Path(file), problems))
    values.update(_of_environment(os.environ if environment is None else environment, problems))
    for key, value in (flags or {}).items():
        if key not in _FIELDS:
            problems.append(unknown("setting", key, _FIELDS))
        elif value is not None:
            values[key] = _parsed(key, value) if isinstance(value, str) else value
    if models:
        values["models"] = list(models)
    values["models"] = _models(values.get("models"), problems)
    for name in ("api_keys", "admin_keys"):
        values[name] = [*_as_list(values.get(name, [])), *_keys_of(values.get(f"{name}_file"), name, problems)]
    return _validated(values, problems).checked()


def _validated(values: dict[str, Any], problems: list[str]) -> ServerSettings:
    try:
        settings = ServerSettings.model_validate(values)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            place = [str(part) for part in one["loc"]]
            problems.append(_sentence(place, one, values))
    if problems:
        raise ConfigError(problems)
    return settings


def _sentence(place: list[str], error: Any, values: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        known = ModelSettings.model_fields if len(place) > 1 else _FIELDS
        return f"{'.'.join(place[:-1])}: " * (len(place) > 1) + unknown("setting", place[-1], known)
    name = ".".join(part for part in place if part not in ("[key]",))
    secret = place[0] in ("api_keys", "admin_keys")
    given: Any = values
    for part in place:
        given = given.get(part) if isinstance(given, Mapping) else None
    is_shown = not secret and given is not None
    said = error["msg"].removeprefix("Value error, ")
    return f"{name}{f' is {given!r}' if is_shown else ''}: {said[0].lower()}{said[1:]}."


def _of_file(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        entries, found = parse_mapping(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the settings {path} cannot be read: {error}.") from None
    except ConfigError as error:
        raise ConfigError(error.problems, source=str(path)) from None
    problems += [f"{path}: {problem}" for problem in found]
    for key in [key for key in entries if key not in _FIELDS]:
        problems.append(f"{path}, {entries.pop(key).where}: {unknown('setting', key, _FIELDS)}")
    return {key: _plain(entry) for key, entry in entries.items()}


def _plain(entry: Entry) -> Any:
    if isinstance(entry.value, dict):
        return {key: _plain(value) for key, value in entry.value.items()}
    return entry.value


def _of_environment(environment: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    names = {f"{PREFIX}{key.upper()}": key for key in _FIELDS}
    given = [name for name in sorted(environment) if name.startswith(PREFIX)]
    problems += [unknown("environment variable", name, names) for name in given if name not in names]
    return {names[name]: _parsed(names[name], environment[name]) for name in given if name in names}


def _parsed(key: str, text: str) -> Any:
    """The text of a flag or variable as its key's type; what does not fit is left for validation to refuse."""
    if key in ("models", "api_keys", "admin_keys"):
        return [part.strip() for part in text.split(",") if part.strip()]
    kinds = _kinds(_FIELDS[key])
    if type(None) in kinds and text.lower() in ("", "null", "none"):
        return None
    if bool in kinds and text.lower() in ("true", "false", "yes", "no", "1", "0"):
        return text.lower() in ("true", "yes", "1")
    for kind in (int, float):
        if kind in kinds:
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def _kinds(field: FieldInfo) -> set[Any]:
    hint = field.annotation
    return {hint} if get_origin(hint) is None else {hint, *get_args(hint)}


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def exposed_key_files(settings: ServerSettings) -> list[str]:
    """A sentence on each file of keys that others on this machine may write to, or may read though keys stand in it."""
    found = []
    for name in ("api_keys_file", "admin_keys_file"):
        path = getattr(settings, name)
        if path is None:
            continue
        file = Path(path).expanduser()
        mode, keys = file.stat().st_mode, _keys_of(path, name, [])
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            found.append(f"{name}: others may write keys of their own to {path}: chmod 600 it.")
        elif mode & stat.S_IROTH and not all(key.startswith("sha256:") for key in keys):
            found.append(f"{name}: everybody may read the keys in {path}: chmod 600 it, or keep hashes.")
    return found


def _keys_of(path: Any, name: str, problems: list[str]) -> list[str]:
    if not isinstance(path, str):
        return []
    try:
        with Path(path).expanduser().open("rb") as file:
            text = file.read(MAX_KEY_FILE).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{name}_file is {path}, which cannot be read: {error}.")
        return []
    keys = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not keys:
        problems.append(f"{name}_file is {path}, which holds no key: expected one a line.")
    return keys


def _models(given: Any, problems: list[str]) -> Any:
    """Models by name: {name: source or settings}, or a list of DIR, name or name=DIR."""
    if not given:
        named: Iterable[tuple[str, Any]] = DEFAULT_MODELS.items()
        if Path(SAMPLE_RUN[1], "card.md").is_file():  # a run that has ended
            named = [*named, SAMPLE_RUN]
    elif isinstance(given, dict):
        named = given.items()
    else:
        named = [_named(str(one)) for one in _as_list(given)]
    found: dict[str, Any] = {}
    for name, value in named:
        if name in found:
            problems.append(f"two models are called {name}: give one another name, as in other={_source(value)}.")
        found[name] = {"source": value} if isinstance(value, str) else value
    return found


def _source(value: Any) -> Any:
    return value.get("source") if isinstance(value, dict) else value


def _named(text: str) -> tuple[str, str]:
    """`name=DIR` as both; of a directory alone its last part is the name."""
    name, equals, source = text.partition("=")
    if equals and not Path(text).expanduser().exists():
        return name, source
    return Path(text).expanduser().resolve().name if "/" in text or text.startswith(".") else text, text


def as_yaml(settings: ServerSettings) -> str:
    """Settings as a file could give them, secrets masked."""
    text: str = yaml.safe_dump(settings.shown(), sort_keys=False, allow_unicode=True, default_flow_style=None)
    return text
