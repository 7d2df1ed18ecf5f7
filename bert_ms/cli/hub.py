"""`bert-ms hub`: models that have a name."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bert_ms.errors import BertMsError, CheckpointError
from bert_ms.hub import catalogue, store
from bert_ms.hub.catalogue import Model


def hub(arguments: argparse.Namespace) -> int | None:
    """Do what was asked of the hub."""
    return _ACTIONS[arguments.action](arguments)


def show_all(arguments: argparse.Namespace) -> None:
    """List the names, those that are on this machine first."""
    found = {name: (model, catalogue.is_here(model)) for name, model in catalogue.models().items()}
    if arguments.json:
        print(json.dumps({name: {**_facts(model), "here": here} for name, (model, here) in found.items()}, indent=2))
        return
    width = max(map(len, found))
    for name, (model, here) in sorted(found.items(), key=lambda item: not item[1][1]):
        print(f"{'here' if here else '    '}  {name:<{width}}  {model.summary}")


def info(arguments: argparse.Namespace) -> None:
    """Everything that is known of a model."""
    model = _model(arguments.model)
    if arguments.json:
        print(json.dumps({**_facts(model), "here": catalogue.is_here(model)}, indent=2))
        return
    print(model.name)
    for name, value in _facts(model).items():
        if value and name != "name":
            print(f"  {name:<11} {', '.join(value) if isinstance(value, (list, dict)) else value}")
    try:
        print(f"  on disk     {catalogue.here(model)}")
    except BertMsError as error:
        print(f"  on disk     no: {error}")


def add(arguments: argparse.Namespace) -> None:
    """Keep a folder under a name."""
    known = catalogue.models().get(arguments.model)
    source = Path(arguments.directory).expanduser()
    if known is not None and known.package:
        raise CheckpointError(f"'{known.name}' is the model of a package ({known.install}): choose another name.")
    if known is not None and source.is_dir():
        catalogue.check(known, source)
    elif known is None and not store.is_name(arguments.model):
        raise CheckpointError(f"'{arguments.model}' is no name: expected letters, digits, and _ . - between them.")
    from bert_ms.hub.inspection import inspect

    found = inspect(source)  # what cannot be read is not kept
    print(f"{store.add(arguments.model, source)}: {found.format}, {found.parameters:,} parameters, {found.task}")


def get(arguments: argparse.Namespace) -> None:
    """Download a model."""
    from bert_ms.hub.download import get as fetch

    with tqdm(unit="B", unit_scale=True, disable=arguments.quiet or None) as bar:

        def watch(done: int, total: int | None, file: str) -> None:
            bar.total = total
            bar.set_description(file)
            bar.update(done - bar.n)

        folder = fetch(_model(arguments.model), watch=watch, max_gigabytes=arguments.max_gigabytes)
    print(folder)


def verify(arguments: argparse.Namespace) -> None:
    """Compare files with their checksums."""
    names = arguments.models or store.kept()
    for name in names:
        model = catalogue.models().get(name)
        if store.folder(name).is_dir():
            print(f"{name}: {store.verify(name)} files are as they were placed")
        elif model is not None:
            folder = catalogue.here(model)
            catalogue.check(model, folder)
            print(f"{name}: {len(model.sha256)} files in {folder} have the catalogue's sha256")
        else:
            raise CheckpointError(catalogue.unknown_name(name))
    if not names:
        print(f"no model is kept in {store.home()}")


def remove(arguments: argparse.Namespace) -> None:
    """Delete a kept model."""
    store.remove(arguments.model)
    print(f"removed {arguments.model}")


def publish(arguments: argparse.Namespace) -> None:
    """Lay out a run as a hub card."""
    from bert_ms.hub.publish import publish_run

    print(publish_run(Path(arguments.run), Path(arguments.directory), name=arguments.new_name))


def rank(arguments: argparse.Namespace) -> int:
    """Order checkpoints by how they suit labelled data; 1 where some could not be read."""
    from bert_ms.cli.rank import show

    return show(arguments)


def _model(name: str) -> Model:
    known = catalogue.models()
    if name not in known:
        raise CheckpointError(catalogue.unknown_name(name))
    return known[name]


def _facts(model: Model) -> dict[str, Any]:
    return {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(model).items()}


_ACTIONS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "list": show_all,
    "info": info,
    "add": add,
    "get": get,
    "verify": verify,
    "remove": remove,
    "publish": publish,
    "rank": rank,
}
