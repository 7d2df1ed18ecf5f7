"""Several seeds in one command: the same runs as one by one, and what is told of all of them."""

from __future__ import annotations

import dataclasses
import json
import statistics
from pathlib import Path

import pytest

from bert_ms.cli import main
from bert_ms.config import RunConfig
from bert_ms.config.loading import dump, parse_config
from bert_ms.errors import ConfigError
from bert_ms.pipelines import runs
from bert_ms.pipelines.results import RunResult
from tests.pipelines.test_runs import assert_same_end, config_for, source, with_evaluation

__all__ = ["source"]


def test_each_seed_gives_what_it_gives_alone_and_the_command_goes_on_where_it_was(
    source, tmp_path, graph_mode, capsys
):
    config = with_evaluation(config_for(source, tmp_path, questions=16, max_steps=2, name="series"))
    config = dataclasses.replace(config, seeds=(42, 43))
    alone = dataclasses.replace(config, seeds=(), seed=43, output_dir=str(tmp_path / "alone"))
    runs.train(alone)
    dump(config, tmp_path / "series.yaml")
    assert main(["train", "-c", str(tmp_path / "series.yaml"), "-q"]) == 0
    shown, folder = capsys.readouterr().out, Path(config.output_dir)
    assert_same_end(folder / "seed_43", Path(alone.output_dir))

    told = json.loads((folder / "seeds.json").read_text())
    assert told["seeds"] == [42, 43] and told["metric"] == "f1"
    values = [json.loads((folder / f"seed_{seed}" / "eval.json").read_text())["f1"] for seed in (42, 43)]
    assert told["scores"]["f1"]["values"] == {"42": values[0], "43": values[1]}
    assert told["scores"]["f1"]["mean"] == pytest.approx(statistics.fmean(values), abs=1e-4)
    assert told["scores"]["f1"]["deviation"] == pytest.approx(statistics.stdev(values), abs=1e-4)
    assert "seed 42: finished" in shown and "(decides)" in shown and "deviation" in shown

    assert main(["train", "-c", str(tmp_path / "series.yaml"), "-q"]) == 0
    assert capsys.readouterr().out.count("finished before") == 2
    assert json.loads((folder / "seeds.json").read_text()) == told


def runner(scores: dict[int, dict[str, float]], *, stops_at: int | None = None, seen: list[RunConfig]):
    """Stands in for runs that were launched elsewhere."""

    def run(config: RunConfig) -> RunResult:
        seen.append(config)
        status = 143 if config.seed == stops_at else 0
        return RunResult(
            status="interrupted" if status else "finished", folder=Path(config.output_dir), exit_status=status,
            scores={} if status else scores[config.seed], metric="f1",
        )  # fmt: skip

    return run


def test_an_interrupted_seed_ends_the_series_with_its_code(tmp_path):
    config, seen = RunConfig(output_dir=str(tmp_path / "series"), seeds=(1, 2, 3)), []
    found = runs.train_seeds(config, run=runner({1: {"f1": 80.0, "total": 4.0}}, stops_at=2, seen=seen))
    assert (found.exit_status, list(found.runs)) == (143, [1, 2])
    assert [(one.seed, one.seeds, Path(one.output_dir).name) for one in seen] == [(1, (), "seed_1"), (2, (), "seed_2")]
    told = json.loads((tmp_path / "series" / "seeds.json").read_text())
    assert told["scores"]["f1"] == {"mean": 80.0, "deviation": None, "values": {"1": 80.0}}


def test_the_deviation_is_that_of_the_sample(tmp_path):
    config = RunConfig(output_dir=str(tmp_path / "series"), seeds=(1, 2, 3))
    scores = {seed: {"f1": value} for seed, value in ((1, 80.0), (2, 82.0), (3, 87.0))}
    found = runs.train_seeds(config, run=runner(scores, seen=[]))
    assert found.scores["f1"].mean == 83.0
    assert found.scores["f1"].deviation == pytest.approx(13**0.5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seeds: [1, 1]", r"seeds is \[1, 1\]: expected each only once"),
        ("seeds: [-1]", "seeds has -1: expected 0 to 2147483647"),
        ("seeds: [a]", "seeds is .* expected a list such as"),
    ],
)
def test_bad_seeds_are_named(text, expected):
    with pytest.raises(ConfigError, match=expected):
        parse_config(text)


def test_a_single_run_is_not_mixed_with_several(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "resolved_config.yaml").write_text("")
    config = RunConfig(output_dir=str(tmp_path / "run"), seeds=(1, 2))
    with pytest.raises(ConfigError, match="where a single run is: name another directory for several seeds"):
        runs.train_seeds(config)
    with pytest.raises(ConfigError, match=r"seeds is \[1, 2\]: several runs are made of it by `runs.train_seeds`"):
        runs.train(config)
    with pytest.raises(ConfigError, match=r"seeds is \[\]: expected some"):
        runs.train_seeds(RunConfig())
