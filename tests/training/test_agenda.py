"""What is due after which step."""

from __future__ import annotations

import pytest

from bert_ms.config import TrainingConfig
from bert_ms.errors import ConfigError
from bert_ms.training.agenda import Agenda


def agenda(per_epoch: int = 10, *, has_evaluation: bool = True, **training) -> Agenda:
    return Agenda(TrainingConfig(**{"epochs": 2.0, **training}), per_epoch, has_evaluation)


def evaluated(of: Agenda) -> list[int]:
    return [step for step in range(of.total_steps + 1) if of.evaluates_after(step)]


def saved(of: Agenda) -> list[int]:
    return [step for step in range(of.total_steps + 1) if of.saves_after(step)]


def test_epochs_may_be_parts():
    assert agenda(epochs=1.5).total_steps == 15
    assert agenda(epochs=0.1 + 0.2).total_steps == 3


def test_accumulation_takes_several_batches_a_step():
    assert agenda(accumulate=3).total_steps == 6
    assert agenda(accumulate=3).steps_per_epoch == pytest.approx(10 / 3)
    assert agenda(accumulate=3).epoch(5) == 1.5


def test_max_steps_ends_the_run():
    assert agenda(max_steps=7).total_steps == 7
    assert agenda(max_steps=700).total_steps == 20


def test_a_run_without_a_step_is_an_error():
    with pytest.raises(ConfigError, match=r"epochs 2.0 of 10 batches, 50 for each update, make no optimiser step"):
        _ = agenda(accumulate=50).total_steps


def test_each_epoch_ends_with_an_evaluation():
    assert evaluated(agenda()) == [0, 10, 20]
    assert evaluated(agenda(evaluate_before=False, epochs=2.5, accumulate=3)) == [4, 7, 8]


def test_evaluations_every_so_many_steps_and_at_the_end():
    assert evaluated(agenda(eval_every=8)) == [0, 8, 16, 20]


def test_without_data_there_is_no_evaluation():
    assert evaluated(agenda(has_evaluation=False)) == []


def test_checkpoints_follow_evaluations_unless_they_have_their_own_rhythm():
    assert saved(agenda()) == []
    assert saved(agenda(save_every=6)) == [6, 12, 18]
    assert saved(agenda(has_evaluation=False)) == [10, 20]
