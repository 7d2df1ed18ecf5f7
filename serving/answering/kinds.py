"""How each kind of request is answered."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bert_ms.errors import ConfigError, DataError, TokenizerError
from bert_ms.pipelines.sentences.search import normalised
from bert_ms.pipelines.sentences.settings import SentenceSettings
from bert_ms.pipelines.text.base import Truncation
from bert_ms.pipelines.text.classification import label_names
from bert_ms.records import Encoding
from bert_ms.tokenization import Tokenizer

from ..engine.process import Hello
from ..faults import BadItem
from ..scheduling.keeper import Keeper
from ..service import Call, Reply
from .backend import QueueBackend
from .inputs import NoQueue, blame, check
from .pipelines import Queued, QueuedGaps, QueuedLabels, QueuedQuestions, QueuedTags
from .words import Words

# Pipeline that an engine runs -> kinds of requests that it can answer.
KINDS_OF: dict[str, tuple[str, ...]] = {
    "question-answering": ("qa", "tokenize"),
    "sequence-classification": ("classify", "tokenize"),
    "token-classification": ("ner", "tokenize"),
    "fill-mask": ("fill-mask", "tokenize"),
    "feature-extraction": ("embed", "similarity", "tokenize"),
}
_LEAST_NORM = 1e-12
POOLED = {"pooled": "pooled_output"}  # what people call it -> the engine's output


@dataclass(frozen=True)
class Answerer:
    """Answers requests to one network.

    Attributes:
        keeper: of its engine.
        hello: what the engine says of it.
        tokenizer: of the network.
        words: that the tokenizer was asked for before.
        sentences: how its source wants sentences encoded.
    """

    keeper: Keeper
    hello: Hello
    tokenizer: Tokenizer
    words: Words
    sentences: SentenceSettings = field(default_factory=SentenceSettings)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of requests that it answers."""
        return KINDS_OF[self.hello.pipeline]

    def answer(self, kind: str, inputs: Sequence[Any], options: Mapping[str, Any], call: Call) -> Reply:
        """See `service.ServedModel`."""
        began = time.perf_counter()
        check(kind, inputs)
        backend = QueueBackend(self.keeper, self.hello, call)
        try:
            reply = _ANSWERS[kind](self, backend, inputs, options)
        except (ConfigError, DataError, TokenizerError) as error:
            raise blame(
                kind,
                inputs,
                options,
                error,
                attempt=lambda some: _ANSWERS[kind](self, NoQueue(), some, options),
                tokenizer=self.tokenizer,
                longest=self.keeper.longest,
            ) from error
        finally:
            ended = time.perf_counter()
            asked = backend.asked or ended
            call.timings["tok"] = asked - began
            call.timings["post"] = ended - (backend.answered or ended)
        return reply

    def infer_ids(
        self, input_ids: np.ndarray, attention_mask: np.ndarray, token_type_ids: np.ndarray, call: Call
    ) -> dict[str, np.ndarray]:
        """See `service.ServedModel`; a network of masked words gives those of each row's [MASK] tokens, [B, P, V].

        Raises:
            BadItem: arrays that do not fit together, ids that the network has not, or a row without [MASK].
        """
        arrays = [np.asarray(array) for array in (input_ids, attention_mask, token_type_ids)]
        if any(array.ndim != 2 or array.shape != arrays[0].shape or not array.size for array in arrays):
            shapes = ", ".join(str(array.shape) for array in arrays)
            raise BadItem(f"arrays of shapes {shapes}: expected three of one shape (rows, tokens).", code="bad_ids")
        if self.hello.takes_positions:
            arrays.append(self._gaps(arrays[0]))
        backend = QueueBackend(self.keeper, self.hello, call)
        return dict(zip(backend.outputs, backend.run(arrays), strict=True))

    def _gaps(self, ids_BS: np.ndarray) -> np.ndarray:
        is_gap = ids_BS == self.tokenizer.mask_token_id
        counts = is_gap.sum(1)
        if not counts.all():
            raise BadItem("the row has no [MASK].", code="no_mask", index=int(np.argmin(counts)))
        positions = np.zeros((len(ids_BS), int(counts.max())), np.int32)
        for row, gaps in enumerate(is_gap):
            positions[row, : counts[row]] = np.flatnonzero(gaps)
        return positions


def _pipeline(made: type[Queued], answerer: Answerer, backend: Any, **options: Any) -> Any:
    return made(backend, answerer.tokenizer, answerer.hello.config, max_length=answerer.keeper.longest, **options)


