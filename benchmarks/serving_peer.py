"""A server as people write one with Flask and Transformers, to be measured beside ours.

    PEER_PYTHON benchmarks/serving_peer.py DIR --port 8090         # an interpreter with flask, torch and transformers

The model is loaded once, each request runs by itself in the thread that took it, inputs of a request are padded to the
longest. It reads and writes the JSON of our /api/v1/embed and /api/v1/classify, so that one load script drives both.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from flask import Flask, jsonify, request
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer


def create_app(source: str, task: str) -> Flask:
    """The application.

    Args:
        source: directory of a model in Hugging Face's form.
        task: embed or classify.
    """
    tokenizer = AutoTokenizer.from_pretrained(source)
    kind = AutoModelForSequenceClassification if task == "classify" else AutoModel
    model = kind.from_pretrained(source).eval()
    longest = min(512, model.config.max_position_embeddings)
    app = Flask(__name__)

    def forward(texts: list[str]) -> tuple[Any, Any]:
        inputs = tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        with torch.inference_mode():
            return model(**inputs), inputs["attention_mask"]

    @app.post("/api/v1/embed")
    def embed() -> Any:
        outputs, mask = forward(request.get_json()["inputs"])
        weights = mask.unsqueeze(-1).float()
        vectors = (outputs.last_hidden_state * weights).sum(1) / weights.sum(1)
        vectors = torch.nn.functional.normalize(vectors, dim=1)
        return jsonify(model=source, results=vectors.tolist())

    @app.post("/api/v1/classify")
    def classify() -> Any:
        outputs, _ = forward(request.get_json()["inputs"])
        names = model.config.id2label
        scores = outputs.logits.softmax(-1).tolist()
        return jsonify(results=[[{"label": names[i], "score": score} for i, score in enumerate(row)] for row in scores])

    @app.get("/readyz")
    def ready() -> Any:
        return jsonify(status="ready")

    return app


def main() -> None:
    """Serve by Flask's own server, a thread for each connection."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="DIR")
    parser.add_argument("--task", choices=("embed", "classify"), default="embed")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--threads", type=int, help="of PyTorch; default its own choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    create_app(options.source, options.task).run(host="127.0.0.1", port=options.port, threaded=True)


if __name__ == "__main__":
    main()
