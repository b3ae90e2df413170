"""Seats, terms, epochs and votes of the detectors' quorum as its events tell them, and the panels that follow. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from soterone.audit.registry import RegistryReplay
from soterone.audit.report import Finding, Subject
from soterone.chain.events import (
    DetectorEnlisted,
    DetectorRemoved,
    EpochOpened,
    Event,
    PanelSeeded,
    TermsChanged,
    VotesCommitted,
)
from soterone.domain.detection import Accusation, commitment_to
from soterone.domain.ids import Account, Hash32, hash_bytes
from soterone.domain.panels import Bench, Seat, Terms, TooFewSeatsError
from soterone.domain.roles import Role

SEED_DELAY_BLOCKS = 2
"""So many blocks after its opening comes the one whose hash seeds an epoch."""


@dataclass(frozen=True, slots=True)
class OpenEpoch:
    """An epoch's terms and seats, which code they stand in, and the block whose hash seeds it; `seed` is 0 until then.
    `rotated`: a detector lost its seat since."""

    terms: Terms
    seats: tuple[Seat, ...]
    roster: Account
    seed_block: int
    seed: int = 0
    rotated: bool = False

    @property
    def bench(self) -> Bench:
        """What the panels follow from."""
        return Bench(self.terms, self.seats, self.seed)


@dataclass(frozen=True, slots=True)
class Commitment:
    """Votes on record: `leaves` in the panel's order, `position` the height and index of their log. `spent` once they
    decided."""

    subject: Hash32
    epoch: int
    leaves: tuple[Hash32, ...]
    position: tuple[int, int]
    spent: bool = False


@dataclass(frozen=True, slots=True)
class SeedToCheck:
    """An epoch's seed and the height of the block whose hash it must end like."""

    epoch: int
    seed: int
    seed_block: int


