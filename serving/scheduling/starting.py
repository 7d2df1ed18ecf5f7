"""From an engine that was just started to one that may answer: opened, compiled, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_ms.errors import ConfigError

from ..engine import shapes
from ..engine.process import EngineGone, EngineRefused, Hello
from ..spec import ModelSpec
from .canary import LENGTH, Canary
from .costs import Costs

USUAL_LENGTH = 512  # of a network without a longest row (NEZHA)
_HALVES = ("float16", "bfloat16")  # int8 is none: a row's sums do not depend on what it is run with


@dataclass(frozen=True)
class Started:
    """An engine that may answer.

    Attributes:
        hello: what it says of its network.
        costs: of the shapes that it has compiled.
        canary: what tells whether it computes as the first engine of this model did.
    """

    hello: Hello
    costs: Costs
    canary: Canary


def bring_up(
    engine: Any,
    spec: ModelSpec,
    *,
    before: Started | None,
    longest: int | None,
    accept: Callable[[Hello], None],
    say: Callable[[str], None],
) -> Started:
    """Open, warm and check an engine.

    Args:
        engine: an `EngineProcess`.
        spec: of the model.
        before: the engine that this one follows, whose weights and answers it must have.
        longest: tokens of the longest row, where less is wanted than the network takes.
        accept: called before anything is compiled; what it raises ends the start.
        say: told how far it is, in words.

    Raises:
        EngineRefused: the source cannot be served.
        EngineGone: it died, took too long, has other weights, or computes otherwise than before.
    """
    hello = engine.open(timeout=spec.start_seconds)
    if before is not None and hello.version != before.hello.version:
        raise EngineGone(
            f"the weights have changed since they were loaded ({before.hello.version}, now {hello.version}): load the "
            f"model anew"
        )
    accept(hello)
    network = hello.config.max_sequence_length or USUAL_LENGTH
    may_trim = hello.takes_any_shape and spec.shapes is None and not hello.shapes
    wanted = _shapes(spec, hello, min(filter(None, (network, spec.max_length, longest))))
    say(f"loading: 0 of {len(wanted)} shapes")
    seconds = engine.warm(
        wanted,
        timeout=spec.start_seconds,
        # The engine stands in a folder of its own: what is relative is so to this process.
        compile_cache=str(Path(spec.compile_cache).expanduser().resolve()) if spec.compile_cache else None,
        on_progress=lambda done, of: say(f"loading: {done} of {of} shapes"),
    )
    canary = before.canary if before is not None else _canary(spec, hello, min(length for _, length in wanted))
    engine.send(canary.arrays(wanted[0]), rows=1, timeout=spec.start_seconds)
    problem = canary.problem(engine.receive(timeout=spec.start_seconds).outputs)
    if problem is not None:
        raise EngineGone(f"{problem}: it would answer wrongly")
    return Started(hello, Costs(seconds, takes_any_shape=may_trim), canary)


def _canary(spec: ModelSpec, hello: Hello, shortest: int) -> Canary:
    return Canary(
        hello.config.vocab_size,
        row_outputs=hello.row_outputs,
        with_positions=hello.takes_positions,
        is_half=spec.dtype in _HALVES,
        length=min(LENGTH, shortest),
    )


def _shapes(spec: ModelSpec, hello: Hello, longest: int) -> list[shapes.Shape]:
    """What to compile, the cheapest first."""
    try:
        if spec.shapes is not None:
            return shapes.check(list(spec.shapes), longest=longest, max_batch_tokens=spec.max_batch_tokens)
        fitting = [shape for shape in hello.shapes if shape[1] <= longest]
        if fitting:  # an exported graph fills up what is smaller, so that a row can run alone
            return shapes.check([*fitting, *((1, length) for _, length in fitting)], longest=longest)
    except ConfigError as error:
        raise EngineRefused(str(error)) from None
    most = shapes.MOST_SEEN if hello.takes_any_shape else shapes.MOST_COMPILED
    return shapes.choose(longest, device=hello.device, max_batch_tokens=spec.max_batch_tokens, most=most)
