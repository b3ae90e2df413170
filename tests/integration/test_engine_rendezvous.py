"""The meeting before a link: everyone leaves it together, and strangers at the port do not spoil it."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from node_agent.engines.base import Link
from node_agent.engines.rendezvous import MissingPartiesError, meet
from scripts.bench.engine_parties import new_links


def left_at(link: Link, delay_seconds: float) -> float:
    time.sleep(delay_seconds)
    meet(link)
    return time.monotonic()


def test_all_leave_when_the_last_has_come_in_spite_of_strangers() -> None:
    links, _ = new_links(["a", "b", "c"], connect_seconds=20.0)
    started = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        waiting = [
            pool.submit(left_at, link, delay) for link, delay in zip(links, (0, 0.3, 1.5), strict=True)
        ]
        time.sleep(0.2)
        address = (links[0].parties[0].host, links[0].parties[0].port)
        silent = socket.create_connection(address)
        with socket.create_connection(address) as scanner:
            scanner.sendall(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n")
        times = [future.result(timeout=20) - started for future in waiting]
        silent.close()
    assert min(times) >= 1.5
    assert max(times) - min(times) < 3


@pytest.mark.parametrize("rank", [0, 1])
def test_nobody_waits_for_ever_and_each_names_whom_it_misses(rank: int) -> None:
    links, _ = new_links(["a", "b"])
    with pytest.raises(MissingPartiesError) as caught:
        meet(replace(links[rank], connect_seconds=0.4))
    assert caught.value.ranks == (1 - rank,)


def test_who_came_is_not_missed() -> None:
    links, _ = new_links(["a", "b", "c"], connect_seconds=2.0)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(meet, links[rank]) for rank in (0, 2)]
        missed = [future.exception(timeout=20) for future in waiting]
    assert isinstance(missed[0], MissingPartiesError)
    assert isinstance(missed[1], TimeoutError)
    assert missed[0].ranks == (1,)