@dataclass(slots=True)
class PanelReplay:
    """Who may judge, and the votes on record. The registry must be fed each event first. `touched_*` changed since the
    replay began."""

    registry: RegistryReplay
    terms: Terms | None = None
    seats: dict[Account, Account] = field(default_factory=dict)
    epochs: dict[int, OpenEpoch] = field(default_factory=dict)
    commitments: dict[Hash32, Commitment] = field(default_factory=dict)
    touched_epochs: set[int] = field(default_factory=set)
    touched_votes: set[Hash32] = field(default_factory=set)
    seeds: list[SeedToCheck] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def apply(self, event: Event, epoch: int) -> bool:
        """Take in the next event with the epoch of its block; return whether it is one of these."""
        match event:
            case TermsChanged():
                self._change_terms(event)
            case DetectorEnlisted():
                self._enlist(event)
            case DetectorRemoved():
                self._remove(event, epoch)
            case EpochOpened():
                self._open(event, epoch)
            case PanelSeeded():
                self._seed(event)
            case VotesCommitted():
                self._commit(event, epoch)
            case _:
                return False
        return True

    @property
    def present_seats(self) -> tuple[Seat, ...]:
        """The seats for epochs not yet open, in the order of the roster."""
        return tuple(Seat(one, self.seats[one]) for one in sorted(self.seats, key=lambda one: int(one, 16)))

    @property
    def latest_epochs(self) -> set[int]:
        """The last epoch that was opened and the one before it, whose votes may still decide."""
        latest = max(self.epochs, default=0)
        return self.epochs.keys() & {latest - 1, latest}

    @property
    def undecided(self) -> set[Hash32]:
        """The votes that may still decide something."""
        latest = self.latest_epochs
        return {name for name, one in self.commitments.items() if not one.spent and one.epoch in latest}

    @property
    def undecided_since(self) -> int | None:
        """The height of the oldest votes that may still decide something, None when there are none."""
        return min((self.commitments[name].position[0] for name in self.undecided), default=None)

    def panel_on(self, accused: Accusation) -> tuple[Account, ...]:
        """Who judges an accusation, drawn again; empty when its epoch has no panels."""
        opened = self._seeded(accused.epoch)
        if opened is None:
            return ()
        try:
            return opened.bench.panel_on(accused.node, accused.operator)
        except TooFewSeatsError:
            return ()

    def panel_on_appeal(self, claim_id: Hash32, accused: Accusation, epoch: int) -> tuple[Account, ...]:
        """Who judges the appeal against a claim in an epoch, drawn again; empty when the epoch has no panels."""
        opened = self._seeded(epoch)
        if opened is None:
            return ()
        try:
            first = self.panel_on(accused)
            return opened.bench.panel_on_appeal(claim_id, accused.node, accused.operator, first)
        except TooFewSeatsError:
            return ()

    def spend(self, commitment: Hash32) -> None:
        """Note that votes decided: they must not decide again."""
        if commitment in self.commitments:
            self.commitments[commitment] = replace(self.commitments[commitment], spent=True)
            self.touched_votes.add(commitment)

    def _seeded(self, epoch: int) -> OpenEpoch | None:
        opened = self.epochs.get(epoch)
        return opened if opened and opened.seed else None

    def _change_terms(self, event: TermsChanged) -> None:
        self.terms = event.terms
        if problem := event.terms.problem():
            self._complain(f"the quorum took terms that it must refuse: {problem}")

    def _enlist(self, event: DetectorEnlisted) -> None:
        detector, operator = event.detector, event.operator
        if detector in self.seats or operator in self.seats.values():
            self._complain(f"{detector} was given a second seat, or a second one of {operator}", detector)
        known = self.registry.nodes.get(detector)
        if not self.registry.is_eligible(detector, Role.DETECTOR) or (known and known.operator != operator):
            self._complain(f"{detector} was given a seat and is no active detector of {operator}", detector)
        self.seats[detector] = operator

    def _remove(self, event: DetectorRemoved, epoch: int) -> None:
        if self.seats.pop(event.detector, None) is None:
            self._complain(f"{event.detector} lost a seat that it did not have", event.detector)
        for number in (epoch, epoch - 1):
            if number in self.epochs:
                self.epochs[number] = replace(self.epochs[number], rotated=True)
                self.touched_epochs.add(number)

    def _open(self, event: EpochOpened, epoch: int) -> None:
        if event.epoch in self.epochs or event.epoch != epoch or self.terms is None:
            self._complain(f"epoch {event.epoch} was opened in epoch {epoch}, out of turn")
            return
        if event.seed_block != event.position.block_number + SEED_DELAY_BLOCKS:
            self._complain(
                f"epoch {event.epoch} was given the seed of another block than the second after it"
            )
        if len(self.seats) < self.terms.seats_needed:
            self._complain(f"epoch {event.epoch} was opened with {len(self.seats)} seats")
        self.epochs[epoch] = OpenEpoch(self.terms, self.present_seats, event.roster, event.seed_block)
        self.touched_epochs.add(epoch)

    def _seed(self, event: PanelSeeded) -> None:
        opened = self.epochs.get(event.epoch)
        if opened is None or opened.seed or event.position.block_number <= opened.seed_block:
            self._complain(f"epoch {event.epoch} was seeded out of turn")
            return
        self.epochs[event.epoch] = replace(opened, seed=event.seed)
        self.seeds.append(SeedToCheck(event.epoch, event.seed, opened.seed_block))
        self.touched_epochs.add(event.epoch)

    def _commit(self, event: VotesCommitted, epoch: int) -> None:
        opened = self.epochs.get(event.epoch)
        if opened is None or not opened.seed or event.epoch != epoch:
            self._complain(f"votes {event.commitment} were committed to epoch {event.epoch} in epoch {epoch}")
            return
        if event.commitment in self.commitments:
            self._complain(f"votes {event.commitment} were committed twice")
        leaves = [hash_bytes(one) for one in event.leaves]
        if commitment_to(hash_bytes(event.subject), leaves) != event.commitment:
            self._complain(f"votes {event.commitment} are not those that their commitment names")
        if len(leaves) != opened.terms.panel_size:
            self._complain(f"votes {event.commitment} are not one a member of the panel")
        self.commitments[event.commitment] = Commitment(
            event.subject, event.epoch, event.leaves, (event.position.block_number, event.position.log_index)
        )
        self.touched_votes.add(event.commitment)

    def _complain(self, sentence: str, *subjects: Subject) -> None:
        self.findings.append(Finding(sentence, subjects))


def check_seed(seed: SeedToCheck, block_hashes: Mapping[int, Hash32]) -> Iterator[Finding]:
    """Complain of a seed that is not the end of its block's hash."""
    known = block_hashes.get(seed.seed_block)
    expected = int.from_bytes(hash_bytes(known)) & (1 << 80) - 1 if known else 0
    if seed.seed != expected:
        yield Finding(
            f"epoch {seed.epoch} was seeded by {seed.seed:#x}, block {seed.seed_block} gives {expected:#x}"
        )
