"""Workers that train and evaluate together, against one worker alone. Each start of workers costs about 12 seconds."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from bert_ms.errors import TrainingError
from bert_ms.training import msrun, worker
from bert_ms.training.cluster import Cluster
from bert_ms.training.distributed import Distributed, threads_of_worker
from bert_ms.training.launch import launch
from bert_ms.training.processes import marked
from tests import tiny
from tests.support import REPOSITORY

pytestmark = [pytest.mark.workers, pytest.mark.slow]

WORKERS, BATCH, QUESTIONS = 2, 4, 11

# Every worker checks what it is given; what any of them finds wrong ends the launch with another code than 0.
TALK = """
import numpy as np
from bert_ms import compat
from bert_ms.errors import TrainingError
from bert_ms.training.distributed import grad_reducer, initialise

compat.use_device("cpu", threads=1)
us = initialise()
assert us.size == 3 and us.local_size == 3 and us.rank == us.local_rank

def array(rank, dtype, shape):
    return np.random.default_rng(rank).uniform(-100, 100, shape).astype(dtype)

for dtype in ("float32", "int32", "int64", "float64", "float16", "int8", "bool"):
    for shape in ((), (0, 3), (5,), (2, 3, 4)):
        shapes = [shape[:-1] + (shape[-1] + rank,) if shape else () for rank in range(3)]  # ragged
        for rank, got in enumerate(us.gather(array(us.rank, dtype, shapes[us.rank]))):
            expected = array(rank, dtype, shapes[rank])
            assert got.dtype == expected.dtype and got.shape == expected.shape, (dtype, shape)
            assert got.tobytes() == expected.tobytes(), (dtype, shape)
by_name = us.gather_all({"b": np.arange(us.rank), "a": np.ones(2)})
assert [list(each) for each in by_name] == [["b", "a"]] * 3 and [len(each["b"]) for each in by_name] == [0, 1, 2]
assert us.any(us.rank == 2) and not us.any(False) and us.all(True) and not us.all(us.rank == 2)
assert us.mean(us.rank) == 1
us.check_equal({"one": np.ones(3), "two": np.zeros(2)})
try:
    us.check_equal({"one": np.ones(3), "two": np.full(2, us.rank > 1)})
    raise SystemExit("unequal weights were not noticed")
except TrainingError as error:
    assert "rank 2 has other weights than rank 0 in 1 of 2 arrays, first two" in str(error), error

# many gradients of one shape: none may be taken for another
from mindspore import Parameter, Tensor, nn
parameters = [Parameter(Tensor(np.zeros((4, 5), np.float32)), name=f"p{i}") for i in range(60)]
class Reduce(nn.Cell):
    def __init__(self):
        super().__init__()
        self.reducer = grad_reducer(parameters, us)
    def construct(self, *gradients):
        return self.reducer(gradients)
reduced = Reduce()(*(Tensor(np.full((4, 5), i * 10 + us.rank, np.float32)) for i in range(60)))
for i, gradient in enumerate(reduced):
    np.testing.assert_allclose(gradient.asnumpy(), i * 10 + 1, rtol=1e-6)
