"""The load script counts what was sent, by the clock that it says, and its table says what came of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import subprocess
import sys
import time
from typing import Any

import psutil
import pytest

from benchmarks import load_table, load_texts
from benchmarks.load_client import Load, Sent
from benchmarks.processor_time import Spent

SCRAPE = """# HELP bertms_batch_size Rows of a batch
bertms_batch_size_bucket{le="1.0",model="a"} 3.0
bertms_batch_size_count{model="a"} 4.0
bertms_batch_size_count{model="b"} 6.0
bertms_batch_size_sum{model="a"} 40.0
bertms_padding_ratio_sum{model="a"} 2.0
bertms_compile_total{model="a"} 0.0
"""


class Answers:
    """A server that answers with the statuses it was given, in turn, and closes every third connection after it."""

    def __init__(self, *statuses: int, delay: float = 0.0):
        self.statuses, self.delay, self.bodies = itertools.cycle(statuses), delay, list[bytes]()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for _ in range(3):
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                self.bodies.append(await reader.readexactly(int(head.split("content-length:")[1].split()[0])))
                await asyncio.sleep(self.delay)
                writer.write(
                    b"HTTP/1.1 %d X\r\nServer-Timing: queue;dur=2.00, infer;dur=5.00\r\nContent-Length: 2\r\n\r\n{}"
                    % next(self.statuses)
                )
        except asyncio.IncompleteReadError:
            pass
        writer.close()
        await writer.wait_closed()


def drive(answers: Answers, loop: str, *arguments: float) -> list[Sent]:
    """What a load on such a server came to."""

    async def run() -> list[Sent]:
        async with await asyncio.start_server(answers, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            load = Load(f"http://127.0.0.1:{port}", "/api/v1/embed", timeout=5)
            bodies = load_texts.requests("embed", "8", 0)
            sent: list[Sent] = await getattr(load, loop)(bodies, *arguments)
            await asyncio.sleep(0.05)  # the server's side closes too
            return sent

    return asyncio.run(run())


def test_a_closed_loop_loses_no_request_over_connections_that_the_server_closes() -> None:
    answers = Answers(200, 200, 429)
    sent = drive(answers, "closed", 2, 0.15)
    assert len(sent) == len(answers.bodies) > 6
    assert {one.status for one in sent} == {200, 429}
    assert sent[0].timings == {"queue": 0.002, "infer": 0.005}


def test_an_open_loop_counts_from_when_a_request_was_due() -> None:
    sent = drive(Answers(200, delay=0.05), "open", 40.0, 0.3)
    assert len(sent) > 3
    assert min(one.seconds for one in sent) >= 0.05


def test_a_server_that_is_not_there_counts_as_failed() -> None:
    sent = asyncio.run(Load("http://127.0.0.1:9", "/", timeout=1).send(b"{}", 0.0))
    assert sent.status == 0


def test_an_answer_that_does_not_come_counts_as_failed() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def run() -> Sent:
        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            sent = await Load(f"http://127.0.0.1:{port}", "/", timeout=0.05).send(b"{}", time.perf_counter())
            await asyncio.sleep(0.05)
            return sent

    sent = asyncio.run(run())
    assert sent.status == 0 and sent.seconds >= 0.05


@pytest.mark.parametrize("size", [0, 70_000, 300_000])
def test_answers_of_any_size_are_read_to_their_end(size: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b"{}")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            writer.write(b"\r\n\r\n" * (size // 4))
            await writer.drain()
        writer.close()

    async def run() -> list[Sent]:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            load = Load(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "/", timeout=5)
            sent = [await load.send(b"{}", 0.0) for _ in range(2)]
            await load.close()
            return sent

    assert [one.status for one in asyncio.run(run())] == [200, 200]


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [load_table.percentile(values, share) for share in (0.5, 0.95, 0.99)] == [50.0, 95.0, 99.0]
    assert load_table.percentile([], 0.5) is None


def test_metrics_are_summed_over_labels_and_their_growth_is_told() -> None:
    after = load_table.samples(SCRAPE)
    assert after["bertms_batch_size_count"] == 10
    found = load_table.batches({"bertms_batch_size_count": 2.0}, after)
    assert (found["batches"], found["rows_per_batch"], found["padding_ratio"], found["compiles"]) == (8, 5, 0.25, 0)
    assert "batches" not in load_table.batches(after, after)


def test_the_table_tells_refusals_from_failures() -> None:
    sent = [Sent(0.010, 200), Sent(0.030, 200), Sent(0.001, 429), Sent(5.0, 0), Sent(0.1, 503)]
    one = {"server": "ours", "load": "c = 8", "length": "32", "padding_ratio": 0.25, **load_table.summary(sent, 2.0)}
    row = load_table.table([one]).splitlines()[-1]
    assert row == "| ours | c = 8 | 32 | 5 | 1.0 | 10.0 | 30.0 | 30.0 |  |  |  | 25 % |  | 1 | 2 |"
    row = load_table.table([one | {"load_cpu_ms": 0.1, "server_cpu_ms": 0.5, "engine_cpu_ms": 2.456}]).splitlines()[-1]
    assert row.endswith("| 0.10 + 0.50 + 2.46 | 1 | 2 |")


def test_what_a_request_costs_is_told_of_the_server_and_of_what_it_started() -> None:
    burns = "import time\nwhile time.process_time() < 0.25: pass\ntime.sleep(30)"
    starts = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {burns!r}]).wait()"
    with subprocess.Popen([sys.executable, "-c", starts]) as server:
        try:
            before, end = Spent.of(server.pid), time.monotonic() + 20
            while (after := Spent.of(server.pid)).children < 0.2 and time.monotonic() < end:
                time.sleep(0.05)
        finally:
            for process in [*psutil.Process(server.pid).children(), server]:
                process.kill()
    costs = after.per_request_ms(before, 10)
    assert 20 <= costs["engine_cpu_ms"] < 200 and costs["server_cpu_ms"] < 20


def test_the_mix_has_many_short_texts_and_some_of_every_length() -> None:
    mix = list(itertools.islice(load_texts.lengths("zipf", random.Random(0)), 4000))
    assert set(mix) <= set(range(8, 385, 8)) and max(mix) > 350
    assert mix.count(8) / mix.count(16) == pytest.approx(2, rel=0.2)


@pytest.mark.parametrize("kind", load_texts.KINDS)
def test_no_two_requests_are_alike(kind: str) -> None:
    bodies = list(itertools.islice(load_texts.requests(kind, "32", 1, model="m"), 50))
    assert len(set(bodies)) == 50
    assert {json.loads(body)["model"] for body in bodies} == {"m"}


def test_an_overload_is_held_to_what_is_promised_of_it() -> None:
    from benchmarks import serving_overload

    def one(factor: float, rate: float, p99: float, refused: float | None) -> dict[str, Any]:
        return {"length": "8", "factor": factor, "rate": 100 * factor, "per_second": rate, "p50_ms": 1.0,
                "p99_ms": p99, "refused_p50_ms": refused, "refused_p99_ms": refused,
                "statuses": {"200": 9, "429": 3, "0": 2}}  # fmt: skip

    results = [one(0.0, 100, 9, None), one(0.5, 50, 9, None), one(1.0, 98, 20, None), one(3.0, 96, 30, 12.5)]
    found = {said.split(",")[0]: (value, limit) for said, value, limit in serving_overload.promises(results)}
    assert found == {"p99 of the answered": (1.5, 2.0), "p99 of the refused": (12.5, 50.0),
                     "answered a second": (0.96, 0.95)}  # fmt: skip
    *_, last = serving_overload.table(results).splitlines()
    assert last == "| 8 | 3 x | 300.0 | 96.0 | 1.0 | 30.0 | 3 | 12.5 | 12.5 | 2 |"
