"""The HTTP server of BERT and NEZHA: questions, labels, entities, gaps and vectors, by three wires.

`create_app(settings, repository)` is the Flask application; `python -m serving` and `bert-ms serve` run it. Nothing
here imports MindSpore: each model has a process of its own (`engine`).
"""

from __future__ import annotations

from typing import Any


def create_app(*args: Any, **kwargs: Any) -> Any:
    """See `http.app.create_app`, which this imports when it is called."""
    from .http.app import create_app as create

    return create(*args, **kwargs)
