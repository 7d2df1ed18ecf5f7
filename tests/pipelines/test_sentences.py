"""Sentence vectors are the peer's, word vectors stand where the words do, files of vectors survive interruptions."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bert_ms
from bert_ms.cli import main
from bert_ms.errors import CheckpointError, ConfigError, DataError, TooLongError
from bert_ms.pipelines.sentences import files as encoding
from bert_ms.pipelines.sentences import search, similarity
from bert_ms.pipelines.sentences.settings import read_settings
from tests.support import PACKAGED_DATA, golden, minilm

TINY = PACKAGED_DATA / "pipelines" / "encoder"
TEXTS = ["the film is good", "john smith works in paris and london", "", "unquestionably terrible"]


@pytest.fixture(scope="module")
def tiny() -> Any:
    """One text a batch, so that few shapes are compiled; batches are for the poolings' own test."""
    return bert_ms.SentenceEncoder(TINY, device="cpu", normalize=False, batch_size=1)


@pytest.fixture(scope="module")
def hidden() -> Any:
    """Every hidden state of each text by itself, [L + 1, tokens, H], and its pooled output: computed plainly."""
    import mindspore as ms

    cell = bert_ms.from_pretrained(TINY).set_outputs("hidden_states")
    tokenizer = bert_ms.Tokenizer.from_pretrained(TINY)
    found = []
    for text in TEXTS:
        ids = ms.Tensor(np.array([tokenizer.encode(text).input_ids], np.int32))
        outputs = cell(ids)
        found.append((np.stack([state.asnumpy()[0] for state in outputs[2]]), outputs[1].asnumpy()[0]))
    return found


def test_minilms_vectors_are_sentence_transformers(graph_mode: None) -> None:
    minilm()
    folder = golden("minilm_embeddings")
    sentences = json.loads((folder / "sentences.json").read_text())
    theirs = np.load(folder / "outputs.npz")["embeddings_256"]
    encoder = bert_ms.SentenceEncoder("minilm", device="cpu", batch_size=10)  # which makes two shapes of the 40
    assert (encoder.pooling, encoder.normalize, encoder.max_length) == ("mean", True, 256)
    ours = encoder.bulk_encode(sentences)
    assert ours.shape == theirs.shape == (40, 384)
    assert (ours * theirs).sum(1).min() >= 0.99999
    some = [0, 7, 39]
    single = np.stack([encoder.encode(sentences[i]) for i in some])
    assert (single * theirs[some]).sum(1).min() >= 0.99999


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "pooled"])
def test_a_pooling_is_what_its_name_says(hidden: Any, pooling: str) -> None:
    encoder = bert_ms.SentenceEncoder(TINY, device="cpu", pooling=pooling, normalize=False)
    last = [states[-1] for states, _ in hidden]
    expected = {
        "mean": [h.mean(0) for h in last],
        "cls": [h[0] for h in last],
        "max": [h.max(0) for h in last],
        "pooled": [pooled for _, pooled in hidden],
    }[pooling]
    np.testing.assert_allclose(encoder.encode(TEXTS), np.stack(expected), atol=1e-5)


def test_layers_are_mixed_before_they_are_pooled(hidden: Any) -> None:
    encoder = bert_ms.SentenceEncoder(TINY, device="cpu", layers=(-1, -2, 0), normalize=True)
    mixed = np.stack([states[[2, 1, 0]].mean(0).mean(0) for states, _ in hidden])
    expected = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-5)


def test_words_stand_where_they_do_in_the_text(tiny: Any, hidden: Any) -> None:
    text, states = TEXTS[3], hidden[3][0][-1][1:-1]
    whole = tiny.encode_words([text], words="avg")[0]
    assert whole.words == ["unquestionably", "terrible"]
    assert [text[start:end] for start, end in whole.offsets] == whole.words
    count = len(states) - 1
    np.testing.assert_allclose(whole.vectors, [states[:count].mean(0), states[count]], atol=1e-5)
    for how, expected in (("first", states[0]), ("last", states[count - 1]), ("sum", states[:count].sum(0))):
        np.testing.assert_allclose(tiny.encode_words([text], words=how)[0].vectors[0], expected, atol=1e-5)
    assert len(tiny.encode_words([text], words="pieces")[0].words) == len(states)
    assert tiny.encode_words(["", "the"])[0].vectors.shape == (0, 16)