def _questions(answerer: Answerer, backend: Any, inputs: Sequence[Any], options: Mapping[str, Any]) -> Reply:
    top_k, stride = options.get("top_k", 3), options.get("doc_stride")
    longest = answerer.keeper.longest
    if stride is not None and not 0 <= stride < longest:
        raise ConfigError(f"doc_stride is {stride}: expected 0 to {longest - 1}.")
    longest_answer = options.get("max_answer_len", 30)
    for name, value in (("top_k", top_k), ("max_answer_len", longest_answer)):
        if value < 1:
            raise ConfigError(f"{name} is {value}: expected at least 1.")
    for index, item in enumerate(inputs):  # a longer one leaves windows that hardly move on: far too many of them
        asked = item["question"]
        if len(asked) > longest // 2 and len(answerer.tokenizer.encode(asked)) > longest // 2:
            text = f"the question has more than {longest // 2} tokens, half of a row: no room for its passage."
            raise BadItem(text, code="too_long", index=index)
    pipeline = _pipeline(QueuedQuestions, answerer, backend, stride=128 if stride is None else stride)
    with_null = options.get("handle_impossible", True)
    predictions = pipeline.answer(
        inputs,
        top_k=top_k,
        max_answer_len=longest_answer,
        handle_impossible=with_null,
        null_threshold=options.get("null_threshold", 0.0),
    )
    results = []
    for prediction in predictions:
        found = [
            {"text": c.text, "start": c.start, "end": c.end, "score": float(c.probability)}
            for c in prediction.candidates
        ]
        found.sort(key=lambda one: one["text"] != prediction.text)  # the chosen one first, the others as they are
        null = prediction.null_score_diff
        results.append({"answers": found[:top_k], "null_score_diff": None if null is None else float(null)})
    return Reply(results, pipeline.usage(len(inputs)))


def _labels(answerer: Answerer, backend: Any, inputs: Sequence[Any], options: Mapping[str, Any]) -> Reply:
    pipeline = _pipeline(
        QueuedLabels,
        answerer,
        backend,
        activation=options.get("activation"),
        long_inputs="truncate" if options.get("truncate") else "error",
    )
    top_k = options.get("top_k")
    if top_k is not None and top_k < 1:
        raise ConfigError(f"top_k is {top_k}: expected at least 1.")
    scores = pipeline.scores([item if isinstance(item, str) else tuple(item) for item in inputs])
    names = label_names(answerer.hello.config.labels, scores.shape[1])
    results = [
        [{"label": names[i], "score": float(row[i])} for i in np.argsort(-row, kind="stable")[:top_k]] for row in scores
    ]
    usage = pipeline.usage(len(inputs))
    for item, used in zip(inputs, usage, strict=True):
        if options.get("truncate") and used["tokens"] == answerer.keeper.longest:
            pair = (item,) if isinstance(item, str) else tuple(item)
            used["truncated"] = len(answerer.tokenizer.encode(*pair)) > used["tokens"]
    return Reply(results, usage)


def _entities(answerer: Answerer, backend: Any, inputs: Sequence[Any], options: Mapping[str, Any]) -> Reply:
    transitions = answerer.hello.transitions
    aggregation = options.get("aggregation", "simple")
    if transitions is not None and aggregation == "simple":
        aggregation = "first"  # a CRF tags whole words: neighbouring pieces are of one tag already
    pipeline = _pipeline(QueuedTags, answerer, backend, transitions=transitions)
    results = []
    for text, entities in zip(inputs, pipeline.answer(inputs, aggregation=aggregation), strict=True):
        results.append(
            [
                {
                    "entity": one.get("entity_group", one.get("entity")),
                    "text": text[one["start"] : one["end"]],
                    "start": one["start"],
                    "end": one["end"],
                    "score": float(one["score"]),
                }
                for one in entities
            ]
        )
    return Reply(results, pipeline.usage(len(inputs)))


def _gaps(answerer: Answerer, backend: Any, inputs: Sequence[Any], options: Mapping[str, Any]) -> Reply:
    most, mask = answerer.keeper.max_items, answerer.tokenizer.options.mask_token
    for index, text in enumerate(inputs):
        if text.count(mask) > most:
            raise BadItem(f"more than {most} {mask}: each is a row of its own.", code="too_long", index=index)
    pipeline = _pipeline(QueuedGaps, answerer, backend)
    found = pipeline.answer(inputs, top_k=options.get("top_k", 5), targets=options.get("targets"))
    return Reply([one if isinstance(one[0], list) else [one] for one in found], pipeline.usage(len(inputs)))


def _embeddings(answerer: Answerer, backend: Any, inputs: Sequence[Any], options: Mapping[str, Any]) -> Reply:
    width, wanted = answerer.hello.config.hidden_size, options.get("dimensions")
    if wanted is not None and not 1 <= wanted <= width:
        raise ConfigError(f"dimensions is {wanted}: expected 1 to {width}.")
    vectors, usage = _vectors(answerer, backend, inputs, range(len(inputs)), options)
    if wanted is not None:
        vectors = [vector[:wanted] for vector in vectors]
    if options.get("normalize", True):
        vectors = [_unit(vector) for vector in vectors]
    return Reply(vectors, usage)


