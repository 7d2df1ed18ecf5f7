"""Lay out trained weights as a model card that `mindspore_hub.load` and `from_pretrained` both take."""

from __future__ import annotations

import datetime
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bert_ms import checkpoint
from bert_ms.checkpoint import manifest, staging
from bert_ms.compat import SUPPORTED_MINDSPORE
from bert_ms.errors import ConfigError
from bert_ms.hub import card

# The hub opens both links of a card and uses only their last parts, as names of files beside the card. These open a
# page that exists; the part after # is not sent.
_LINK = "https://github.com/#/{name}"
CARD = "card.md"
SHIM = "mindspore_hub_conf.py"


def publish(
    source: Any,
    directory: str | os.PathLike[str],
    *,
    name: str,
    body: str,
    summary: str = "BERT on MindSpore",
    evaluation: Mapping[str, float] | str | None = None,
    author: str = "bert_ms",
    licence: str = "Apache2.0",
    model_version: str = "1.0",
    tokenizer: checkpoint.SavesItself | None = None,
    companions: str | os.PathLike[str] | None = None,
) -> Path:
    """Write `card.md`, `NAME/mindspore_hub_conf.py`, `NAME.ckpt`, configuration and vocabulary into a directory.

    Args:
        source: a Cell, or the path of weights in any format.
        directory: where to; what has the same names there is replaced.
        name: of the model; other than letters, digits and _ . - become _, and capitals small.
        body: the card's text, Markdown.
        summary: one line, without a colon.
        evaluation: scores by name, or a line that tells them.
        author: of the model.
        licence: of the weights.
        model_version: of the model itself.
        tokenizer: saved beside the weights.
        companions: a directory whose tokenizer files are copied, where there is no `tokenizer`.

    Returns:
        The card, for `mindspore_hub.load(card, source="local")`; its directory is a source for `from_pretrained`.

    Raises:
        ConfigError: the name has no letter, or the summary a colon, which the hub refuses.
        CheckpointError: the weights cannot be read or written.
    """
    slug = named(name)
    if not slug:
        raise ConfigError(f"the model name {name!r} has no letter or digit: choose another.")
    for field, value in (("summary", summary), ("author", author), ("licence", licence)):
        if ":" in value:
            raise ConfigError(f"{field} {value!r} has a colon, which the hub refuses in a card: leave it out.")
    target = Path(directory)
    weights = _write_weights(source, target, f"{slug}.ckpt", tokenizer=tokenizer, companions=companions)
    with staging.staged(target / slug) as scratch:
        shutil.copyfile(_shim(), scratch / SHIM)
    header = _header(slug, weights) | {
        "evaluation": _told(evaluation),
        "model-version": model_version,
        "author": author,
        "license": licence,
        "summary": summary,
    }
    with staging.staged(target) as scratch:
        card.write(scratch / CARD, header, title=name, body=body)
    return target / CARD


def publish_run(run: Path, directory: Path, *, name: str | None = None) -> Path:
    """Lay out a finished run's model elsewhere, or under another name.

    Args:
        run: folder of the run, with its card.md.
        directory: where to.
        name: of the model; None keeps the run's.

    Returns:
        The new card.

    Raises:
        ConfigError: it is no folder of a finished run.
        CheckpointError: the weights cannot be read or written.
    """
    if not (run / CARD).is_file():
        raise ConfigError(f"{run} has no {CARD}: expected the folder of a finished run (output_dir of bert-ms train).")
    header, body = card.content(run / CARD)
    if directory.resolve() == run.resolve():
        raise ConfigError(f"{directory} is the run itself, which is laid out as a card already: name another folder.")
    return publish(
        run,
        directory,
        name=name or str(header["model-name"]),
        body=body,
        summary=str(header.get("summary", "BERT on MindSpore")),
        licence=str(header.get("license", "Apache2.0")),
        author=str(header.get("author", "bert_ms")),
        evaluation=str(header.get("evaluation", "none")),
        model_version=str(header.get("model-version", "1.0")),
        companions=run,
    )


def named(name: str, *, otherwise: str = "") -> str:
    """A name as the hub takes it: small letters, digits and _ . -; `otherwise` where nothing is left of it."""
    return re.sub(r"[^a-z0-9_.-]+", "_", name.lower()).strip("_.-") or otherwise


def _told(evaluation: Mapping[str, float] | str | None) -> str:
    if isinstance(evaluation, str):
        return evaluation
    return " | ".join(f"{key} {value:.4f}" for key, value in (evaluation or {}).items()) or "none"


def _header(slug: str, weights: Path) -> dict[str, Any]:
    """What the hub demands of every card and the caller need not say."""
    return {
        "model-name": slug,
        "backbone-name": "bert",
        "module-type": "nlp",
        "fine-tunable": True,
        "update-time": datetime.date.today().isoformat(),
        "repo-link": f"<{_LINK.format(name=slug)}>",
        "user-id": "bert_ms",
        "used-for": "inference/transfer-learning",
        "mindspore-version": SUPPORTED_MINDSPORE[0],
        "asset": [
            {
                "file-format": "ckpt",
                "asset-link": f"<{_LINK.format(name=weights.name)}>",
                "asset-sha256": manifest.sha256(weights),
            }
        ],
    }


def _write_weights(source: Any, target: Path, file_name: str, *, tokenizer: Any, companions: Any) -> Path:
    if isinstance(source, (str, os.PathLike)):
        return checkpoint.copy(checkpoint.open_checkpoint(source), target, format="mindspore", file_name=file_name)
    return checkpoint.save(
        source, target, format="mindspore", file_name=file_name, tokenizer=tokenizer, companions=companions
    )


def _shim() -> Path:
    """Our own mindspore_hub_conf.py: inside an installed package, or at the top of a checkout."""
    here = Path(__file__).resolve()
    return next(path for path in (here.with_name(SHIM), here.parents[2] / SHIM) if path.is_file())
