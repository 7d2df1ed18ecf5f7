"""An ONNX graph that is written down node by node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_ms.errors import CheckpointError

if TYPE_CHECKING:
    import onnx

# The name of a tensor in the graph; what the functions of this package take and give.
Value = str
# An array by its parameter's name.
Weights = Mapping[str, Callable[[], np.ndarray]]
# The domain of ONNX Runtime's own operators.
RUNTIME = "com.microsoft"


@dataclass(frozen=True)
class Port:
    """What a file declares of a tensor, input or output: name, numpy dtype, and sizes, of which texts may change."""

    name: str
    dtype: str
    shape: tuple[str | int, ...]


class Graph:
    """Nodes, initial values and ports; each method gives the name of the tensor that it adds.

    Args:
        weights: the network's parameters by our bare names, read when they are asked for.
        for_runtime: whether it may have operators of ONNX Runtime's own, RUNTIME, beside those of ONNX.

    Attributes:
        for_runtime: as given.
        nodes: so far, in an order that they can run in.
        initializers: arrays by name.
        told: ports of tensors that ONNX cannot tell the form of itself: what comes out of operators of RUNTIME.
    """

    def __init__(self, weights: Weights, *, for_runtime: bool = False):
        self._weights = weights
        self.for_runtime = for_runtime
        self.nodes: list[tuple[str, list[Value], list[Value], str, dict[str, Any]]] = []
        self.initializers: dict[Value, np.ndarray] = {}
        self.told: list[Port] = []
        self._scope: tuple[str, ...] = ()
        self._count: dict[str, int] = {}
        self._once: dict[tuple[Any, ...], Value] = {}

    def op(self, kind: str, *inputs: Value, **attributes: Any) -> Value:
        """One node with one output; an empty input is one that is left out."""
        return self.ops(kind, *inputs, outputs=1, **attributes)[0]

    def ops(self, kind: str, *inputs: Value, outputs: int, **attributes: Any) -> list[Value]:
        """One node with several outputs."""
        base = "/".join((*self._scope, kind))
        self._count[base] = self._count.get(base, -1) + 1
        name = base if not self._count[base] else f"{base}_{self._count[base]}"
        results = [name if i == 0 else f"{name}:{i}" for i in range(outputs)]
        self.nodes.append((kind, list(inputs), results, name, attributes))
        return results

    def cast(self, x: Value, dtype: str) -> Value:
        """The same numbers in another dtype, by its numpy name."""
        return self.op("Cast", x, to=element_type(dtype))

    def once(self, key: str, make: Callable[[], Value]) -> Value:
        """What `make` adds to the graph, added at the first call for this key only."""
        if (key,) not in self._once:
            outside, self._scope = self._scope, ()
            self._once[(key,)] = make()
            self._scope = outside
        return self._once[(key,)]

    def weight(self, name: str) -> Value:
        """A parameter of the network under its own name, float32."""
        if name not in self.initializers:
            self.initializers[name] = self.array(name)
        return name

    def array(self, name: str) -> np.ndarray:
        """A parameter's numbers, float32.

        Raises:
            CheckpointError: the network has none of that name.
        """
        if name not in self._weights:
            raise CheckpointError(f"the network has no parameter '{name}', which its configuration asks for.")
        return np.asarray(self._weights[name](), np.float32, order="C")

    def own(self, name: str, array: np.ndarray) -> Value:
        """An array that is no parameter, under a name of its own."""
        self.initializers.setdefault(name, np.asarray(array, order="C"))
        return name

    def constant(self, value: Any, dtype: str = "float32") -> Value:
        """A small constant; equal ones are kept once."""
        array = np.asarray(value, dtype)
        key = (dtype, array.shape, array.tobytes())
        if key not in self._once:
            self._once[key] = self.own(f"constant_{len(self._once)}", array)
        return self._once[key]

    def integers(self, *values: int) -> Value:
        """Sizes or axes, int64 [n]."""
        return self.constant(values, "int64")

    @contextmanager
    def under(self, part: str) -> Iterator[None]:
        """Nodes made inside begin their names with this part of the network."""
        self._scope = (*self._scope, part)
        yield
        self._scope = self._scope[:-1]

    def model(self, inputs: Sequence[Port], outputs: Mapping[Value, Port], *, opset: int, ir: int) -> onnx.ModelProto:
        """The graph as ONNX has it.

        Args:
            inputs: ports that nodes read by their names.
            outputs: port of each tensor that the graph returns, in order.
            opset: version of ONNX's operators.
            ir: version of the file format.
        """
        from onnx import helper, numpy_helper

        nodes = [helper.make_node(kind, ins, outs, name=name, **attrs) for kind, ins, outs, name, attrs in self.nodes]
        nodes += [helper.make_node("Identity", [value], [port.name]) for value, port in outputs.items()]
        graph = helper.make_graph(
            nodes,
            "bert_ms",
            [_info(port) for port in inputs],
            [_info(port) for port in outputs.values()],
            [numpy_helper.from_array(array, name) for name, array in self.initializers.items()],
            value_info=[_info(port) for port in self.told],
        )
        versions = {"": opset} | ({RUNTIME: 1} if any(node.domain == RUNTIME for node in nodes) else {})
        opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def element_type(dtype: str) -> int:
    """ONNX's number of a dtype by its numpy name."""
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _info(port: Port) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(port.name, element_type(port.dtype), list(port.shape))
