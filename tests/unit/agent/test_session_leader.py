"""When a leader stops making attempts, and what it says then."""

from node_agent.sessions.attempt import Ended
from node_agent.sessions.leader import MOST_BROKEN, Tally
from node_agent.sessions.states import MAX_ATTEMPTS, UNLINKED_TRIES
from soterone.domain.failures import FailureReason


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
