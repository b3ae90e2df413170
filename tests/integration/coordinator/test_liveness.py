"""Silence counts only while somebody listened: on a real database, with a clock that the rows carry."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import grpc.aio
import pytest
from fixtures.live_coordinator import ClientNode, LiveCoordinator, beat, eventually
from sqlalchemy import select, text, update
from sqlmodel import col

from coordinator import liveness
from coordinator.database import Database
from coordinator.liveness import Beat
from coordinator.models.nodes import ListeningLease, Node, NodeLiveness, NodeStatus
from coordinator.nodes import repository
from soterone.rpc.generated import coordinator_pb2 as pb

PATIENCE_SECONDS = 6.0
ALIVE, DEAD = "0x" + "aA" * 20, "0x" + "bB" * 20


async def add(database: Database, account: str, online_for_seconds: float) -> None:
    now = await database.now()
    async with database.transaction() as session:
        session.add(
            Node(
                account=account,
                operator=account,
                roles=1,
                version=1,
                incarnation=1,
                status=NodeStatus.ACTIVE,
                tls_key_hash=f"0x{account[2:4] * 32}",
                profile_hash="0x",
                profile_json="{}",
                registered_at=now,
            )
        )
        await session.flush()
        session.add(NodeLiveness(account=account, online_until=now + online_for_seconds))


async def online(database: Database) -> set[str]:
    async with database.reading() as session:
        return await repository.online_among(session, [ALIVE, DEAD])


async def listen(database: Database, service: str = "one") -> bool:
    async with database.transaction() as session:
        return await liveness.listen(session, service, PATIENCE_SECONDS)


async def age_lease(database: Database, seconds: float) -> None:
    """As if the last renewal, and all that was promised then, lay further back."""
    async with database.transaction() as session:
        await session.execute(update(ListeningLease).values(heard_at=col(ListeningLease.heard_at) - seconds))
        await session.execute(
            update(NodeLiveness).values(online_until=col(NodeLiveness.online_until) - seconds)
        )


async def test_a_node_that_is_silent_while_somebody_listens_is_offline(database: Database) -> None:
    await listen(database)
    await add(database, ALIVE, 5)
    await add(database, DEAD, -1)
    await listen(database)
    assert await online(database) == {ALIVE}


async def test_time_stands_still_while_nobody_listens(database: Database) -> None:
    await add(database, ALIVE, 5)
    await listen(database)
    await age_lease(database, 3600)
    assert await online(database) == {ALIVE}


async def window_of(database: Database, account: str) -> float:
    """How long a node still counts as online, in seconds."""
    async with database.reading() as session:
        row = await session.get(NodeLiveness, account)
        assert row is not None
        return row.online_until - await database.now()


@pytest.mark.parametrize(
    "seconds", [3600, 600, -600], ids=["an hour later", "clock set on", "clock set back"]
)
async def test_whoever_listens_again_gives_a_fresh_window_to_the_living_only(
    database: Database, seconds: float
) -> None:
    await listen(database)
    await add(database, ALIVE, 5)
    await add(database, DEAD, -1)
    await listen(database)
    await age_lease(database, seconds)
    assert await online(database) == {ALIVE}
    assert await listen(database, "two")
    assert await online(database) == {ALIVE}
    assert not await listen(database, "two")
    assert await window_of(database, ALIVE) == pytest.approx(
        liveness.RETURN_PATIENCES * PATIENCE_SECONDS, abs=3
    )


async def test_a_short_deafness_stops_the_clock_for_so_long(database: Database) -> None:
    await listen(database, "one")
    await add(database, ALIVE, 30)
    await add(database, DEAD, -1)
    await age_lease(database, 2)
    assert await window_of(database, ALIVE) < 28
    assert await listen(database, "one")
    assert 28 < await window_of(database, ALIVE) <= 31
    assert await online(database) == {ALIVE}


async def test_a_service_that_listens_notices_that_another_one_is_deaf(database: Database) -> None:
    await listen(database, "one")
    await add(database, ALIVE, 5)
    await add(database, DEAD, -1)
    async with database.transaction() as session:
        await liveness.listen(session, "two", PATIENCE_SECONDS)
        deaf = update(ListeningLease).where(col(ListeningLease.service) == "one")
        await session.execute(deaf.values(heard_at=col(ListeningLease.heard_at) - 4))
        assert await liveness.listen(session, "two", PATIENCE_SECONDS)
    assert await window_of(database, ALIVE) > 2 * PATIENCE_SECONDS
    assert await online(database) == {ALIVE}
    assert not await listen(database, "two"), "it is noticed once"
    async with database.transaction() as session:
        await liveness.write_beats(session, [Beat(ALIVE)], PATIENCE_SECONDS)
    assert await window_of(database, ALIVE) <= PATIENCE_SECONDS


async def test_a_second_listener_leaves_no_gap(database: Database) -> None:
    async with database.transaction() as session:
        await liveness.listen(session, "one", PATIENCE_SECONDS)
        assert not await liveness.listen(session, "two", PATIENCE_SECONDS)


async def test_a_heartbeat_does_not_revive_a_node_that_is_gone(database: Database) -> None:
    async with database.transaction() as session:
        await liveness.write_beats(session, [Beat(DEAD)], PATIENCE_SECONDS)
    await listen(database)
    assert await online(database) == set()


async def test_a_thousand_beats_fit_one_batch(database: Database) -> None:
    accounts = [f"0x{number:040x}" for number in range(1000)]
    for account in accounts[:3]:
        await add(database, account, -1)
    async with database.transaction() as session:
        beats = [Beat(account, memory_total_bytes=2**40) for account in accounts]
        await liveness.write_beats(session, beats, PATIENCE_SECONDS)
    await listen(database)
    async with database.reading() as session:
        assert await repository.online_among(session, accounts) == set(accounts[:3])
        row = await session.get(NodeLiveness, accounts[0])
        assert row is not None
        assert row.memory_total_bytes == 2**40


async def write_both(database: Database) -> None:
    async with database.transaction() as session:
        await liveness.write_beats(session, [Beat(DEAD), Beat(ALIVE)], PATIENCE_SECONDS)


@pytest.mark.parametrize("write", [write_both, listen])
async def test_services_that_write_the_same_nodes_never_wait_for_each_other(
    on_postgresql: Database, write: Callable[[Database], Awaitable[object]]
) -> None:
    """A service that waits for the first node's row holds no other one, whichever was stored first."""
    for account in (DEAD, ALIVE):
        await add(on_postgresql, account, 60)
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    last = select(col(NodeLiveness.account)).where(col(NodeLiveness.account) == DEAD)
    async with on_postgresql.transaction() as other, asyncio.TaskGroup() as tasks:
        await other.get(NodeLiveness, ALIVE, with_for_update=True)
        tasks.create_task(write(on_postgresql))
        await eventually(lambda: other.scalar(waiting), bool)
        assert await other.scalar(last.with_for_update(skip_locked=True)) == DEAD
        await other.commit()


