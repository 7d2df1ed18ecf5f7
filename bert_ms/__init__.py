"""BERT and NEZHA on MindSpore: fine-tuning, checkpoints of every origin, and answers.

The public names are loaded when they are first used, so that `import bert_ms` imports neither MindSpore nor numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> (module, attribute); an empty attribute is the module itself.
_PUBLIC = {
    "BertConfig": ("bert_ms.config", "BertConfig"),
    "Client": ("bert_ms.client", "Client"),
    "Generator": ("bert_ms.pipelines.generator", "Generator"),
    "SentenceEncoder": ("bert_ms.pipelines.sentences", "SentenceEncoder"),
    "Tokenizer": ("bert_ms.tokenization", "Tokenizer"),
    "add_adapter": ("bert_ms.hub.adapters", "add_adapter"),
    "convert": ("bert_ms.hub.convert", "convert"),
    "export_model": ("bert_ms.pipelines.exporting", "export_model"),
    "from_config": ("bert_ms.hub.load", "from_config"),
    "from_pretrained": ("bert_ms.hub.load", "from_pretrained"),
    "load_adapter": ("bert_ms.hub.adapters", "load_adapter"),
    "merge_adapter": ("bert_ms.hub.adapters", "merge_adapter"),
    "metrics": ("bert_ms.metrics", ""),
    "pipeline": ("bert_ms.pipelines.text", "pipeline"),
    "save_adapter": ("bert_ms.hub.adapters", "save_adapter"),
    "with_loss": ("bert_ms.hub.load", "with_loss"),
}

if TYPE_CHECKING:
    from bert_ms import metrics as metrics
    from bert_ms.client import Client as Client
    from bert_ms.config import BertConfig as BertConfig
    from bert_ms.hub.adapters import add_adapter as add_adapter
    from bert_ms.hub.adapters import load_adapter as load_adapter
    from bert_ms.hub.adapters import merge_adapter as merge_adapter
    from bert_ms.hub.adapters import save_adapter as save_adapter
    from bert_ms.hub.convert import convert as convert
    from bert_ms.hub.load import from_config as from_config
    from bert_ms.hub.load import from_pretrained as from_pretrained
    from bert_ms.hub.load import with_loss as with_loss
    from bert_ms.pipelines.exporting import export_model as export_model
    from bert_ms.pipelines.generator import Generator as Generator
    from bert_ms.pipelines.sentences import SentenceEncoder as SentenceEncoder
    from bert_ms.pipelines.text import pipeline as pipeline
    from bert_ms.tokenization import Tokenizer as Tokenizer

__all__ = [
    "BertConfig",
    "Client",
    "Generator",
    "SentenceEncoder",
    "Tokenizer",
    "add_adapter",
    "convert",
    "export_model",
    "from_config",
    "from_pretrained",
    "load_adapter",
    "merge_adapter",
    "metrics",
    "pipeline",
    "save_adapter",
    "with_loss",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'bert_ms' has no attribute '{name}'")
    module_name, attribute = _PUBLIC[name]
    module = importlib.import_module(module_name)
    if name == "Tokenizer":  # its room lies below the hub's, which knows the names of models
        module.set_resolver(importlib.import_module("bert_ms.hub.catalogue").resolve)
    value = getattr(module, attribute) if attribute else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
