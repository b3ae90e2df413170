"""How claims against nodes stand: folded from the quorum's events, which are all that there is of them. Pure.

The contract keeps hashes alone; whoever shows, plans by or audits claims folds the same events.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from soterone.chain.events import (
    ClaimAppealed,
    ClaimFinal,
    ClaimReversed,
    ClaimUpheld,
    Event,
    LogPosition,
    ProfileMeasured,
)
from soterone.domain.detection import Claim, ClaimStatus, Measurement
from soterone.domain.ids import Account, Hash32

CLAIM_EVENTS: Final[tuple[type[Event], ...]] = (
    ClaimUpheld,
    ProfileMeasured,
    ClaimAppealed,
    ClaimReversed,
    ClaimFinal,
)
"""Events that a claim's standing follows from; each bears its node."""

MEASUREMENT_STANDS_SECONDS: Final = 30 * 86_400
"""How long a measurement caps a node: then it is taken at its word again, and measured again."""


@dataclass(frozen=True, slots=True)
class StandingClaim:
    """A claim and how it stands: upheld, appealed, reversed or final.

    Attributes:
        position, time: of the log that upheld it, and its block's timestamp (seconds since 1970).
        measured: what its signers measured, None where it is not about a profile.
        appeal_epoch: the quorum's, in which an appeal is or was heard; None without an appeal.
    """

    claim_id: Hash32
    claim: Claim
    position: LogPosition
    time: int
    status: ClaimStatus = ClaimStatus.UPHELD
    measured: Measurement | None = None
    appeal_epoch: int | None = None

    @property
    def node(self) -> Account:
        """The accused."""
        return self.claim.accusation.node


@dataclass(frozen=True, slots=True)
class Measured:
    """What a panel measured of a node, by the claim that it upheld."""

    claim_id: Hash32
    measurement: Measurement


def claims_of(events: Iterable[Event], times: Mapping[int, int]) -> tuple[StandingClaim, ...]:
    """Return the claims that events in the chain's order tell of, oldest first; `times` has the timestamp of each block
    by number. Events of a claim whose upholding is not among them are passed over."""
    claims: dict[Hash32, StandingClaim] = {}
    for event in events:
        match event:
            case ClaimUpheld(position=position, claim_id=claim_id, claim=claim):
                claims[claim_id] = StandingClaim(claim_id, claim, position, times[position.block_number])
            case ProfileMeasured() | ClaimAppealed() | ClaimReversed() | ClaimFinal():
                if event.claim_id in claims:
                    claims[event.claim_id] = _changed(claims[event.claim_id], event)
    return tuple(claims.values())


def measured_by(claims: Iterable[StandingClaim], since: int = 0) -> Measured | None:
    """Return what the newest of a node's claims (oldest first) measured that was upheld after `since` (seconds) and not
    reversed, None when there is none."""
    found = [
        Measured(one.claim_id, one.measured)
        for one in claims
        if one.measured is not None and one.status is not ClaimStatus.REVERSED and one.time > since
    ]
    return found[-1] if found else None


def _changed(claim: StandingClaim, event: Event) -> StandingClaim:
    match event:
        case ProfileMeasured(measured=measured):
            return replace(claim, measured=measured)
        case ClaimAppealed(epoch=epoch):
            return replace(claim, status=ClaimStatus.APPEALED, appeal_epoch=epoch)
        case ClaimReversed():
            return replace(claim, status=ClaimStatus.REVERSED)
        case _:
            return replace(claim, status=ClaimStatus.FINAL)
