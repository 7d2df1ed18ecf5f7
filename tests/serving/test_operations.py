"""What operations are handed names only what there is: metrics, settings, options, files, headings."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from bert_ms.cli.parser import parse
from tests.support import REPOSITORY

pytest.importorskip("flask")
SERVING = REPOSITORY / "serving"
RUNBOOK = (REPOSITORY / "docs" / "runbook.md").read_text(encoding="utf-8")
ALERTS = yaml.safe_load((SERVING / "alerts.yml").read_text())
DASHBOARD = json.loads((SERVING / "grafana.json").read_text())
COMPOSE = yaml.safe_load((SERVING / "compose.yaml").read_text())
RULE_TESTS = REPOSITORY / "tests" / "serving" / "alerts_test.yml"
METRIC = re.compile(r"\bbertms_[a-z_]+")


def rules() -> Iterator[dict[str, Any]]:
    for group in ALERTS["groups"]:
        yield from group["rules"]


def expressions() -> Iterator[str]:
    """Every query of the dashboard and of the rules."""
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (rule["expr"] for rule in rules())


@pytest.fixture(scope="module")
def scraped() -> dict[str, set[str]]:
    """Names of all samples of a server in which everything happened once, with their labels."""
    from prometheus_client.parser import text_string_to_metric_families

    from serving.http.exchange import Exchange
    from serving.http.metrics import Metrics
    from serving.service import Call
    from tests.serving.fakes import two_models

    repository = two_models()
    metrics = Metrics(repository)
    (tell,) = repository.observers
    tell("batch", model="answers", rows=2, tokens=30, padded=64, queue_seconds=0.1, infer_seconds=0.1)
    tell("rejected", model="answers", reason="queue_full")
    tell("engine_restart", model="answers", reason="died")
    tell("compile", model="answers", shape=(1, 32))
    call = Call(deadline=0.0, timings={"tok": 0.001})
    metrics.count(Exchange(request_id="1", dialect="native", call=call, kind="qa", model="answers"), 200)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_metric_that_is_asked_for_exists_with_its_labels(scraped: dict[str, set[str]]) -> None:
    asked = list(expressions())
    assert len(asked) > 30
    given = {"instance", "job"}  # Prometheus' own
    for expression in asked:
        for name, labels in re.findall(r"(bertms_[a-z_]+)(?:\{([^}]*)\})?", expression):
            assert name in scraped, expression
            assert set(re.findall(r"(\w+)(?:=|!)", labels)) <= scraped[name] | given, expression
        by = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")}
        assert by <= given.union(*(scraped[name] for name in METRIC.findall(expression))), expression


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
def test_prometheus_reads_what_it_is_given_and_every_rule_speaks_and_is_silent_in_time() -> None:
    tests = yaml.safe_load(RULE_TESTS.read_text())["tests"]
    loud = {one["alertname"] for test in tests for one in test["alert_rule_test"] if one.get("exp_alerts")}
    assert loud == {rule["alert"] for rule in rules()}
    for words in (["check", "config", "--syntax-only", "prometheus.yml"], ["test", "rules", str(RULE_TESTS)]):
        done = subprocess.run(["promtool", *words], cwd=SERVING, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_runbook_names_metrics_that_exist(scraped: dict[str, set[str]]) -> None:
    bases = {re.sub(r"_(bucket|count|sum)$", "", name) for name in scraped}
    named = set(METRIC.findall(RUNBOOK))
    assert len(named) > 10 and named <= bases
    drawn = {re.sub(r"_(bucket|count|sum)$", "", name) for one in expressions() for name in METRIC.findall(one)}
    assert {name for name in bases if not name.endswith("_created")} <= drawn, "the dashboard leaves one out"


def test_each_rule_leads_to_a_heading_of_the_runbook() -> None:
    headings = set(re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE))
    led = {rule["annotations"]["runbook"] for rule in rules()}
    assert len(led) > 5 and led <= headings
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", RUNBOOK)) <= anchors


def test_the_runbook_names_settings_and_options_that_exist() -> None:
    from serving.settings import ModelSettings, ServerSettings

    known = {*ServerSettings.model_fields, *ModelSettings.model_fields}
    named = set(re.findall(r"`(max_\w+|\w+_timeout|shapes|threads|dtype|model_root)`", RUNBOOK))
    assert len(named) > 8 and named <= known
    for option in set(re.findall(r"`(--[a-z-]+)", RUNBOOK)):
        parse(["serve", option, "1"])


def test_every_log_line_that_the_runbook_quotes_is_written_somewhere() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in SERVING.rglob("*.py"))
    quoted = set(re.findall(r'(?:log lines?|says|and|or) "([^"]+)"', RUNBOOK))
    assert len(quoted) >= 6
    for line in quoted:
        parts = [re.escape(part) for part in line.split(" ... ")]
        assert re.search(".*".join(parts), source), line


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"]) > 20
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_environment_variables_of_container_and_unit_are_settings() -> None:
    from serving.settings import ServerSettings

    known = {f"BERTMS_{name.upper()}" for name in ServerSettings.model_fields}
    for name in ("Dockerfile", "compose.yaml", "bert-ms.service"):
        named = set(re.findall(r"\bBERTMS_[A-Z_]+", (SERVING / name).read_text()))
        assert named and named <= known, name


def test_compose_mounts_files_that_are_there_and_shares_its_names() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"server", "prometheus", "grafana"}
    for service in services.values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or source == "../runs" or (SERVING / source).is_file(), volume
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        assert {one["source"] for one in service.get("configs", ())} <= set(COMPOSE["configs"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    for content in COMPOSE["configs"].values():
        assert yaml.safe_load(content["content"])["apiVersion"] == 1
    ignored = (REPOSITORY / ".gitignore").read_text().split()
    assert "secrets/" in ignored
    assert all(secret["file"].startswith("./secrets/") for secret in COMPOSE["secrets"].values())
    scrape = yaml.safe_load((SERVING / "prometheus.yml").read_text())
    assert all((SERVING / name).is_file() for name in scrape["rule_files"])
    (target,) = scrape["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target == f"server:{services['server']['environment']['BERTMS_ADMIN_PORT']}"
    # Not the server's own file of keys: with a second one in it, as while keys change, nothing could be scraped.
    credentials = scrape["scrape_configs"][0]["authorization"]["credentials_file"]
    assert [credentials] == [f"/run/secrets/{name}" for name in services["prometheus"]["secrets"]]
    assert credentials not in services["server"]["environment"].values()
    build = services["server"]["build"]
    assert (SERVING / build["context"] / build["dockerfile"]).is_file()


def test_the_container_copies_what_the_checkout_has() -> None:
    text = (SERVING / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        assert all((REPOSITORY / source).exists() for source in line.split()[:-1]), line
    (user,) = re.findall(r"^USER (?!0)(\d+)$", text, re.MULTILINE)
    assert f"--uid {user} " in text and "HEALTHCHECK" in text
    # Over a folder of the image a tmpfs is root's, unless it is told.
    assert f"/var/lib/bert_ms:uid={user},mode=0700" in COMPOSE["services"]["server"]["tmpfs"]
    setup = (REPOSITORY / "setup.py").read_text()
    (extras,) = re.findall(r"^ARG EXTRAS=(.+)$", text, re.MULTILINE)
    assert all(f'"{extra}": ' in setup for extra in extras.split(","))


def test_the_unit_starts_a_command_that_exists_and_waits_for_the_drain() -> None:
    from serving.settings import ServerSettings

    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[method-assign, assignment]
    unit.read(SERVING / "bert-ms.service")
    _, *words = shlex.split(unit["Service"]["ExecStart"])
    assert parse(words).config == "/etc/bert_ms/settings.yaml"
    drain = ServerSettings().drain_timeout
    assert float(unit["Service"]["TimeoutStopSec"]) > drain
    assert float(COMPOSE["services"]["server"]["stop_grace_period"].rstrip("s")) > drain
    if shutil.which("systemd-analyze"):
        command = ["systemd-analyze", "verify", str(SERVING / "bert-ms.service")]
        said = subprocess.run(command, capture_output=True, text=True).stderr.splitlines()
        assert not [line for line in said if "bert-ms.service" in line and "is not executable" not in line]
