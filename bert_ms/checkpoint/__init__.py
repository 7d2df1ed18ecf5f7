"""Every foreign checkpoint format to ours and back: readers, name rules, a report that leaves nothing unexplained."""

from bert_ms.checkpoint.adapters import Adapter, put_adapter, read_adapter, write_adapter
from bert_ms.checkpoint.loading import load_into, plan
from bert_ms.checkpoint.opened import Checkpoint, open_checkpoint, read
from bert_ms.checkpoint.report import LoadReport, WrongShape
from bert_ms.checkpoint.saving import FORMATS, SavesItself, copy, save
from bert_ms.checkpoint.weights import Weights

__all__ = [
    "FORMATS",
    "Adapter",
    "Checkpoint",
    "LoadReport",
    "SavesItself",
    "Weights",
    "WrongShape",
    "copy",
    "load_into",
    "open_checkpoint",
    "plan",
    "put_adapter",
    "read",
    "read_adapter",
    "save",
    "write_adapter",
]
