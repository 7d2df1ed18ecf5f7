"""What the workers of one run say to each other: gradients, evaluation results, the wish to stop."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bert_ms import compat
from bert_ms.errors import TrainingError
from bert_ms.training.worker import THREADS, inside_worker

logger = logging.getLogger(__name__)

# AllGather on CPU takes int32 and float32 but no int8 or bool, so that every array travels as int32 words.
_WORD = np.dtype(np.int32)
_MESSAGE_WORDS = 1 << 22  # 16 MB a rank at a time, which bounds the memory of a gather
_MAX_DIMENSIONS = 6
_DTYPES = tuple(np.dtype(name) for name in ("float32", "int32", "int64", "float64", "float16", "int8", "uint8", "bool"))


@dataclass(frozen=True, kw_only=True)
class Distributed:
    """This process among the workers of a run. With one worker every method answers at once, without MindSpore.

    Attributes:
        rank: of this worker among all.
        size: workers.
        local_rank: of this worker among those of its machine.
        local_size: workers of its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this worker writes files and talks to the user."""
        return self.rank == 0

    def gather(self, array: np.ndarray) -> list[np.ndarray]:
        """The arrays of all workers, in the order of their ranks, on every worker.

        Args:
            array: any shape (each worker its own) up to 6 dimensions; float32, int32, int64, float64, float16, int8,
                uint8 or bool.

        Returns:
            One array a worker, equal bit for bit to what that worker gave.

        Raises:
            TrainingError: a dtype or number of dimensions that cannot be sent.
        """
        if self.size == 1:
            return [array]
        if array.dtype not in _DTYPES or array.ndim > _MAX_DIMENSIONS:
            known = ", ".join(str(dtype) for dtype in _DTYPES)
            raise TrainingError(
                f"an array of {array.dtype} with {array.ndim} dimensions cannot be gathered: expected {known} with at "
                f"most {_MAX_DIMENSIONS}."
            )
        header = np.full(_MAX_DIMENSIONS + 2, -1, np.int32)
        header[:2] = _DTYPES.index(array.dtype), array.ndim
        header[2 : 2 + array.ndim] = array.shape
        headers = _all_gather(header, self.size)
        kinds = [(_DTYPES[head[0]], tuple(int(n) for n in head[2 : 2 + head[1]])) for head in headers]
        sizes = [dtype.itemsize * int(np.prod(shape, dtype=np.int64)) for dtype, shape in kinds]
        longest = -(-max(sizes) // _WORD.itemsize)
        mine = np.zeros(longest * _WORD.itemsize, np.uint8)
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        mine[: content.size] = content
        received = np.empty((self.size, longest), _WORD)
        for start in range(0, longest, _MESSAGE_WORDS):
            part = slice(start, min(start + _MESSAGE_WORDS, longest))
            received[:, part] = _all_gather(mine.view(_WORD)[part], self.size)
        contents = [words.view(np.uint8)[:size] for words, size in zip(received, sizes, strict=True)]
        return [content.view(dtype).reshape(shape) for content, (dtype, shape) in zip(contents, kinds, strict=True)]

    def gather_all(self, arrays: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
        """`gather` for several named arrays; every worker names the same."""
        columns = {name: self.gather(array) for name, array in sorted(arrays.items())}
        return [{name: columns[name][rank] for name in arrays} for rank in range(self.size)]

    def any(self, flag: bool) -> bool:
        """Whether it is true for any worker: how all agree to stop at the same step. About 0.6 ms on CPU."""
        return any(bool(each) for each in self._flags(flag))

    def all(self, flag: bool) -> bool:
        """Whether it is true for all workers."""
        return all(bool(each) for each in self._flags(flag))

    def mean(self, value: float) -> float:
        """The mean of the workers' values, in float64."""
        return float(np.mean([float(each[0]) for each in self.gather(np.array([value], np.float64))]))

    def barrier(self) -> None:
        """Wait until all workers are here."""
        self._flags(True)

    def check_equal(self, weights: Mapping[str, np.ndarray], what: str = "weights") -> None:
        """Refuse to go on with workers that do not have the same values, by the checksum of each array.

        Args:
            weights: arrays by name, the same names in the same order on every worker.
            what: they are, for the message.

        Raises:
            TrainingError: they differ; on every worker, with names and ranks.
        """
        names = list(weights)
        sums = np.array([zlib.crc32(np.ascontiguousarray(weights[name]).tobytes()) for name in names], np.int64)
        everybody = self.gather(sums)
        for rank, theirs in enumerate(everybody):
            if not np.array_equal(theirs, everybody[0]):
                comparable = len(theirs) == len(everybody[0]) == len(names)
                unequal = [names[i] for i in np.flatnonzero(theirs != everybody[0])] if comparable else names
                raise TrainingError(
                    f"rank {rank} has other {what} than rank 0 in {len(unequal)} of {len(names)} arrays, first "
                    f"{unequal[0]}: see that every machine has the same files, version and seed."
                )

    def _flags(self, flag: bool) -> list[np.ndarray]:
        if self.size == 1:
            return [np.array([flag])]
        return list(_all_gather(np.array([flag], np.int32), self.size))


def initialise() -> Distributed:
    """Join the other workers, if msrun started this process; call it after `compat.use_device`.

    Returns:
        Who this process is among them; the only worker if it was started by itself.
    """
    if not inside_worker():
        return Distributed()
    ms = compat.mindspore()
    from mindspore import communication

    communication.init()
    rank, size = communication.get_rank(), communication.get_group_size()
    ms.set_auto_parallel_context(
        parallel_mode=ms.ParallelMode.DATA_PARALLEL, gradients_mean=True, device_num=size, global_rank=rank
    )
    local_size = communication.get_local_rank_size()
    local_rank = int(os.environ.get("DEVICE_ID", rank % local_size))
    logger.info("rank %d of %d, %d of %d on this machine", rank, size, local_rank, local_size)
    return Distributed(rank=rank, size=size, local_rank=local_rank, local_size=local_size)


def threads_of_worker(threads: int | None, environ: Mapping[str, str] | None = None) -> int | None:
    """CPU threads for this worker.

    Returns:
        `threads` if given; else this worker's share of the cores; None, MindSpore's own choice, if it is alone.
    """
    share = (os.environ if environ is None else environ).get(THREADS)
    return int(share) if threads is None and share else threads


def grad_reducer(parameters: Sequence[Any], distributed: Distributed) -> Any:
    """A Cell that averages gradients over the workers: (gradients) -> gradients; None for one worker.

    MindSpore's own, which reduces tensor by tensor. On CPU (2 workers, one machine, 103 gradients of 22.6 million
    floats) it took 281 ms, nearly all of it bandwidth: joining the small ones into one message gave 272 to 275 ms and
    cost 2 to 9 s of compiling. Accumulating gradients is what makes it count for less.

    Args:
        parameters: in the order of the gradients.
        distributed: from `initialise`.
    """
    if distributed.size == 1:
        return None
    from mindspore import nn

    return nn.DistributedGradReducer(parameters, mean=True, degree=distributed.size)


def _all_gather(array: np.ndarray, size: int) -> np.ndarray:
    """int32 [N], equally long on every worker -> int32 [size, N]."""
    ms = compat.mindspore()
    return ms.ops.AllGather()(ms.Tensor(array)).asnumpy().reshape(size, -1)
