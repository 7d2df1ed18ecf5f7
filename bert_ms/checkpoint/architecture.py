"""Shapes that a configuration implies, and the configuration that shapes imply."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bert_ms.config import CRF_STATES, BertConfig
from bert_ms.errors import CheckpointError

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

WORD_TABLE = "embeddings.word_embeddings.weight"
POSITION_TABLE = "embeddings.position_embeddings.weight"
CRF = "crf.transitions"
LSTM = "lstm.weight_hh_l0"
_RELATIVE = re.compile(r"encoder\.layers\.(\d+)\.attention\.relative_positions\.weight")
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.")
_USUAL_HEAD_SIZE = 64

# Bare name of each head parameter -> its shape. A file has some of them; each is checked where it is there.
_HEAD_SHAPES: dict[str, Callable[[BertConfig, int], Shape]] = {
    "predictions.bias": lambda c, _: (c.vocab_size,),
    "predictions.transform.dense.weight": lambda c, _: (c.hidden_size, c.hidden_size),
    "predictions.transform.dense.bias": lambda c, _: (c.hidden_size,),
    "predictions.transform.layer_norm.weight": lambda c, _: (c.hidden_size,),
    "predictions.transform.layer_norm.bias": lambda c, _: (c.hidden_size,),
    "predictions.decoder.weight": lambda c, _: (c.vocab_size, c.hidden_size),
    "seq_relationship.weight": lambda c, _: (2, c.hidden_size),
    "seq_relationship.bias": lambda c, _: (2,),
    "qa_outputs.weight": lambda c, _: (2, c.hidden_size),
    "qa_outputs.bias": lambda c, _: (2,),
    "classifier.weight": lambda c, labels: (labels, 2 * c.lstm_width if c.has_lstm else c.hidden_size),
    "classifier.bias": lambda c, labels: (labels,),
    "crf.transitions": lambda c, labels: (labels, labels),
}
for _way in ("l0", "l0_reverse"):
    _HEAD_SHAPES |= {
        f"lstm.weight_ih_{_way}": lambda c, _: (4 * c.lstm_width, c.hidden_size),
        f"lstm.weight_hh_{_way}": lambda c, _: (4 * c.lstm_width, c.lstm_width),
        f"lstm.bias_ih_{_way}": lambda c, _: (4 * c.lstm_width,),
        f"lstm.bias_hh_{_way}": lambda c, _: (4 * c.lstm_width,),
    }

# First parts of bare names -> the task that such weights were trained for, the most telling first.
_TASK_SIGNS = (
    (("predictions.", "seq_relationship."), "pretraining"),
    (("predictions.",), "masked-lm"),
    (("seq_relationship.",), "next-sentence"),
    (("qa_outputs.",), "question-answering"),
    (("crf.",), "token-classification"),
    (("lstm.",), "token-classification"),
    (("classifier.",), "sequence-classification"),
)


def task_of(names: Mapping[str, Any]) -> str:
    """The task that the heads among bare parameter names were trained for; "encoder" when there are none."""
    if any(".cross_attention." in name for name in names) and "predictions.bias" in names:
        return "causal-lm"
    for parts, task in _TASK_SIGNS:
        if all(any(name.startswith(part) for name in names) for part in parts):
            return task
    return "encoder"


def with_head_parts(config: BertConfig, shapes: Shapes) -> BertConfig:
    """The configuration with a token classifier's CRF and BiLSTM, if the file has them, whatever it said of them."""
    fields: dict[str, Any] = {"has_crf": True} if CRF in shapes else {}
    if len(shapes.get(LSTM, ())) == 2:
        width = shapes[LSTM][1]
        fields |= {"has_lstm": True} if config.lstm_width == width else {"has_lstm": True, "lstm_hidden_size": width}
    return dataclasses.replace(config, **fields)


