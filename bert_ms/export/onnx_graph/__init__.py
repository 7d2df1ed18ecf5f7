"""Networks written as ONNX graphs, node by node, for any batch and any length."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_ms import __version__
from bert_ms.compat import require
from bert_ms.config import BertConfig
from bert_ms.errors import CheckpointError, ConfigError, unknown

if TYPE_CHECKING:
    import onnx

OPSET = 17  # the first with LayerNormalization
IR_VERSION = 8  # of the same release of ONNX


def build(network: Any, *, task: str | None = None, for_runtime: bool = False) -> onnx.ModelProto:
    """The graph of a network, float32, with its weights.

    Inputs are int32 input_ids, attention_mask, token_type_ids, each [batch, sequence] (multiple-choice: [batch,
    choices, sequence]); outputs are float32, see `bert_ms.export.interface`.

    Args:
        network: a Cell with `config`; it is not run.
        task: a task name; None takes the task of the network's configuration.
        for_runtime: write attention as one operator of ONNX Runtime, which nothing else reads, where it covers the
            network's; otherwise every operator is one of ONNX itself.

    Raises:
        DependencyError: the onnx package is not installed.
        ConfigError: the task is unknown, or the network has cross attention.
        CheckpointError: the network has adapters, or lacks a parameter.
    """
    parameters = dict(network.parameters_and_names())
    if any(".adapter." in name for name in parameters):
        raise CheckpointError(
            f"{type(network).__name__} has LoRA adapters: bert_ms.merge_adapter(cell) before it is exported."
        )
    weights = {name.removeprefix("bert."): _reader(parameter) for name, parameter in parameters.items()}
    chosen = task or network.config.task or "encoder"
    return from_weights(network.config, weights, task=chosen, for_runtime=for_runtime)


def from_weights(
    config: BertConfig, weights: Mapping[str, Callable[[], np.ndarray]], *, task: str, for_runtime: bool = False
) -> onnx.ModelProto:
    """The graph of a network that is not built; see `build`.

    Args:
        config: of the network, as its task settles it.
        weights: what reads each parameter, by our bare names.
        task: as of `build`.
        for_runtime: as of `build`.
    """
    onnx = require("onnx", extra="onnx", purpose="write ONNX files")
    from bert_ms.export.onnx_graph.graph import Graph
    from bert_ms.export.onnx_graph.heads import FORMS

    if task not in FORMS:
        raise ConfigError(unknown("task", task, FORMS))
    if config.add_cross_attention:
        raise ConfigError(
            "add_cross_attention is true: a decoder that attends to another encoder is not written as ONNX. Use the "
            "Cell."
        )
    graph, form = Graph(weights, for_runtime=for_runtime), FORMS[task]
    outputs = form.write(graph, config)
    model = graph.model(form.inputs, outputs, opset=OPSET, ir=IR_VERSION)
    model.producer_name, model.producer_version = "bert_ms", __version__
    onnx.helper.set_model_props(model, {"task": task})
    return model


def _reader(parameter: Any) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        from bert_ms import compat

        array: np.ndarray = parameter.astype(compat.mindspore().float32).asnumpy()
        return array

    return read
