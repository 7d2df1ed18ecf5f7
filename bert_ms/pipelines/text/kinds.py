"""THE table of pipelines: what each one answers, and whose network it runs. Looking things up imports nothing heavy."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from bert_ms.errors import ConfigError, unknown


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a pipeline is made.

    Attributes:
        task: whose network it runs.
        make: name "module:attribute" of the pipeline's class.
        cell: name of what makes the Cell to run from the network; None runs the network itself.
        summary: one line for people.
    """

    task: str
    make: str
    cell: str | None = None
    summary: str


_HERE = "bert_ms.pipelines.text"
PIPELINES: dict[str, Kind] = {
    "sequence-classification": Kind(
        task="sequence-classification",
        make=f"{_HERE}.classification:TextClassification",
        summary="labels of texts or pairs with their probabilities",
    ),
    "token-classification": Kind(
        task="token-classification",
        make=f"{_HERE}.token_classification:TokenClassification",
        summary="entities in texts",
    ),
    "question-answering": Kind(
        task="question-answering",
        make=f"{_HERE}.question_answering:QuestionAnswering",
        summary="answers to questions on passages",
    ),
    "multiple-choice": Kind(
        task="multiple-choice",
        make=f"{_HERE}.classification:MultipleChoice",
        cell="bert_ms.model.heads.classification:ChoiceScores",
        summary="the choice that fits a context best",
    ),
    "next-sentence": Kind(
        task="next-sentence",
        make=f"{_HERE}.classification:NextSentence",
        summary="whether the second text follows the first",
    ),
    "fill-mask": Kind(
        task="masked-lm",
        make=f"{_HERE}.fill_mask:FillMask",
        cell="bert_ms.model.heads.masked_positions:MaskedPositionsLogits",
        summary="words for [MASK]",
    ),
    "text-generation": Kind(
        task="causal-lm",
        make=f"{_HERE}.generation:TextGeneration",
        summary="texts that go on",
    ),
    "feature-extraction": Kind(
        task="encoder",
        make=f"{_HERE}.features:FeatureExtraction",
        summary="hidden states of texts",
    ),
    "zero-shot-classification": Kind(
        task="sequence-classification",
        make=f"{_HERE}.zero_shot:ZeroShotClassification",
        summary="labels that nobody trained for, by a network that knows inference",
    ),
}
# Our task names, and what Hugging Face calls the same.
ALIASES = {
    "encoder": "feature-extraction",
    "masked-lm": "fill-mask",
    "pretraining": "fill-mask",
    "causal-lm": "text-generation",
    "text-classification": "sequence-classification",
    "sentiment-analysis": "sequence-classification",
    "ner": "token-classification",
}


def named(name: str) -> str:
    """The pipeline that a name stands for: its own, one of our tasks, or Hugging Face's.

    Raises:
        ConfigError: there is none; the nearest name is said.
    """
    found = ALIASES.get(name, name)
    if found not in PIPELINES:
        raise ConfigError(unknown("pipeline", name, {*PIPELINES, *ALIASES}))
    return found


def load(name: str) -> Any:
    """The object that "module:attribute" names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