def encoder_shapes(config: BertConfig) -> dict[str, Shape]:
    """Every parameter of a bare encoder, in the network's order, with its shape."""
    hidden, inner = config.hidden_size, config.intermediate_size
    shapes: dict[str, Shape] = {WORD_TABLE: (config.vocab_size, hidden)}
    if config.has_absolute_positions:
        shapes[POSITION_TABLE] = (config.max_position_embeddings, hidden)
    shapes["embeddings.token_type_embeddings.weight"] = (config.type_vocab_size, hidden)
    shapes |= _norm("embeddings.layer_norm", hidden)
    rows = _relative_rows(config)
    for layer in range(config.num_hidden_layers):
        at = f"encoder.layers.{layer}"
        kinds = ("attention", "cross_attention") if config.add_cross_attention else ("attention",)
        for kind in kinds:
            for part in ("query", "key", "value", "output"):
                shapes |= _dense(f"{at}.{kind}.{part}", hidden, hidden)
            shapes |= _norm(f"{at}.{kind}.layer_norm", hidden)
        if rows:
            shapes[f"{at}.attention.relative_positions.weight"] = (rows, config.head_size)
        shapes |= _dense(f"{at}.feed_forward.intermediate", inner, hidden)
        shapes |= _dense(f"{at}.feed_forward.output", hidden, inner)
        shapes |= _norm(f"{at}.feed_forward.layer_norm", hidden)
    if config.add_pooler:
        shapes |= _dense("pooler.dense", hidden, hidden)
    return shapes


def head_shape(name: str, config: BertConfig, found: Shape) -> Shape | None:
    """The shape of a head's parameter; None for one whose shape the configuration does not settle.

    Args:
        name: bare name.
        config: of the network; where it knows no number of labels, the file's own number is taken.
        found: shape in the file.
    """
    rule = _HEAD_SHAPES.get(name)
    labels = config.classifier_size if config.classifier_size is not None else (found[0] if found else 0)
    return rule(config, labels) if rule else None


