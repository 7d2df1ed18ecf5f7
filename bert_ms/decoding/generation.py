"""Texts from a causal language model, token by token: greedily, by chance, or by beams."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from bert_ms.decoding import next_tokens
from bert_ms.decoding.beam_search import search
from bert_ms.errors import ConfigError, DataError


class Steps(Protocol):
    """A causal language model that is asked for one position after the other and remembers those before."""

    def start(self, input_ids: np.ndarray, starts: np.ndarray, token_type_ids: np.ndarray, capacity: int) -> np.ndarray:
        """Read prompts: logits float32 [B, V] of the word after each.

        Args:
            input_ids: int32 [B, Q], prompts padded on the left.
            starts: int32 [B], where each prompt begins.
            token_type_ids: int32 [B, Q].
            capacity: positions, the prompts' included, that there will be at most.
        """
        ...

    def advance(self, tokens: np.ndarray, parents: np.ndarray) -> np.ndarray:
        """Read one more token in each row: logits float32 [R, V] of the word after it.

        Args:
            tokens: int32 [R].
            parents: int32 [R], which row of before each continues.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How to choose tokens.

    Attributes:
        max_new_tokens: most tokens after a prompt.
        do_sample: draw tokens by their probability; else take the most probable.
        temperature: scores are divided by it before drawing.
        top_k: draw among this many; 0 for all.
        top_p: draw among the fewest tokens that hold this share of the probability.
        seed: of the drawing; a row's draws do not depend on the others.
        repetition_penalty: divides the scores of tokens that are there already, the prompt's included.
        num_beams: beams kept for a prompt; 1 is no beam search.
        length_penalty: a beam's score is its log-probability / length ** this; more than 0 favours long ones.
        early_stopping: beams end when there are num_beams complete ones (True), when the best open one is no better
            than those at its present length (False), or when it could never be better ("never").
        eos_token_id: ids that end a text.
        pad_token_id: fills rows after their end.
        num_return_sequences: texts for each prompt: draws, or the best beams.
    """

    max_new_tokens: int = 20
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    repetition_penalty: float = 1.0
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    eos_token_id: int | tuple[int, ...] | None = None
    pad_token_id: int = 0
    num_return_sequences: int = 1

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ConfigError(problems)

    @property
    def ends(self) -> tuple[int, ...]:
        """Every id that ends a text."""
        if self.eos_token_id is None:
            return ()
        return (self.eos_token_id,) if isinstance(self.eos_token_id, int) else tuple(self.eos_token_id)

    def _problems(self) -> Iterator[str]:
        for name in ("max_new_tokens", "num_beams", "num_return_sequences"):
            if getattr(self, name) < 1:
                yield f"{name} is {getattr(self, name)}: expected at least 1."
        for name in ("temperature", "repetition_penalty"):
            if not getattr(self, name) > 0:
                yield f"{name} is {getattr(self, name)}: expected more than 0."
        if not 0 < self.top_p <= 1:
            yield f"top_p is {self.top_p}: expected a share in (0, 1]."
        if self.top_k < 0:
            yield f"top_k is {self.top_k}: expected 0 (all) or more."
        if self.early_stopping not in (True, False, "never"):
            yield f"early_stopping is {self.early_stopping!r}: expected true, false or 'never'."
        if self.do_sample and self.num_beams > 1:
            yield f"do_sample with num_beams {self.num_beams}: beams are searched, not drawn. Choose one."
        if self.num_return_sequences > 1 and not self.do_sample and self.num_return_sequences > self.num_beams:
            yield (
                f"num_return_sequences is {self.num_return_sequences} with num_beams {self.num_beams}: a search "
                "returns as many texts as it has beams. Raise num_beams, or set do_sample."
            )


@dataclass(frozen=True)
class Generated:
    """What was made of prompts, those of one prompt one after the other.

    Attributes:
        tokens: int32 [R, N], new tokens only, an end included, then pad_token_id.
        lengths: int32 [R], how many of them are the text's.
        scores: float64 [R], sum of log-probabilities; with beams divided by length ** length_penalty.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    scores: np.ndarray

    def rows(self) -> list[list[int]]:
        """Ids of each text without filling."""
        return [row[:length].tolist() for row, length in zip(self.tokens, self.lengths, strict=True)]


