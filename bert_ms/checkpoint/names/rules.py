"""Reversible rules between our parameter names and those of a peer.

A rule is a pair of templates such as `encoder.layers.{i}.attention.layer_norm.{norm}` and
`encoder.layer.{i}.attention.output.LayerNorm.{norm}`. `{i}` stands for a number; every other field stands for one of
the words that the table gives for it, each with the peer's spellings of it (the first is the one written); a field
that only the peer's side has stands for any of them, and the first (of numbers, 0) is written. Our names in
rules are those of the bare encoder and of the heads; a network with a head keeps its encoder under `bert.`, which
`without_encoder` takes off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bert_ms.errors import CheckpointError

ENCODER_PREFIX = "bert."
ENCODER_PARTS = ("embeddings.", "encoder.", "pooler.")

_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Rule:
    """One line of a name table.

    Attributes:
        ours: template of our name.
        theirs: template of the peer's name, without its prefix.
        older: templates of earlier names, read but never written.
        is_transposed: the peer stores the transposed matrix.
        merged: "first" or "last" where the peer keeps heads and head size as two axes, which are made one (before the
            matrix is transposed); empty where it does not.
        prefix: written before `theirs` in place of the table's prefix; None takes the table's.
    """

    ours: str
    theirs: str
    older: tuple[str, ...] = ()
    is_transposed: bool = False
    merged: str = ""
    prefix: str | None = None


@dataclass(frozen=True)
class Found:
    """Where a parameter of ours is in a peer's file."""

    name: str
    is_transposed: bool = False
    merged: str = ""


