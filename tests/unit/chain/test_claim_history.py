"""How a claim stands follows from its events alone."""

from collections.abc import Sequence

import pytest

from soterone.chain.claim_history import Measured, claims_of, measured_by
from soterone.chain.events import (
    ClaimAppealed,
    ClaimFinal,
    ClaimReversed,
    ClaimUpheld,
    Event,
    LogPosition,
    ProfileMeasured,
)
from soterone.domain.detection import Accusation, Claim, ClaimStatus, Kind, Measurement
from soterone.domain.ids import Account, hash32
from soterone.domain.reputation import Severity

NODE = Account("0x" + "1" * 40)
FIRST, SECOND, HASH = (hash32(bytes([number]) * 32) for number in (1, 2, 3))
CLAIM = Claim(Accusation(NODE, NODE, 7, Kind.PROFILE, Severity.GRAVE), 0b11, 8_000_000_000, 1)
SMALL, SMALLER = Measurement(2, 4096, 700), Measurement(1, 2048, 350)


def at(block: int) -> LogPosition:
    return LogPosition(1, block, 0, HASH, HASH)


UPHELD = (ClaimUpheld(at(1), FIRST, NODE, CLAIM), ProfileMeasured(at(1), FIRST, NODE, SMALL))
AGAIN = (ClaimUpheld(at(2), SECOND, NODE, CLAIM), ProfileMeasured(at(2), SECOND, NODE, SMALLER))
TIMES = {1: 100, 2: 200, 3: 300}


@pytest.mark.parametrize(
    ("later", "status", "appeal_epoch"),
    [
        ((), ClaimStatus.UPHELD, None),
        ((ClaimAppealed(at(2), FIRST, NODE, HASH, 9),), ClaimStatus.APPEALED, 9),
        (
            (ClaimAppealed(at(2), FIRST, NODE, HASH, 9), ClaimReversed(at(3), FIRST, NODE, HASH)),
            ClaimStatus.REVERSED,
            9,
        ),
        ((ClaimFinal(at(3), FIRST, NODE),), ClaimStatus.FINAL, None),
    ],
    ids=["upheld", "appealed", "reversed", "final"],
)
def test_a_claim_stands_as_its_last_event_says(
    later: Sequence[Event], status: ClaimStatus, appeal_epoch: int | None
) -> None:
    (claim,) = claims_of((*UPHELD, *later), TIMES)
    assert (claim.status, claim.appeal_epoch) == (status, appeal_epoch)
    assert (claim.node, claim.time, claim.position.block_number) == (NODE, 100, 1)
    assert claim.measured == SMALL


def test_events_of_a_claim_that_nobody_upheld_are_passed_over() -> None:
    assert (
        claims_of((ProfileMeasured(at(1), FIRST, NODE, SMALL), ClaimFinal(at(2), FIRST, NODE)), TIMES) == ()
    )


def test_the_newest_measurement_counts_that_was_not_reversed_and_is_not_too_old() -> None:
    claims = claims_of((*UPHELD, *AGAIN), TIMES)
    assert measured_by(claims) == Measured(SECOND, SMALLER)
    assert measured_by(claims, since=199) == Measured(SECOND, SMALLER)
    assert measured_by(claims, since=200) is None
    reversed_ = claims_of((*UPHELD, *AGAIN, ClaimReversed(at(3), SECOND, NODE, HASH)), TIMES)
    assert measured_by(reversed_) == Measured(FIRST, SMALL)
    assert measured_by(()) is None
