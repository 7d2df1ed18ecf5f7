"""Which labels a network's outputs stand for: as given, as the trained network has them, or as the data show."""

from __future__ import annotations

from collections.abc import Sequence

from bert_ms.config import BertConfig
from bert_ms.errors import ConfigError, DataError

_SHOWN = 12


def for_training(
    found: Sequence[str],
    *,
    given: Sequence[str],
    usual: Sequence[str],
    known: BertConfig | None,
    source: object,
    least: int,
) -> tuple[str, ...]:
    """Labels to train with, in the order of the network's outputs.

    Args:
        found: in the training data, sorted.
        given: by the configuration; they stand as they are.
        usual: of the data set; the order of a network that has the same ones goes before theirs.
        known: the network as its weights come; its labels are kept where they cover those found.
        source: the training file, for messages.
        least: so many are needed.

    Raises:
        DataError: there are fewer.
    """
    before = known.labels if known is not None else ()
    if given:
        labels = tuple(given)
    elif usual:
        labels = before if set(before) == set(usual) else tuple(usual)
    else:
        labels = before if set(found) <= set(before) else tuple(found)
    if len(labels) < least:
        raise DataError(
            f"{source} has {len(labels)} different label{'s' * (len(labels) != 1)} ({', '.join(labels)}), expected at "
            f"least {least}: is data.label_column the right one?"
        )
    return labels


def for_trained(*, given: Sequence[str], usual: Sequence[str], known: BertConfig | None) -> tuple[str, ...]:
    """Labels of a network that was trained before; empty where nothing tells them.

    Args:
        given: by the configuration.
        usual: of the data set.
        known: the network as its weights come. Its own order holds; where its labels have no names, theirs are those
            given, or numbers. None where no weights for the task are at hand.

    Raises:
        ConfigError: the network has other labels than those given.
    """
    said = tuple(given) or tuple(usual)
    if known is None or known.num_labels is None:
        return said
    if known.labels:
        if given and set(given) != set(known.labels):
            raise ConfigError(f"data.labels is {_listed(given)}, but the network has {_listed(known.labels)}.")
        return known.labels
    if not said:
        return tuple(map(str, range(known.num_labels)))
    if len(said) != known.num_labels:
        raise ConfigError(f"labels are {_listed(said)}, but the network has {known.num_labels} without names.")
    return said


def _listed(labels: Sequence[str]) -> str:
    more = f", ... ({len(labels)} in all)" if len(labels) > _SHOWN else ""
    return f"[{', '.join(labels[:_SHOWN])}{more}]"
