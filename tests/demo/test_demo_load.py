"""The load: planned beforehand, sent when it was meant to be sent, measured from then."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

from leakguard.demo.client import Client, Fate, Outcome
from leakguard.demo.load import drive
from leakguard.demo.schedule import PEAK_RATE, RATE, Planned, plan, rate_at, warm_up


def test_forty_a_second_with_peaks_of_eighty() -> None:
    """Every second of the plan has its 40 or 80 requests, and both occur."""
    planned = plan(34)
    per_second = Counter(int(each.at) for each in planned)
    assert len(per_second) == 34
    assert all(per_second[second] == rate_at(second) for second in range(34))
    assert set(per_second.values()) == {RATE, PEAK_RATE} == {40, 80}


def test_the_plan_is_in_order_and_repeatable() -> None:
    """Both sides get the same load: the same seed gives the same bytes at the same times."""
    planned = plan(12)
    assert [each.at for each in planned] == sorted(each.at for each in planned)
    assert planned == plan(12)
    assert planned != plan(12, seed=2)


def test_a_share_is_malformed_and_half_keep_their_connections() -> None:
    """Malformed requests miss the player, are valid JSON, and come on two routes; clients are mixed."""
    planned = plan(34)
    malformed = [each for each in planned if each.malformed]
    assert 0.1 < len(malformed) / len(planned) < 0.3
    assert all("player" not in json.loads(each.body) for each in malformed)
    assert {each.path for each in malformed} == {"/telemetry", "/rewards/daily"}
    well = [each for each in planned if each.method == "POST" and not each.malformed]
    assert all("player" in json.loads(each.body) for each in well)
    assert 0.4 < sum(each.keep_alive for each in planned) / len(planned) < 0.6
    assert 0.4 < sum(each.keep_alive for each in malformed) / len(malformed) < 0.6


def test_no_two_batches_are_the_same() -> None:
    """A batch that looked like another one would be taken for a duplicate."""
    planned = [*plan(34), *warm_up()]
    firsts = [json.loads(each.body)["events"][0]["at"] for each in planned if each.path == "/telemetry"]
    assert len(set(firsts)) == len(firsts)


def test_latency_counts_from_the_time_that_was_meant() -> None:
    """While the server stands still the others are sent all the same, and their waiting shows (coordinated omission)."""

    async def go() -> list[Outcome]:
        gate = asyncio.Event()
        seen = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            seen.append(asyncio.get_running_loop().time())
            if len(seen) == 5:
                gate.set()  # nobody is answered until all five are here: a closed loop would wait for ever
            await gate.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = Client(server.sockets[0].getsockname()[1])
        told: list[Outcome] = []
        outcomes = await drive([Planned(0.1 * turn, "GET", "/") for turn in range(5)], client, told.append)
        server.close()
        client.close()
        assert sorted(told, key=id) == sorted(outcomes, key=id)
        return outcomes

    outcomes = asyncio.run(go())
    assert [outcome.fate for outcome in outcomes] == [Fate.OK] * 5
    assert [outcome.planned.at for outcome in outcomes] == [0.0, 0.1, 0.2, 0.30000000000000004, 0.4]
    assert outcomes[0].latency >= 0.39, "the first waited for the last, which came 0.4 s later"
    assert outcomes[0].latency > outcomes[2].latency > outcomes[4].latency
