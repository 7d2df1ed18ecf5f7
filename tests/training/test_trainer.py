"""The loop: evaluation, best weights, early stop, interruption, resumption."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bert_ms.config import OptimizerConfig, PrecisionConfig, RunConfig, ScheduleConfig, TrainingConfig
from bert_ms.errors import ConfigError, TrainingError
from bert_ms.training import session
from bert_ms.training import trainer as trainer_module
from bert_ms.training.agenda import Agenda
from bert_ms.training.recorder import Recorder
from bert_ms.training.signals import StopRequest
from bert_ms.training.state import CheckpointStore
from bert_ms.training.trainer import BEST, Interrupted, Outcome, Trainer
from bert_ms.training.updater import Updater
from tests.training.standins import LinearLoss, linear_data


class LinearBatches:
    """10 micro-batches of 2 rows for each epoch."""

    def __init__(self, fingerprint: str = "linear", bad_at: int | None = None):
        self.fingerprint, self.per_epoch, self.bad_at = fingerprint, 10, bad_at
        self.x, self.y = linear_data(20)

    def starting_at(self, position: int) -> Iterator[dict[str, np.ndarray]]:
        while True:
            rows = slice(position % 10 * 2, position % 10 * 2 + 2)
            factor = np.float32(np.inf if position == self.bad_at else 1)
            yield {"row": np.arange(2), "y": self.y[rows], "x": self.x[rows] * factor}
            position += 1


class Scorer:
    """Scores that were decided beforehand, one for each evaluation; optionally leaves at the n-th."""

    def __init__(self, *scores: float, leave_at: int | None = None):
        self.scores, self.leave_at, self.calls = scores, leave_at, 0

    def __call__(self, recorder: Recorder) -> dict[str, float]:
        self.calls += 1
        if self.calls == self.leave_at:
            raise Interrupted
        return {"f1": self.scores[min(self.calls, len(self.scores)) - 1]}


def config_for(folder: Path, *, optimizer: OptimizerConfig | None = None, precision=None, **training) -> RunConfig:
    training = {"epochs": 1.0, "evaluate_before": False, "dropout": "native", **training}
    return RunConfig(
        output_dir=str(folder),
        optimizer=optimizer or OptimizerConfig(learning_rate=0.05),
        schedule=ScheduleConfig(warmup_ratio=0.2),
        precision=precision or PrecisionConfig(),
        training=TrainingConfig(**training),
    )


def trainer_for(config: RunConfig, *, evaluate=None, batches=None, recorder=None) -> Trainer:
    batches = batches or LinearBatches()
    steps = Agenda(config.training, batches.per_epoch).total_steps
    store = CheckpointStore(Path(config.output_dir) / "checkpoints", keep_last=config.training.keep_last)
    updater = Updater(LinearLoss(), config, total_steps=steps)
    return Trainer(updater, batches, ("x", "y"), config, store, evaluate=evaluate, metric="f1", recorder=recorder)


def resumed(config: RunConfig, **parts) -> Trainer:
    trainer = trainer_for(config, **parts)
    point = trainer.store.latest()
    if point is not None:
        trainer.restore(point)
    return trainer


def weights(trainer: Trainer) -> dict[str, np.ndarray]:
    arrays = trainer.updater.arrays()
    return {f"{kind}.{name}": array.copy() for kind, group in arrays.items() for name, array in group.items()}


def assert_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys() and one
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def stop_after(trainer: Trainer, step: int) -> Outcome:
    request = StopRequest()

    def stop(report) -> None:
        if report.step == step:
            request.signal = signal.SIGTERM

    trainer.add_hook(stop)
    return trainer.run(request)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_interrupted_at_every_step_ends_with_the_same_weights(graph_mode, tmp_path, accumulate):
    whole = trainer_for(config_for(tmp_path / "whole", epochs=1.3, accumulate=accumulate))
    whole.run()
    config = config_for(tmp_path / "parts", epochs=1.3, accumulate=accumulate)
    runs = 0
    while True:
        trainer = resumed(config)
        runs += 1
        if stop_after(trainer, trainer.position.step + 1).reason == "finished":
            break
    assert runs == whole.agenda.total_steps == 13 // accumulate
    assert_equal(weights(trainer), weights(whole))
    assert trainer.position == whole.position


def test_the_last_checkpoint_of_a_finished_run_holds_its_weights(graph_mode, tmp_path):
    trainer = trainer_for(config_for(tmp_path))
    trainer.run()
    point = trainer.store.latest()
    assert point is not None and point.step == 10
    assert_equal({f"model.{n}": a for n, a in point.arrays("model").items()},
                 {n: a for n, a in weights(trainer).items() if n.startswith("model.")})  # fmt: skip


def test_evaluation_before_each_half_epoch_and_at_the_end(graph_mode, tmp_path):
    trainer = trainer_for(config_for(tmp_path, evaluate_before=True, eval_every=4), evaluate=Scorer(1.0))
    outcome = trainer.run()
    assert [entry["step"] for entry in outcome.evaluations] == [0, 4, 8, 10]


def test_without_eval_every_each_epoch_is_evaluated(graph_mode, tmp_path):
    outcome = trainer_for(config_for(tmp_path, epochs=2.5, accumulate=3), evaluate=Scorer(1.0)).run()
    assert [entry["step"] for entry in outcome.evaluations] == [4, 7, 8]


def test_the_best_weights_are_those_of_the_best_evaluation(graph_mode, tmp_path):
    from safetensors import safe_open

    trainer = trainer_for(config_for(tmp_path, eval_every=2), evaluate=Scorer(10.0, 30.0, 20.0, 30.0, 5.0))
    kept = {}
    trainer.add_hook(lambda report: kept.update({report.step: weights(trainer)}), every=2)
    outcome = trainer.run()
    assert outcome.best_step == 4
    with safe_open(trainer.store.directory / BEST, "np") as file:
        assert file.metadata() == {"step": "4", "f1": "30.0"}
        for name in file.keys():  # noqa: SIM118
            np.testing.assert_array_equal(file.get_tensor(name), kept[4][f"model.{name}"])


def test_training_stops_early_after_evaluations_without_gain(graph_mode, tmp_path):
    trainer = trainer_for(config_for(tmp_path, eval_every=1, patience=2), evaluate=Scorer(1.0, 3.0, 2.0, 3.0, 9.0))
    outcome = trainer.run()
    assert (outcome.reason, outcome.step, outcome.best_step) == ("stopped early", 4, 2)
    again = resumed(config_for(tmp_path, eval_every=1, patience=2), evaluate=Scorer(9.0))
    assert (again.run().reason, again.position.step) == ("stopped early", 4)


def test_an_interrupted_evaluation_is_done_again_and_no_step_is_lost(graph_mode, tmp_path):
    config = config_for(tmp_path / "parts", eval_every=4)
    first = trainer_for(config, evaluate=Scorer(1.0, 2.0, leave_at=2))
    assert first.run().reason == "interrupted"
    second = resumed(config, evaluate=Scorer(2.0, 3.0))
    assert second.position.step == 8
    outcome = second.run()
    whole = trainer_for(config_for(tmp_path / "whole", eval_every=4), evaluate=Scorer(1.0, 2.0, 3.0))
    assert outcome.evaluations == whole.run().evaluations
    assert_equal(weights(second), weights(whole))


def test_checkpoints_come_every_so_many_steps_and_only_the_last_are_kept(graph_mode, tmp_path):
    trainer_for(config_for(tmp_path, save_every=3, keep_last=2)).run()
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-10", "step-9"]


def test_other_training_data_are_refused(graph_mode, tmp_path):
    stop_after(trainer_for(config_for(tmp_path)), 2)
    with pytest.raises(TrainingError, match="made with other training data"):
        resumed(config_for(tmp_path), batches=LinearBatches("other"))


def test_what_was_made_with_other_versions_goes_on_with_a_warning(graph_mode, tmp_path, caplog, monkeypatch):
    stop_after(trainer_for(config_for(tmp_path)), 2)
    resumed(config_for(tmp_path))
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    now = session.made_with()
    monkeypatch.setattr(trainer_module, "made_with", lambda: {**now, "mindspore": "9.9"})
    resumed(config_for(tmp_path))
    assert re.search(r"step-2 was made with mindspore 2\.\d+\.\d+, now 9.9: the end may differ", caplog.text)


def test_another_optimizer_is_refused(graph_mode, tmp_path):
    stop_after(trainer_for(config_for(tmp_path)), 2)
    with pytest.raises(TrainingError, match="of another network or optimiser: .*adam_m"):
        resumed(config_for(tmp_path, optimizer=OptimizerConfig(name="momentum")))


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_earlier_checkpoints(graph_mode, tmp_path):
    trainer = trainer_for(config_for(tmp_path, save_every=1), batches=LinearBatches(bad_at=3))
    with pytest.raises(TrainingError, match=r"step 4: loss (nan|inf).*Earlier checkpoints are good.*learning_rate"):
        trainer.run()
    point = trainer.store.latest()
    assert point is not None and point.step == 3
    assert all(np.isfinite(array).all() for array in point.arrays("model").values())


def test_with_a_loss_scale_the_step_is_skipped_and_the_scale_resumes(graph_mode, tmp_path):
    precision = PrecisionConfig(loss_scale="dynamic", growth_interval=3, init_scale=1024.0)
    whole = trainer_for(config_for(tmp_path / "whole", precision=precision), batches=LinearBatches(bad_at=3))
    scales = []
    whole.add_hook(lambda report: scales.append((report.loss_scale, report.is_skipped)))
    whole.run()
    assert scales[:5] == [(1024, False)] * 3 + [(2048, True), (1024, False)]
    assert whole.updater.updates_applied == 9
    config = config_for(tmp_path / "parts", precision=precision)
    stop_after(trainer_for(config, batches=LinearBatches(bad_at=3)), 5)
    second = resumed(config, batches=LinearBatches(bad_at=3))
    second.run()
    assert_equal(weights(second), weights(whole))
    assert second.updater.loss_scale.state() == whole.updater.loss_scale.state()


def test_metrics_of_an_interrupted_run_are_those_of_an_undisturbed_one(graph_mode, tmp_path):
    def lines(folder: Path) -> list[tuple]:
        entries = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [(e["kind"], e["step"], e.get("loss"), e.get("learning_rate"), e.get("f1")) for e in entries]

    with Recorder(tmp_path, log_every=1) as recorder:
        trainer_for(config_for(tmp_path / "whole", eval_every=5), evaluate=Scorer(1.0), recorder=recorder).run()
    whole = lines(tmp_path)
    assert len(whole) == 12
    config = config_for(tmp_path / "parts", eval_every=5)
    folder = tmp_path / "other"
    folder.mkdir()
    for last in (3, 7, 10):
        with Recorder(folder, log_every=1) as recorder:
            stop_after(resumed(config, evaluate=Scorer(1.0), recorder=recorder), last)
    assert lines(folder) == whole


def test_hooks_are_called_every_so_many_steps(graph_mode, tmp_path):
    trainer = trainer_for(config_for(tmp_path))
    seen = []
    trainer.add_hook(lambda report: seen.append(report.step), every=4)
    trainer.run()
    assert seen == [4, 8]
    with pytest.raises(ConfigError, match="every is 0"):
        trainer.add_hook(print, every=0)


def test_an_unknown_metric_names_the_scores(graph_mode, tmp_path):
    trainer = trainer_for(config_for(tmp_path), evaluate=Scorer(1.0))
    trainer.metric = "accuracy"
    with pytest.raises(ConfigError, match="training.metric is 'accuracy', but the scores are f1"):
        trainer.run()
