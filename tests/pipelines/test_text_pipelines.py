"""Pipelines answer what Hugging Face's answer with the same weights, in any batch, at any length."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bert_ms
from bert_ms.errors import CheckpointError, ConfigError, DataError, TokenizerError
from bert_ms.pipelines.text import ALIASES, PIPELINES
from bert_ms.pipelines.text.rows import bucket
from tests.support import PACKAGED_DATA

HERE = PACKAGED_DATA / "pipelines"
GOLDEN = json.loads((HERE / "golden.json").read_text())
TEXTS, PAIRS = GOLDEN["texts"], [tuple(pair) for pair in GOLDEN["pairs"]]
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def nlp() -> Any:
    """Pipelines by their folder, each loaded once."""
    tasks = {
        "labels": "text-classification",
        "topics": "text-classification",
        "number": "text-classification",
        "inference": "zero-shot-classification",
        "tags": "ner",
        "words": "fill-mask",
        "encoder": "feature-extraction",
    }
    made: dict[str, Any] = {}

    def get(name: str) -> Any:
        if name not in made:
            made[name] = bert_ms.pipeline(tasks[name], HERE / name, device="cpu", batch_size=8)
        return made[name]

    return get


def assert_same(ours: Any, theirs: Any) -> None:
    """Equal structures, numbers within the tolerance."""
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs)
        for key, value in theirs.items():
            assert_same(ours[key], value)
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, abs=TOLERANCE)
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", ["labels", "topics", "number"])
def test_labels_of_texts_and_pairs_are_hugging_faces(nlp: Any, name: str) -> None:
    assert_same(nlp(name)(TEXTS, top_k=None), GOLDEN[name])
    assert_same(nlp(name)(PAIRS, top_k=None), GOLDEN[f"{name}_pairs"])


@pytest.mark.parametrize("multi_label", [False, True])
def test_zero_shot_scores_are_hugging_faces(nlp: Any, multi_label: bool) -> None:
    found = nlp("inference")(
        TEXTS, labels=["sport", "politics", "science"], hypothesis="this text is about {}.", multi_label=multi_label
    )
    assert_same(found, GOLDEN[f"zero_shot_{multi_label}"])


@pytest.mark.parametrize("aggregation", ["none", "simple", "first", "average", "max"])
def test_entities_are_hugging_faces_with_the_text_itself_as_word(nlp: Any, aggregation: str) -> None:
    found = nlp("tags")(TEXTS, aggregation=aggregation)
    theirs = GOLDEN["tags"][aggregation]
    assert sum(map(len, theirs)) >= 5
    if aggregation != "none":
        theirs = [[{**one, "word": text[one["start"] : one["end"]]} for one in some]
                  for text, some in zip(TEXTS, theirs, strict=True)]  # fmt: skip
    assert_same(found, theirs)


def test_words_for_gaps_are_hugging_faces(nlp: Any) -> None:
    found = nlp("words")(GOLDEN["masked"], top_k=4)
    assert [len(found[0]), len(found[1]), len(found[1][0])] == [4, 2, 4]
    theirs = GOLDEN["words"]
    assert_same(found[0], theirs[0])
    for ours, other in zip(found[1], theirs[1], strict=True):  # theirs keeps [CLS] and [SEP] where gaps remain
        cleaned = [{**one, "sequence": one["sequence"][len("[CLS] ") : -len(" [SEP]")]} for one in other]
        assert_same(ours, cleaned)
    targets = nlp("words")(GOLDEN["masked"][0], targets=["film", "game", "city"])
    assert_same(targets, GOLDEN["words_targets"])


def test_hidden_states_are_hugging_faces(nlp: Any) -> None:
    for ours, theirs in zip(nlp("encoder")(TEXTS[:3]), GOLDEN["encoder"], strict=True):
        np.testing.assert_allclose(ours, np.array(theirs), atol=TOLERANCE)
    assert nlp("encoder")(TEXTS[0], output="pooled_output").shape == (16,)


def test_an_answer_does_not_depend_on_what_else_is_asked(nlp: Any) -> None:
    mixed = [text * count for count in (1, 3, 1, 2) for text in TEXTS[:3]]
    together = nlp("labels")(mixed)
    assert_same(together, [nlp("labels")(text) for text in mixed])
    assert nlp("labels")([]) == []
    assert_same(nlp("labels")(text for text in mixed[:2]), together[:2])
    assert_same(nlp("labels")({"text": PAIRS[0][0], "text_pair": PAIRS[0][1]}), nlp("labels")(PAIRS[0]))


def test_long_texts_are_read_whole_in_windows(nlp: Any) -> None:
    long = " ".join([TEXTS[1]] * 12)
    found = nlp("tags")(long, aggregation="none", ignore=())
    assert [long[one["start"] : one["end"]].lower() for one in found] == [
        one["word"].removeprefix("##") if one["word"] != "[UNK]" else long[one["start"] : one["end"]].lower()
        for one in found
    ]
    assert [one["index"] for one in found] == list(range(1, len(found) + 1))
    assert found[-1]["end"] == len(long)
    single = nlp("labels")(long, top_k=None)
    assert sum(one["score"] for one in single) == pytest.approx(1.0, abs=1e-5)
    gap = nlp("words")(f"{long} the [MASK] {long}", top_k=1)
    assert len(gap) == 1


def test_what_is_too_long_is_refused_or_cut_on_request() -> None:
    long = "the film " * 100
    strict = bert_ms.pipeline("text-classification", HERE / "labels", device="cpu", long_inputs="error")
    with pytest.raises(TokenizerError, match=r"the text has 200 tokens, .* more than max_length 64"):
        strict(long)
    cut = bert_ms.pipeline("text-classification", HERE / "labels", device="cpu", long_inputs="truncate")
    assert_same(cut(long), cut("the film " * 31))


def test_questions_choices_and_next_sentences_have_the_promised_form(nlp: Any) -> None:
    make = {"device": "cpu", "allow_new_head": True}
    qa = bert_ms.pipeline("question-answering", HERE / "encoder", **make)
    context = " ".join(TEXTS * 4)
    found = qa([{"question": "who?", "context": context}, {"question": "who?", "context": ""}], top_k=3)
    assert len(found[0]) == 3 and all(context[one["start"] : one["end"]] == one["answer"] for one in found[0])
    assert found[1] == [{"answer": "", "score": 0.0, "start": 0, "end": 0}]
    one = bert_ms.pipeline("multiple-choice", HERE / "encoder", **make)(
        {"context": TEXTS[0], "choices": [TEXTS[1], TEXTS[2], TEXTS[3]]}
    )
    assert one["text"] == [TEXTS[1], TEXTS[2], TEXTS[3]][one["choice"]]
    assert one["score"] == max(one["scores"]) and sum(one["scores"]) == pytest.approx(1.0, abs=1e-5)
    follows = bert_ms.pipeline("next-sentence", HERE / "encoder", **make)(PAIRS)
    assert all(one["is_next"] == (one["score"] >= 0.5) for one in follows) and len(follows) == 2


def test_a_generated_text_goes_on_from_its_beginning_whatever_stands_beside_it() -> None:
    nlp = bert_ms.pipeline("text-generation", HERE / "words", device="cpu")
    begins = ["The film is", "She", ""]
    found = nlp(begins, max_new_tokens=4)
    for begin, (one,) in zip(begins, found, strict=True):
        assert one["generated_text"].startswith(begin) and len(one["generated_text"]) > len(begin)
    (alone,) = nlp(begins[1], max_new_tokens=4)
    assert alone["generated_text"] == found[1][0]["generated_text"]
    assert alone["score"] == pytest.approx(found[1][0]["score"], abs=1e-4)
    beams = nlp("She", max_new_tokens=4, num_beams=4, num_return_sequences=2, return_full_text=False)
    assert len(beams) == 2 and beams[0]["score"] >= beams[1]["score"]
    with pytest.raises(ConfigError, match="temperature is 0"):
        nlp("She", temperature=0)


@pytest.mark.parametrize(
    ("name", "inputs", "options", "says"),
    [
        ("labels", 5, {}, r"input 0 is int 5: expected a text, a tuple of two texts"),
        ("labels", ["a", None], {}, r"input 1 is NoneType None"),
        ("labels", "a", {"top_k": 0}, r"top_k is 0: expected at least 1"),
        ("words", "no gap", {}, r"input 0 has no \[MASK\]: 'no gap'"),
        ("words", "the [MASK]", {"targets": ["xylophone"]}, r"target 'xylophone' is no piece of the vocabulary"),
        ("tags", "a", {"aggregation": "mean"}, r"aggregation is 'mean': expected one of none, simple"),
        ("inference", "a", {"labels": "sport"}, r"labels is 'sport': expected a list"),
        ("inference", "a", {"labels": ["b"], "hypothesis": "x"}, r"expected a sentence with one \{\}"),
        ("encoder", "a", {"output": "logits"}, r"output is 'logits': expected last_hidden_state or pooled_output"),
    ],
)
def test_what_cannot_be_read_is_named(nlp: Any, name: str, inputs: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises((ConfigError, DataError), match=says):
        nlp(name)(inputs, **options)


def test_weights_without_the_head_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"was trained for 'encoder' and has no head for 'token-classification'"):
        bert_ms.pipeline("ner", HERE / "encoder", device="cpu")


@pytest.mark.parametrize(
    ("task", "options", "says"),
    [
        ("sentiment", {}, r"unknown pipeline 'sentiment': did you mean 'sentiment-analysis'"),
        ("ner", {"batchsize": 2}, r"unknown option 'batchsize': did you mean 'batch_size'"),
        ("ner", {"batch_size": 0, "max_length": 900}, r"2 problems:\n.*batch_size is 0.*\n.*max_length is 900"),
    ],
)
def test_a_wrong_call_says_what_is_right(task: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        bert_ms.pipeline(task, HERE / "tags", device="cpu", **options)


def test_every_pipeline_can_be_imported_and_every_alias_leads_to_one() -> None:
    import importlib

    assert set(ALIASES.values()) <= set(PIPELINES)
    for kind in PIPELINES.values():
        for name in filter(None, (kind.make, kind.cell)):
            module, _, attribute = name.partition(":")
            assert hasattr(importlib.import_module(module), attribute)


def test_rows_are_padded_to_few_lengths_within_the_networks_longest() -> None:
    assert [bucket(n) for n in (1, 32, 33, 512, 513)] == [32, 32, 64, 512, 1024]
    assert bucket(60, 64) == 64 and bucket(65, 100) == 100
    assert len({bucket(n) for n in range(1, 513)}) == 6


def test_the_folder_is_small() -> None:
    assert sum(path.stat().st_size for path in Path(HERE).rglob("*")) < 600_000