print("all checked", us.rank, flush=True)
"""


def test_workers_hear_each_other(tmp_path: Path) -> None:
    (tmp_path / "talk.py").write_text(TALK, encoding="utf-8")
    terminal = io.StringIO()
    code = launch([sys.executable, "talk.py"], workers=3, device="cpu", log_dir="logs", terminal=terminal)
    assert code == 0, terminal.getvalue()
    for rank in range(3):
        assert f"all checked {rank}" in (tmp_path / "logs" / f"worker_{rank}.log").read_text()


def test_one_worker_answers_itself() -> None:
    alone = Distributed()
    array = np.arange(3)
    assert alone.is_main and alone.gather(array)[0] is array
    assert alone.any(True) and not alone.any(False) and alone.all(True) and alone.mean(2.5) == 2.5
    alone.barrier()
    alone.check_equal({"a": array})


def test_what_cannot_be_gathered_is_named() -> None:
    with pytest.raises(TrainingError, match="an array of complex64 with 1 dimensions cannot be gathered"):
        Distributed(size=2).gather(np.zeros(3, np.complex64))


def test_workers_share_the_cores(tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    shared = msrun.environment({}, Cluster(local_workers=2), state=tmp_path, mark="m")
    assert threads_of_worker(None, shared) == max(1, cores // 2)
    assert threads_of_worker(3, shared) == 3
    assert threads_of_worker(None, {}) is None


@dataclass(frozen=True)
class Story:
    """A run of two workers: one of them killed, resumed, asked to stop, resumed to the end; then evaluated by three."""

    folder: Path
    killed: tuple[int, str, float]
    stopped: tuple[int, str]
    checkpoint_when_stopped: str
    left_behind: list[int]
    finished: tuple[int, str]
    evaluated: tuple[int, str]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bert_ms.cli", *arguments]


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YAML file for a tiny network without dropout, beside it its model and data."""
    from bert_ms import compat

    folder = tmp_path_factory.mktemp("distributed")
    compat.use_device("cpu")
    tiny.model(folder / "model", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    tiny.questions(folder / "train.json", 30)
    tiny.questions(folder / "dev.json", QUESTIONS)  # a number that neither two nor three workers share evenly
    values = {
        "device": "cpu",
        "output_dir": str(folder / "run"),
        "model": {"source": str(folder / "model")},
        "data": {"train_file": str(folder / "train.json"), "eval_file": str(folder / "dev.json"), "max_length": 192,
                 "stride": 32, "buckets": [192], "workers": 1, "cache_dir": str(folder / "cache")},
        # A large eps: Adam divides by the root of the second moment, and so blows up the rounding of small gradients.
        "optimizer": {"learning_rate": 1e-3, "eps": 1e-3},
        "training": {"max_steps": 60, "epochs": 1000, "batch_size": BATCH, "save_every": 5, "eval_every": 1000,
                     "evaluate_before": False, "tensorboard": False, "log_every": 1, "keep_last": 3},
        "evaluation": {"batch_size": 2},
    }  # fmt: skip
    path = folder / "run.yaml"
    path.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
    return path


@pytest.fixture(scope="module")
def story(configuration: Path) -> Story:
    run = configuration.parent / "run"
    train = command("train", "-c", str(configuration), "--devices", str(WORKERS))

    first = start(train, configuration.parent)
    wait_for(lambda: (run / "checkpoints" / "step-5").exists(), first)
    pid = next(pid for pid in marked_processes(first) if is_training(pid, rank=1))
    begin = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    killed = (*ended(first), time.monotonic() - begin)

    second = start(train, configuration.parent)
    wait_for(lambda: steps(run)[-1] >= 20, second)
    mark = psutil.Process(marked_processes(second)[0]).environ()[worker.MARK]
    second.send_signal(signal.SIGTERM)
    stopped = ended(second)
    left_behind, checkpoint = marked(worker.MARK, mark), max((run / "checkpoints").glob("step-*"), key=step_of).name

    finished = ended(start(train, configuration.parent))
    scores = ["evaluate", "-c", str(configuration), f"source={run}", f"output_dir={configuration.parent / 'scored'}"]
    evaluated = ended(start(command(*scores, "--devices", "3"), configuration.parent))
    return Story(run, killed, stopped, checkpoint, left_behind, finished, evaluated)


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "GLOG_v": "3"}
    return subprocess.Popen(
        arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, f"ended too early: {process.communicate()[0]}"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def marked_processes(launcher: subprocess.Popen[str]) -> list[int]:
    return [child.pid for child in psutil.Process(launcher.pid).children(recursive=True)]


def is_training(pid: int, *, rank: int) -> bool:
    process = psutil.Process(pid)
    return "bert_ms.training.worker" not in process.cmdline() and process.environ().get("RANK_ID") == str(rank)


def step_of(path: Path) -> int:
    return int(path.name.split("-")[1].split(".")[0])


def steps(run: Path) -> list[int]:
    return sorted(step_of(path) for path in (run / "checkpoints").glob("step-*"))


def final_weights(run: Path) -> dict[str, np.ndarray]:
    return load_file(max((run / "checkpoints").glob("step-60*")) / "model.safetensors")


def predictions_in(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / "predictions.json").read_text(encoding="utf-8"))
    return found


def test_a_killed_worker_ends_the_run_within_seconds(story: Story) -> None:
    code, output, seconds = story.killed
    assert code == 137, output
    assert "worker_1 was ended by signal 9 (SIGKILL), so all workers are stopped" in output
    assert seconds < 10


def test_a_stopped_run_has_saved_and_left(story: Story) -> None:
    code, output = story.stopped
    assert code == 143, output
    assert story.left_behind == []
    assert f"saved {story.folder / 'checkpoints' / story.checkpoint_when_stopped}" in output
    assert "going on from" in output


def test_two_workers_give_the_weights_of_one_with_the_double_batch(
    story: Story, configuration: Path, graph_mode: None
) -> None:
    from mindspore import load_checkpoint

    from bert_ms.config.loading import resolve_config
    from bert_ms.pipelines import runs

    assert story.finished[0] == 0, story.finished[1]
    alone = configuration.parent / "alone"
    overrides = [f"output_dir={alone}", f"training.batch_size={WORKERS * BATCH}"]
    runs.train(resolve_config(str(configuration), overrides))
    ours, theirs = final_weights(story.folder), final_weights(alone)
    assert ours.keys() == theirs.keys()
    began = load_checkpoint(str(configuration.parent / "model" / "model.ckpt"))
    moved = [np.abs(theirs[f"bert.{n}"] - p.asnumpy()).max() for n, p in began.items() if f"bert.{n}" in theirs]
    assert max(moved) > 0.01  # so the comparison says something
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=5e-6, rtol=0, err_msg=name)
    assert predictions_in(story.folder) == predictions_in(alone)


def test_evaluation_by_three_workers_loses_no_example(story: Story, configuration: Path) -> None:
    code, output = story.evaluated
    assert code == 0, output
    scored = configuration.parent / "scored"
    assert len(predictions_in(scored)) == QUESTIONS
    assert predictions_in(scored) == predictions_in(story.folder)
