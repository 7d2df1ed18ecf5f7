"""A real server for the demo page, as a process: `python -m tests.serving.page_process kinds=qa,ner key=value ...`.

A model for each kind, in memory. Its answers are easy to foretell: to a question the last word of the passage, with the
first one after it, and none where the question is "None?"; entities are the words that begin with a capital letter.
A text `number` gets one, as of a regression; `busy`, `restarting` and `broken` are refused as their names say; models
of `late=embed` are loading until another one is asked for `wake`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from serving.faults import EngineError, QueueFull, Unavailable
from serving.http.run import serve
from serving.resolving import resolve
from serving.service import Call
from tests.serving.fakes import FakeModel, FakeRepository

FAULTS = {
    "busy": QueueFull("512 rows are waiting already.", retry_after=2.0),
    "restarting": Unavailable("the engine is started again.", code="engine_restarting", retry_after=1.0),
    "broken": EngineError("the network failed on this input."),
}
LATE: list[PageModel] = []
TASKS = {"qa": "question-answering", "classify": "sequence-classification", "ner": "token-classification",
         "fill-mask": "masked-lm", "embed": "encoder"}  # fmt: skip


class PageModel(FakeModel):
    """Answers one kind by the rules above; until it is ready it does not say which."""

    def kinds(self) -> tuple[str, ...]:
        return super().kinds() if self.state == "ready" else ()

    def _one(self, kind: str, item: Any, index: int, options: Mapping[str, Any], call: Call) -> Any:
        text = item["context"] if kind == "qa" else item
        if text == "wake":
            for model in LATE:
                model.state = "ready"
        if text in FAULTS:
            raise FAULTS[text]
        if text == "number":
            return [{"label": "stars", "score": 0.4}]
        rule = {"qa": _answers, "ner": _entities, "fill-mask": _fillings}.get(kind)
        return rule(item) if rule else super()._one(kind, item, index, options, call)


def _answers(item: Mapping[str, str]) -> dict[str, Any]:
    none = {"text": "", "start": 0, "end": 0, "score": 0.8}
    words = [{**_place(match), "score": 0.1} for match in re.finditer(r"\S+", item["context"])]
    if item["question"] == "None?":
        return {"answers": [none, words[0]], "null_score_diff": 2.5}
    return {"answers": [{**words[-1], "score": 0.875}, {**words[0], "score": 0.1}], "null_score_diff": -3.0}


def _entities(text: str) -> list[dict[str, Any]]:
    return [{**_place(match), "entity": "PER", "score": 0.5} for match in re.finditer(r"\b[A-Z]\w*", text)]


def _fillings(text: str) -> list[list[dict[str, Any]]]:
    words = [{"token": 7, "token_str": "cat", "score": 0.75, "sequence": text.replace("[MASK]", "cat")},
             {"token": 8, "token_str": "dog", "score": 0.2, "sequence": text.replace("[MASK]", "dog")}]  # fmt: skip
    return [words] * text.count("[MASK]")


def _place(match: re.Match[str]) -> dict[str, Any]:
    return {"text": match[0], "start": match.start(), "end": match.end()}


if __name__ == "__main__":
    flags = dict(argument.split("=", 1) for argument in sys.argv[1:])
    kinds = flags.pop("kinds", ",".join(TASKS)).split(",")
    late = flags.pop("late", "").split(",")
    settings = resolve(flags={"port": "0", "admin_port": "0", **flags}, environment={})
    models = [PageModel(f"the-{kind}-model", (kind, "tokenize"), TASKS[kind]) for kind in kinds]
    LATE += [model for model in models if model.kinds()[0] in late]
    for model in LATE:
        model.state = "loading"
    sys.exit(serve(settings, FakeRepository(*models)))
