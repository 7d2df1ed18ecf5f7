"""Answers to questions from the passages that hold them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bert_ms.data import question_features
from bert_ms.decoding import question_answering as decoding
from bert_ms.errors import DataError
from bert_ms.pipelines.text.base import TextPipeline, fields_of
from bert_ms.records import QuestionExample


class QuestionAnswering(TextPipeline):
    """The span of a passage that answers a question; a passage of any length is read in windows."""

    def answer(
        self,
        inputs: Sequence[Any],
        *,
        top_k: int = 1,
        max_answer_length: int = 30,
        with_no_answer: bool = False,
        null_threshold: float = 0.0,
    ) -> list[Any]:
        """Answers to {"question": text, "context": text}.

        Args:
            inputs: questions on passages.
            top_k: so many different answers, best first; 1 gives a dictionary instead of a list of them.
            max_answer_length: longest answer, in tokens.
            with_no_answer: "no answer", an empty text, is a possible answer (for networks trained on SQuAD v2.0).
            null_threshold: it is chosen where its score exceeds the best span's by more than this.

        Returns:
            {"answer": text, "score": probability among the candidates, "start", "end": characters of the context} each;
            an answer that is empty has start and end 0, and, of a passage without words, the score 0.
        """
        examples = []
        for index, item in enumerate(inputs):
            question, context = fields_of(item, index, "question", "context")
            if not isinstance(question, str) or not isinstance(context, str):
                raise DataError(f"input {index}: question and context are texts.")
            examples.append(QuestionExample(str(index), question, context))
        features = question_features.featurize(
            examples, self.tokenizer, max_length=self.max_length, stride=self.stride, max_query_length=None, workers=1
        )
        outputs = self.run(features)
        predictions = decoding.decode(
            examples,
            features,
            outputs["start_logits"],
            outputs["end_logits"],
            n_best=max(top_k, 20),
            max_answer_length=max_answer_length,
            with_negatives=with_no_answer,
            null_threshold=null_threshold if with_no_answer else math.inf,
        )
        answers: list[Any] = []
        for prediction in predictions:
            found = [
                {"answer": c.text, "score": float(c.probability), "start": c.start, "end": c.end}
                for c in prediction.candidates
            ]
            found.sort(key=lambda one: one["answer"] != prediction.text)  # the chosen one first, the others as they are
            found = found or [{"answer": "", "score": 0.0, "start": 0, "end": 0}]
            answers.append(found[0] if top_k == 1 else found[:top_k])
        return answers
