"""From a request's texts to its answers: `bert_ms.pipelines.text`, with the network in an engine."""

from .kinds import KINDS_OF, Answerer
from .words import Words

__all__ = ["KINDS_OF", "Answerer", "Words"]
