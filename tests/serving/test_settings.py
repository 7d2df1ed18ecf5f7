"""Settings come from defaults, the file, the environment and options, in this order; all that is wrong is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from bert_ms.errors import ConfigError
from serving.resolving import as_yaml, exposed_key_files, resolve
from serving.settings import ModelSettings, ServerSettings, hashed, is_loopback
from serving.spec import ModelSpec

KEY = "0123456789abcdef-secret"


def wrong(**sources: object) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(**{"environment": {}, **sources})  # type: ignore[arg-type]
    return str(caught.value)


def test_the_defaults_are_those_that_the_design_names() -> None:
    found = resolve(environment={})
    assert (found.host, found.max_body_bytes, found.max_items, found.max_inflight) == ("127.0.0.1", 2 << 20, 32, 256)
    assert (found.max_queue_items, found.max_queue_tokens) == (512, 65_536)
    assert (found.request_timeout, found.drain_timeout) == (30.0, 30.0)


def test_without_a_model_the_embedded_one_is_served_and_the_sample_where_its_run_is(tmp_path: Path) -> None:
    assert list(resolve(environment={}).models) == ["minilm"]
    (tmp_path / "runs/squad_sample").mkdir(parents=True)  # of a run that has not ended
    assert list(resolve(environment={}).models) == ["minilm"]
    (tmp_path / "runs/squad_sample/card.md").touch()
    assert list(resolve(environment={}).models) == ["minilm", "squad_sample"]


def test_each_source_goes_before_the_one_before_it(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("port: 1\nmax_items: 2\nmax_inflight: 3\nmodels: {qa: runs/qa}\n")
    found = resolve(file=file, environment={"BERTMS_MAX_ITEMS": "20", "BERTMS_MAX_INFLIGHT": "30"},
                    flags={"max_inflight": "300", "host": None})  # fmt: skip
    assert (found.port, found.max_items, found.max_inflight, found.host) == (1, 20, 300, "127.0.0.1")
    assert found.models["qa"].source == "runs/qa"


def test_models_are_named_by_the_catalogue_by_their_folder_or_by_hand() -> None:
    found = resolve(models=["minilm", "runs/squad/", "qa=some/where"], environment={})
    sources = {"minilm": "minilm", "squad": "runs/squad/", "qa": "some/where"}
    assert {name: model.source for name, model in found.models.items()} == sources


def test_a_folder_whose_name_has_an_equals_sign_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a=b").mkdir()
    assert "name is 'a=b'" in wrong(models=["./a=b"])
    assert resolve(models=["c=./a=b"], environment={}).models["c"].source == "./a=b"


def test_a_model_takes_the_servers_own_settings_where_it_has_none(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(
        "device: cpu\nthreads: 2\nmodels:\n  one: minilm\n  two: {source: minilm, threads: 4, shapes: [[1, 32]]}\n"
    )
    one, two = resolve(file=file, environment={}).specs()
    assert (one.device, one.threads, one.shapes) == ("cpu", 2, None)
    assert (two.device, two.threads, two.shapes) == ("cpu", 4, ((1, 32),))


def test_unknown_keys_are_answered_with_the_nearest_from_every_source(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("prot: 1\nmodels:\n  qa: {source: a, max_lenght: 3}\n")
    text = wrong(file=file, environment={"BERTMS_PROT": "1"}, flags={"hots": "a"})
    for guess in ("did you mean 'port'?", "did you mean 'BERTMS_PORT'?", "did you mean 'host'?", "'max_length'?"):
        assert guess in text
    assert f"{file}, line 1" in text


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("port", "x", "port is 'x'"),
        ("port", "70000", "port is 70000"),
        ("port", "-1", "port is -1"),
        ("max_items", "0", "max_items is 0"),
        ("request_timeout", "0", "request_timeout is 0"),
        ("request_timeout", "nan", "request_timeout"),
        ("device", "tpu", "device is 'tpu'"),
        ("tracing", "maybe", "tracing is 'maybe'"),
        ("log_level", "loud", "log_level is 'loud'"),
    ],
)
def test_a_value_that_does_not_fit_is_shown(key: str, value: str, said: str) -> None:
    assert said in wrong(flags={key: value})
    assert said in wrong(environment={f"BERTMS_{key.upper()}": value})


def test_all_that_is_wrong_is_told_at_once() -> None:
    text = wrong(flags={"port": "x", "host": 3, "nonsense": 1})
    assert "3 problems" in text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_no_address_that_others_reach_is_served_without_a_key(host: str) -> None:
    assert "there is no API key" in wrong(flags={"host": host})
    assert "admin_keys" in wrong(flags={"admin_host": host})
    assert resolve(flags={"host": host, "api_keys": KEY}, environment={}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert is_loopback(host)
    assert resolve(flags={"host": host}, environment={}).host == host


def test_two_servers_do_not_share_a_port() -> None:
    assert "port and admin_port are both 9000" in wrong(flags={"port": "9000", "admin_port": "9000"})


def test_keys_are_kept_as_hashes_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# the data port's\n{KEY}\n\n{hashed('another-key-0123456789')}\n")
    found = resolve(flags={"api_keys_file": str(file)}, environment={"BERTMS_ADMIN_KEYS": f"{KEY}2"})
    assert found.api_keys == (hashed(KEY), hashed("another-key-0123456789"))
    shown = as_yaml(found) + repr(found)
    assert KEY not in shown
    assert yaml.safe_load(as_yaml(found))["api_keys"] == "<2 hidden>"


@pytest.mark.parametrize("key", ["short", "with a space in it", "ümlaut-0123456789", "sha256:1234"])
def test_keys_that_are_none_are_refused_unseen(key: str) -> None:
    text = wrong(flags={"api_keys": [key]})
    assert "api_keys" in text and key not in text


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (KEY, 0o600, ""),
        (KEY, 0o640, ""),
        (KEY, 0o644, "api_keys_file: everybody may read the keys in"),
        (hashed(KEY), 0o444, ""),
        (hashed(KEY), 0o666, "api_keys_file: others may write keys of their own to"),
        (KEY, 0o660, "api_keys_file: others may write keys of their own to"),
    ],
)
def test_key_files_that_others_reach_are_told_of(tmp_path: Path, text: str, mode: int, said: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    file.chmod(mode)
    found = exposed_key_files(resolve(flags={"api_keys_file": str(file)}, environment={}))
    assert len(found) == bool(said) and KEY not in str(found)
    assert all(one.startswith(f"{said} {file}") for one in found)


def test_a_key_file_of_another_systems_editor_is_read(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"\xef\xbb\xbf" + f"{KEY}\r\n".encode())
    assert resolve(flags={"api_keys_file": str(tmp_path / "keys")}, environment={}).api_keys == (hashed(KEY),)


def test_a_file_without_keys_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# none yet\n")
    assert "holds no key" in wrong(flags={"api_keys_file": str(tmp_path / "keys")})
    assert "cannot be read" in wrong(flags={"api_keys_file": str(tmp_path / "missing")})


@pytest.mark.parametrize("text", ["- a\n", "port: [1\n", "port: &a 1\nhost: *a\n", "a: " * 5])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "serve.yaml").write_text(text)
    assert "serve.yaml" in wrong(file=tmp_path / "serve.yaml")


def test_two_models_do_not_share_a_name() -> None:
    assert "two models are called a" in wrong(models=["a=x", "a=y"])
    assert "name is '-a'" in wrong(models=["-a=x"])


def test_what_is_shown_can_be_given_back(tmp_path: Path) -> None:
    found = resolve(models=["qa=x"], flags={"max_items": "5"}, environment={})
    (tmp_path / "serve.yaml").write_text(as_yaml(found))
    assert resolve(file=tmp_path / "serve.yaml", environment={}) == found


def test_all_that_an_engine_can_be_told_is_a_setting_with_the_same_default() -> None:
    internal = {"name", "ping_seconds", "restart_limit"}
    assert {field.name for field in dataclasses.fields(ModelSpec)} - internal == set(ModelSettings.model_fields)
    assert ServerSettings().spec("a", ModelSettings(source="b")) == ModelSpec(name="a", source="b")


def test_int8_is_set_by_file_environment_and_option_and_a_model_may_have_its_own(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("dtype: int8\nmodels:\n  one: minilm\n  two: {source: minilm, dtype: float32}\n")
    assert [spec.dtype for spec in resolve(file=file, environment={}).specs()] == ["int8", "float32"]
    assert resolve(environment={"BERTMS_DTYPE": "int8"}).dtype == resolve(flags={"dtype": "int8"}).dtype == "int8"
    assert "dtype is 'int9'" in wrong(flags={"dtype": "int9"})
    assert "int8 is for a CPU" in wrong(flags={"dtype": "int8", "device": "ascend"})


def test_settings_do_not_change() -> None:
    with pytest.raises(Exception, match="frozen"):
        ServerSettings().port = 1  # type: ignore[misc]
