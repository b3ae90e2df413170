"""Who judges: panels drawn from the detectors' seats by a seed, bit for bit what `contracts/libraries/PanelDraw.sol`
and `DetectorQuorum.sol` draw.

Sets of seats are integers with bit i for seat i. Sampling: Bentley & Floyd, "Programming Pearls: A Sample of
Brilliance", 1987.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self

from eth_utils import keccak, to_checksum_address

from soterone.domain.ids import Account, Hash32, hash_bytes

MOST_SEATS: Final = 255
MOST_MEMBERS: Final = 16
DECISION_EPOCHS: Final = 2
"""An appeal is decided so many epochs after it at the latest."""
_KINDS: Final = range(1, 7)


class TooFewSeatsError(Exception):
    """There are not enough seats for a panel, or for an appeal against it."""

    def __init__(self, seats: int, needed: int) -> None:
        super().__init__(
            f"{needed} detectors' seats are needed and there are {seats}: enlist more, or make panels smaller"
        )
        self.seats, self.needed = seats, needed


@dataclass(frozen=True, slots=True)
class Terms:
    """`IDetectorQuorum.Terms`: `threshold` votes of a panel of `panel_size` decide.

    `severities` has four bits a kind, kind i at bit 4·i: the highest severity that such a claim may have.
    """

    panel_size: int
    threshold: int
    appeal_epochs: int
    suspension_epochs: int
    severities: int

    @property
    def seats_needed(self) -> int:
        """With fewer seats there are no panels: two panels without a common member, and a seat to recuse."""
        return 2 * self.panel_size + 1

    @property
    def honest_voters(self) -> int:
        """So many of the votes that decide come from honest members when all members that did not have to vote
        collude: threshold − (panel_size − threshold), at least 1."""
        return 2 * self.threshold - self.panel_size

    def highest_severity(self, kind: int) -> int:
        """The highest severity that a claim of this kind may have; 0 for kinds that there are not."""
        return self.severities >> 4 * kind & 15 if 0 <= kind <= 7 else 0

    def problem(self) -> str | None:
        """Why the contract would refuse these terms, None when it would not."""
        size, threshold = self.panel_size, self.threshold
        if not 0 < threshold <= size <= MOST_MEMBERS or 2 * threshold <= size:
            return f"the threshold must be more than half of a panel of at most {MOST_MEMBERS}"
        if self.appeal_epochs < 1 or self.suspension_epochs <= self.appeal_epochs + DECISION_EPOCHS:
            return f"a suspension must last over {DECISION_EPOCHS} epochs longer than appeals, these at least one"
        if self.severities != sum(min(self.highest_severity(one), 3) << 4 * one for one in _KINDS):
            return "severities has four bits for each of the kinds 1 to 6, and none is above 3"
        return None


@dataclass(frozen=True, slots=True)
class Seat:
    """A detector and its operator."""

    detector: Account
    operator: Account


@dataclass(frozen=True, slots=True)
class Bench:
    """Terms and seats of an epoch with its seed: everything that its panels follow from.

    `seats` in ascending order of the detectors; `seed` is below 2**80, the low end of a block's hash.
    """

    terms: Terms
    seats: tuple[Seat, ...]
    seed: int

    @classmethod
    def of_code(cls, code: bytes, seed: int) -> Self:
        """Read terms and seats from the code of an epoch's roster; ValueError when it is none."""
        return cls(*roster_of_code(code), seed)

    def panel_on(self, node: Account, operator: Account) -> tuple[Account, ...]:
        """Who judges a node of this operator, in ascending order; TooFewSeatsError when nobody can."""
        self._check_seats(self.terms.seats_needed)
        seed = _seed(self.seed, int(node, 16).to_bytes(32))
        recused = self._recused(node, operator)
        return self._members(draw(seed, len(self.seats), self.terms.panel_size, recused))

    def panel_on_appeal(
        self, claim_id: Hash32, node: Account, operator: Account, first_panel: Collection[Account]
    ) -> tuple[Account, ...]:
        """Who judges an appeal, in ascending order: nobody of the claim's panel nor of the accused's operator."""
        excluded = self._recused(node, operator)
        excluded |= sum(1 << place for place, seat in enumerate(self.seats) if seat.detector in first_panel)
        self._check_seats(self.terms.panel_size + excluded.bit_count())
        seed = _seed(self.seed, hash_bytes(claim_id))
        return self._members(draw_outside(seed, len(self.seats), self.terms.panel_size, excluded))

    def _check_seats(self, needed: int) -> None:
        if len(self.seats) < needed:
            raise TooFewSeatsError(len(self.seats), needed)

    def _recused(self, node: Account, operator: Account) -> int:
        return sum(
            1 << place
            for place, seat in enumerate(self.seats)
            if seat.detector == node or seat.operator == operator
        )

    def _members(self, chosen: int) -> tuple[Account, ...]:
        return tuple(seat.detector for place, seat in enumerate(self.seats) if chosen >> place & 1)


