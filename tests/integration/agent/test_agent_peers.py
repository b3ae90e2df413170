"""Who may call a peer service, and for what: real mutual TLS on loopback, real certificates, keys as on chain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from fixtures.participants import Node, Query, new_node, new_query
from fixtures.query_agents import QueryAgent, RehearsalEngine
from fixtures.recording_coordinator import RecordingCoordinator, until

from node_agent.peers.server import READY
from node_agent.sessions.states import MAX_ATTEMPTS, Fence
from soterone.crypto.certificates import CertificateAuthority, TlsIdentity, certificate_request, self_signed
from soterone.domain.roles import Role
from soterone.rpc.channels import peer_channel
from soterone.rpc.generated.peer_pb2 import (
    AbortRequest,
    EngineAddress,
    JoinReply,
    JoinRequest,
    ShareChunk,
    ShareHeader,
    StartRequest,
)
from soterone.rpc.generated.peer_pb2_grpc import PeerStub

SHARE = b"share of a column " * 40_000
FIRST = Fence(0, 1)


@dataclass(slots=True)
class Called:
    """One MPC node (not the leader) that has accepted the order, and a way to call it as anybody."""

    query: Query
    agent: QueryAgent

    @asynccontextmanager
    async def as_caller(self, identity: TlsIdentity, trusted: bytes | None = None) -> AsyncIterator[PeerStub]:
        channel = peer_channel(
            self.agent.node.endpoint, trusted or self.agent.node.tls.certificate_pem, identity
        )
        try:
            yield PeerStub(channel)
        finally:
            await channel.close()

    async def join(self, node: Node, fence: Fence = FIRST) -> JoinReply:
        async with self.as_caller(node.tls) as peer:
            request = JoinRequest(query_id=self.query.id, generation=fence.generation, attempt=fence.attempt)
            return await peer.Join(request, timeout=5)

    async def deliver(self, node: Node, *chunks: ShareChunk) -> None:
        async with self.as_caller(node.tls) as peer:
            call = peer.DeliverShares(timeout=5)
            await call.write(chunks[0])
            if READY in dict(await call.initial_metadata()):
                with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    for chunk in chunks[1:]:
                        await call.write(chunk)
                    if refused_at_the_end(chunks):
                        await call.done_writing()
            await call

    def header(self, fence: Fence = FIRST, size_bytes: int = len(SHARE)) -> ShareChunk:
        header = ShareHeader(
            query_id=self.query.id,
            generation=fence.generation,
            attempt=fence.attempt,
            size_bytes=size_bytes,
        )
        return ShareChunk(header=header)


def refused_at_the_end(chunks: tuple[ShareChunk, ...]) -> bool:
    """Say whether the callee can judge an upload only once it is closed; else it answers before."""
    size = sum(len(chunk.data) for chunk in chunks)
    return size <= chunks[0].header.size_bytes and all(chunk.data for chunk in chunks[1:])


def pieces(content: bytes) -> list[ShareChunk]:
    return [ShareChunk(data=content[i : i + 200_000]) for i in range(0, len(content), 200_000)]


@pytest_asyncio.fixture
async def called(tmp_path: Path) -> AsyncIterator[Called]:
    query = new_query()
    coordinator = RecordingCoordinator(query.authority)
    await coordinator.start()
    coordinator.description = query.description()
    agent = QueryAgent(query.mpcs[1], tmp_path / "agent", query, coordinator, RehearsalEngine({}))
    await agent.start()
    await agent.sessions.handle(query.event())
    await until(lambda: agent.state == "ordered")
    yield Called(query, agent)
    await agent.stop()
    await coordinator.stop()


@asynccontextmanager
async def refused(code: grpc.StatusCode, text: str) -> AsyncIterator[None]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield
    assert caught.value.code() is code
    assert text in (caught.value.details() or "")


async def test_the_leader_joins_and_is_told_a_signed_address(called: Called) -> None:
    engine = (await called.join(called.query.mpcs[0])).engine
    assert engine.host == "127.0.0.1"
    assert 20000 <= engine.port <= 31999
    again = (await called.join(called.query.mpcs[0])).engine
    assert again == engine
    assert called.agent.state == "joined"


@pytest.mark.parametrize("who", ["owner", "other mpc"])
async def test_only_the_leader_opens_and_starts(called: Called, who: str) -> None:
    node = called.query.owners[0] if who == "owner" else called.query.mpcs[2]
    async with refused(grpc.StatusCode.PERMISSION_DENIED, "Only the leading MPC node"):
        await called.join(node)
    async with (
        refused(grpc.StatusCode.PERMISSION_DENIED, "Only the leading"),
        called.as_caller(node.tls) as peer,
    ):
        await peer.Start(StartRequest(query_id=called.query.id, attempt=1), timeout=5)


async def test_a_registered_node_that_takes_no_part_is_refused(called: Called) -> None:
    stranger = new_node(called.query.authority, Role.MPC_NODE)
    async with refused(grpc.StatusCode.PERMISSION_DENIED, "for no participant"):
        await called.join(stranger)


async def test_a_false_certificate_of_the_coordinator_for_the_leader_is_refused(called: Called) -> None:
    leader = called.query.mpcs[0]
    forged = new_node(called.query.authority, Role.MPC_NODE)
    forged.signer = leader.signer
    async with refused(grpc.StatusCode.PERMISSION_DENIED, "for no participant"):
        await called.join(forged)


async def test_a_certificate_of_another_authority_does_not_connect(called: Called) -> None:
    other = new_node(CertificateAuthority.create(), Role.MPC_NODE)
    async with refused(grpc.StatusCode.UNAVAILABLE, ""):
        await called.join(other)
    leader = called.query.mpcs[0]
    own = TlsIdentity(leader.tls.key_pem, self_signed(leader.tls.key_pem, leader.account))
    async with refused(grpc.StatusCode.UNAVAILABLE, ""), called.as_caller(own) as peer:
        await peer.Join(JoinRequest(query_id=called.query.id, attempt=1), timeout=5)


async def test_an_expired_certificate_does_not_connect(called: Called) -> None:
    authority, leader = called.query.authority, called.query.mpcs[0]
    request = certificate_request(leader.tls.key_pem, leader.account)
    expired = TlsIdentity(leader.tls.key_pem, authority.issue(request, leader.account, days=0))
    async with refused(grpc.StatusCode.UNAVAILABLE, ""), called.as_caller(expired) as peer:
        await asyncio.sleep(1.1)
        await peer.Join(JoinRequest(query_id=called.query.id, attempt=1), timeout=5)


async def test_a_caller_accepts_one_certificate_only(called: Called) -> None:
    leader, other = called.query.mpcs[0], called.query.mpcs[2]
    async with (
        refused(grpc.StatusCode.UNAVAILABLE, ""),
        called.as_caller(leader.tls, trusted=other.tls.certificate_pem) as peer,
    ):
        await peer.Join(JoinRequest(query_id=called.query.id, attempt=1), timeout=3)


async def test_an_unregistered_participant_is_refused_at_once(called: Called) -> None:
    leader = called.query.mpcs[0]
    await called.join(leader)
    del called.agent.directory[leader.account]
    async with refused(grpc.StatusCode.PERMISSION_DENIED, "for no participant"):
        await called.join(leader)


async def test_old_generations_and_attempts_are_refused(called: Called) -> None:
    leader = called.query.mpcs[0]
    await called.join(leader, Fence(0, 2))
    async with refused(grpc.StatusCode.ABORTED, "at attempt 2 of"):
        await called.join(leader, Fence(0, 1))
    async with refused(grpc.StatusCode.ABORTED, "at generation 0"):
        await called.join(leader, Fence(1, 1))
    async with refused(grpc.StatusCode.ABORTED, "not open"):
        await called.deliver(called.query.owners[0], called.header(Fence(0, 1)), *pieces(SHARE))


async def test_an_order_that_was_not_seen_is_answered_with_try_again(called: Called) -> None:
    async with (
        refused(grpc.StatusCode.UNAVAILABLE, "has not seen this order"),
        called.as_caller(called.query.mpcs[0].tls) as peer,
    ):
        await peer.Join(JoinRequest(query_id=b"\xcd" * 32, attempt=1), timeout=5)
    async with (
        refused(grpc.StatusCode.INVALID_ARGUMENT, "32 bytes"),
        called.as_caller(called.query.mpcs[0].tls) as peer,
    ):
        await peer.Join(JoinRequest(query_id=b"short", attempt=1), timeout=5)


async def test_owners_deliver_shares_to_the_open_attempt(called: Called) -> None:
    await called.join(called.query.mpcs[0])
    await called.deliver(called.query.owners[1], called.header(), *pieces(SHARE))
    directory = called.agent.session._attempt.directory
    assert (directory / "owner-1.share").read_bytes() == SHARE
    for file in called.agent.context.workspaces.root.rglob("*"):
        assert not file.is_file() or SHARE[:40] not in file.read_bytes()


async def test_an_mpc_node_delivers_no_shares(called: Called) -> None:
    await called.join(called.query.mpcs[0])
    for node in (called.query.mpcs[0], called.query.mpcs[2]):
        async with refused(grpc.StatusCode.PERMISSION_DENIED, "Only a data owner"):
            await called.deliver(node, called.header(), *pieces(SHARE))


async def test_what_is_cut_short_or_too_long_leaves_nothing(called: Called) -> None:
    await called.join(called.query.mpcs[0])
    owner = called.query.owners[0]
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "before its announced size"):
        await called.deliver(owner, called.header(), *pieces(SHARE)[:-1])
    async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "longer than announced"):
        await called.deliver(owner, called.header(), *pieces(SHARE + b"!"))
    async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "longer than announced"):
        await called.deliver(owner, called.header(), *pieces(SHARE), ShareChunk(data=b"!"))
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "empty"):
        await called.deliver(owner, called.header(), ShareChunk())
    async with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "A share may have"):
        await called.deliver(owner, called.header(size_bytes=1 << 50))
    assert list(called.agent.session._attempt.directory.iterdir()) == []
    assert not list(called.agent.context.workspaces.root.rglob("*.sealed"))


async def test_a_message_beyond_the_limit_is_refused(called: Called) -> None:
    await called.join(called.query.mpcs[0])
    size = 2 << 20
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await called.deliver(
            called.query.owners[0], called.header(size_bytes=size), ShareChunk(data=bytes(size))
        )
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_roster_that_the_nodes_did_not_sign_does_not_start(called: Called) -> None:
    leader = called.query.mpcs[0]
    engine = (await called.join(leader)).engine
    async with (
        refused(grpc.StatusCode.INVALID_ARGUMENT, "each participant once"),
        called.as_caller(leader.tls) as peer,
    ):
        await peer.Start(StartRequest(query_id=called.query.id, attempt=1, engines=[engine]), timeout=5)
    many = [EngineAddress()] * 17
    async with (
        refused(grpc.StatusCode.INVALID_ARGUMENT, "More engines"),
        called.as_caller(leader.tls) as peer,
    ):
        await peer.Start(StartRequest(query_id=called.query.id, attempt=1, engines=many), timeout=5)
    assert called.agent.state == "joined"


async def test_an_abort_of_an_older_attempt_is_ignored_and_the_open_one_ends(called: Called) -> None:
    leader, owner = called.query.mpcs[0], called.query.owners[0]
    await called.join(leader, Fence(0, 2))
    async with called.as_caller(owner.tls) as peer:
        await peer.Abort(AbortRequest(query_id=called.query.id, attempt=1), timeout=5)
        assert called.agent.state == "joined"
        await peer.Abort(AbortRequest(query_id=called.query.id, attempt=2), timeout=5)
        assert called.agent.state == "ordered"
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "no reason"):
            await peer.Abort(AbortRequest(query_id=called.query.id, attempt=2, reason=6), timeout=5)
    async with refused(grpc.StatusCode.ABORTED, "already ended"):
        await called.join(leader, Fence(0, 2))


async def test_nobody_follows_a_leader_into_a_storm_of_attempts(called: Called) -> None:
    leader = called.query.mpcs[0]
    for attempt in (MAX_ATTEMPTS + 1, 2**32 - 1):
        async with refused(grpc.StatusCode.ABORTED, "at attempt 0"):
            await called.join(leader, Fence(0, attempt))
    assert called.agent.state == "ordered"
    await called.join(leader, Fence(0, 1))


async def test_a_sentence_of_a_peer_cannot_forge_log_lines(called: Called) -> None:
    sentence = "Bad column.\n\x1b[31mforged line\u202e" + "x" * 2000
    async with called.as_caller(called.query.owners[0].tls) as peer:
        request = AbortRequest(query_id=called.query.id, reason=10, sentence=sentence)
        await peer.Abort(request, timeout=5)
    source, kept = called.agent.session._record.sentence.split(" ended the query: ")
    assert source == f"The node {called.query.owners[0].account}"
    assert kept.startswith("Bad column.[31mforged line")
    assert len(kept) <= 500
    assert kept.isprintable()
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "has ended at this node"):
        await called.join(called.query.mpcs[0])
