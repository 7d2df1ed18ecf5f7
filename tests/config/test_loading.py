"""Configurations from YAML and overrides: what is taken, and how each mistake is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bert_ms.config import RunConfig
from bert_ms.config.keys import PEER_NAMES
from bert_ms.config.loading import dump, find_config, named_configs, parse_config, resolve_config, to_yaml
from bert_ms.errors import ConfigError


def problems(text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, overrides=overrides)
    return list(caught.value.problems)


def test_empty_text_is_the_default_run() -> None:
    assert parse_config("") == RunConfig()
    assert parse_config("# only a comment\ndata:\n") == RunConfig()


def test_every_kind_of_value_is_read() -> None:
    config = parse_config(
        "seed: 7\n"
        "model: {source: some/where, do_lower_case: false, allow_missing: ['qa_outputs.*']}\n"
        "optimizer:\n  learning_rate: 1e-4\n  betas: [0, 0.98]\n"
        "training: {epochs: 3, max_steps: null}\n"
        "evaluation: {null_threshold: search}\n"
    )
    assert config.seed == 7
    assert config.model.do_lower_case is False
    assert config.model.allow_missing == ("qa_outputs.*",)
    assert config.optimizer.learning_rate == 1e-4
    assert config.optimizer.betas == (0.0, 0.98)
    assert config.training.epochs == 3.0 and isinstance(config.training.epochs, float)
    assert config.evaluation.null_threshold == "search"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("seed: 1.5", "line 1: seed is 1.5: expected a whole number."),
        ("seed: true", "line 1: seed is true: expected a whole number."),
        ("\nseed: '7'", "line 2: seed is '7': expected a whole number."),
        ("output_dir: 7", "line 1: output_dir is 7: expected text."),
        ("threads: many", "line 1: threads is 'many': expected a whole number or null."),
        ("optimizer: {eps: .nan}", "line 1: optimizer.eps is nan: expected a number."),
        ("optimizer: {betas: [0.9]}", "line 1: optimizer.betas is [0.9]: expected a list of 2, [0.9, 0.9]."),
        (
            "precision: {dtype: float15}",
            "line 1: precision.dtype is 'float15': expected one of float32, float16, bfloat16, int8, probably float16.",
        ),
        ("data:\n  max_length: {a: 1}", "line 2: data.max_length is {'a': '...'}: expected a whole number."),
        ("training:\n  epochs: -1", "line 2: training.epochs is -1.0: expected more than 0."),
        ("training: fast", "line 1: training is 'fast': expected a section with keys of epochs, max_steps,"),
        ("- a", "line 1: expected `key: value` lines, found a list."),
        ("data: [1", "line 1: this is not YAML: expected ',' or ']'"),
        (
            "seed: !!python/object/apply:os.system [ls]",
            "line 1: seed cannot be read: could not determine",
        ),
    ],
)
def test_a_bad_value_is_shown_with_its_line_and_what_was_expected(text: str, problem: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert found[0].startswith(problem)


@pytest.mark.parametrize(
    ("key", "guess"),
    [
        ("optimizer.learning_rte", "optimizer.learning_rate"),
        ("learning_rate", "optimizer.learning_rate"),
        ("lr", "optimizer.learning_rate"),
        ("optimiser", "optimizer"),
        ("training.stride", "data.stride"),
        ("batch_size", "training.batch_size or evaluation.batch_size"),
        ("max_seq_length", "data.max_length"),
        ("warmup_steps", "schedule.warmup_steps"),
        ("data.max_lenght", "data.max_length"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(key: str, guess: str) -> None:
    section, _, last = key.rpartition(".")
    text = f"{section}:\n  {last}: 1" if section else f"{key}: 1"
    assert problems(text) == [f"line {text.count(chr(10)) + 1}: unknown key '{key}': did you mean {guess}?"]


def test_a_key_like_no_other_is_refused_with_the_choices() -> None:
    (problem,) = problems("qqqq: 1")
    assert "Sections: model, data, pretraining" in problem
    (problem,) = problems("schedule: {qqqq: 1}")
    assert "Known: schedule.end_factor, schedule.name, schedule.power" in problem


def test_every_name_of_the_peers_points_at_a_key_of_ours() -> None:
    known = {
        f"{section}.{key}" for section, part in RunConfig().to_dict().items() if isinstance(part, dict) for key in part
    }
    assert set(PEER_NAMES.values()) <= known | set(RunConfig().to_dict())


def test_all_mistakes_are_named_at_once_in_reading_order() -> None:
    found = problems("lr: 1\noptimizer:\n  name: adam\n  eps: 0\nseed: -1\n", "epochs=0", "nonsense")
    assert [problem.partition(":")[0] for problem in found[:4]] == ["line 1", "line 3", "line 4", "line 5"]
    assert found[4:] == [
        "override 'nonsense': expected key=value, for example training.epochs=1.",
        "override 'epochs=0': training.epochs is 0.0: expected more than 0.",
    ]


def test_a_doubled_key_is_refused() -> None:
    assert problems("data:\n  stride: 1\n  stride: 2") == [
        "line 3: data.stride stands twice, first in line 2: keep one."
    ]


def test_text_that_would_grow_without_bound_is_refused() -> None:
    assert "is an alias, which is not read" in problems("a: &a [1]\nb: [*a, *a]")[0]
    assert "nested deeper than 20 levels" in problems("seed: " + "[" * 100_000)[0]
    assert "expected a configuration of at most" in problems("#" * (2 << 20))[0]


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("training.epochs=1", "training.epochs", 1.0),
        ("epochs=0.5", "training.epochs", 0.5),
        ("learning_rate=2e-5", "optimizer.learning_rate", 2e-5),
        ("seed=3", "seed", 3),
        ("train_file=/data/a #1.json", "data.train_file", "/data/a #1.json"),
        ("train_file=", "data.train_file", None),
        ("source=2024", "model.source", "2024"),
        ("source='a b'", "model.source", "a b"),
        ("buckets=[64, 128]", "data.buckets", (64, 128)),
        ("null_threshold=search", "evaluation.null_threshold", "search"),
        ("data={stride: 64, workers: 2}", "data.stride", 64),
    ],
)
def test_an_override_wins_over_the_file(override: str, path: str, value: object) -> None:
    config: object = parse_config("seed: 1\ntraining: {epochs: 9}\n", overrides=[override])
    for name in path.split("."):
        config = getattr(config, name)
    assert config == value


def test_a_bare_override_that_several_sections_have_is_refused() -> None:
    (problem,) = problems("", "batch_size=8")
    assert problem.endswith("batch_size may be training.batch_size or evaluation.batch_size: write the one you mean.")


def test_what_is_dumped_is_read_back_the_same(tmp_path: Path) -> None:
    config = parse_config("", overrides=["learning_rate=1e-07", "buckets=[32]", "vocab='a: b'", "eps=1e-12"])
    assert parse_config(to_yaml(config)) == config
    dump(config, tmp_path / "resolved_config.yaml")
    assert resolve_config(tmp_path / "resolved_config.yaml") == config
    assert [path.name for path in tmp_path.iterdir()] == ["resolved_config.yaml"]


def test_a_failed_dump_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "resolved_config.yaml"
    dump(RunConfig(), target)
    before = target.read_text()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ConfigError, match=r"resolved_config\.yaml cannot be written: No space left"):
        dump(dataclasses.replace(RunConfig(), seed=1), target)
    assert target.read_text() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_configuration_is_found_by_name_or_path(tmp_path: Path) -> None:
    assert find_config("squad_sample") == named_configs()["squad_sample"]
    own = tmp_path / "mine.yaml"
    own.write_text("seed: 1")
    assert find_config(own) == own


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("squad_sampel", "unknown configuration 'squad_sampel': did you mean 'squad_sample'"),
        ("elsewhere/squad_sample.yaml", "there is no file elsewhere/squad_sample.yaml. One of that name ships"),
        ("nothing.yaml", "there is no file nothing.yaml."),
        (".", "is a directory: expected a YAML file, for example resolved_config.yaml"),
    ],
)
def test_a_configuration_that_is_not_there_is_named(given: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_config(given)


def test_a_file_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"weights\.yaml: is not UTF-8 at byte 0: save it as UTF-8"):
        resolve_config(path)