def _similarities(answerer: Answerer, backend: Any, inputs: Sequence[Any], options: Mapping[str, Any]) -> Reply:
    texts = [text for item in inputs for text in (item["source"], *item["sentences"])]
    counts = [1 + len(item["sentences"]) for item in inputs]
    owners = [item for item, count in enumerate(counts) for _ in range(count)]
    vectors, usage = _vectors(answerer, backend, texts, owners, options)
    directions = normalised(np.array(vectors))
    results, of_inputs, begin = [], [], 0
    for count in counts:
        source, *others = directions[begin : begin + count]
        results.append([float(other @ source) for other in others])
        part = usage[begin : begin + count]
        tokens, windows = sum(one["tokens"] for one in part), sum(one["windows"] for one in part)
        is_cut = any(one["truncated"] for one in part)
        of_inputs.append({"tokens": tokens, "windows": windows, "truncated": is_cut})
        begin += count
    return Reply(results, of_inputs)


def _vectors(
    answerer: Answerer, backend: Any, items: Sequence[Any], owners: Sequence[int], options: Mapping[str, Any]
) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
    """A vector float32 [H] of each text or list of ids, with its usage."""
    sentences, longest = answerer.sentences, answerer.keeper.longest
    pooling = options.get("pooling") or sentences.pooling
    name = POOLED.get(pooling, pooling)
    if name not in answerer.hello.outputs:
        able = [said for said in ("cls", "mean", "max", "pooled") if POOLED.get(said, said) in answerer.hello.outputs]
        raise ConfigError(f"pooling is {pooling!r}: expected one of {', '.join(able)}.")
    prompt = sentences.prompts.get(sentences.default_prompt or "", "")
    may_cut = bool(options.get("truncate"))
    texts = [prompt + item for item in items if isinstance(item, str)]
    encoded = iter(_encoded(answerer, texts, may_cut=may_cut))
    rows: list[Sequence[int]] = []
    usage: list[dict[str, Any]] = []
    for item in items:
        if isinstance(item, str):
            ids, is_cut = next(encoded)
        else:
            is_cut = may_cut and len(item) > longest
            ids = item[:longest] if is_cut else item
        rows.append(ids)
        usage.append({"tokens": len(ids), "windows": 1, "truncated": is_cut})
    return backend.vectors(rows, owners, name), usage


def _encoded(answerer: Answerer, texts: Sequence[str], *, may_cut: bool) -> list[tuple[Sequence[int], bool]]:
    """Ids of texts with the special ones, and whether the text was cut."""
    words, longest = answerer.words, answerer.keeper.longest
    found = [words.ids(text) for text in texts]
    cut: Truncation = "longest_first" if may_cut else "error"
    asked = [text for text, ids in zip(texts, found, strict=True) if ids is None or len(ids) > longest]
    rows: Any = iter(answerer.tokenizer.encode_batch(asked, max_length=longest, truncation=cut) if asked else ())
    made: list[tuple[Sequence[int], bool]] = []
    for text, ids in zip(texts, found, strict=True):
        if ids is not None and len(ids) <= longest:
            made.append((ids, False))
            continue
        row: Encoding = next(rows)
        is_cut = may_cut and len(row) == longest and bool(text[row.offsets[-2][1] :].strip())
        if not is_cut:
            words.learn(text, row.input_ids, row.offsets)
        made.append((row.input_ids, is_cut))
    return made


def _unit(vector: np.ndarray) -> np.ndarray:
    """A vector of length 1 in its direction; one of length 0 stays as it is."""
    return vector / max(math.sqrt(vector @ vector), _LEAST_NORM)


def _tokens(answerer: Answerer, backend: Any, inputs: Sequence[Any], options: Mapping[str, Any]) -> Reply:
    results, usage = [], []
    for row in answerer.tokenizer.encode_batch(list(inputs)):
        assert isinstance(row, Encoding), "windows were not asked for"
        tokens = answerer.tokenizer.tokens(row.input_ids)
        offsets = [list(place) for place in row.offsets]
        results.append({"input_ids": list(row.input_ids), "tokens": tokens, "offsets": offsets})
        usage.append({"tokens": len(row), "windows": 1, "truncated": False})
    return Reply(results, usage)


_ANSWERS: dict[str, Callable[[Answerer, Any, Sequence[Any], Mapping[str, Any]], Reply]] = {
    "qa": _questions,
    "classify": _labels,
    "ner": _entities,
    "fill-mask": _gaps,
    "embed": _embeddings,
    "similarity": _similarities,
    "tokenize": _tokens,
}
