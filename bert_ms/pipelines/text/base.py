"""What every pipeline does: take one input or many, run rows through the network, give one answer or many."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from bert_ms.config import BertConfig
from bert_ms.errors import ConfigError, DataError, TooLongError
from bert_ms.pipelines.backends import Backend
from bert_ms.pipelines.text.rows import features_of, run_rows
from bert_ms.records import Encoding, Features
from bert_ms.tokenization import Tokenizer

Truncation = Literal["error", "longest_first", "only_first", "only_second"]
LongInputs = Literal["windows", "truncate", "error"]
LONG_INPUTS = ("windows", "truncate", "error")
TOO_LONG = "Shorten it, or choose long_inputs='truncate', which cuts its end off, or 'windows', which reads all of it."
# Of a network without a longest sequence (NEZHA).
USUAL_LENGTH = 512
DEFAULT_STRIDE = 64


class TextPipeline(ABC):
    """Text in, answer out.

    Args:
        backend: runs the network.
        tokenizer: of the network.
        config: of the network.
        batch_size: most rows of a batch.
        max_length: longest row in tokens; None takes the network's longest, or 512 where it has none.
        long_inputs: what becomes of longer texts: "windows" reads all of them in overlapping windows, "truncate" cuts
            their end off, "error" refuses them.
        stride: tokens that two windows share.

    Raises:
        ConfigError: an argument that cannot be used, or a vocabulary of another model.
    """

    def __init__(
        self,
        backend: Backend,
        tokenizer: Tokenizer,
        config: BertConfig,
        *,
        batch_size: int = 16,
        max_length: int | None = None,
        long_inputs: LongInputs = "windows",
        stride: int = DEFAULT_STRIDE,
    ):
        longest = config.max_sequence_length
        problems = []
        if batch_size < 1:
            problems.append(f"batch_size is {batch_size}: expected at least 1.")
        if max_length is not None and not 4 <= max_length <= (longest or max_length):
            problems.append(f"max_length is {max_length}: expected 4 to {longest or 'any number of'} tokens.")
        if long_inputs not in LONG_INPUTS:
            problems.append(f"long_inputs is {long_inputs!r}: expected one of {', '.join(LONG_INPUTS)}.")
        if stride < 0:
            problems.append(f"stride is {stride}: expected 0 or more.")
        if problems:
            raise ConfigError(problems)
        tokenizer.check_against(config.vocab_size)
        self.backend, self.tokenizer, self.config = backend, tokenizer, config
        self.batch_size, self.max_length = batch_size, max_length or longest or USUAL_LENGTH
        self.long_inputs, self.stride = long_inputs, min(stride, self.max_length // 4)

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """The answer to one input, or the list of answers to a list of inputs.

        Args:
            inputs: one, or a list of any length; texts of mixed length are sorted into batches here.
            options: of the pipeline's `answer`.

        Raises:
            DataError: an input that cannot be read, named by its place in the list.
            TooLongError: a text is too long, with long_inputs="error".
        """
        is_list = isinstance(inputs, (list, np.ndarray)) or hasattr(inputs, "__next__")
        many = list(inputs) if is_list else [inputs]
        answers = self.answer(many, **options) if many else []
        return answers if is_list else answers[0]

    @abstractmethod
    def answer(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Answers to a sequence of inputs, one each, in order; each pipeline has keywords of its own."""

    def rows(
        self, texts: Sequence[str], pairs: Sequence[str | None] | None = None
    ) -> tuple[list[Encoding], np.ndarray]:
        """Encodings of texts, or windows over them; with the number of the text that each row belongs to, int64 [rows].

        Of a pair, windows go over the second text.
        """
        with_pair = [i for i in range(len(texts)) if pairs is not None and pairs[i] is not None]
        alone = [i for i in range(len(texts)) if pairs is None or pairs[i] is None]
        found: dict[int, list[Encoding]] = {}
        for numbers in (alone, with_pair):
            if numbers:
                seconds = [pairs[i] or "" for i in numbers] if numbers is with_pair and pairs is not None else None
                try:
                    encoded = self._encode([texts[i] for i in numbers], seconds)
                except TooLongError as error:
                    index = None if len(texts) == 1 else numbers[error.index or 0]
                    raise error.told(TOO_LONG, index=index) from None
                found.update(zip(numbers, encoded, strict=True))
        owner = [i for i in range(len(texts)) for _ in found[i]]
        return [row for i in range(len(texts)) for row in found[i]], np.array(owner, np.int64)

    def run(self, rows: Sequence[Encoding] | Features, *, extra: Sequence[np.ndarray] = ()) -> dict[str, np.ndarray]:
        """Outputs of rows by name; see `run_rows`."""
        features = rows if isinstance(rows, Features) else features_of(rows, pad_token_id=self.tokenizer.pad_token_id)
        longest = self.config.max_sequence_length
        return run_rows(self.backend, features, batch_size=self.batch_size, longest=longest, extra=extra)

    def _encode(self, texts: Sequence[str], pairs: Sequence[str] | None) -> list[list[Encoding]]:
        if self.long_inputs == "windows":
            cut: Truncation = "only_second" if pairs else "error"
            found: Any = self.tokenizer.encode_batch(
                texts, pairs, max_length=self.max_length, stride=self.stride, truncation=cut
            )
            return list(found)
        cut = "error" if self.long_inputs == "error" else "longest_first"
        found = self.tokenizer.encode_batch(texts, pairs, max_length=self.max_length, truncation=cut)
        return [[row] for row in found]


def text_and_pair(item: Any, index: int) -> tuple[str, str | None]:
    """A text, or a pair of texts, of an input: "text", ("text", "pair") or {"text": ..., "text_pair": ...}.

    Raises:
        DataError: it is something else.
    """
    if isinstance(item, dict) and set(item) <= {"text", "text_pair"} and isinstance(item.get("text"), str):
        item = (item["text"], item["text_pair"]) if item.get("text_pair") is not None else item["text"]
    if isinstance(item, str):
        return item, None
    if isinstance(item, tuple) and len(item) == 2 and all(isinstance(part, str) for part in item):
        return item
    raise DataError(
        f"input {index} is {_shown(item)}: expected a text, a tuple of two texts, or "
        f"{{'text': ..., 'text_pair': ...}}."
    )


def fields_of(item: Any, index: int, *names: str) -> list[Any]:
    """The values of a mapping with exactly these keys.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(item, dict) or set(item) != set(names):
        raise DataError(f"input {index} is {_shown(item)}: expected a dictionary with {' and '.join(names)}.")
    return [item[name] for name in names]


def _shown(item: Any) -> str:
    text = f"{sorted(map(str, item))} (keys)" if isinstance(item, dict) else repr(item)
    return f"{type(item).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
