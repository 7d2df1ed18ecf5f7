"""What an exported network of each task takes and returns, by name."""

from __future__ import annotations

from bert_ms import tasks
from bert_ms.config import BertConfig

# Networks whose row of the table of tasks names what their scorer returns.
_OWN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "masked-lm": (("logits",), ()),
    "causal-lm": (("logits",), ()),
    "pretraining": (("prediction_logits", "seq_relationship_logits"), ("seq_relationship_logits",)),
}


def outputs_of(task: str, config: BertConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of what a task's network returns, in order, and which of them are one a row [B, ...].

    Args:
        task: a task name.
        config: of the network; an encoder without a pooler returns the hidden states only.
    """
    if task in _OWN:
        return _OWN[task]
    row = tasks.get(task)
    outputs = row.outputs if task != "encoder" or config.add_pooler else row.outputs[:1]
    return outputs, tuple(name for name in row.row_outputs if name in outputs)
