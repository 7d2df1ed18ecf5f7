"""What a server can be asked, by one call each: text in, answers out."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bert_ms.client.transport import ServerError, Transport
from bert_ms.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np

MAX_ITEMS = 32  # inputs of a request, where the server does not say


class Client:
    """A server's models. One input gives one answer, a list gives a list; threads may share a client.

    More inputs than the server takes at once go in several requests, one after the other.

    Args:
        url: of the server's data port.
        api_key: where the server has keys.
        timeout: seconds that the server may be silent.
        retries: further tries after a 429, a 503, or a refused connection; `Retry-After` is kept to.
        max_wait: seconds to wait between the tries of a request, all together.
        model: that is asked where a call names none; None lets the server choose.

    Raises:
        ConfigError: the URL or the key cannot be one.

    Example:
        client = bert_ms.Client("http://127.0.0.1:8080")
        client.qa({"question": "Who wrote it?", "context": "It was written by Ada."})["answers"][0]["text"]
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        retries: int = 4,
        max_wait: float = 60.0,
        model: str | None = None,
    ):
        self.transport = Transport(url=url, api_key=api_key, timeout=timeout, retries=retries, max_wait=max_wait)
        self.model = model
        self._max_items: int | None = None

    def qa(
        self,
        inputs: Mapping[str, str] | Sequence[Mapping[str, str]],
        *,
        top_k: int | None = None,
        max_answer_len: int | None = None,
        doc_stride: int | None = None,
        handle_impossible: bool | None = None,
        null_threshold: float | None = None,
        model: str | None = None,
    ) -> Any:
        """Answers to {"question", "context"}.

        Returns:
            {"answers": [{"text", "start", "end", "score"}], "null_score_diff", "usage"} each; places count characters
            of the context, and an empty text is "no answer".
        """
        return self._ask(
            "qa", inputs, isinstance(inputs, Mapping), model, top_k=top_k, max_answer_len=max_answer_len,
            doc_stride=doc_stride, handle_impossible=handle_impossible, null_threshold=null_threshold,
        )  # fmt: skip

    def classify(
        self,
        inputs: str | tuple[str, str] | Sequence[str | tuple[str, str]],
        *,
        top_k: int | None = None,
        activation: str | None = None,
        truncate: bool | None = None,
        model: str | None = None,
    ) -> Any:
        """[{"label", "score"}], best first, for a text, or for a pair as a tuple."""
        is_one = isinstance(inputs, (str, tuple))
        return self._ask("classify", inputs, is_one, model, top_k=top_k, activation=activation, truncate=truncate)

    def ner(self, inputs: str | Sequence[str], *, aggregation: str | None = None, model: str | None = None) -> Any:
        """[{"entity", "text", "start", "end", "score"}] for a text."""
        return self._ask("ner", inputs, isinstance(inputs, str), model, aggregation=aggregation)

    def fill_mask(
        self,
        inputs: str | Sequence[str],
        *,
        top_k: int | None = None,
        targets: Sequence[str] | None = None,
        model: str | None = None,
    ) -> Any:
        """For each [MASK] of a text, [{"token", "token_str", "score", "sequence"}], best first."""
        chosen = None if targets is None else list(targets)
        return self._ask("fill-mask", inputs, isinstance(inputs, str), model, top_k=top_k, targets=chosen)

    def embed(
        self,
        inputs: str | Sequence[str],
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        dimensions: int | None = None,
        truncate: bool | None = None,
        model: str | None = None,
    ) -> np.ndarray:
        """Vectors, bit for bit as the server computed them.

        Args:
            inputs: texts.
            pooling: cls, mean or max; None takes the model's own.
            normalize: to length 1.
            dimensions: the first so many.
            truncate: cut what is too long; otherwise it is an error.
            model: that is asked.

        Returns:
            float32 [H] for one text, [len(inputs), H] for several.
        """
        import numpy as np

        rows = self._ask(
            "embed", inputs, isinstance(inputs, str), model, encoding_format="base64", pooling=pooling,
            normalize=normalize, dimensions=dimensions, truncate=truncate,
        )  # fmt: skip
        is_one = isinstance(inputs, str)
        vectors = [np.frombuffer(base64.b64decode(row), "<f4") for row in ([rows] if is_one else rows)]
        if is_one:
            return vectors[0].astype(np.float32)
        return np.stack(vectors).astype(np.float32) if vectors else np.zeros((0, 0), np.float32)

    def similarity(
        self,
        source: str,
        sentences: Sequence[str],
        *,
        pooling: str | None = None,
        truncate: bool | None = None,
        model: str | None = None,
    ) -> list[float]:
        """The cosine of each sentence with the source, from -1 to 1."""
        if isinstance(sentences, str):
            raise DataError("sentences is one text: expected a list of texts.")
        size = max(1, self.max_items - 1) if len(sentences) else 1
        scores: list[float] = []
        for begin in range(0, len(sentences), size):
            part = {"source": source, "sentences": list(sentences[begin : begin + size])}
            scores += self._ask("similarity", part, True, model, pooling=pooling, truncate=truncate)
        return scores

    def tokenize(self, inputs: str | Sequence[str], *, model: str | None = None) -> Any:
        """{"input_ids", "tokens", "offsets"} of a text."""
        return self._ask("tokenize", inputs, isinstance(inputs, str), model)

    def models(self) -> list[dict[str, Any]]:
        """The server's models: name, task, kinds of requests, version, state."""
        return self.info()["models"]

    def info(self) -> dict[str, Any]:
        """What the server says of itself."""
        return self.transport.call("GET", "/info")

    def ready(self) -> bool:
        """Whether the server answers requests now; it is asked once, without further tries."""
        try:
            self.transport.call("GET", "/readyz", retries=0)
        except ServerError as error:
            if error.status in (0, *range(500, 600)):
                return False
            raise
        return True

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def max_items(self) -> int:
        """Inputs that the server takes in one request."""
        if self._max_items is None:
            limits = self.info().get("limits") or {}
            self._max_items = int(limits.get("max_items") or MAX_ITEMS)
        return self._max_items

    def _ask(self, kind: str, inputs: Any, is_one: bool, model: str | None, **options: Any) -> Any:
        """Results for inputs, in as many requests as they take."""
        request = {key: value for key, value in options.items() if value is not None}
        name = model or self.model
        if name is not None:
            request["model"] = name
        if is_one:
            return self._results(kind, [inputs], request)[0]
        if not isinstance(inputs, Sequence):
            raise ConfigError(f"inputs is {type(inputs).__name__}: expected one input or a list of them.")
        size = len(inputs) if len(inputs) <= 1 else self.max_items
        results: list[Any] = []
        for begin in range(0, len(inputs), size or 1):
            try:
                results += self._results(kind, list(inputs[begin : begin + size]), request)
            except ServerError as error:
                error.pointer = _shifted(error.pointer, begin)
                raise
        return results

    def _results(self, kind: str, inputs: list[Any], request: dict[str, Any]) -> list[Any]:
        answer = self.transport.call("POST", f"/api/v1/{kind}", {"inputs": inputs, **request})
        results = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list) or len(results) != len(inputs):
            raise ServerError(
                f"{len(inputs)} inputs were answered with {type(results).__name__} of another size: is "
                f"{self.transport.address} a server of bert_ms?",
                status=0,
                code="unexpected_answer",
            )
        return results


def _shifted(pointer: str | None, begin: int) -> str | None:
    """A pointer into one of several requests as one into all that was asked."""
    parts = (pointer or "").split("/")
    if parts[:2] == ["", "inputs"] and len(parts) > 2 and parts[2].isdecimal():
        return "/".join([*parts[:2], str(int(parts[2]) + begin), *parts[3:]])
    return pointer
