"""Which MPC nodes compute: a draw among the best that anybody can repeat from its seed.

Ranking is integer arithmetic on the lower bound of the expected reputation. A tenth of the draws goes to
newcomers, so that a network does not close.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eth_utils import keccak

from soterone.domain.ids import Account
from soterone.domain.reputation import Record, lower_bound

MOST_CANDIDATES = 16
"""How many of the best stand in the event of a replacement, for everybody to repeat the draw."""

_SMALLEST_POOL, _POOL_SPREAD, _NEWCOMER_ONE_IN = 4, 4, 10


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node as the draw sees it. `lower_bound` is 1e9 fixed point; a newcomer was never settled."""

    account: Account
    operator: Account
    version: int
    lower_bound: int
    newcomer: bool

    @classmethod
    def of_record(
        cls, account: Account, operator: Account, version: int, record: Record, epoch: int
    ) -> "Candidate":
        """Return a node with its record in the ReputationLedger, in an epoch: a block's timestamp by its length."""
        bound = lower_bound(record, max(epoch, record.last_epoch))
        return cls(account, operator, version, bound, record.last_epoch == 0)


class TooFewCandidatesError(Exception):
    """Not enough nodes of different operators for the places to fill."""

    def __init__(self, needed: int, found: int) -> None:
        super().__init__(f"{needed} MPC nodes of different operators are needed, {found} can take part now")
        self.needed = needed
        self.found = found


def rank(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return candidates best first; ties by account, so that everybody has the same order."""
    return sorted(candidates, key=lambda candidate: (-candidate.lower_bound, int(candidate.account, 16)))


def choose(
    seed: bytes,
    candidates: Sequence[Candidate],
    count: int,
    minimum_version: int = 0,
    taken_operators: frozenset[Account] = frozenset(),
) -> tuple[Account, ...]:
    """Draw `count` nodes of operators that are all different and not taken, in the order of the draw.

    `seed` is 32 bytes that nobody could choose. Equal arguments give equal answers. TooFewCandidatesError when
    the candidates do not fill the places.
    """
    left = [candidate for candidate in rank(candidates) if candidate.version >= minimum_version]
    operators, chosen = set(taken_operators), list[Account]()
    for place in range(count):
        left = [candidate for candidate in left if candidate.operator not in operators]
        if not left:
            raise TooFewCandidatesError(count, len(chosen))
        drawn = _draw(seed, place, left)
        operators.add(drawn.operator)
        chosen.append(drawn.account)
    return tuple(chosen)


def successor(
    seed: bytes, candidates: Sequence[Candidate], minimum_version: int, taken_operators: frozenset[Account]
) -> Account:
    """Draw the node that takes a lost one's place; `taken_operators` are those of the two that are left.

    TooFewCandidatesError when none fits.
    """
    return choose(seed, candidates, 1, minimum_version, taken_operators)[0]


def _draw(seed: bytes, place: int, ranked: Sequence[Candidate]) -> Candidate:
    lot = keccak(seed + place.to_bytes(4))
    newcomers = [candidate for candidate in ranked if candidate.newcomer]
    size = _SMALLEST_POOL + _number(lot, 8) % _POOL_SPREAD
    pool = newcomers if newcomers and _number(lot, 0) % _NEWCOMER_ONE_IN == 0 else ranked[:size]
    return pool[_number(lot, 16) % len(pool)]


def _number(lot: bytes, offset: int) -> int:
    return int.from_bytes(lot[offset : offset + 8])
