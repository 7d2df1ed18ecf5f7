"""The run folder: whose it is, whether its run is finished, and what may be in it."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_ms.config import RunConfig
from bert_ms.config.loading import dump, resolve_config
from bert_ms.errors import ConfigError
from bert_ms.training.files import write_file

logger = logging.getLogger(__name__)

CONFIG, RESULT, CHECKPOINTS = "resolved_config.yaml", "result.json", "checkpoints"
ADAPTER = "adapter"  # what was learned beside the weights, alone

# What a run leaves in its folder and a fresh one begins without.
_OWN = (
    CONFIG, RESULT, CHECKPOINTS, ADAPTER, "metrics.jsonl", "tensorboard", "train.log", "loss.png", "report.html",
    "eval.json", "findings.json", "predictions.json", "nbest_predictions.json", "null_odds.json",
)  # fmt: skip

# Values that may change while a run is interrupted: they do not decide what comes of it.
_FREE = frozenset(
    {
        "output_dir", "device", "threads", "data.predict_file", "data.storage", "data.cache_dir", "data.workers",
        "training.keep_last", "training.save_every", "training.log_every", "training.tensorboard",
    }
)  # fmt: skip


@dataclass(frozen=True)
class RunFolder:
    """Where a run writes.

    Args:
        path: of the folder; made when it is claimed.
    """

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints go."""
        return self.path / CHECKPOINTS

    def check_place(self) -> None:
        """Refuse a path where no folder can be made or written to, before anything is done for it.

        Raises:
            ConfigError: it is a file, below a file, or may not be written to.
        """
        place = self.path.absolute()
        there = next(path for path in (place, *place.parents) if path.exists() or path.is_symlink())
        given = f"output_dir is {self.path}, "
        if not there.is_dir():
            kind = "a broken link" if not there.exists() else "no directory"
            raise ConfigError(f"{given}but {there} is {kind}: name another directory, for example runs/squad.")
        if not os.access(there, os.W_OK | os.X_OK):
            raise ConfigError(f"{given}but {there} may not be written to: name another directory, or allow it.")

    def result(self) -> dict[str, Any] | None:
        """What the finished run left as its result; None while it is not finished."""
        try:
            value = json.loads((self.path / RESULT).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def check(self, config: RunConfig) -> None:
        """Refuse a folder that another configuration's run is in.

        A run that came to no checkpoint, for example because a value was wrong, does not hold the folder.

        Raises:
            ConfigError: naming each value that differs.
        """
        file = self.path / CONFIG
        if not file.is_file() or not (self.result() or any(self.checkpoints.glob("step-*"))):
            return
        try:
            before = _flat(resolve_config(file).to_dict())
        except ConfigError as error:
            remedy = "an earlier run left it: mend it, set another output_dir, or start over with --fresh"
            raise ConfigError(error.problems, source=f"{file} ({remedy})") from None
        now = _flat(config.to_dict())
        problems = [
            f"{key} is {now[key]!r}, in that run {before[key]!r}."
            for key in now
            if key not in _FREE and now[key] != before[key]
        ]
        if problems:
            remedy = "set another output_dir, take back the changes, or start over with --fresh"
            raise ConfigError(problems, source=f"{self.path} holds a run with another configuration ({remedy})")

    def claim(self, config: RunConfig) -> None:
        """Make the folder this run's. Only for the process that holds its lock, after `check`."""
        self.path.mkdir(parents=True, exist_ok=True)
        dump(config, self.path / CONFIG)

    def clear(self) -> None:
        """Remove what an earlier run left; what is not a run's own stays."""
        for name in _OWN:
            target = self.path / name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the result: from now on the run counts as finished."""
        write_file(self.path / RESULT, json.dumps(dict(result), indent=2) + "\n")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