def generate(
    steps: Steps,
    input_ids: np.ndarray,
    attention_mask: np.ndarray | None = None,
    token_type_ids: np.ndarray | None = None,
    *,
    config: GenerationConfig,
    longest: int | None = None,
) -> Generated:
    """Continue prompts.

    Args:
        steps: the language model.
        input_ids: int [B, S], padded on either side.
        attention_mask: int [B, S], 0 for padding; None for all tokens.
        token_type_ids: int [B, S]; new tokens get the prompt's last. None for all 0.
        config: how to choose.
        longest: positions that the model has; None for any number.

    Raises:
        DataError: a prompt is empty, or there are not enough positions.
    """
    ids, starts, types = _aligned(input_ids, attention_mask, token_type_ids)
    length = int(ids.shape[1] - starts.min())
    if longest is not None and length + config.max_new_tokens > longest:
        raise DataError(
            f"the longest prompt has {length} tokens, and max_new_tokens is {config.max_new_tokens}: the network has "
            f"{longest} positions. Shorten one of them."
        )
    if config.do_sample:
        ids, starts, types = (np.repeat(a, config.num_return_sequences, axis=0) for a in (ids, starts, types))
    logits = steps.start(ids, starts, types, ids.shape[1] + config.max_new_tokens)
    seen = np.where(np.arange(ids.shape[1]) >= starts[:, None], ids, -1)
    if config.num_beams > 1:
        return _packed(
            search(
                lambda tokens, parents: steps.advance(tokens.astype(np.int32), parents.astype(np.int32)),
                logits,
                seen,
                beams=config.num_beams,
                most=config.max_new_tokens,
                ends=config.ends,
                length_penalty=config.length_penalty,
                early_stopping=config.early_stopping,
                repetition_penalty=config.repetition_penalty,
                wanted=config.num_return_sequences,
            ),
            config.pad_token_id,
        )
    return _packed(_one_by_one(steps, logits, seen, config), config.pad_token_id)


def _one_by_one(
    steps: Steps, logits: np.ndarray, seen: np.ndarray, config: GenerationConfig
) -> list[tuple[list[int], float]]:
    """Greedy choice, or drawing: (tokens, score) of each row."""
    rows = np.arange(len(logits))
    draws = [np.random.default_rng((config.seed, int(row))) for row in rows]
    texts: list[list[int]] = [[] for _ in rows]
    scores, is_open = np.zeros(len(rows)), np.ones(len(rows), bool)
    while True:
        penalised = next_tokens.penalise_repetition(logits, seen, config.repetition_penalty)
        if config.do_sample:
            penalised = next_tokens.keep_top_k(penalised / config.temperature, config.top_k)
            penalised = next_tokens.keep_top_p(penalised, config.top_p)
            chosen = next_tokens.draw(penalised, np.array([one.random() for one in draws]))
        else:
            chosen = penalised.argmax(-1)
        scores += np.where(is_open, next_tokens.log_softmax(logits.astype(np.float64))[rows, chosen], 0.0)
        for row in np.nonzero(is_open)[0]:
            texts[row].append(int(chosen[row]))
            is_open[row] = int(chosen[row]) not in config.ends
        if not is_open.any() or max(map(len, texts)) == config.max_new_tokens:
            return list(zip(texts, scores.tolist(), strict=True))
        seen = np.concatenate((seen, np.where(is_open, chosen, -1)[:, None]), axis=1)
        logits = steps.advance(chosen.astype(np.int32), rows.astype(np.int32))


def _aligned(
    input_ids: np.ndarray, attention_mask: np.ndarray | None, token_type_ids: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prompts with their tokens at the right end: ids [B, S], begin of each [B], token types [B, S]."""
    ids = np.asarray(input_ids, np.int32)
    if ids.ndim != 2 or not ids.size:
        raise DataError(f"prompts have the shape {list(ids.shape)}: expected [B, S], one row a prompt.")
    is_token = np.ones(ids.shape, bool) if attention_mask is None else np.asarray(attention_mask) != 0
    types = np.zeros_like(ids) if token_type_ids is None else np.asarray(token_type_ids, np.int32)
    if is_token.shape != ids.shape or types.shape != ids.shape:
        raise DataError(f"attention_mask or token_type_ids do not have the shape {list(ids.shape)} of input_ids.")
    lengths = is_token.sum(1)
    if not lengths.all():
        raise DataError(f"prompt {int(np.argmin(lengths))} has no token: give each prompt at least one, [CLS] say.")
    order = np.argsort(is_token, axis=1, kind="stable")  # padding first, both in their order
    width = int(lengths.max())
    ids, types = (np.take_along_axis(a, order, 1)[:, -width:] for a in (ids, types))
    return ids, (width - lengths).astype(np.int32), types


def _packed(texts: list[tuple[list[int], float]], pad_token_id: int) -> Generated:
    lengths = np.array([len(tokens) for tokens, _ in texts], np.int32)
    tokens = np.full((len(texts), int(lengths.max())), pad_token_id, np.int32)
    for row, (text, _) in enumerate(texts):
        tokens[row, : len(text)] = text
    return Generated(tokens, lengths, np.array([score for _, score in texts]))


def with_settings(config: GenerationConfig | None, settings: dict[str, object]) -> GenerationConfig:
    """A configuration with some of its fields changed.

    Raises:
        ConfigError: a setting is unknown, or a value cannot be used.
    """
    from bert_ms.errors import unknown

    known = {field.name for field in dataclasses.fields(GenerationConfig)}
    problems = [unknown("generation setting", name, known) for name in settings if name not in known]
    if problems:
        raise ConfigError(problems)
    return dataclasses.replace(config or GenerationConfig(), **settings)  # type: ignore[arg-type]