async def is_online(live: LiveCoordinator) -> bool:
    async with live.rest() as web:
        nodes = (await web.get("/v1/catalog/nodes")).json()["nodes"]
    return bool(nodes and nodes[0]["online"])


async def test_a_node_is_online_from_its_first_heartbeat_until_its_patience_ends(
    owner: ClientNode, live: LiveCoordinator
) -> None:
    assert not await is_online(live)
    async with owner.agents() as agents:
        stream = agents.Connect()
        assert await beat(stream, 7) == 7
        assert await is_online(live)
        await eventually(lambda: is_online(live), lambda alive: not alive)
        assert await beat(stream, 8) == 8
        assert await is_online(live)


async def test_the_newest_stream_wins(owner: ClientNode) -> None:
    async with owner.agents() as agents:
        old = agents.Connect()
        await beat(old, 1)
        new = agents.Connect()
        await beat(new, 1)
        assert await old.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert await beat(new, 2) == 2


async def test_a_suspended_node_is_sent_away(owner: ClientNode, live: LiveCoordinator) -> None:
    async with owner.agents() as agents:
        stream = agents.Connect()
        await beat(stream, 1)
        async with live.database.transaction() as session:
            await session.execute(update(Node).values(status=NodeStatus.SUSPENDED))
        async with asyncio.timeout(10):
            assert await stream.code() is grpc.StatusCode.PERMISSION_DENIED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await agents.GetSession(pb.SessionRequest(query_id=bytes(32)))
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "suspended" in str(caught.value.details())


async def test_no_clock_but_the_databases_counts(
    owner: ClientNode, live: LiveCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    for minutes in (-10, 10):
        monkeypatch.setattr(time, "time", lambda shift=minutes * 60: real() + shift)
        async with owner.agents() as agents:
            assert await beat(agents.Connect(), 1) == 1
        window = await window_of(live.database, owner.account)
        assert window <= live.settings.patience_seconds
        async with live.database.reading() as session:
            assert await repository.online_among(session, [owner.account]) == {owner.account}


async def test_no_lease_is_held_and_nobody_is_lost_while_the_database_stands_still(
    owner: ClientNode, live: LiveCoordinator
) -> None:
    async with owner.agents() as agents:
        stream = agents.Connect()
        assert await beat(stream, 1) == 1
        async with live.database.transaction() as session:
            if not live.database.is_sqlite:
                await session.execute(text("LOCK TABLE listening_leases, node_liveness IN EXCLUSIVE MODE"))
            waiting = asyncio.create_task(beat(stream, 2))
            await asyncio.sleep(2 * live.settings.patience_seconds)
            assert not waiting.done(), "a heartbeat was acknowledged that is not durable"
            async with live.database.reading() as reader:
                assert await repository.online_among(reader, [owner.account]) == {owner.account}
        async with asyncio.timeout(30):
            assert await waiting == 2
        async with live.database.reading() as reader:
            assert await repository.online_among(reader, [owner.account]) == {owner.account}


async def test_an_agent_that_does_not_wait_for_acknowledgements_cannot_pile_up_work(
    owner: ClientNode, live: LiveCoordinator
) -> None:
    async with owner.agents() as agents:
        stream = agents.Connect()
        await beat(stream, 1)
        async with live.database.transaction() as session:
            if not live.database.is_sqlite:
                await session.execute(text("LOCK TABLE listening_leases, node_liveness IN EXCLUSIVE MODE"))
            flood = asyncio.create_task(write_many(stream, 50_000))
            await asyncio.sleep(1)
            assert not flood.done(), "the service takes heartbeats without end"
            flood.cancel()
        stream.cancel()


async def write_many(stream: grpc.aio.StreamStreamCall, count: int) -> None:  # type: ignore[type-arg]
    snapshot = pb.ResourceSnapshot(memory_total_bytes=2**33)
    for sequence in range(2, count):
        await stream.write(pb.AgentMessage(sequence=sequence, heartbeat=pb.Heartbeat(snapshot=snapshot)))
