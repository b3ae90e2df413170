"""When a leader stops making attempts, and what it says then."""

import pytest

from node_agent.sessions.attempt import Ended
from node_agent.sessions.checkpoints import KEPT
from node_agent.sessions.leader import MOST_BROKEN, Tally, _join
from node_agent.sessions.states import MAX_ATTEMPTS, UNLINKED_TRIES, Fence
from soterone.crypto.accounts import account_bytes
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account
from soterone.rpc.generated.peer_pb2 import Checkpoint, EngineAddress, JoinReply


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

    def __init__(self, *answers: JoinReply) -> None:
        self.peers, self.order = self, Trio
        self.reported: list[tuple[Account, bool]] = []
        self._answers = list(answers)

    async def join(self, peer: Account, fence: Fence) -> JoinReply:
        return self._answers.pop(0)

    def report_loss(self, lost: Account, unlinked: bool) -> None:
        self.reported.append((lost, unlinked))


class Trio:
    mpcs = (Account("0x" + "1" * 40),)


def reply_of(node: Account, checkpoints: int = 0) -> JoinReply:
    address = EngineAddress(account=account_bytes(node))
    return JoinReply(engine=address, checkpoints=[Checkpoint(epoch=n) for n in range(checkpoints)])


@pytest.mark.parametrize("lie", [reply_of(Account("0x" + "2" * 40)), reply_of(Trio.mpcs[0], KEPT + 1)])
async def test_a_peer_that_answers_for_another_or_floods_does_not_join(lie: JoinReply) -> None:
    honest = reply_of(Trio.mpcs[0], KEPT)
    door = Door(lie, honest)
    joined = await _join(door, Trio.mpcs[0], Fence(0, 1), 0.0, clock=iter((0.0, 1.0, 2.0)).__next__)  # type: ignore[arg-type]
    assert joined is honest
    assert door.reported == [(Trio.mpcs[0], True)]
