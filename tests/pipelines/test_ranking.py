"""Checkpoints whose vectors tell the labels come first; what cannot be told apart, or fails, is told."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_ms.cli import main
from bert_ms.config import BertConfig, DataConfig, RunConfig
from bert_ms.errors import CheckpointError, ConfigError, DataError
from bert_ms.metrics import classification
from bert_ms.pipelines.ranking import (
    Candidate,
    Interval,
    Ranking,
    drawing,
    labelled,
    measures,
    probe,
    rank,
    ranking,
    scores,
    vectors,
)
from bert_ms.pipelines.ranking.drawing import PARTS
from bert_ms.pipelines.ranking.labelled import Labelled
from bert_ms.pipelines.ranking.vectors import FrozenVectors
from bert_ms.records import TextExample
from bert_ms.tokenization import Tokenizer
from tests.support import PACKAGED_DATA

TINY = PACKAGED_DATA / "pipelines"
GOOD, BAD = ("the film is good", "she loves the great movie"), ("the game was terrible", "he hates the bad film")


def write(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = ("text", "kind")) -> Path:
    path.write_text("".join("\t".join(row) + "\n" for row in [header, *rows]), encoding="utf-8")
    return path


def moods(count: int = 48) -> list[tuple[str, str]]:
    return [((GOOD, BAD)[n % 2][n // 2 % 2] + f" {n}", ("good", "bad")[n % 2]) for n in range(count)]


def config(file: Path, task: str = "sequence-classification", **data: Any) -> RunConfig:
    columns = {} if task == "token-classification" else {"text_column": "text", "label_column": "kind"}
    given = {"train_file": str(file), "max_length": 32, "workers": 1, **columns, **data}
    return RunConfig(task=task, device="cpu", data=DataConfig(**given))


def made(targets: np.ndarray, kind: labelled.Kind = "label", owner: np.ndarray | None = None) -> Labelled:
    """Rows of which only labels are known."""
    owner = np.arange(len(targets)) if owner is None else owner
    examples = [None] * (int(owner.max()) + 1)
    return Labelled(
        examples=examples,
        kind=kind,
        labels=() if kind == "number" else ("O", *"abcdefgh")[: targets.shape[1]],
        targets=targets.astype(np.float64),
        points=np.arange(len(targets)),
        owner=owner,
        parts=(np.arange(len(examples)) % PARTS)[owner],
        available=len(examples),
    )


def one_hot(numbers: np.ndarray) -> np.ndarray:
    return np.eye(int(numbers.max()) + 1)[numbers]


def ordered(by_source: dict[str, np.ndarray], data: Labelled, **more: Any) -> Ranking:
    """The ranking of vectors that no network made."""
    measure = measures.measure_of(data, None)
    found = [
        (name, FrozenVectors(by_kind={"mean": v}, parameters=10, unknown=0.0), scores.score(
            {"mean": v}, data, measure, seed=1), 1.0)
        for name, v in by_source.items()
    ]  # fmt: skip
    return Ranking(
        task="sequence-classification", file="rows.tsv", rows=len(data.examples), available=data.available,
        points=len(data.owner), labels=len(data.labels), by="logme", measure=measure.name,
        without_vectors=measures.without_vectors(measure, data), candidates=ranking._in_order(found, "logme"),
        failures=(), **more,
    )  # fmt: skip


class TestRows:
    def test_rows_are_drawn_in_the_proportions_of_the_labels(self) -> None:
        strata = np.repeat([0, 1, 2], [700, 290, 10])
        chosen = drawing.draw(strata, 100, np.random.default_rng(0))
        assert len(set(chosen.tolist())) == 100 and (np.diff(chosen) > 0).all()
        counts = np.bincount(strata[chosen])
        assert abs(counts - [70, 29, 1]).max() <= 1 and counts[2] == 2  # two at least

    def test_the_same_seed_draws_the_same_rows(self) -> None:
        strata = np.arange(500) % 3
        first, again, other = (drawing.draw(strata, 50, np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert first.tolist() == again.tolist() != other.tolist()

    def test_every_part_has_its_share_of_each_label(self) -> None:
        strata = np.repeat([0, 1], [100, 50])
        parts = drawing.divide(strata, np.random.default_rng(0))
        assert np.bincount(parts[:100], minlength=PARTS).tolist() == [10] * PARTS
        assert np.bincount(parts[100:], minlength=PARTS).tolist() == [5] * PARTS

    @pytest.mark.parametrize(
        ("room", "counts"), [(60, [37, 20, 3]), (30, [13, 13, 3]), (1, [2, 2, 2]), (123, [100, 20, 3])]
    )
    def test_words_of_frequent_tags_are_thinned_until_all_have_room(self, room: int, counts: list[int]) -> None:
        strata = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [100, 20, 3]))
        chosen = drawing.level(strata, room, np.random.default_rng(0))
        found = np.bincount(strata[chosen]).tolist()
        assert (np.diff(chosen) > 0).all() and found == counts

    def test_words_that_are_drawn_keep_their_tags_and_vectors(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines = [f"anna B-PER\n\u200b O\nin O\nparis B-LOC\n{'x' * (n % 3)}y O\n" for n in range(30)]
        (tmp_path / "words.conll").write_text("\n".join(lines), encoding="utf-8")
        given = config(tmp_path / "words.conll", "token-classification", max_length=8)
        every = labelled.read(given, 30)
        monkeypatch.setattr(labelled, "MAX_WORDS", 100)
        monkeypatch.setattr(labelled, "MAX_READ", 150)
        data = labelled.read(given, 30)
        assert len(data.examples) == 30 and data.targets.sum(0).tolist() == [40, 30, 30]
        assert (data.targets == every.targets[data.points]).all() and (data.owner == every.owner[data.points]).all()
        features = data.featurize(Tokenizer.from_pretrained(TINY / "tags"), DataConfig(max_length=8, stride=2))
        hidden = np.arange(1, len(features.input_ids) + 1, dtype=np.float32)[:, None]
        by_word = vectors._words(hidden, features, every)
        assert (by_word[1::5] == 0).all() and (by_word[::5] > 0).all()  # a word without a token has no vector
        assert (vectors._words(hidden, features, data) == by_word[data.points]).all()

    def test_words_of_a_sentence_are_in_one_part_and_windows_do_not_mix_them_up(self, tmp_path: Path) -> None:
        lines = [f"anna B-PER\nworks O\nin O\nparis B-LOC\n{'x' * (n % 3)}y O\n" for n in range(30)]
        (tmp_path / "words.conll").write_text("\n".join(lines))
        data = labelled.read(config(tmp_path / "words.conll", "token-classification", max_length=8), 25)
        assert (len(data.examples), len(data.owner), data.available) == (25, 125, 30)
        assert data.labels == ("O", "B-LOC", "B-PER") and data.targets.sum(0).tolist() == [75, 25, 25]
        assert all(len(set(data.parts[data.owner == row])) == 1 for row in range(25))
        features = data.featurize(Tokenizer.from_pretrained(TINY / "tags"), DataConfig(max_length=8, stride=2))
        assert len(features) > 25 and features.in_context is not None and features.in_context.sum() == 125

    def test_pairs_are_encoded_as_pairs(self, tmp_path: Path) -> None:
        file = write(tmp_path / "pairs.tsv", [(a, "a film", b) for a, b in moods(24)], ("text", "second", "kind"))
        data = labelled.read(config(file, pair_column="second"), 100)
        features = data.featurize(Tokenizer.from_pretrained(TINY / "encoder"), DataConfig(max_length=32))
        begin, end = features.row_splits[:2]
        assert features.token_type_ids[begin:end].tolist()[-3:] == [1, 1, 1]

    def test_a_network_for_single_texts_is_refused_for_pairs(self) -> None:
        pair = TextExample("0", "a film", "a movie", "good")
        data = dataclasses.replace(made(one_hot(np.arange(20) % 2)), examples=[pair] * 20)
        data.check(BertConfig())
        with pytest.raises(ConfigError, match="tells 1 kind of token apart, and pairs of texts need 2"):
            data.check(BertConfig(type_vocab_size=1))

    def test_lists_of_labels_and_numbers_are_known_as_such(self, tmp_path: Path) -> None:
        sets = write(tmp_path / "sets.tsv", [(a, ("x,y", "y", "")[n % 3]) for n, (a, _) in enumerate(moods())])
        data = labelled.read(config(sets, label_separator=","), 100)
        assert (data.kind, data.labels, data.targets.sum(0).tolist()) == ("labels", ("x", "y"), [16, 32])
        numbers = write(tmp_path / "numbers.tsv", [(a, str(n / 4)) for n, (a, _) in enumerate(moods())])
        data = labelled.read(config(numbers), 20)
        assert (data.kind, data.targets.shape) == ("number", (20, 1))
        assert data.targets.min() < 2 and data.targets.max() > 10


class TestProbe:
    @pytest.mark.parametrize("kind", ["label", "labels", "number"])
    def test_a_loss_has_the_gradient_that_it_says(self, kind: Any) -> None:
        random = np.random.default_rng(0)
        outputs, targets = random.normal(size=(6, 3)), one_hot(np.arange(6) % 3)
        loss = probe._LOSSES[kind]
        step, numeric = 1e-6, np.zeros_like(outputs)
        for column in range(3):
            move = np.eye(3)[column] * step
            numeric[:, column] = (loss(outputs + move, targets)[0] - loss(outputs - move, targets)[0]) / (2 * step)
        np.testing.assert_allclose(loss(outputs, targets)[1], numeric, atol=1e-7)

    def test_linear_regression_is_the_solution_of_its_normal_equations(self) -> None:
        random = np.random.default_rng(0)
        inputs = np.concatenate([random.normal(size=(50, 4)), np.ones((50, 1))], 1)
        targets = random.normal(size=(50, 1)) + 3
        found = probe.fit(inputs, targets, probe._squares, 0.1)
        decay = np.diag([0.1] * 4 + [0.0])
        expected = np.linalg.solve(inputs.T @ inputs / 50 + decay, inputs.T @ targets / 50)
        np.testing.assert_allclose(found, expected, atol=1e-4)

    def test_logistic_regression_is_where_the_gradient_vanishes(self) -> None:
        random = np.random.default_rng(0)
        inputs = np.concatenate([random.normal(size=(60, 4)), np.ones((60, 1))], 1)
        targets = one_hot(random.integers(0, 3, 60))
        weights = probe.fit(inputs, targets, probe._softmax, 0.1)
        gradient = inputs.T @ probe._softmax(inputs @ weights, targets)[1] / 60
        gradient[:-1] += 0.1 * weights[:-1]
        assert np.abs(gradient).max() < 1e-4

    def test_no_point_is_judged_by_a_model_that_saw_it(self) -> None:
        random = np.random.default_rng(0)
        vectors = random.normal(size=(100, 60))  # wide enough to learn any labels by heart
        data = made(one_hot(random.integers(0, 2, 100)))
        outputs = probe.out_of_fold(vectors, data.targets, data.parts, "label")
        assert (outputs.argmax(1) == data.targets.argmax(1)).mean() < 0.65


class TestMeasures:
    RANDOM = np.random.default_rng(3)
    OUTPUTS, GOLD = RANDOM.normal(size=(90, 3)), RANDOM.integers(0, 3, 90)

    def score(self, data: Labelled, outputs: np.ndarray, metric: str | None = None) -> float:
        measure = measures.measure_of(data, metric)
        return float(measure.formula(measure.of_rows(outputs, data).sum(0)))

    def test_scores_are_those_of_the_metrics_room(self) -> None:
        expected = classification.evaluate(self.GOLD, self.OUTPUTS.argmax(1), labels=3)
        data = made(one_hot(self.GOLD))
        assert self.score(data, self.OUTPUTS) == pytest.approx(expected["accuracy"])
        assert self.score(data, self.OUTPUTS, "matthews") == pytest.approx(expected["matthews"])
        sets = made(self.OUTPUTS[::-1] > 0.5, "labels")
        of_sets = classification.evaluate_sets(sets.targets > 0, self.OUTPUTS > 0)
        assert self.score(sets, self.OUTPUTS) == pytest.approx(of_sets["micro_f1"])
        numbers = made(self.GOLD[:, None] + 0.5, "number")
        of_numbers = classification.evaluate_numbers(numbers.targets[:, 0], self.OUTPUTS[:, 0])
        assert self.score(numbers, self.OUTPUTS[:, :1]) == pytest.approx(of_numbers["pearson"])

    def test_tags_are_scored_without_outside(self) -> None:
        gold, said = np.array([0, 0, 1, 2, 0, 1]), np.array([0, 1, 1, 0, 0, 2])  # one of three, of three gold ones
        data = made(one_hot(gold), "tags", owner=np.array([0, 0, 0, 1, 1, 1]))
        assert self.score(data, one_hot(said)) == pytest.approx(100 / 3)

    def test_saying_the_same_of_every_row_is_the_floor(self) -> None:
        data = made(one_hot(np.repeat([0, 1], [70, 30])))
        assert measures.without_vectors(measures.measure_of(data, None), data) == pytest.approx(70)
        assert measures.without_vectors(measures.measure_of(data, "matthews"), data) == 0

    def test_drawing_rows_again_spreads_as_theory_says(self) -> None:
        data = made(one_hot(np.repeat([0, 1], [320, 80])))
        measure = measures.measure_of(data, None)
        statistics = measure.of_rows(np.tile([1.0, 0.0], (400, 1)), data)
        found = measures.redrawn(statistics, measure.formula, draws=2000, seed=0)
        assert found.mean() == pytest.approx(80, abs=0.3) and found.std() == pytest.approx(2.0, rel=0.1)


class TestOrder:
    IS_ONE = np.arange(300) % 2
    NOISE = np.random.default_rng(5).normal(size=(4, 300, 12)).astype(np.float32)

    def telling(self, strength: float, which: int = 0) -> np.ndarray:
        direction = np.eye(12, dtype=np.float32)[0] * strength
        return self.NOISE[which] + (2 * self.IS_ONE[:, None] - 1) * direction

    def test_vectors_that_tell_more_come_first(self) -> None:
        data = made(one_hot(self.IS_ONE))
        found = ordered({"noise": self.NOISE[1], "much": self.telling(2), "some": self.telling(1, 2)}, data)
        assert [candidate.source for candidate in found.candidates] == ["much", "some", "noise"]
        by_probe = [candidate.probe.value for candidate in found.candidates]
        assert by_probe == sorted(by_probe, reverse=True) and by_probe[0] > 95
        assert [c.source for c in found.first] == ["much"]
        assert found.verdict.startswith("Start from much: its LogME is ")
        assert found.candidates[0].behind == Interval(0, 0, 0)

    def test_vectors_that_tell_as_much_are_too_close_to_call(self) -> None:
        data = made(one_hot(self.IS_ONE))
        found = ordered({"one": self.telling(1), "two": self.telling(1, 2), "noise": self.NOISE[1]}, data)
        assert {candidate.source for candidate in found.first} == {"one", "two"}
        assert found.verdict.startswith("Too close to call between ")
        assert "label more of them" in found.verdict

    def test_vectors_that_tell_nothing_are_doubted(self) -> None:
        found = ordered({"noise": self.NOISE[1]}, made(one_hot(self.IS_ONE)))
        assert found.verdict.startswith("Only noise could be scored")
        assert "hardly better than saying the same of every row (accuracy 50.0)" in found.verdict

    def test_scores_that_disagree_are_told(self) -> None:
        data = made(one_hot(self.IS_ONE))
        best, other = ordered({"one": self.telling(2), "two": self.telling(1, 2)}, data).candidates
        turned = dataclasses.replace(other, probe=Interval(99, 98, 100), probe_behind=Interval(-3, -5, -1))
        base = ordered({"one": self.telling(2)}, data)
        found = dataclasses.replace(base, candidates=(best, turned))
        assert "The probe would put two before one, by 3.0 (95 % interval 1.0 to 5.0): train both." in found.verdict

    def test_the_kind_of_vectors_with_the_highest_logme_is_taken(self) -> None:
        data = made(one_hot(self.IS_ONE))
        by_kind = {"mean": self.NOISE[1], "cls": self.telling(2), "pooled": self.NOISE[2]}
        found = scores.score(by_kind, data, measures.measure_of(data, None), seed=1)
        assert found.vectors == "cls" and set(found.by_vectors) == set(by_kind)
        assert found.logme == max(found.by_vectors.values())

    def test_numbers_and_words_are_ordered_too(self) -> None:
        wanted = self.telling(1)[:, :1] * 3 + 20
        numbers = made(wanted, "number")
        found = ordered({"noise": self.NOISE[1], "right": self.telling(1)}, numbers)
        assert found.candidates[0].source == "right" and found.candidates[0].probe.value > 95
        words = made(one_hot(self.IS_ONE), "tags", owner=np.arange(300) // 3)
        found = ordered({"noise": self.NOISE[1], "right": self.telling(2)}, words)
        assert found.candidates[0].source == "right" and found.measure == "F1 of words"


class TestCheckpoints:
    def test_the_command_orders_checkpoints_and_tells_what_it_left_out(
        self, tmp_path: Path, graph_mode: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = write(tmp_path / "moods.tsv", moods(64))
        encoder, topics = str(TINY / "encoder"), str(TINY / "topics")
        command = ["hub", "rank", "--quiet", "--task", "sequence-classification", "--data", str(file), "--rows", "32",
                   encoder, topics, "nowhere", "text_column=text", "label_column=kind", "max_length=32",
                   "device=cpu"]  # fmt: skip
        assert main(command) == 1  # a script has to notice
        printed = capsys.readouterr().out.splitlines()
        assert printed[0] == f"sequence-classification, {file}: 32 of 64 rows, 2 labels"
        assert printed[1].split()[:3] == ["checkpoint", "LogME", "probe:"]
        assert [line[0] for line in printed[2:4]] == ["1", "2"]
        assert printed[5].startswith("left out: nowhere: unknown model 'nowhere'")
        assert printed[6].startswith(("Start from", "Too close to call"))

    def test_a_ranking_is_json_and_the_same_again(self, tmp_path: Path, graph_mode: None) -> None:
        file = write(tmp_path / "moods.tsv", moods(64))
        seen: list[tuple[str, int, int]] = []
        sources = [str(TINY / name) for name in ("encoder", "topics", "encoder")]
        found, again = (
            rank(config(file), sources, rows=32, watch=lambda *what: seen.append(what)) for _ in range(2)
        )  # what was named twice is scored once
        values = json.loads(json.dumps(found.to_dict()))
        assert values["first"] == [c.source for c in found.first] and values["verdict"] == found.verdict
        assert values["candidates"][0]["logme"].keys() == {"value", "low", "high"}
        assert set(values["candidates"][0]["by_vectors"]) == {"mean", "cls", "pooled"}
        assert [without_time(c) for c in found.candidates] == [without_time(c) for c in again.candidates]
        assert seen[0] == (sources[0], 32, 32) and len(seen) == 4

    def test_every_word_has_a_vector_of_its_own(self, tmp_path: Path, graph_mode: None) -> None:
        lines = [f"{'anna' if n % 2 else 'john'} B-PER\nis O\nin O\nparis B-LOC\n" for n in range(32)]
        (tmp_path / "words.conll").write_text("\n".join(lines))
        found = rank(config(tmp_path / "words.conll", "token-classification"), [str(TINY / "tags")], rows=32)
        (only,) = found.candidates
        assert (found.points, only.vectors, only.width) == (128, "word", 16)
        assert only.probe.value == 100  # every word tells its tag

    def test_checkpoints_that_all_fail_are_an_error_with_the_reasons(self, tmp_path: Path) -> None:
        long = dataclasses.replace(config(write(tmp_path / "m.tsv", moods())), data=DataConfig(
            train_file=str(tmp_path / "m.tsv"), text_column="text", label_column="kind", max_length=100))  # fmt: skip
        with pytest.raises(CheckpointError, match=r"none of 2 checkpoints could be scored:\n.*at most 64 tokens.*\n.*"):
            rank(long, [str(TINY / "encoder"), "scratch"])

    def test_with_none_named_all_on_this_machine_are_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = tmp_path / "catalogue.yaml"
        entries = {"my-tiny": TINY / "encoder", "gone": tmp_path / "nowhere"}
        own.write_text("".join(f"{name}: {{summary: mine, path: {path}}}\n" for name, path in entries.items()))
        monkeypatch.setenv("BERT_MS_CATALOGUE", str(own))
        found = ranking._at_hand()
        assert "my-tiny" in found and "gone" not in found and "google-chinese" not in found


class TestErrors:
    def test_tasks_without_labels_of_vectors_are_refused_with_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"not ranked for task 'question-answering': an answer is a span.*train"):
            rank(RunConfig(task="question-answering"))

    @pytest.mark.parametrize(
        ("rows", "told"),
        [
            (moods(12), "has 12 rows, expected at least 20"),
            ([(text, "same") for text, _ in moods()], r"of the labels drawn \(same\), 0 are neither at nearly all"),
            ([(text, "1.5") for text, _ in moods()], "nearly all numbers drawn are 1.5"),
        ],
        ids=["few", "one label", "one number"],
    )
    def test_data_that_tell_nothing_are_refused(self, tmp_path: Path, rows: Any, told: str) -> None:
        with pytest.raises(DataError, match=told):
            rank(config(write(tmp_path / "rows.tsv", rows)), [str(TINY / "encoder")])

    def test_values_that_cannot_be_used_are_told(self, tmp_path: Path) -> None:
        file = write(tmp_path / "moods.tsv", moods())
        with pytest.raises(ConfigError, match="rows is 5: expected at least 20"):
            rank(config(file), rows=5)
        with pytest.raises(ConfigError, match="unknown score 'logem': did you mean 'logme'"):
            rank(config(file), by="logem")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["--data", "rows.tsv"], "neither --task nor -c is given"),
            (["--task", "sequence-classification"], "--data is not given"),
            (["--task", "sequence-classification", "--data", "rows.tsv"], "there is no such file"),
        ],
    )
    def test_the_command_says_what_is_missing(
        self, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["hub", "rank", *arguments]) == 2
        assert told in capsys.readouterr().err


def without_time(candidate: Candidate) -> Candidate:
    return dataclasses.replace(candidate, seconds=0.0)
