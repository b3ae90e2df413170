"""Letting the parties of a link start it at the same moment, on the port that the link itself will use.

brpc tries a peer that was not there yet again after three seconds only. This meeting is no security: a stranger can
delay it, by a second a connection, and TLS decides afterwards who is linked.
"""

import hashlib
import socket
import time
from contextlib import ExitStack, suppress

from node_agent.engines.base import Link

RETRY_SECONDS = 0.05
GREETING_BYTES = 32
GREETING_SECONDS = 1.0
GO = b"go"


class MissingPartiesError(TimeoutError):
    """Not everybody came in time; `ranks` are those that this party knows to be missing."""

    def __init__(self, ranks: tuple[int, ...]) -> None:
        super().__init__(f"the parties of rank {', '.join(map(str, ranks)) or 'unknown'} did not come")
        self.ranks = ranks


def meet(link: Link) -> None:
    """Return when every party is there, at nearly the same time; MissingPartiesError after `connect_seconds`."""
    deadline = time.monotonic() + link.connect_seconds
    if link.rank == 0:
        _host(link, deadline)
    else:
        _join(link, deadline)


def _greeting(link: Link, rank: int) -> bytes:
    certificates = "".join(party.certificate_pem for party in link.parties)
    text = f"{link.query_id}|{link.generation}|{link.attempt}|{rank}|{certificates}"
    return hashlib.sha256(text.encode()).digest()


def _address(link: Link, rank: int) -> tuple[str, int]:
    party = next(party for party in link.parties if party.rank == rank)
    return party.host, party.port


def _host(link: Link, deadline: float) -> None:
    expected = {_greeting(link, party.rank): party.rank for party in link.parties if party.rank != 0}
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(_address(link, 0)))
        present: dict[int, socket.socket] = {}
        while len(present) < len(expected):
            try:
                server.settimeout(_left(deadline))
                guest = stack.enter_context(server.accept()[0])
            except TimeoutError as error:
                raise MissingPartiesError(tuple(sorted({*expected.values()} - {*present}))) from error
            rank = expected.get(_greeting_of(guest))
            if rank is not None:
                present[rank] = guest
        for guest in present.values():
            with suppress(ConnectionError):
                guest.sendall(GO)


def _greeting_of(guest: socket.socket) -> bytes:
    """Return what a guest says first; nothing when it keeps silent or hangs up, as a port scanner does."""
    try:
        return _receive(guest, GREETING_BYTES, time.monotonic() + GREETING_SECONDS)
    except OSError:
        return b""


def _join(link: Link, deadline: float) -> None:
    met = False
    try:
        while True:
            try:
                with socket.create_connection(_address(link, 0), timeout=_left(deadline)) as host:
                    met = True
                    host.sendall(_greeting(link, link.rank))
                    if _receive(host, len(GO), deadline) == GO:
                        return
            except ConnectionError:
                pass
            time.sleep(RETRY_SECONDS)
    except TimeoutError as error:
        raise MissingPartiesError(() if met else (0,)) from error


def _receive(peer: socket.socket, size: int, deadline: float) -> bytes:
    content = b""
    while len(content) < size:
        peer.settimeout(_left(deadline))
        part = peer.recv(size - len(content))
        if not part:
            break
        content += part
    return content


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
