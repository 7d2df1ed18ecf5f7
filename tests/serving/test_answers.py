"""Each kind of request through a queue and a real network, which runs in this process here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bert_ms
from bert_ms import compat
from bert_ms.pipelines import exporting
from serving.engine.programs import Program, open_program
from serving.faults import BadItem, ServiceFault, WrongTask
from serving.model import LoadedModel
from serving.service import Call, Reply
from serving.spec import ModelSpec
from tests.serving import tiny_models
from tests.serving.fake_engine import ProgramEngine

SHAPES = ((1, 32), (1, 64), (4, 64))
KING = "The king of France had a great army in 1805."
LONG = " ".join([KING, "It was a very good year for the city of Paris, they say, and the war was long."] * 3)
STRANGE = (
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 the k\u0301ing e\u0301t\u0130 \u202eking\u202c \uff2b\uff29 "
    "\u56fd\u738b\u6709\u519b\u961f \u0000 [SEP] [CLS] [MASK] war\u00a0\u2003in 1805"
)


class Opened:
    """A model whose engine is in this process, and the plain pipeline on the same network.

    Args:
        name: of the model.
        path: of its checkpoint.
        source: what is served, the checkpoint or an exported folder.
        engine: what runs it.
    """

    def __init__(self, name: str, path: Path, source: Path, engine: str):
        job = {"source": str(source), "task": None, "engine": engine, "device": "cpu", "dtype": None, "threads": None}
        self.checkpoint = path
        self.program: Program = open_program({**job, "allow_new_head": False})
        assert self.program.opened.format == engine
        spec = ModelSpec(name=name, source=str(source), shapes=SHAPES)
        self.engines: list[ProgramEngine] = []
        self.model = LoadedModel(spec, start=self._start)
        self.model.keeper.start()
        assert self.model.keeper.wait_started(120), self.model.reason
        # Rows alone, at lengths that are compiled already.
        self.pipeline = self.program.opened.pipeline(batch_size=1, max_length=tiny_models.LONGEST)

    def _start(self, job: Any, *, on_exit: Callable[[], None]) -> ProgramEngine:
        self.engines.append(ProgramEngine(self.program, on_exit))
        return self.engines[-1]

    def reply(self, kind: str, inputs: Sequence[Any], **options: Any) -> Reply:
        return self.model.answer(kind, inputs, options, Call.within(60))

    def batch_rows(self) -> set[int]:
        """Rows of the batches that ran so far."""
        return {rows for engine in self.engines for _, rows in engine.world.batches}

    def fault(self, kind: str, inputs: Sequence[Any], **options: Any) -> tuple[str, int | None]:
        with pytest.raises(ServiceFault) as caught:
            self.reply(kind, inputs, **options)
        return caught.value.code, caught.value.index


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    compat.use_device("cpu", graph_mode=True)
    folder = tmp_path_factory.mktemp("models")
    return lambda name: folder / name if (folder / name).exists() else tiny_models.save(folder / name, name)


@pytest.fixture(scope="module", params=["cell", "onnx"])
def opened(request: pytest.FixtureRequest, saved: Callable[[str], Path]) -> Iterator[Callable[[str], Opened]]:
    made: dict[str, Opened] = {}
    if request.param == "onnx":
        for package in ("onnx", "onnxruntime"):
            pytest.importorskip(package)

    def get(name: str) -> Opened:
        if name not in made:
            path = source = saved(name)
            if request.param == "onnx":
                source = path.with_name(f"{name}.onnx")
                with pytest.MonkeyPatch.context() as patch:  # how exports are verified has tests of its own
                    patch.setattr(exporting, "_verified", lambda *arguments: None)
                    bert_ms.export_model(path, source, format="onnx")
            made[name] = Opened(name, path, source, request.param)
        return made[name]

    yield get
    for one in made.values():
        one.model.keeper.close()


def close(found: Any, expected: Any) -> None:
    """Equal, numbers within 1e-5."""
    if isinstance(expected, Mapping):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            close(found[key], value)
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            close(one, other)
    else:
        assert found == (pytest.approx(expected, abs=1e-5) if isinstance(expected, float) else expected)


def test_questions_are_answered_as_by_the_pipeline(opened):
    qa = opened("qa")
    inputs = [{"question": "who had a great army?", "context": context} for context in (KING, LONG, STRANGE)]
    reply = qa.reply("qa", inputs, top_k=3, handle_impossible=False)
    expected = qa.pipeline(inputs, top_k=3)
    close(reply.results, [
        {"answers": [{"text": one["answer"], **{key: one[key] for key in ("start", "end", "score")}} for one in some],
         "null_score_diff": None}
        for some in expected
    ])  # fmt: skip
    for item, result in zip(inputs, reply.results, strict=True):
        assert all(item["context"][one["start"] : one["end"]] == one["text"] for one in result["answers"])
    assert [used["windows"] for used in reply.usage][:2] == [1, 3] and reply.usage[0]["tokens"] < 64


def test_no_answer_is_an_answer_where_it_may_be(opened):
    item = {"question": "who had a great army?", "context": KING}
    (yes,) = opened("qa").reply("qa", [item], null_threshold=-1e9).results
    assert yes["answers"][0]["text"] == "" and isinstance(yes["null_score_diff"], float)
    (no,) = opened("qa").reply("qa", [item], null_threshold=1e9).results
    assert no["answers"][0]["text"] != "" and no["null_score_diff"] == yes["null_score_diff"]


def test_texts_are_classified_as_by_the_pipeline(opened):
    classify = opened("classify")
    inputs = [KING, (KING, "They were happy."), "war", STRANGE]
    reply = classify.reply("classify", inputs)
    close(reply.results, classify.pipeline(inputs, top_k=None))
    close(classify.reply("classify", inputs, top_k=1).results, [row[:1] for row in reply.results])
    (raw,) = classify.reply("classify", ["war"], activation="none").results
    (each,) = classify.reply("classify", ["war"], activation="sigmoid").results
    assert [one["label"] for one in raw] == [one["label"] for one in each] == [one["label"] for one in reply.results[2]]
    assert [one["score"] for one in each] == pytest.approx([1 / (1 + np.exp(-one["score"])) for one in raw])


@pytest.mark.parametrize("name", ["score", "topics"])
def test_numbers_and_several_labels_are_those_of_the_pipeline(opened, name):
    one = opened(name)
    inputs = [KING, (KING, "They were happy."), "war"]
    close(one.reply("classify", inputs).results, one.pipeline(inputs, top_k=None))
    sums = [sum(label["score"] for label in labels) for labels in one.reply("classify", inputs).results]
    assert all(abs(total - 1) > 1e-3 for total in sums), "no label's share of one"


def test_long_texts_are_cut_only_where_that_is_asked_for(opened):
    assert opened("classify").fault("classify", ["war", LONG]) == ("too_long", 1)
    reply = opened("classify").reply("classify", ["war", LONG], truncate=True)
    assert [(used["tokens"], used["truncated"]) for used in reply.usage] == [(3, False), (64, True)]
    assert opened("embed").fault("embed", ["war", LONG]) == ("too_long", 1)
    with pytest.raises(ServiceFault, match=r'more than max_length 64: shorten it, or .*\("truncate": true\)\.$'):
        opened("embed").reply("embed", [LONG])
    reply = opened("embed").reply("embed", ["war", LONG, [5] * 70], truncate=True)
    assert [(used["tokens"], used["truncated"]) for used in reply.usage] == [(3, False), (64, True), (64, True)]


@pytest.mark.parametrize("aggregation", ["first", "simple", "none"])
@pytest.mark.parametrize("name", ["ner", "crf"])
def test_entities_are_found_as_by_the_pipeline(opened, name, aggregation):
    ner = opened(name)
    inputs = [KING, LONG, STRANGE]
    reply = ner.reply("ner", inputs, aggregation=aggregation)
    of_words = "first" if (name, aggregation) == ("crf", "simple") else aggregation
    for text, found, expected in zip(inputs, reply.results, ner.pipeline(inputs, aggregation=of_words), strict=True):
        assert found and all(text[one["start"] : one["end"]] == one["text"] for one in found)
        close(found, [
            {"entity": one.get("entity_group", one.get("entity")), "text": text[one["start"] : one["end"]],
             **{key: one[key] for key in ("start", "end", "score")}}
            for one in expected
        ])  # fmt: skip


def test_a_crf_tags_words_whatever_the_usual_aggregation(opened):
    crf = opened("crf")
    assert crf.reply("ner", [KING]).results == crf.reply("ner", [KING], aggregation="first").results != [[]]
    assert crf.fault("ner", [KING], aggregation="max") == ("bad_option", None)


def test_gaps_are_filled_as_by_the_pipeline(opened):
    gaps = opened("fill-mask")
    inputs = ["the [MASK] had a [MASK] army", "the war was [MASK].", LONG + " [MASK] is far behind"]
    reply = gaps.reply("fill-mask", inputs, top_k=3)
    expected = gaps.pipeline(inputs, top_k=3)
    close(reply.results, [expected[0], [expected[1]], [expected[2]]])
    (only,) = gaps.reply("fill-mask", inputs[1:2], targets=["king", "war"]).results
    assert {one["token_str"] for one in only[0]} == {"king", "war"}


def test_vectors_are_those_of_the_sentence_encoder(opened):
    embed = opened("embed")
    texts = [KING, "war", STRANGE]
    encoder = bert_ms.SentenceEncoder(embed.checkpoint, pooling="max", normalize=False, device="cpu")
    hidden = embed.pipeline(texts)
    expected = {
        "max": encoder.bulk_encode(texts),
        "mean": np.stack([vectors.mean(0) for vectors in hidden]),
        "cls": np.stack([vectors[0] for vectors in hidden]),
        "pooled": np.stack(embed.pipeline(texts, output="pooled_output")),
    }
    for pooling, vectors in expected.items():
        found = np.stack(embed.reply("embed", texts, pooling=pooling, normalize=False).results)
        np.testing.assert_allclose(found, vectors, atol=1e-5, err_msg=pooling)
    unit = np.stack(embed.reply("embed", texts, dimensions=5).results)
    assert unit.shape == (3, 5) and unit.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)


def test_ids_embed_as_the_text_that_they_stand_for(opened):
    embed = opened("embed")
    (tokens,) = embed.reply("tokenize", [KING]).results
    text, ids = embed.reply("embed", [KING, tokens["input_ids"]]).results
    np.testing.assert_allclose(text, ids, atol=1e-6)
    assert all(KING[start:end].lower() == token for token, (start, end) in
               zip(tokens["tokens"], tokens["offsets"], strict=True) if not token.startswith(("[", "##")))  # fmt: skip


def test_similarity_is_the_cosine_of_the_vectors(opened):
    embed = opened("embed")
    sentences = ["they were happy", KING]
    reply = embed.reply("similarity", [{"source": KING, "sentences": sentences}])
    vectors = np.stack(embed.reply("embed", [KING, *sentences]).results)
    assert reply.results[0] == pytest.approx((vectors[1:] @ vectors[0]).tolist(), abs=1e-6)
    assert reply.results[0][1] == pytest.approx(1, abs=1e-6)
    assert len(reply.usage) == 1 and reply.usage[0]["windows"] == 3


def test_the_network_itself_answers_rows_of_ids(opened):
    qa = opened("qa")
    row = qa.reply("tokenize", [KING]).results[0]["input_ids"]
    ids = np.array([row, [*row[:5], *[0] * (len(row) - 5)]], np.int64)
    mask = (ids != 0).astype(np.uint8)
    found = qa.model.infer_ids(ids, mask, np.zeros_like(ids), Call.within(60))
    arrays = [np.zeros((1, 32), np.int32) for _ in range(3)]
    for number in range(2):
        count = int(mask[number].sum())
        for array, values in zip(arrays, (ids, mask), strict=False):
            array[0, :count], array[0, count:] = values[number, :count], 0
        expected = qa.program.run(arrays)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name][number, :count], values[0, :count], atol=1e-5)
            assert not found[name][number, count:].any()


def test_a_network_of_masked_words_answers_ids_at_their_gaps(opened):
    gaps = opened("fill-mask")
    mask_id = gaps.model.answer("tokenize", ["[MASK]"], {}, Call.within(9)).results[0]["input_ids"][1]
    ids = np.array([[2, mask_id, 7, mask_id, 3], [2, 8, mask_id, 3, 0]])
    found = gaps.model.infer_ids(ids, (ids != 0).astype(int), np.zeros_like(ids), Call.within(60))["logits"]
    assert found.shape == (2, 2, gaps.model.config.vocab_size) and found[0].any(1).all() and not found[1, 1].any()
    with pytest.raises(BadItem) as caught:
        gaps.model.infer_ids(np.array([[2, 7, 3]]), np.ones((1, 3)), np.zeros((1, 3)), Call.within(9))
    assert (caught.value.code, caught.value.index) == ("no_mask", 0)


def test_an_answer_does_not_depend_on_what_it_is_computed_beside(opened):
    words = KING.lower().rstrip(".").split()
    texts = [" ".join(words[: 1 + number % len(words)] * (1 + number // 5)) for number in range(18)]
    inputs = {"classify": texts, "embed": texts, "ner": texts,
              "qa": [{"question": "who had an army?", "context": text} for text in texts]}  # fmt: skip
    for kind, items in inputs.items():
        together = opened(kind).reply(kind, items).results
        alone = [opened(kind).reply(kind, [item]).results[0] for item in items]
        if kind == "embed":
            np.testing.assert_allclose(np.stack(together), np.stack(alone), atol=1e-4)
            continue
        for one, other in zip(together, alone, strict=True):
            close(one, other)  # the same labels, spans and entities in the same order
    sizes = {rows for model in inputs for rows in opened(model).batch_rows()}
    assert 1 in sizes and max(sizes) > 1, "some ran together, and some alone"


def test_every_moment_of_a_request_is_accounted_for(opened):
    call = Call.within(60)
    opened("qa").model.answer("qa", [{"question": "who?", "context": LONG}], {}, call)
    assert list(call.timings) != [] and set(call.timings) == {"tok", "queue", "infer", "post"}
    assert all(seconds >= 0 for seconds in call.timings.values()) and call.timings["infer"] > 0


@pytest.mark.parametrize(
    ("name", "kind", "inputs", "options", "code", "index"),
    [
        ("qa", "qa", [], {}, "empty_input", None),
        ("qa", "qa", [{"question": "q", "context": "c"}, {"question": " ", "context": "c"}], {}, "empty_input", 1),
        ("qa", "qa", [{"question": "q", "context": "c"}, {"question": "q"}], {}, "bad_input", 1),
        ("qa", "qa", ["text"], {}, "bad_input", 0),
        ("qa", "qa", [{"question": "q", "context": 5}], {}, "bad_input", 0),
        ("qa", "qa", [{"question": "q", "context": "c"}, {"question": "q " * 40, "context": LONG}], {}, "too_long", 1),
        ("qa", "qa", [{"question": "q", "context": "word " * 40_000}], {}, "too_long", None),
        ("qa", "qa", [{"question": "q", "context": "c"}], {"doc_stride": 64}, "bad_option", None),
        ("qa", "qa", [{"question": "q", "context": "c"}], {"top_k": 0}, "bad_option", None),
        ("qa", "qa", [{"question": "q", "context": "c"}], {"max_answer_len": 0}, "bad_option", None),
        ("classify", "classify", ["a", "b\ud800"], {}, "bad_input", 1),
        ("classify", "classify", [("a", "b", "c")], {}, "bad_input", 0),
        ("classify", "classify", ["a"], {"activation": "tanh"}, "bad_option", None),
        ("classify", "classify", ["a"], {"top_k": 0}, "bad_option", None),
        ("ner", "ner", ["a", ["b"]], {}, "bad_input", 1),
        ("ner", "ner", ["a"], {"aggregation": "sum"}, "bad_option", None),
        ("fill-mask", "fill-mask", ["a [MASK]", "none"], {}, "no_mask", 1),
        ("fill-mask", "fill-mask", ["a [MASK]", "[MASK]" * 513], {}, "too_long", 1),
        ("fill-mask", "fill-mask", ["a [MASK]"], {"targets": ["qqqqqqqqqq"]}, "bad_option", None),
        ("embed", "embed", ["a", [2, 10**6, 3]], {}, "bad_ids", 1),
        ("embed", "embed", ["a", [2, -1]], {}, "bad_ids", 1),
        ("embed", "embed", ["a", [2, 2**63]], {}, "bad_ids", 1),
        ("embed", "embed", ["a", [2, True]], {}, "bad_input", 1),
        ("embed", "embed", ["a", []], {}, "bad_input", 1),
        ("embed", "embed", ["a", [5] * 65], {}, "too_long", 1),
        ("embed", "embed", ["a"], {"pooling": "median"}, "bad_option", None),
        ("embed", "embed", ["a"], {"dimensions": 17}, "bad_option", None),
        ("embed", "similarity", [{"source": "a", "sentences": []}], {}, "bad_input", 0),
        ("embed", "similarity", [{"source": "a", "sentences": ["b"]}, {"source": "a", "sentences": ["b", ""]}], {},
         "empty_input", 1),
    ],
)  # fmt: skip
def test_a_bad_input_is_refused_with_its_number(opened, name, kind, inputs, options, code, index):
    assert opened(name).fault(kind, inputs, **options) == (code, index)
    assert opened(name).model.stats()["errors"] == 0


def test_a_model_answers_only_what_its_head_allows(opened):
    assert opened("qa").model.kinds() == ("qa", "tokenize")
    with pytest.raises(WrongTask, match="trained for question-answering and answers qa, tokenize, not embed"):
        opened("qa").reply("embed", ["a"])


UNICODE = {
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467 the king \U0001f469\U0001f3fd\u200d\U0001f680",
    "combining marks": "cafe\u0301 a\u0308\u0323 the e\u0301tat A" + "\u0300" * 300 + " king",
    "right to left": "\u05e9\u05dc\u05d5\u05dd the \u202eking\u202c \u0645\u0631\u062d\u0628\u0627 \ufdfa",
    "fullwidth": "\uff34\uff48\uff45\u3000\uff2b\uff49\uff4e\uff47 \uff11\uff18\uff10\uff15 the king",
    "Chinese": "\u56fd\u738b\u5728\u5df4\u9ece\u6709\u4e00\u652f\u5f3a\u5927\u7684\u519b\u961f" * 12,
    "null": "the\u0000king \u0000\u0000 had\u0001 an army",
    "dotted capital I": "\u0130stanbul \u0130\u0130\u0130 \u0131 the king \u1e9e\u00df \u0149 \u01f0",
    "letters that become two": "\ufb01ne \ufb00ort \u00bd \u2167 the \u210cing",
    "100,000 letters": "a" * 100_000,
    "letters, then words": "ab" * 50_000 + " the king had an army",
    "special tokens": "[CLS] the king [SEP] [MASK] had [PAD] [UNK] an army",
    "special tokens side by side": "[CLS][SEP][MASK][MASK][UNK]the king",
    "blanks of all kinds": "\n\n\tthe\r\nking\u2028had\u00a0an\u2003army\u2029\ufeff\u200b\u00ad",
    "beyond 16 bits": "\U0001d400\U0001d41d\U0001d41a \U00010348 \U0002070e the king",
    "nothing but a control character": "\u0001",
}  # fmt: skip


def test_places_count_code_points_of_the_text_whatever_stands_in_it(opened):
    texts = list(UNICODE.values())
    answered = opened("qa").reply("qa", [{"question": text[:20], "context": text} for text in texts], top_k=20)
    found = {"ner": opened("ner").reply("ner", texts, aggregation="first"),
             "crf": opened("crf").reply("ner", texts)}  # fmt: skip
    tokens = opened("embed").reply("tokenize", texts)
    for number, (name, text) in enumerate(UNICODE.items()):
        answers = answered.results[number]["answers"]
        assert [text[one["start"] : one["end"]] for one in answers] == [one["text"] for one in answers], name
        for reply in found.values():
            entities = reply.results[number]
            assert [text[one["start"] : one["end"]] for one in entities] == [one["text"] for one in entities], name
        offsets = tokens.results[number]["offsets"][1:-1]
        assert all(0 <= start < end <= len(text) for start, end in offsets), name
        assert offsets == sorted(offsets), name
        if "king" in text and "\u202e" not in text:
            assert any(one["text"] for one in answers) and any(found[kind].results[number] for kind in found), name


def test_every_kind_answers_every_text(opened):
    texts = list(UNICODE.values())
    assert len(opened("classify").reply("classify", texts, truncate=True).results) == len(texts)
    vectors = np.stack(opened("embed").reply("embed", texts, truncate=True).results)
    assert np.isfinite(vectors).all() and vectors.shape == (len(texts), 16)
    (scores,) = opened("embed").reply("similarity", [{"source": "king", "sentences": texts}], truncate=True).results
    assert len(scores) == len(texts)
    gaps = opened("fill-mask").reply("fill-mask", [f"{text} [MASK]" for text in texts], top_k=1).results
    assert [len(one) for one in gaps] == [text.count("[MASK]") + 1 for text in texts]