def test_long_texts_are_cut_with_a_warning_averaged_or_refused(
    tiny: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    long = "the film is good " * 40
    cut = tiny.encode(long)
    assert "1 of 1 texts are longer than 64 tokens and were cut" in caplog.text
    caplog.clear()
    np.testing.assert_allclose(cut, tiny.encode(" ".join(long.split()[:62])), atol=1e-6)
    assert not caplog.text
    whole = bert_ms.SentenceEncoder(TINY, device="cpu", long_inputs="windows").encode([long, "the film"])
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1.0, atol=1e-5)
    strict = bert_ms.SentenceEncoder(TINY, device="cpu", long_inputs="error")
    with pytest.raises(TooLongError, match=r"^the text has 160 tokens.* choose long_inputs='truncate'"):
        strict.encode(long)
    with pytest.raises(TooLongError, match=r"^text 1: the text has 160 tokens"):
        strict.encode(["short", long])
    (tmp_path / "in.txt").write_text(f"short\nshort\n{long}\n")
    with pytest.raises(DataError, match=r"the file, line 3: the text has 160 tokens"):
        encoding.encode_file(strict, tmp_path / "in.txt", tmp_path / "out.npy", called="the file")


def test_a_prompt_begins_every_text(tiny: Any) -> None:
    prompted = bert_ms.SentenceEncoder(TINY, device="cpu", normalize=False, prompt="query ")
    np.testing.assert_allclose(prompted.encode("film"), tiny.encode("query film"), atol=1e-6)


def test_search_finds_the_nearest_rows_in_order() -> None:
    random = np.random.default_rng(0)
    matrix, queries = random.normal(size=(500, 8)).astype(np.float32), random.normal(size=(3, 8)).astype(np.float32)
    scores = similarity(queries, matrix)
    for query, found in enumerate(search(queries, matrix, top_k=5)):
        assert [match.row for match in found] == np.argsort(-scores[query], kind="stable")[:5].tolist()
        assert found[0].score == pytest.approx(scores[query].max(), abs=1e-6)
    assert [match.row for match in search(np.ones(2), np.ones((4, 2)), top_k=2, measure="dot")[0]] == [0, 1]
    with pytest.raises(DataError, match=r"vectors of shape \(3, 8\) and \(5, 4\)"):
        similarity(queries, np.ones((5, 4)))
    with pytest.raises(DataError, match=r"these are no vectors .*'a cat'.* as `encode` returns them"):
        similarity("a cat", queries)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["npy", "jsonl"])
def test_a_file_of_vectors_holds_every_line_in_order(tiny: Any, tmp_path: Path, suffix: str) -> None:
    source, output = tmp_path / "texts.txt", tmp_path / f"vectors.{suffix}"
    source.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    found = encoding.encode_file(tiny, source, output)
    assert (found.count, found.width, found.resumed) == (4, 16, 0)
    expected = tiny.encode(TEXTS)
    if suffix == "npy":
        np.testing.assert_allclose(np.load(output), expected, atol=1e-6)
    else:
        rows = [json.loads(line) for line in output.read_text().splitlines()]
        assert [row["text"] for row in rows] == TEXTS
        np.testing.assert_allclose([row["vector"] for row in rows], expected, atol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, output.name])


def test_an_interrupted_file_goes_on_where_it_was(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "CHUNK", 2)
    source, output = tmp_path / "texts.jsonl", tmp_path / "vectors.npy"
    source.write_text("".join(json.dumps({"body": text}) + "\n" for text in TEXTS + TEXTS[:1]), encoding="utf-8")

    def stop(count: int) -> None:
        if count == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoding.encode_file(tiny, source, output, column="body", settings="a", watch=stop)
    assert not output.exists()
    found = encoding.encode_file(tiny, source, output, column="body", settings="a")
    assert (found.count, found.resumed) == (5, 4)
    np.testing.assert_allclose(np.load(output), tiny.encode(TEXTS + TEXTS[:1]), atol=1e-6)
    with pytest.raises(KeyboardInterrupt):
        encoding.encode_file(tiny, source, output, column="body", settings="a", watch=stop)
    assert encoding.encode_file(tiny, source, output, column="body", settings="b").resumed == 0


