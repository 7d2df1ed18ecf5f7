"""The command line of `bert-ms`: every command with its arguments; importing this imports nothing heavy."""

from __future__ import annotations

import argparse
import difflib
import importlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from bert_ms.cli import arguments
from bert_ms.cli.arguments import LISTS, Parser, common
from bert_ms.cli.examples import EXAMPLES, OVERRIDES
from bert_ms.cli.interruption import sigterm_interrupts


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: after `bert-ms`.
        summary: one line.
        add_arguments: adds what it takes.
        function: that does it, as module:function.
        is_a_run: whether it takes a configuration whose values can be given as key=value.
        minds_signals: whether it ends by itself, in order, when SIGTERM or SIGINT tells it to.
    """

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    function: str
    is_a_run: bool = False
    minds_signals: bool = False


COMMANDS = (
    Command("prepare", "read and tokenise the data of a run into the cache",
            arguments.prepare, "bert_ms.cli.runs:prepare", is_a_run=True),
    Command("train", "fine-tune, evaluate, and leave a run folder",
            arguments.train, "bert_ms.cli.runs:train", is_a_run=True, minds_signals=True),
    Command("evaluate", "score weights on a data set",
            arguments.evaluate, "bert_ms.cli.runs:evaluate", is_a_run=True, minds_signals=True),
    Command("predict", "answer what a file without labels asks",
            arguments.predict, "bert_ms.cli.runs:predict", is_a_run=True, minds_signals=True),
    Command("convert", "write a checkpoint in another format",
            arguments.convert, "bert_ms.cli.convert:convert"),
    Command("export", "write a network as ONNX, MINDIR or AIR, verified",
            arguments.export, "bert_ms.cli.export:export"),
    Command("inspect", "say what is in a checkpoint, and what it would lack for each task",
            arguments.inspect, "bert_ms.cli.inspect:show"),
    Command("vocabulary", "learn word pieces from text, for a network from scratch",
            arguments.vocabulary, "bert_ms.cli.vocabulary:learn"),
    Command("hub", "models that have a name: list, bring, check, publish, rank",
            arguments.hub, "bert_ms.cli.hub:hub"),
    Command("encode", "texts to vectors",
            arguments.encode, "bert_ms.cli.encode:encode"),
    Command("serve", "answer requests by HTTP",
            arguments.serve, "bert_ms.cli.serve:serve", minds_signals=True),
    Command("doctor", "say what this machine has, and what is missing",
            arguments.doctor, "bert_ms.cli.doctor:doctor"),
)  # fmt: skip


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Arguments of one command; `.command` is the function to call with them.

    `key=value` arguments may stand anywhere after the command and are gathered, in order, in `.overrides`. Wrong usage
    ends the process with code 2, as argparse does.
    """
    parser, commands = _build()
    found, rest = parser.parse_known_args(list(argv))
    command = commands[found.name]
    found.argv = list(argv)
    rest = _gathered(found, rest)
    found.overrides = [item for item in rest if "=" in item and not item.startswith("-")]
    if found.overrides and not hasattr(found, "config"):
        command.error(f"{found.name} has no configuration, so it takes no {found.overrides[0]}.")
    for item in rest:
        if item not in found.overrides:
            command.error(_unknown(item, command))
    return found


def _gathered(found: argparse.Namespace, rest: list[str]) -> list[str]:
    """What remains once a list of models has what stands behind options: argparse fills it from one place alone."""
    for name in LISTS:
        if hasattr(found, name):
            setattr(found, name, [*getattr(found, name), *(item for item in rest if not item.startswith("-"))])
            return [item for item in rest if item.startswith("-")]
    return rest


def _unknown(item: str, command: argparse.ArgumentParser) -> str:
    if not item.startswith("-"):
        return f"'{item}' is not understood: values of the configuration are given as key=value."
    name, equals, _ = item.partition("=")
    options = [option for action in command._actions for option in action.option_strings]
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.7)
    hint = f" Did you mean {close[0]}?" if close else ""
    if equals and "-c" in options:
        hint += f" Values of the configuration are given without dashes: {item.lstrip('-')}"
    return f"unknown option {name}.{hint}"


def _build() -> tuple[Parser, dict[str, Parser]]:
    parser = Parser(
        prog="bert-ms",
        description="BERT and NEZHA on MindSpore.",
        epilog="First steps:\n"
        "  bert-ms doctor                     what this machine has, and what is missing\n"
        "  bert-ms train -c squad_sample      fine-tune the embedded model on the packaged sample\n"
        "  bert-ms COMMAND --help             what a command takes, with examples",
        parents=[common(False)],
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and leave")
    subparsers = parser.add_subparsers(dest="name", metavar="COMMAND", required=True, parser_class=Parser)
    shared, made = common(argparse.SUPPRESS), {}  # a default here would undo what stood before the command
    for one in COMMANDS:
        examples = EXAMPLES[one.name] + (OVERRIDES if one.is_a_run else "")
        made[one.name] = command = subparsers.add_parser(
            one.name,
            help=one.summary,
            description=f"{one.summary[0].upper()}{one.summary[1:]}.",
            epilog=examples.strip(),
            parents=[shared],
        )
        one.add_arguments(command)
        command.set_defaults(command=_late(one.function, minds_signals=one.minds_signals))
    return parser, made


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        from bert_ms import __version__

        print(f"bert-ms {__version__}")
        parser.exit()


def _late(function: str, *, minds_signals: bool) -> Callable[[argparse.Namespace], int | None]:
    """A command's function, imported when it is called: `--help` must not wait for it."""

    def call(given: argparse.Namespace) -> int | None:
        module, _, name = function.partition(":")
        with nullcontext() if minds_signals else sigterm_interrupts():
            result: int | None = getattr(importlib.import_module(module), name)(given)
        return result

    return call
