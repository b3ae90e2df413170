"""When a leader stops making attempts, and what it says then."""

import grpc
import grpc.aio
import pytest

from node_agent.sessions.attempt import Ended
from node_agent.sessions.leader import MOST_BROKEN, PeerAheadError, Tally, _join
from node_agent.sessions.states import MAX_ATTEMPTS, UNLINKED_TRIES, Fence
from soterone.crypto.accounts import account_bytes
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account
from soterone.rpc.generated.peer_pb2 import EngineAddress, JoinReply, PingReply


def verdict_after(ended: list[Ended], number: int = 2) -> FailureReason | None:
    tally = Tally()
    for one in ended:
        tally.count(one)
    verdict = tally.verdict(number)
    return verdict[0] if verdict else None


def test_a_pair_that_cannot_link_retries_once() -> None:
    unlinked = Ended(again=True, why="no link")
    assert verdict_after([unlinked] * (UNLINKED_TRIES - 1)) is None
    assert verdict_after([unlinked] * UNLINKED_TRIES) is FailureReason.ENGINE_ERROR


def test_a_query_that_breaks_engines_again_and_again_is_quarantined() -> None:
    broken = Ended(again=True, linked=True, why="killed by signal 9")
    assert verdict_after([broken] * (MOST_BROKEN - 1)) is None
    assert verdict_after([broken] * MOST_BROKEN) is FailureReason.QUARANTINED
    tally = Tally()
    for _ in range(MOST_BROKEN):
        tally.count(broken)
    verdict = tally.verdict(6)
    assert verdict is not None
    assert "broke 5 times" in verdict[1]
    assert "signal 9" in verdict[1]


def test_attempts_are_not_numbered_for_ever() -> None:
    assert verdict_after([], MAX_ATTEMPTS) is None
    assert verdict_after([], MAX_ATTEMPTS + 1) is FailureReason.ENGINE_ERROR


class Door:
    """The leader's session, as far as it knocks: one peer that answers in turn."""

    def __init__(self, *answers: JoinReply | grpc.StatusCode, ahead: int = 0) -> None:
        self.peers, self.order = self, Trio
        self.reported: list[tuple[Account, bool]] = []
        self._answers, self._ahead = list(answers), ahead

    async def join(self, peer: Account, fence: Fence) -> JoinReply:
        answer = self._answers.pop(0)
        if isinstance(answer, grpc.StatusCode):
            raise grpc.aio.AioRpcError(answer, grpc.aio.Metadata(), grpc.aio.Metadata())
        return answer

    async def ping(self, peer: Account) -> PingReply:
        return PingReply(attempt=self._ahead)

    def is_credible(self, fence: Fence, peer: Account, reply: JoinReply) -> bool:
        return reply.engine.account == account_bytes(peer)

    def report_loss(self, lost: Account, unlinked: bool) -> None:
        self.reported.append((lost, unlinked))


class Trio:
    mpcs = (Account("0x" + "1" * 40),)


def reply_of(node: Account) -> JoinReply:
    return JoinReply(engine=EngineAddress(account=account_bytes(node)))


async def knock(door: Door) -> JoinReply:
    return await _join(door, Trio.mpcs[0], Fence(0, 1), 0.0, clock=iter((0.0, 1.0, 2.0)).__next__)  # type: ignore[arg-type]


async def test_a_peer_whose_answer_is_not_credible_does_not_join_and_is_complained_of() -> None:
    honest = reply_of(Trio.mpcs[0])
    door = Door(reply_of(Account("0x" + "2" * 40)), honest)
    assert await knock(door) is honest
    assert door.reported == [(Trio.mpcs[0], True)]


async def test_a_leader_that_was_restarted_learns_how_far_its_peer_was() -> None:
    with pytest.raises(PeerAheadError) as ahead:
        await knock(Door(grpc.StatusCode.ABORTED, ahead=MAX_ATTEMPTS))
    assert ahead.value.attempt == MAX_ATTEMPTS


async def test_an_attempt_that_nobody_numbers_is_not_believed() -> None:
    honest = reply_of(Trio.mpcs[0])
    door = Door(grpc.StatusCode.ABORTED, honest, ahead=2**31)
    assert await knock(door) is honest
    assert door.reported == [(Trio.mpcs[0], True)]
