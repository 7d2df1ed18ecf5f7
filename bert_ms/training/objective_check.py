"""What a configuration asks of the loss that its task cannot give; told before MindSpore starts."""

from __future__ import annotations

from collections.abc import Iterator

from bert_ms.config import RunConfig
from bert_ms.tasks import Task


def objective_problems(config: RunConfig, task: Task) -> Iterator[str]:
    """One sentence for each value that the task has no use for.

    What only the data or the network tell, such as a problem type that is to be found out, is no part of it.
    """
    used = config.loss.used
    if used and (reason := _no_classes(config, task)):
        yield f"loss.{', loss.'.join(used)}: {reason}: leave {'it' if len(used) == 1 else 'them'} out."
    elif config.loss.class_weights is not None and task.classes == "choices":
        yield f"loss.class_weights: the choices of task '{task.name}' are each row's own, so none can have a weight."
    if config.regularization.r_drop_alpha > 0 and task.objective is not None:
        yield (
            f"regularization.r_drop_alpha compares two outputs, and task '{task.name}' computes its loss without "
            f"them: leave it out."
        )


def _no_classes(config: RunConfig, task: Task) -> str | None:
    """Why the network's loss is no cross entropy of single labels."""
    if task.classes is None:
        return f"task '{task.name}' has no class labels"
    if task.name == "token-classification" and "crf" in config.model.token_head:
        return f"model.token_head '{config.model.token_head}' scores whole paths of labels"
    kind = config.model.problem_type
    if task.name == "sequence-classification" and kind not in ("auto", "single_label_classification"):
        return f"model.problem_type '{kind}' has another loss than the cross entropy of one label"
    return None