def infer(
    shapes: Shapes, *, dialect: Mapping[str, Any], is_zoo: bool, name: str, heads: int | None = None
) -> tuple[BertConfig, list[str]]:
    """The configuration that the shapes of bare parameters imply, with a sentence for all that was assumed.

    Args:
        shapes: shape by bare name.
        dialect: keys that bring what is customary at the file's origin: epsilon, GELU, ...
        is_zoo: the file comes from the model zoo, whose NEZHA keeps a position table without use.
        name: of the file, for errors.
        heads: num_attention_heads, if the caller knows.

    Raises:
        CheckpointError: the shapes are of no BERT network, or the number of heads cannot be told.
    """
    seen = observed(shapes)
    missing = [key for key in ("hidden_size", "num_hidden_layers", "intermediate_size") if key not in seen]
    if missing:
        raise CheckpointError(f"{name}: {' and '.join(missing)} cannot be told from its tensors: give config=.")
    fields: dict[str, Any] = {k: v for k, v in seen.items() if k not in ("relative_rows", "head_size")}
    notes: list[str] = []
    rows, head_size = seen.get("relative_rows"), seen.get("head_size")
    if rows and (is_zoo or POSITION_TABLE not in shapes):
        fields |= {"relative_position": "learned", "max_relative_position": (rows - 1) // 2}
    elif rows:
        fields |= {"position_embedding_type": "relative_key", "max_position_embeddings": (rows + 1) // 2}
        notes.append("position_embedding_type relative_key is assumed (relative_key_query has the same tensors)")
    elif POSITION_TABLE not in shapes:
        fields |= {"relative_position": "sinusoid"}
        notes.append("no position tables: NEZHA with sinusoids, max_relative_position 64, is assumed")
    if heads is None:
        heads = seen["hidden_size"] // head_size if head_size else _usual_heads(seen["hidden_size"], name, notes)
    fields["num_attention_heads"] = heads
    if any(".cross_attention." in key for key in shapes):
        fields |= {"is_decoder": True, "add_cross_attention": True}
    fields["add_pooler"] = "pooler.dense.weight" in shapes
    labels = shapes.get("classifier.weight")
    fields |= {"task": task_of(shapes), "has_crf": CRF in shapes}
    fields |= {"num_labels": labels[0] - CRF_STATES * fields["has_crf"] if labels else None}
    config = BertConfig.from_dict({**dialect, **fields}, source=name)
    notes.append(
        f"no configuration came with the file: sizes are taken from its tensors, "
        f"layer_norm_eps {config.layer_norm_eps} and hidden_act {config.hidden_act} from its origin"
    )
    return config, notes


def _usual_heads(hidden: int, name: str, notes: list[str]) -> int:
    if hidden % _USUAL_HEAD_SIZE:
        raise CheckpointError(
            f"{name}: num_attention_heads cannot be told from its tensors (hidden_size {hidden} is no multiple of "
            f"{_USUAL_HEAD_SIZE}): give config=, or put a config.json beside the file."
        )
    heads = hidden // _USUAL_HEAD_SIZE
    notes.append(f"num_attention_heads {heads} is assumed (heads of {_USUAL_HEAD_SIZE})")
    return heads


def observed(shapes: Shapes) -> dict[str, int]:
    """Sizes that the shapes of bare parameters tell, by the configuration's field names."""
    seen: dict[str, int] = {}
    if len(shapes.get(WORD_TABLE, ())) == 2:
        seen["vocab_size"], seen["hidden_size"] = shapes[WORD_TABLE]
    for field, table in (
        ("max_position_embeddings", POSITION_TABLE),
        ("type_vocab_size", "embeddings.token_type_embeddings.weight"),
        ("intermediate_size", "encoder.layers.0.feed_forward.intermediate.weight"),
    ):
        if shapes.get(table):
            seen[field] = shapes[table][0]
    layers = {int(match[1]) for match in map(_LAYER.match, shapes) if match}
    if layers:
        seen["num_hidden_layers"] = max(layers) + 1
    relative = next((shapes[name] for name in shapes if _RELATIVE.fullmatch(name)), ())
    if len(relative) == 2:
        seen["relative_rows"], seen["head_size"] = relative
    return seen


def disagreements(config: BertConfig, shapes: Shapes) -> Iterator[str]:
    """One sentence for each size or kind in which a configuration and a file's shapes differ."""
    seen = observed(shapes)
    rows = seen.pop("relative_rows", None)
    head_size = seen.pop("head_size", None)
    if not config.has_absolute_positions:
        seen.pop("max_position_embeddings", None)
    for field, value in seen.items():
        if getattr(config, field) != value:
            yield f"{field} is {getattr(config, field)} in the configuration, but {value} in the file"
    if head_size and head_size != config.head_size:
        yield (
            f"num_attention_heads is {config.num_attention_heads} in the configuration (heads of {config.head_size}), "
            f"but the file's relative positions are for heads of {head_size}"
        )
    if rows and not _relative_rows(config):
        yield (
            f"the file holds learned relative positions ({rows} distances a layer), but the configuration describes "
            f"{_positions(config)}"
        )
    elif rows and rows != _relative_rows(config):
        yield f"the file holds {rows} relative distances a layer, the configuration implies {_relative_rows(config)}"
    elif not rows and _relative_rows(config):
        yield f"the configuration describes {_positions(config)}, but the file holds no relative positions"
    if config.has_absolute_positions and POSITION_TABLE not in shapes:
        yield "the configuration describes absolute positions, but the file holds no position table (is it NEZHA?)"


def has_idle_positions(config: BertConfig, shapes: Shapes, *, is_own_config: bool) -> bool:
    """Whether the file's position table is kept by its own network without use (the zoo's NEZHA, relative_key)."""
    if config.has_absolute_positions or POSITION_TABLE not in shapes:
        return False
    return is_own_config or any(_RELATIVE.fullmatch(name) for name in shapes)


def _positions(config: BertConfig) -> str:
    if config.relative_position != "none":
        return f"NEZHA with relative_position '{config.relative_position}'"
    return f"position_embedding_type '{config.position_embedding_type}'"


def _relative_rows(config: BertConfig) -> int:
    if config.relative_position == "learned":
        return 2 * config.max_relative_position + 1
    if config.position_embedding_type != "absolute":
        return 2 * config.max_position_embeddings - 1
    return 0


def _dense(name: str, rows: int, columns: int) -> dict[str, Shape]:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def _norm(name: str, size: int) -> dict[str, Shape]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}
