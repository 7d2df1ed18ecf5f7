"""The search for the most probable texts that keeps a few open ones, beams, at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from bert_ms.decoding.next_tokens import log_softmax, penalise_repetition

Text = tuple[list[int], float]  # tokens, score


@dataclass
class _Prompt:
    """The beams of one prompt.

    Attributes:
        open: texts to go on with and their log-probabilities, best first.
        complete: finished texts and their scores, best first, at most as many as there are beams.
        is_closed: nothing can be added any more.
    """

    open: list[Text]
    complete: list[Text] = field(default_factory=list)
    is_closed: bool = False


@dataclass(frozen=True)
class _Rules:
    """The settings of a search; see `search`."""

    beams: int
    most: int
    ends: Sequence[int]
    length_penalty: float
    early_stopping: bool | Literal["never"]

    @property
    def candidates(self) -> int:
        """Continuations looked at: so many that, whatever ends, enough open ones are among them."""
        return max(2, 1 + len(self.ends)) * self.beams


def search(
    advance: Callable[[np.ndarray, np.ndarray], np.ndarray],
    logits: np.ndarray,
    seen: np.ndarray,
    *,
    beams: int,
    most: int,
    ends: Sequence[int],
    length_penalty: float,
    early_stopping: bool | Literal["never"],
    repetition_penalty: float,
    wanted: int,
) -> list[Text]:
    """The best texts of each prompt, best first.

    Args:
        advance: (tokens [B * beams], which row before each continues) -> logits of the next tokens.
        logits: float [B, V], of the first tokens after the prompts.
        seen: int [B, T], the prompts, negative where nothing is.
        beams: open texts for a prompt.
        most: tokens of a text.
        ends: tokens that end one.
        length_penalty: a score is log-probability / length ** this.
        early_stopping: see `GenerationConfig`.
        repetition_penalty: on log-probabilities of tokens that are there.
        wanted: texts for a prompt.

    Source: Graves 2012; order of candidates, penalties and ending of Hugging Face's `generate` (5.x).
    """
    rules = _Rules(beams, most, ends, length_penalty, early_stopping)
    prompts = [_Prompt([([], 0.0)]) for _ in logits]
    parents = np.arange(len(prompts))  # rows of the last logits, by prompt and beam
    for length in range(1, most + 1):
        logs = log_softmax(logits.astype(np.float64))
        logs = penalise_repetition(logs, seen, repetition_penalty)
        tokens, came_from = [], []
        per_prompt = len(parents) // len(prompts)
        for number, prompt in enumerate(prompts):
            first = number * per_prompt
            ranked = _ranked(prompt.open, logs[first : first + len(prompt.open)], rules.candidates)
            chosen = _continue(prompt, ranked, length, rules)
            tokens += [prompt.open[k][0][-1] for k in range(beams)]
            came_from += [first + origin for origin in chosen]
        if length == most or all(prompt.is_closed for prompt in prompts):
            break
        parents = np.array(came_from)
        new = np.array(tokens)
        seen = np.concatenate((seen[parents], new[:, None]), axis=1)
        logits = advance(new, parents)
    return [text for prompt in prompts for text in prompt.complete[:wanted]]


def _ranked(open_texts: list[Text], logs: np.ndarray, count: int) -> list[tuple[int, int, float]]:
    """The `count` most probable (open text, next token, log-probability), best first."""
    total = (np.array([score for _, score in open_texts])[:, None] + logs).reshape(-1)
    best = np.argsort(-total, kind="stable")[:count]
    return [(int(at) // logs.shape[1], int(at) % logs.shape[1], float(total[at])) for at in best]


def _continue(prompt: _Prompt, ranked: list[tuple[int, int, float]], length: int, rules: _Rules) -> list[int]:
    """Finish what ends, keep the best of what does not; which open text each of those came from."""
    going: list[Text] = []
    origins: list[int] = []
    finished = list(prompt.complete)
    for rank, (origin, token, score) in enumerate(ranked):
        text = [*prompt.open[origin][0], token]
        if (token in rules.ends or length == rules.most) and rank < rules.beams and not prompt.is_closed:
            finished.append((text, score / length**rules.length_penalty))
        if token not in rules.ends and len(going) < rules.beams:
            going.append((text, score))
            origins.append(origin)
    prompt.complete = sorted(finished, key=lambda text: -text[1])[: rules.beams]
    while len(going) < rules.beams:  # the vocabulary is too small for so many: fill up with what cannot win
        origin, token, _ = ranked[0]
        going.append(([*prompt.open[origin][0], token], -np.inf))
        origins.append(origin)
    prompt.open = going
    prompt.is_closed = prompt.is_closed or _is_decided(prompt, length, rules)
    return origins


def _is_decided(prompt: _Prompt, length: int, rules: _Rules) -> bool:
    """Whether no open text can become one of the best any more, as far as `early_stopping` looks."""
    if len(prompt.complete) < rules.beams:
        return False
    if rules.early_stopping is True:
        return True
    hoped_length = rules.most if rules.early_stopping == "never" and rules.length_penalty > 0 else length
    return prompt.open[0][1] / hoped_length**rules.length_penalty <= prompt.complete[-1][1]