@dataclass(frozen=True)
class Translation:
    """The names of one file, explained.

    Attributes:
        table: the names' origin.
        found: our name -> the file's.
        dropped: reason -> names in the file that are known and not needed.
        unknown: names in the file that nothing explains.
    """

    table: NameTable
    found: Mapping[str, Found]
    dropped: Mapping[str, tuple[str, ...]]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class NameTable:
    """How one peer names the parameters of BERT and NEZHA.

    Attributes:
        name: of the origin, for reports.
        rules: tried in order.
        words: field -> our word -> the peer's spellings of it, the first of which is written.
        wrappers: regular expression of one prefix that wrapping adds; any number of them is taken off.
        known_unused: (regular expression of a whole name in the file, why it is not needed).
        encoder_prefix: written before encoder names when there is a head.
        head_prefix: written before head names.
        separator: between a wrapper and the rest of a name.
        dialect: keys of a configuration that bring what is customary there (epsilon, GELU), where no file tells.
        plain_keys: whose keys a configuration beside such a file has, where they do not tell (`BertConfig.from_dict`).
        stand_ins: our name -> the one whose tensor is also it, in files that keep a shared tensor once.
    """

    name: str
    rules: tuple[Rule, ...]
    words: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    wrappers: str = r"(?!)"
    known_unused: tuple[tuple[str, str], ...] = ()
    encoder_prefix: str = ""
    head_prefix: str = ""
    separator: str = "."
    dialect: Mapping[str, Any] = field(default_factory=lambda: {"model_type": "bert"})
    plain_keys: str = "google"
    stand_ins: Mapping[str, str] = field(default_factory=dict)

    def translate(self, names: Iterable[str]) -> Translation:
        """Explain the names of a file.

        Raises:
            CheckpointError: two names of the file mean the same parameter.
        """
        found: dict[str, Found] = {}
        dropped: dict[str, list[str]] = {}
        unknown: list[str] = []
        for name in names:
            reason = next((why for pattern, why in self._unused if pattern.fullmatch(name)), None)
            if reason:
                dropped.setdefault(reason, []).append(name)
                continue
            hit = self._ours_of(self._wrapping.sub("", name))
            if hit is None:
                unknown.append(name)
            elif hit[0] in found:
                raise CheckpointError(f"both '{found[hit[0]].name}' and '{name}' in the file are '{hit[0]}'.")
            else:
                found[hit[0]] = Found(name, hit[1].is_transposed, hit[1].merged)
        for ours, other in self.stand_ins.items():
            if ours not in found and other in found:
                found[ours] = found.pop(other)
        return Translation(self, found, {why: tuple(n) for why, n in dropped.items()}, tuple(unknown))

    def has(self, ours: str, names: Iterable[str]) -> bool:
        """Whether one of a file's names means our name `ours`, found without a look at the rules for other names."""
        meant = (ours, self.stand_ins.get(ours, ours))
        rules = [rule for rule in self.rules if any(name.startswith(rule.ours.split("{")[0]) for name in meant)]
        patterns = self._patterns(rules)
        return any(
            any(pattern.fullmatch(bare) for pattern, _ in patterns) and ours in self.translate([name]).found
            for name, bare in ((name, self._wrapping.sub("", name)) for name in names)
        )

    def names_of(self, ours: Iterable[str]) -> dict[str, Found]:
        """The peer's name of each of our (bare) names, prefixed as the peer's own files are.

        Raises:
            CheckpointError: the peer has no such parameter.
        """
        ours = list(ours)
        has_head = any(not name.startswith(ENCODER_PARTS) for name in ours)
        written: dict[str, Found] = {}
        for name in ours:
            rule, theirs = self._theirs_of(name)
            prefix = self.head_prefix
            if name.startswith(ENCODER_PARTS):
                prefix = self.encoder_prefix if has_head else ""
            written[name] = Found(
                (prefix if rule.prefix is None else rule.prefix) + theirs, rule.is_transposed, rule.merged
            )
        return written

    def _ours_of(self, name: str) -> tuple[str, Rule] | None:
        for pattern, rule in self._reading:
            match = pattern.fullmatch(name)
            if match:
                words = {key: self._our_word(key, value) for key, value in match.groupdict().items()}
                return rule.ours.format(**words), rule
        return None

    def _theirs_of(self, name: str) -> tuple[Rule, str]:
        for pattern, rule in self._writing:
            match = pattern.fullmatch(name)
            if match:
                words = {key: self._any_word(key) for key in _FIELD.findall(rule.theirs)}
                words |= {key: self._their_word(key, value) for key, value in match.groupdict().items()}
                return rule, rule.theirs.format(**words)
        raise CheckpointError(f"{self.name} files have no place for '{name}': write another format.")

    def _our_word(self, key: str, value: str) -> str:
        words = self.words.get(key, {})
        return next((ours for ours, theirs in words.items() if value in theirs), value)

    def _their_word(self, key: str, value: str) -> str:
        return self.words[key][value][0] if key in self.words else value

    def _any_word(self, key: str) -> str:
        return next(iter(self.words[key].values()))[0] if key in self.words else "0"

    @cached_property
    def _wrapping(self) -> re.Pattern[str]:
        return re.compile(rf"^(?:(?:{self.wrappers}){re.escape(self.separator)})+")

    @cached_property
    def _unused(self) -> list[tuple[re.Pattern[str], str]]:
        return [(re.compile(pattern), why) for pattern, why in self.known_unused]

    @cached_property
    def _reading(self) -> list[tuple[re.Pattern[str], Rule]]:
        return self._patterns(self.rules)

    def _patterns(self, rules: Iterable[Rule]) -> list[tuple[re.Pattern[str], Rule]]:
        theirs = {key: [w for spellings in words.values() for w in spellings] for key, words in self.words.items()}
        return [(_pattern(template, theirs), rule) for rule in rules for template in (rule.theirs, *rule.older)]

    @cached_property
    def _writing(self) -> list[tuple[re.Pattern[str], Rule]]:
        ours = {key: list(words) for key, words in self.words.items()}
        return [(_pattern(rule.ours, ours), rule) for rule in self.rules]


def _pattern(template: str, words: Mapping[str, list[str]]) -> re.Pattern[str]:
    """A template as a regular expression with one named group a field."""
    parts = _FIELD.split(template)
    for at in range(1, len(parts), 2):
        choices = "|".join(map(re.escape, words[parts[at]])) if parts[at] in words else r"0|[1-9]\d{0,3}"
        parts[at] = f"(?P<{parts[at]}>{choices})"
    parts[::2] = map(re.escape, parts[::2])
    return re.compile("".join(parts))


def without_encoder(name: str) -> str:
    """A network's parameter name without the `bert.` that a head puts before its encoder's."""
    bare = name.removeprefix(ENCODER_PREFIX)
    return bare if bare.startswith(ENCODER_PARTS) else name