def test_two_calls_do_not_write_one_file_at_a_time(tiny: Any, tmp_path: Path) -> None:
    source, output = tmp_path / "texts.txt", tmp_path / "vectors.npy"
    source.write_text("\n".join(TEXTS), encoding="utf-8")
    said = list[str]()

    def meanwhile(count: int) -> None:
        with pytest.raises(DataError) as raised:
            encoding.encode_file(tiny, source, output)
        said.append(str(raised.value))

    assert encoding.encode_file(tiny, source, output, watch=meanwhile).count == 4
    assert said == [f"another process is writing {output}: wait for it, or name another file."]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, output.name])


def test_parquet_asks_for_pyarrow_or_writes_it(tiny: Any, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow.parquet")
    source = tmp_path / "texts.txt"
    source.write_text("\n".join(TEXTS), encoding="utf-8")
    encoding.encode_file(tiny, source, tmp_path / "vectors.parquet")
    table = pyarrow.read_table(tmp_path / "vectors.parquet")
    assert table["text"].to_pylist() == TEXTS
    np.testing.assert_allclose(np.array(table["vector"].to_pylist()), tiny.encode(TEXTS), atol=1e-6)


@pytest.mark.parametrize(
    ("content", "column", "says"),
    [
        (b"a\n\xff\n", None, r"line 2 is not UTF-8 at byte 0"),
        (b'{"text": "a"}\nnonsense\n', "text", r"line 2 is no JSON"),
        (b'{"txt": "a"}\n', "text", r"line 1 has no text under 'text' \(.*did you mean 'txt'"),
        (b"", None, r"holds no text"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(
    tiny: Any, tmp_path: Path, content: bytes, column: str | None, says: str
) -> None:
    (tmp_path / "in.txt").write_bytes(content)
    with pytest.raises(DataError, match=says):
        encoding.encode_file(tiny, tmp_path / "in.txt", tmp_path / "out.npy", column=column)
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


def test_a_file_that_cannot_be_read_is_not_called_one_that_cannot_be_written(tiny: Any, tmp_path: Path) -> None:
    memory = Path("/proc/self/mem")  # readable for nobody at its beginning, root included
    if not memory.is_file():
        pytest.skip("no /proc/self/mem")
    with pytest.raises(DataError, match=r"/proc/self/mem cannot be read: Input/output error"):
        encoding.encode_file(tiny, memory, tmp_path / "out.npy")
    assert list(tmp_path.iterdir()) == []


def test_texts_are_not_written_over_by_their_vectors(tiny: Any, tmp_path: Path) -> None:
    source = tmp_path / "texts.txt"
    source.write_text("a cat\n")
    (tmp_path / "link.jsonl").symlink_to(source)
    (tmp_path / "folder.npy").mkdir()
    for name, says in (
        ("texts.txt", r"texts.txt holds the texts that are to be encoded: name another file"),
        ("link.jsonl", r"link.jsonl holds the texts"),
        ("folder.npy", r"folder.npy is a folder: name a file in it"),
    ):
        with pytest.raises(DataError, match=says):
            encoding.encode_file(tiny, source, tmp_path / name, format="jsonl")
    assert source.read_text() == "a cat\n"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"pooling": "sum"}, r"unknown pooling 'sum'"),
        ({"layers": (7,)}, r"layers is \[7\]: expected numbers from 0 \(embeddings\) to 2"),
        ({"pooling": "pooled", "layers": (0,)}, r"pooling is 'pooled', but other layers than the last have none"),
        ({"max_length": 65}, r"max_length is 65: expected 3 to 64"),
        ({"batch_size": 0}, r"batch_size is 0"),
    ],
)
def test_a_wrong_option_says_what_is_right(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        bert_ms.SentenceEncoder(TINY, device="cpu", **options)


def test_a_source_that_asks_for_more_than_pooling_is_refused(tmp_path: Path) -> None:
    modules = [{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match=r"asks for Dense, not built here"):
        read_settings(tmp_path)
    modules = [{"type": "sentence_transformers.models.Pooling", "path": "../elsewhere"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match=r"is no folder in this directory"):
        read_settings(tmp_path)


def test_the_command_reads_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], graph_mode: None
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"the film\nis good\n")))
    assert main(["encode", str(TINY), "-", "-o", str(tmp_path / "out.npy"), "-q", "--device", "cpu"]) == 0
    assert "2 texts, vectors of 16" in capsys.readouterr().out
    assert np.load(tmp_path / "out.npy").shape == (2, 16)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert main(["encode", str(TINY), "-", "-o", str(tmp_path / "out.npy"), "-q", "--device", "cpu"]) == 1
    assert "error: standard input holds no text." in capsys.readouterr().err
