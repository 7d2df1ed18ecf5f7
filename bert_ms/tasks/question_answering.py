"""Question answering: SQuAD's files in, answers and the official scores out."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bert_ms.config import BertConfig, RunConfig
from bert_ms.data import questions
from bert_ms.decoding import question_answering as decoding
from bert_ms.errors import DataError
from bert_ms.metrics import squad as metrics
from bert_ms.records import QuestionPrediction
from bert_ms.tasks.findings import Finding
from bert_ms.tasks.findings import questions as question_findings
from bert_ms.tasks.work import Prepared, Purpose, Work
from bert_ms.tokenization import Tokenizer

logger = logging.getLogger(__name__)

WITH_NEGATIVES = "with_negatives"


class QuestionAnsweringWork(Work):
    """The work of question answering; `data` and `evaluation` of the configuration are used."""

    def __init__(self, config: RunConfig, tokenizer: Tokenizer, known: BertConfig | None = None):
        super().__init__(config, tokenizer, known)
        self.data, self.evaluation = config.data, config.evaluation

    def prepare(self, path: str | Path, purpose: Purpose) -> Prepared:
        """Read a SQuAD file and cut its questions into windows; answers are found again for training only.

        Raises:
            DataError: the file cannot be used, or holds no answers to score by.
        """
        loaded, rows = questions.prepare(path, self.tokenizer, self.data, is_training=purpose == "train")
        if purpose == "evaluate" and not loaded.with_negatives and not any(e.answers for e in loaded.examples):
            raise DataError(
                f"{path}: none of its {len(loaded.examples):,} questions has an answer to score by. `bert-ms predict` "
                f"answers questions without one."
            )
        logger.info("%s: %d questions, %d windows", path, len(loaded.examples), len(rows.lengths()))
        return Prepared(loaded.examples, rows, {WITH_NEGATIVES: loaded.with_negatives})

    def decode(self, prepared: Prepared, outputs: Mapping[str, np.ndarray]) -> list[QuestionPrediction]:
        """The answers that start and end logits, float32 [T] each, stand for."""
        threshold = self.evaluation.null_threshold
        predictions = decoding.decode(
            prepared.examples,
            prepared.features,
            outputs["start_logits"],
            outputs["end_logits"],
            n_best=self.evaluation.n_best,
            max_answer_length=self.evaluation.max_answer_length,
            with_negatives=bool(prepared.facts[WITH_NEGATIVES]),
            null_threshold=math.inf if threshold == "search" else float(threshold),
        )
        if threshold != "search" or not prepared.facts[WITH_NEGATIVES]:
            return predictions
        answers, odds = _answers(predictions)
        best = metrics.search_threshold(prepared.examples, answers, odds, language=self.evaluation.language)
        return [decoding.choose(prediction, best) for prediction in predictions]

    def score(self, prepared: Prepared, predictions: Sequence[QuestionPrediction]) -> dict[str, float]:
        """The official scores in percent; with questions that may have no answer also those of the best threshold.

        Where the threshold was searched for, the best is told of answers before any was silenced by it, so that
        `best_f1_thresh` is the one that was used.
        """
        answers, odds = _answers(predictions)
        language, with_negatives = self.evaluation.language, bool(prepared.facts[WITH_NEGATIVES])
        scores = metrics.evaluate(
            prepared.examples, answers, odds or None, language=language, with_negatives=with_negatives
        )
        if with_negatives and self.evaluation.null_threshold == "search":
            unsilenced, _ = _answers([decoding.choose(prediction, math.inf) for prediction in predictions])
            best = metrics.evaluate(prepared.examples, unsilenced, odds, language=language, with_negatives=True)
            scores |= {name: value for name, value in best.items() if name.startswith("best_")}
        return dict(scores)

    def write(self, directory: Path, prepared: Prepared, predictions: Sequence[QuestionPrediction]) -> list[Path]:
        """predictions.json, nbest_predictions.json and, where questions may have no answer, null_odds.json."""
        return decoding.write_predictions(directory, predictions, bool(prepared.facts[WITH_NEGATIVES]))

    @classmethod
    def reads_windows(cls) -> bool:
        """Long passages are."""
        return True

    def findings(self, prepared: Prepared, predictions: Sequence[QuestionPrediction]) -> Sequence[Finding]:
        """Scores by question word and by length of the answer; questions answered, partly right and missed."""
        return question_findings.findings(
            prepared.examples,
            predictions,
            language=self.evaluation.language,
            with_negatives=bool(prepared.facts[WITH_NEGATIVES]),
        )


def _answers(predictions: Sequence[QuestionPrediction]) -> tuple[dict[str, str], dict[str, float]]:
    """Texts, and null odds where there are some, by question."""
    odds = {p.id: p.null_score_diff for p in predictions if p.null_score_diff is not None}
    return {prediction.id: prediction.text for prediction in predictions}, odds
