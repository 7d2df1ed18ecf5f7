"""Parts of a Cell that are made when they are first asked for.

A network of BERT-base's size has a thousand operators that its graph needs, and its weights do not: a network that is
loaded, saved or converted is spared them. Making them is the beginning of compiling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mindspore import nn

from bert_ms.kernels.switch import enabled, settled


class Deferring(nn.Cell):
    """A Cell that makes some of its parts on first use, as they would have been made in its constructor.

    Parts may not have parameters of their own: names of parameters are settled when a network is built.
    """

    def defer(self, **parts: Callable[[], nn.Cell | None]) -> None:
        """Name parts to be made later, each with what makes it; native or plain as Cells that are built now.

        Those that were made already are made again.
        """
        deferred = self.__dict__.setdefault("_deferred", {})
        is_native = enabled()
        for name in parts:
            self._cells.pop(name, None)
            self.__dict__.pop(name, None)
        deferred.update({name: (make, is_native) for name, make in parts.items()})

    def settle(self, **parts: nn.Cell) -> None:
        """Put Cells, which may have parameters, where parts were to be made later."""
        for name, part in parts.items():
            self._cells.pop(name, None)
            self.__dict__.pop(name, None)
            self.__dict__.get("_deferred", {}).pop(name, None)
            self.insert_child_to_cell(name, part.set_train(self.training))

    def __getattr__(self, name: str) -> Any:
        make, is_native = self.__dict__.get("_deferred", {}).pop(name, (None, False))
        if make is None:
            return super().__getattr__(name)
        with settled(is_native):
            part = make()
        if part is None:
            object.__setattr__(self, name, None)
        else:
            self.insert_child_to_cell(name, part.set_train(self.training))
        return part
