"""A request for each operation that takes one: shown in the description of the wire, and sent by the tests."""

from __future__ import annotations

from typing import Any

_TEXT = "Ada Lovelace wrote the first program."
_INFER = {
    "id": "1",
    "inputs": [{"name": "text", "datatype": "BYTES", "shape": [2], "data": [_TEXT, "Paris is in France."]}],
}

# By name of the operation.
EXAMPLES: dict[str, dict[str, Any]] = {
    "qa": {
        "inputs": {"question": "Who wrote the first program?", "context": _TEXT},
        "top_k": 3,
    },
    "classify": {"inputs": ["The soup was hot and nobody hurried us.", "Two hours late, and the seats were wet."]},
    "ner": {"inputs": _TEXT, "aggregation": "first"},
    "fill_mask": {"inputs": "Paris is the capital of [MASK].", "top_k": 3},
    "embed": {"inputs": [_TEXT, "The first program is by Ada Lovelace."], "pooling": "mean"},
    "similarity": {
        "inputs": {"source": "The boat departs at 9 am.", "sentences": ["The ferry leaves at nine.", "Our cat sleeps."]}
    },
    "tokenize": {"inputs": _TEXT},
    "openai_embeddings": {"input": [_TEXT, "Paris is in France."], "encoding_format": "float"},
    "plain_embed": {"inputs": [_TEXT, "Paris is in France."]},
    "plain_predict": {"inputs": "The soup was hot and nobody hurried us."},
    "oip_infer": _INFER,
    "oip_infer_version": _INFER,
}