def roster_of_code(code: bytes) -> tuple[Terms, tuple[Seat, ...]]:
    """Read the code that `contracts/libraries/Roster.sol` stores: a STOP, the terms, then detector and operator of each
    seat, 32 bytes each; ValueError when it is nothing of the kind."""
    if len(code) % 64 != 33 or code[0] != 0:
        raise ValueError("this code is no roster of detectors")
    words = [int.from_bytes(code[start : start + 32]) for start in range(1, len(code), 32)]
    packed, members = words[0], [_account(word) for word in words[1:]]
    seats = tuple(Seat(*pair) for pair in zip(members[::2], members[1::2], strict=True))
    return unpack_terms(packed), seats


def unpack_terms(word: int) -> Terms:
    """`panelSize8 threshold8 appealEpochs16 suspensionEpochs16 severities32`, from the low bits up."""
    return Terms(
        word & 0xFF, word >> 8 & 0xFF, word >> 16 & 0xFFFF, word >> 32 & 0xFFFF, word >> 48 & 0xFFFFFFFF
    )


def draw(seed: bytes, seats: int, size: int, recused: int) -> int:
    """Return `size` of `seats`, and others in place of those of them that are recused; there are enough.

    `seed` has 32 bytes. A recusal moves nobody else: who gets a judge recused gets no other panel by it.
    """
    panel = _sample(seed, seats, size)
    hit, taken = panel & recused, panel | recused
    panel ^= hit
    for step in range(seats, seats + hit.bit_count()):
        rank = _number(seed, step) % (seats - taken.bit_count())
        substitute = 1 << _outside(taken, rank)
        panel, taken = panel | substitute, taken | substitute
    return panel


def draw_outside(seed: bytes, seats: int, size: int, excluded: int) -> int:
    """Return `size` of those `seats` that are not excluded; there are as many."""
    sample = _sample(seed, seats - excluded.bit_count(), size)
    left = [seat for seat in range(seats) if not excluded >> seat & 1]
    return sum(1 << seat for rank, seat in enumerate(left) if sample >> rank & 1)


def _sample(seed: bytes, seats: int, size: int) -> int:
    chosen = 0
    for step in range(seats - size, seats):
        bit = 1 << _number(seed, step) % (step + 1)
        chosen |= 1 << step if chosen & bit else bit
    return chosen


def _number(seed: bytes, step: int) -> int:
    return int.from_bytes(keccak(seed + step.to_bytes(32)))


def _outside(taken: int, rank: int) -> int:
    """The seat of that rank among those not taken."""
    seat = 0
    while rank or taken >> seat & 1:
        rank -= not taken >> seat & 1
        seat += 1
    return seat


def _seed(epoch_seed: int, subject: bytes) -> bytes:
    return keccak(epoch_seed.to_bytes(32) + subject)


def _account(word: int) -> Account:
    return Account(to_checksum_address(word.to_bytes(32)[12:]))
