"""The heartbeat stream over real mutual TLS, against a coordinator's end that answers, keeps silent or goes away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from node_agent.coordinator_link import CoordinatorLink
from node_agent.heartbeat import HeartbeatLoop, Rhythm
from node_agent.identity import Identity
from node_agent.resources import take_snapshot
from node_agent.sessions.backoff import Backoff
from soterone.crypto.accounts import Signer
from soterone.crypto.certificates import (
    CertificateAuthority,
    TlsIdentity,
    certificate_request,
    new_tls_key,
)
from soterone.domain.ids import QueryId, hash_bytes, query_id
from soterone.rpc.channels import bind, caller_key_hash, server
from soterone.rpc.generated.coordinator_pb2 import (
    AgentMessage,
    CoordinatorMessage,
    HeartbeatAck,
    Offer,
    OfferAnswer,
    OfferRelease,
    SessionDescription,
)
from soterone.rpc.generated.coordinator_pb2_grpc import AgentsServicer, add_AgentsServicer_to_server

QUERY = query_id(b"\x07" * 32)
RHYTHM = Rhythm(interval_seconds=0.05, patience=60)
IMPATIENT = Rhythm(interval_seconds=0.05, patience=4)


class Coordinator(AgentsServicer):
    """The coordinator's end of the stream; a test decides what it sends."""

    def __init__(self) -> None:
        self.received: list[AgentMessage] = []
        self.streams = 0
        self.key_hashes: set[bytes | None] = set()
        self.acknowledges = True
        self.refuses = False
        self.ends_with = grpc.StatusCode.PERMISSION_DENIED
        self.send: asyncio.Queue[CoordinatorMessage | None] = asyncio.Queue()

    async def Connect(  # noqa: N802
        self, request_iterator: AsyncIterator[AgentMessage], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[CoordinatorMessage]:
        self.streams += 1
        self.key_hashes.add(caller_key_hash(context))
        if self.refuses:
            await context.abort(self.ends_with, "This node is suspended.")
        reading = asyncio.create_task(self._read(request_iterator))
        try:
            while (message := await self.send.get()) is not None:
                yield message
        finally:
            reading.cancel()

    async def _read(self, messages: AsyncIterator[AgentMessage]) -> None:
        async for message in messages:
            self.received.append(message)
            if self.acknowledges and message.HasField("heartbeat"):
                await self.send.put(CoordinatorMessage(ack=HeartbeatAck(sequence=message.sequence)))


class Offers:
    """Sessions that answer offers, slowly when told so."""

    def __init__(self) -> None:
        self.released: list[QueryId] = []
        self.go = asyncio.Event()
        self.go.set()

    async def consider(self, offer: Offer) -> OfferAnswer:
        await self.go.wait()
        return OfferAnswer(query_id=offer.session.query_id, accepted=True)

    async def release(self, query_id: QueryId) -> None:
        self.released.append(query_id)

    def query_ids(self) -> list[QueryId]:
        return [QUERY]


class Setup:
    """A listening coordinator and an agent's loop on it."""

    def __init__(self, authority: CertificateAuthority, identity: Identity, tmp_path: Path) -> None:
        self.authority, self.identity, self.folder = authority, identity, tmp_path
        self.coordinator, self.offers = Coordinator(), Offers()
        self.server: grpc.aio.Server | None = None
        self.port = 0

    async def listen(self) -> None:
        key = new_tls_key()
        certificate = TlsIdentity(key, self.authority.issue_server(key, ("127.0.0.1",)))
        self.server = server()
        add_AgentsServicer_to_server(self.coordinator, self.server)
        self.port = bind(self.server, f"127.0.0.1:{self.port}", certificate, self.authority.ca_pem)
        await self.server.start()

    async def hang_up(self) -> None:
        if self.server is not None:
            await self.server.stop(None)
            self.server = None

    def loop(self, link: CoordinatorLink, rhythm: Rhythm = RHYTHM) -> HeartbeatLoop:
        backoff = Backoff(first_seconds=0.02, longest_seconds=0.05)
        return HeartbeatLoop(link, self.offers, lambda: take_snapshot(self.folder), rhythm, backoff)


@pytest.fixture
def identity() -> tuple[CertificateAuthority, Identity]:
    authority, signer, key = CertificateAuthority.create(), Signer.new(), new_tls_key()
    certificate = authority.issue(certificate_request(key, signer.account), signer.account)
    return authority, Identity(signer, TlsIdentity(key, certificate), authority.ca_pem)


@pytest_asyncio.fixture
async def setup(identity: tuple[CertificateAuthority, Identity], tmp_path: Path) -> AsyncIterator[Setup]:
    made = Setup(*identity, tmp_path)
    await made.listen()
    yield made
    await made.hang_up()


@asynccontextmanager
async def beating(setup: Setup, rhythm: Rhythm = RHYTHM) -> AsyncIterator[CoordinatorLink]:
    link = CoordinatorLink(f"127.0.0.1:{setup.port}", setup.authority.ca_pem, setup.identity.tls)
    task = asyncio.create_task(setup.loop(link, rhythm).run())
    try:
        yield link
    finally:
        assert not task.done(), "the loop ended by itself"
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await link.close()


@pytest_asyncio.fixture
async def link(setup: Setup) -> AsyncIterator[CoordinatorLink]:
    async with beating(setup) as link:
        yield link


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_beats_are_numbered_carry_a_snapshot_and_keep_contact(
    setup: Setup, link: CoordinatorLink
) -> None:
    before = link.last_contact
    await until(lambda: len(setup.coordinator.received) >= 5)
    await asyncio.wait_for(link.answered.wait(), 5)
    assert link.last_contact > before
    first = setup.coordinator.received[:5]
    assert [message.sequence for message in first] == [1, 2, 3, 4, 5]
    beat = first[-1].heartbeat
    assert list(beat.sessions) == [hash_bytes(QUERY)]
    assert 0 <= beat.snapshot.cpu_fraction <= 1
    assert 0 < beat.snapshot.memory_used_bytes < beat.snapshot.memory_total_bytes
    assert beat.snapshot.disk_free_bytes > 0
    assert setup.coordinator.key_hashes == {setup.identity.tls_key_hash}


async def test_an_offer_that_takes_long_does_not_stop_the_beats(setup: Setup, link: CoordinatorLink) -> None:
    setup.offers.go.clear()
    offer = Offer(session=SessionDescription(query_id=hash_bytes(QUERY)), expires_in_seconds=30)
    await setup.coordinator.send.put(CoordinatorMessage(offer=offer))
    await until(lambda: len(setup.coordinator.received) >= 6)
    setup.offers.go.set()
    await until(lambda: any(one.HasField("offer_answer") for one in setup.coordinator.received))
    (answer,) = [one.offer_answer for one in setup.coordinator.received if one.HasField("offer_answer")]
    assert (answer.query_id, answer.accepted) == (hash_bytes(QUERY), True)
    sequences = [one.sequence for one in setup.coordinator.received]
    assert sequences == list(range(1, len(sequences) + 1)), "beats and answers share one numbering"
    assert setup.coordinator.streams == 1


async def test_a_release_reaches_the_sessions(setup: Setup, link: CoordinatorLink) -> None:
    release = OfferRelease(query_id=hash_bytes(QUERY))
    await setup.coordinator.send.put(CoordinatorMessage(release=release))
    await until(lambda: setup.offers.released == [QUERY])


async def test_it_comes_back_after_the_coordinator_was_away(setup: Setup, link: CoordinatorLink) -> None:
    await until(lambda: len(setup.coordinator.received) >= 2)
    await setup.hang_up()
    setup.coordinator.received.clear()
    await asyncio.sleep(0.3)
    assert setup.coordinator.received == []
    contact = link.last_contact
    await setup.listen()
    await until(lambda: link.last_contact > contact)
    assert setup.coordinator.received[0].sequence == 1


async def test_a_closed_stream_is_opened_again(setup: Setup, link: CoordinatorLink) -> None:
    await until(lambda: setup.coordinator.streams == 1)
    await setup.coordinator.send.put(None)
    await until(lambda: setup.coordinator.streams >= 2)


async def test_a_coordinator_that_never_acknowledges_is_left_and_tried_anew(setup: Setup) -> None:
    setup.coordinator.acknowledges = False
    async with beating(setup, IMPATIENT) as link:
        await until(lambda: setup.coordinator.streams >= 3)
        assert not link.answered.is_set()
        setup.coordinator.acknowledges = True
        await until(link.answered.is_set)


async def test_a_stream_that_the_coordinator_cancels_is_opened_again(
    setup: Setup, link: CoordinatorLink
) -> None:
    await until(lambda: setup.coordinator.streams == 1)
    setup.coordinator.ends_with, setup.coordinator.refuses = grpc.StatusCode.CANCELLED, True
    await setup.coordinator.send.put(None)
    await until(lambda: setup.coordinator.streams >= 4)
    setup.coordinator.refuses = False
    contact = link.last_contact
    await until(lambda: link.last_contact > contact)


async def test_a_refusal_is_logged_once_and_tried_again(
    setup: Setup, link: CoordinatorLink, capsys: pytest.CaptureFixture[str]
) -> None:
    setup.coordinator.refuses = True
    await setup.coordinator.send.put(None)
    await until(lambda: setup.coordinator.streams >= 4)
    assert capsys.readouterr().out.count("This node is suspended.") == 1


async def test_a_stream_that_breaks_while_a_beat_is_written_does_not_end_the_loop(setup: Setup) -> None:
    setup.coordinator.refuses = True
    async with beating(setup, Rhythm(interval_seconds=0.0005, patience=10_000)):
        await until(lambda: setup.coordinator.streams >= 60, seconds=30)


async def test_a_certificate_of_another_authority_gets_no_stream(setup: Setup) -> None:
    stranger, signer, key = CertificateAuthority.create(), Signer.new(), new_tls_key()
    certificate = stranger.issue(certificate_request(key, signer.account), signer.account)
    false = Identity(signer, TlsIdentity(key, certificate), setup.authority.ca_pem)
    link = CoordinatorLink(f"127.0.0.1:{setup.port}", setup.authority.ca_pem, false.tls)
    task = asyncio.create_task(setup.loop(link).run())
    await asyncio.sleep(0.5)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await link.close()
    assert setup.coordinator.streams == 0
    assert not link.answered.is_set()


async def test_it_ends_whenever_it_is_cancelled_also_while_a_stream_breaks(setup: Setup) -> None:
    setup.coordinator.refuses = True
    link = CoordinatorLink(f"127.0.0.1:{setup.port}", setup.authority.ca_pem, setup.identity.tls)
    for moment in range(150):
        task = asyncio.create_task(setup.loop(link).run())
        await asyncio.sleep(moment % 30 / 1000)
        task.cancel()
        _, late = await asyncio.wait([task], timeout=2)
        assert not late, f"cancelled after {moment % 30} ms, it ran on"
    await link.close()
    assert setup.coordinator.streams > 0
