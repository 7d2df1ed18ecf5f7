"""A run's configuration from a YAML file or a name, with `key=value` overrides; every mistake is named at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bert_ms.config.keys import fields, full_key, leaves, sections, unknown_key
from bert_ms.config.run import RunConfig
from bert_ms.config.typed import Mismatch, describe, shown, typed
from bert_ms.config.yaml_text import MAX_BYTES, Entry, parse_mapping, parse_value
from bert_ms.errors import ConfigError, unknown
from bert_ms.files import write_file


def named_configs() -> dict[str, Path]:
    """The configurations that ship with the package, by name."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "named_configs", package.parent / "configs"):  # installed, or a checkout
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def find_config(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of a configuration that is given by its path or by its name.

    Raises:
        ConfigError: there is neither such a file nor such a name.
    """
    text, path = os.fspath(name_or_path), Path(name_or_path)
    if path.is_file():
        return path
    named = named_configs()
    if text in named:
        return named[text]
    if path.is_dir():
        raise ConfigError(f"{text} is a directory: expected a YAML file, for example {path / 'resolved_config.yaml'}.")
    if path.exists():
        raise ConfigError(f"{text} is no regular file but a device or a pipe: expected a YAML file.")
    if path.suffix in (".yaml", ".yml", ".json") or len(path.parts) > 1:
        hint = f" One of that name ships with the package: -c {path.stem}." if path.stem in named else ""
        broken = ", only a link that leads nowhere" if path.is_symlink() else ""
        raise ConfigError(f"there is no file {shown(text)[1:-1]}{broken}.{hint}")
    raise ConfigError(unknown("configuration", shown(text)[1:-1], named))


def resolve_config(name_or_path: str | os.PathLike[str] | None, overrides: Sequence[str] = ()) -> RunConfig:
    """The run that a configuration and its overrides describe.

    Args:
        name_or_path: a YAML file, the name of one that ships with the package, or None for the defaults alone.
        overrides: `key=value` each, such as `optimizer.learning_rate=1e-4` or, where only one section has the key,
            `epochs=1`; values are read as YAML. Later ones win.

    Returns:
        The configuration, every value checked.

    Raises:
        ConfigError: listing every unknown or doubled key, wrong type and bad value, each with its line.
    """
    if name_or_path is None:
        return parse_config("", overrides=overrides)
    path = find_config(name_or_path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path.stat().st_size:,} bytes long: expected at most {MAX_BYTES:,}.", source=str(path))
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 at byte {error.start}: save it as UTF-8.", source=str(path)) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}.", source=str(path)) from None
    return parse_config(text, source=str(path), overrides=overrides)


def parse_config(text: str, *, source: str | None = None, overrides: Sequence[str] = ()) -> RunConfig:
    """The run that YAML text describes; see `resolve_config`."""
    try:
        entries, problems = parse_mapping(text)
    except ConfigError as error:
        raise ConfigError(error.problems, source=source) from None
    values: dict[str, Entry] = {}
    for key, entry in _flat(entries):
        _collect(key, key, entry, values, problems)
    for override in overrides:
        _override(override, values, problems)
    config = _built(values, problems)
    if config is None or problems:
        raise ConfigError(_in_reading_order(problems), source=source)
    return config


def to_yaml(config: RunConfig) -> str:
    """YAML text that `parse_config` reads back as the same configuration."""
    return yaml.dump(config.to_dict(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def dump(config: RunConfig, path: str | os.PathLike[str]) -> None:
    """Write a configuration as YAML; a reader never sees half a file."""
    heading = "# Every value of this run; `bert-ms train -c` takes it as it is.\n"
    write_file(path, heading + to_yaml(config), error=ConfigError)


class _Dumper(yaml.SafeDumper):
    """Sections as indented lines, lists in brackets."""


_Dumper.add_representer(list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, True))


def _flat(entries: Mapping[str, Entry], prefix: str = "") -> Iterator[tuple[str, Entry]]:
    for key, entry in entries.items():
        path = f"{prefix}{key}"
        if isinstance(entry.value, dict) and path in sections():
            yield from _flat(entry.value, f"{path}.")
        else:
            yield path, entry


def _collect(key: str, given: str, entry: Entry, values: dict[str, Entry], problems: list[str]) -> None:
    if key in sections():
        if entry.value is not None:  # an empty section is one without values
            keys = ", ".join(fields(sections()[key]))
            problems.append(f"{entry.where}: {given} is {shown(entry.value)}: expected a section with keys of {keys}.")
        return
    if key not in leaves():
        problems.append(f"{entry.where}: {unknown_key(given)}")
        return
    value = {name: "..." for name in entry.value} if isinstance(entry.value, dict) else entry.value
    try:
        values[key] = Entry(typed(value, leaves()[key]), entry.where)
    except Mismatch as error:
        problems.append(f"{entry.where}: {key} {error}")


def _override(text: str, values: dict[str, Entry], problems: list[str]) -> None:
    given, equals, raw = text.partition("=")
    given, where = given.strip(), f"override '{text if len(text) <= 60 else text[:57] + '...'}'"
    if not equals or not given:
        problems.append(f"{where}: expected key=value, for example training.epochs=1.")
        return
    key = full_key(given)
    if isinstance(key, list):
        problems.append(f"{where}: {given} may be {' or '.join(key)}: write the one you mean.")
        return
    try:
        entry, found = _override_value(raw.strip(), leaves().get(key), where)
    except ConfigError as error:
        problems.extend(f"{where}: {problem}" for problem in error.problems)
        return
    problems.extend(f"{where}: {problem}" for problem in found)
    is_section = key in sections() and isinstance(entry.value, dict)
    for path, part in _flat({key: entry}) if is_section else [(key, entry)]:
        _collect(path, given if path == key else path, part, values, problems)


def _override_value(raw: str, hint: Any, where: str) -> tuple[Entry, list[str]]:
    """The value of an override: YAML, but where text is expected `123` or `a #1.json` is taken as it stands."""
    takes_text = hint is not None and "text" in describe(hint).split(" or ")
    if takes_text and raw not in ("", "~", "null") and raw[0] not in "'\"":
        return Entry(raw, where), []
    return parse_value(raw, where)


def _built(values: Mapping[str, Entry], problems: list[str]) -> RunConfig | None:
    """The dataclasses, made section by section so that each one's complaints are heard."""
    made: dict[str, Any] = {}
    for name, cls in sections().items():
        part = {key.partition(".")[2]: e.value for key, e in values.items() if key.startswith(f"{name}.")}
        try:
            made[name] = cls(**part)
        except ConfigError as error:
            problems.extend(_located(problem, name, values) for problem in error.problems)
    top = {key: entry.value for key, entry in values.items() if "." not in key}
    try:
        return RunConfig(**top, **made)
    except ConfigError as error:
        problems.extend(_located(problem, "", values) for problem in error.problems)
        return None


def _located(problem: str, section: str, values: Mapping[str, Entry]) -> str:
    """A section's complaint, which begins with the key's name, with the line of that key in front."""
    prefix = f"{section}." if section else ""
    key = f"{prefix}{problem.split()[0].rstrip(':')}"
    if key in values:
        return f"{values[key].where}: {prefix}{problem}"
    return f"{prefix}{problem}" if key in leaves() else f"{section}: {problem}"


def _in_reading_order(problems: Sequence[str]) -> list[str]:
    def line(problem: str) -> int:
        number = problem.partition(":")[0].removeprefix("line ")
        return int(number) if number.isdigit() else 1 << 30

    return sorted(problems, key=line)
