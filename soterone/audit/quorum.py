"""The detectors' quorum as its events tell it: seats, panels drawn again from their seeds, claims and appeals. Pure.

Who signed a ballot stands in calldata alone: `soterone.audit.votes` looks there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from soterone.audit.penalties import Penalty, PenaltyWatch
from soterone.audit.registry import RegistryReplay
from soterone.audit.report import Finding, Subject
from soterone.chain.events import (
    ClaimAppealed,
    ClaimFinal,
    ClaimReversed,
    ClaimUpheld,
    DetectorEnlisted,
    DetectorRemoved,
    EpochOpened,
    Event,
    NodeReadmitted,
    PanelSeeded,
    TermsChanged,
    VotesCommitted,
)
from soterone.chain.records import NodeStatus
from soterone.domain.detection import Claim, ClaimStatus, commitment_to, reversal_subject
from soterone.domain.ids import Account, Hash32, hash_bytes
from soterone.domain.panels import Bench, Seat, Terms, TooFewSeatsError
from soterone.domain.reputation import Severity
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
class ClaimFile:
    """A claim and how it stands; `epoch` is the accusation's, or that of the appeal's panel once there is an appeal."""

    claim: Claim
    status: ClaimStatus
    epoch: int


@dataclass(frozen=True, slots=True)
class Docket:
    """A node's claims: the kinds of the last epoch with one, and the suspensions that stand."""

    epoch: int = 0
    kinds: int = 0
    suspended_until: int = 0
    suspensions: int = 0


@dataclass(frozen=True, slots=True)
class SeedToCheck:
    """An epoch's seed and the height of the block whose hash it must end like."""

    epoch: int
    seed: int
    seed_block: int


@dataclass(slots=True)
class QuorumReplay:
    """Everything that the quorum decided. `epoch_seconds` is its constructor parameter; the registry must be fed each
    event first. `touched_*` changed since the replay began."""

    registry: RegistryReplay
    epoch_seconds: int
    terms: Terms | None = None
    seats: dict[Account, Account] = field(default_factory=dict)
    epochs: dict[int, OpenEpoch] = field(default_factory=dict)
    commitments: dict[Hash32, Commitment] = field(default_factory=dict)
    claims: dict[Hash32, ClaimFile] = field(default_factory=dict)
    dockets: dict[Account, Docket] = field(default_factory=dict)
    reversals: dict[Hash32, Hash32] = field(default_factory=dict)
    touched_epochs: set[int] = field(default_factory=set)
    touched_entries: set[Hash32] = field(default_factory=set)
    touched_dockets: set[Account] = field(default_factory=set)
    seeds: list[SeedToCheck] = field(default_factory=list)
    examined: int = 0
    findings: list[Finding] = field(default_factory=list)
    penalties: PenaltyWatch = field(default_factory=PenaltyWatch)

    def apply(self, event: Event, time: int, penalty: Penalty | None = None) -> None:
        """Take in the next event with its block's timestamp (seconds); `penalty` is what a NodePenalised cost."""
        self.findings += self.penalties.apply(event, penalty)
        epoch = time // self.epoch_seconds
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
            case ClaimUpheld():
                self._uphold(event, epoch)
            case ClaimAppealed():
                self._appeal(event, epoch)
            case ClaimReversed():
                self._reverse(event, epoch)
            case ClaimFinal():
                self._finalise(event, epoch)
            case NodeReadmitted():
                self._readmit(event, epoch)
            case _:
                return
        self.examined += 1

    def finish(self) -> None:
        """Complain of penalties that no claim explains."""
        self.findings += self.penalties.finish()

    @property
    def undecided_since(self) -> int | None:
        """The height of the oldest votes that may still decide something, None when there are none."""
        latest = max(self.epochs, default=0)
        pending = (
            one.position[0] for one in self.commitments.values() if not one.spent and one.epoch >= latest - 1
        )
        return min(pending, default=None)

    def panel_of(self, claim: Claim) -> tuple[Account, ...]:
        """Who judges what a claim is about, drawn again; empty when its epoch has no panels."""
        accused, opened = claim.accusation, self.epochs.get(claim.accusation.epoch)
        if opened is None or not opened.seed:
            return ()
        try:
            return opened.bench.panel_on(accused.node, accused.operator)
        except TooFewSeatsError:
            return ()

    def appeal_panel_of(self, claim_id: Hash32, file: ClaimFile) -> tuple[Account, ...]:
        """Who judges the appeal against a claim, drawn again; empty when its epoch has no panels."""
        accused, opened = file.claim.accusation, self.epochs.get(file.epoch)
        if opened is None or not opened.seed:
            return ()
        first = self.panel_of(file.claim)
        try:
            return opened.bench.panel_on_appeal(claim_id, accused.node, accused.operator, first)
        except TooFewSeatsError:
            return ()

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
        seats = tuple(Seat(one, self.seats[one]) for one in sorted(self.seats, key=lambda one: int(one, 16)))
        self.epochs[epoch] = OpenEpoch(self.terms, seats, event.roster, event.seed_block)
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
        self.touched_entries.add(event.commitment)

    def _uphold(self, event: ClaimUpheld, epoch: int) -> None:
        claim, claim_id = event.claim, event.claim_id
        for problem in self._claim_problems(event, epoch):
            self._complain(f"claim {claim_id} against {event.node} {problem}", event.node)
        self.findings += self.penalties.explain(event)
        self._enter(claim)
        self._spend(claim_id)
        self.claims[claim_id] = ClaimFile(claim, ClaimStatus.UPHELD, claim.accusation.epoch)

    def _claim_problems(self, event: ClaimUpheld, epoch: int) -> Iterator[str]:
        accused, votes = event.claim.accusation, self.commitments.get(event.claim_id)
        opened = self.epochs.get(accused.epoch)
        if votes is None or opened is None or votes.spent or event.claim_id in self.claims:
            yield "was upheld by votes that were never committed, or that decided before"
            return
        if event.node != accused.node or hash_bytes(votes.subject) != accused.subject:
            yield "was upheld by votes on something else"
        if votes.epoch != accused.epoch or epoch != accused.epoch + 1:
            yield f"was upheld in epoch {epoch} by votes of epoch {votes.epoch}"
        if not 0 < accused.severity <= opened.terms.highest_severity(accused.kind):
            yield f"has severity {int(accused.severity)}, which its kind must not have"
        docket = self.dockets.get(accused.node, Docket())
        if docket.epoch == accused.epoch and docket.kinds >> accused.kind & 1:
            yield "is the second of its kind and epoch"
        known = self.registry.node_before(accused.node, votes.position)
        if known is None or (known.operator, known.incarnation) != (accused.operator, accused.incarnation):
            yield "accuses another operator or incarnation than the votes were on"
        yield from self._ballot_problems(event.claim, opened, votes)

    def _ballot_problems(self, claim: Claim, opened: OpenEpoch, votes: Commitment) -> Iterator[str]:
        panel = self.panel_of(claim)
        signers = claim.signers_among(panel)
        if len(signers) != claim.signers.bit_count() or len(votes.leaves) != len(panel):
            yield "was signed from outside the panel that its seed draws"
            return
        if len(signers) < opened.terms.threshold:
            yield f"was upheld by {len(signers)} votes, {opened.terms.threshold} are needed"
        for place, member in enumerate(panel):
            if claim.signers >> place & 1:
                yield from self._voter_problems(
                    member, hash_bytes(votes.leaves[place]), opened, votes.position
                )

    def _voter_problems(
        self, member: Account, leaf: bytes, opened: OpenEpoch, position: tuple[int, int]
    ) -> Iterator[str]:
        operator = {seat.detector: seat.operator for seat in opened.seats}[member]
        known = self.registry.node_before(member, position)
        if not any(leaf):
            yield f"counts a vote of {member}, which committed to none"
        serves = known and known.status is NodeStatus.ACTIVE and known.roles & Role.DETECTOR
        if not known or not serves or known.operator != operator:
            yield f"counts a vote of {member}, which was no active detector of {operator} then"
        if opened.rotated and member not in self.seats:
            yield f"counts a vote of {member}, which has lost its seat"

    def _enter(self, claim: Claim) -> None:
        accused, opened = claim.accusation, self.epochs.get(claim.accusation.epoch)
        docket = self.dockets.get(accused.node, Docket())
        if docket.epoch != accused.epoch:
            docket = replace(docket, epoch=accused.epoch, kinds=0)
        docket = replace(docket, kinds=docket.kinds | 1 << accused.kind)
        if accused.severity == Severity.CRITICAL and opened:
            until = accused.epoch + 1 + opened.terms.suspension_epochs
            docket = replace(
                docket,
                suspended_until=max(docket.suspended_until, until),
                suspensions=docket.suspensions + 1,
            )
        self._write_docket(accused.node, docket)

    def _appeal(self, event: ClaimAppealed, epoch: int) -> None:
        file = self._file(event.claim_id, event.node, ClaimStatus.UPHELD, "was appealed")
        if file is None:
            return
        if event.epoch != epoch + 1 or epoch > self._last_appeal_epoch(file.claim):
            self._complain(f"claim {event.claim_id} was appealed in epoch {epoch}, out of time", event.node)
        self._write(event.claim_id, replace(file, status=ClaimStatus.APPEALED, epoch=event.epoch))

    def _reverse(self, event: ClaimReversed, epoch: int) -> None:
        file = self._file(event.claim_id, event.node, ClaimStatus.APPEALED, "was reversed")
        if file is None:
            return
        for problem in self._reversal_problems(event, file, epoch):
            self._complain(f"the reversal of claim {event.claim_id} {problem}", event.node)
        accusers = file.claim.signers_among(self.panel_of(file.claim))
        self.penalties.expect_reversal(event, file.claim, accusers)
        self._spend(event.commitment)
        self.reversals[event.claim_id] = event.commitment
        self._write(event.claim_id, replace(file, status=ClaimStatus.REVERSED))
        docket = self.dockets.get(event.node, Docket())
        if file.claim.accusation.severity == Severity.CRITICAL and docket.suspensions:
            self._write_docket(event.node, replace(docket, suspensions=docket.suspensions - 1))

    def _reversal_problems(self, event: ClaimReversed, file: ClaimFile, epoch: int) -> Iterator[str]:
        votes, opened = self.commitments.get(event.commitment), self.epochs.get(file.epoch)
        if votes is None or opened is None or votes.spent:
            yield "stands on votes that were never committed, or that decided before"
            return
        if hash_bytes(votes.subject) != reversal_subject(event.claim_id, file.epoch):
            yield "stands on votes on something else"
        if votes.epoch != file.epoch or epoch != file.epoch + 1:
            yield f"came in epoch {epoch} by votes of epoch {votes.epoch}"
        panel = self.appeal_panel_of(event.claim_id, file)
        cast_votes = sum(any(hash_bytes(leaf)) for leaf in votes.leaves)
        if len(panel) != len(votes.leaves) or cast_votes < opened.terms.threshold:
            yield f"stands on {cast_votes} votes of a panel of {len(panel)}"

    def _finalise(self, event: ClaimFinal, epoch: int) -> None:
        file = self.claims.get(event.claim_id)
        if file is None or file.status not in (ClaimStatus.UPHELD, ClaimStatus.APPEALED):
            self._complain(f"claim {event.claim_id} became final out of turn", event.node)
            return
        appealed = file.status is ClaimStatus.APPEALED
        last = file.epoch + 1 if appealed else self._last_appeal_epoch(file.claim)
        if epoch <= last:
            self._complain(f"claim {event.claim_id} became final in epoch {epoch}, too early", event.node)
        self._write(event.claim_id, replace(file, status=ClaimStatus.FINAL))

    def _readmit(self, event: NodeReadmitted, epoch: int) -> None:
        """A node is readmitted with the last claim that suspended it, or after its time."""
        docket = self.dockets.get(event.node, Docket())
        if docket.suspensions and epoch <= docket.suspended_until:
            self._complain(f"{event.node} was readmitted in epoch {epoch}, too early", event.node)
        self._write_docket(event.node, replace(docket, suspensions=0))

    def _file(self, claim_id: Hash32, node: Account, status: ClaimStatus, what: str) -> ClaimFile | None:
        file = self.claims.get(claim_id)
        if file is None or file.status is not status or file.claim.accusation.node != node:
            self._complain(f"claim {claim_id} {what} out of turn", node)
            return None
        return file

    def _last_appeal_epoch(self, claim: Claim) -> int:
        opened = self.epochs.get(claim.accusation.epoch)
        windows = opened.terms.appeal_epochs if opened else 0
        return claim.accusation.epoch + 1 + windows

    def _spend(self, commitment: Hash32) -> None:
        if commitment in self.commitments:
            self.commitments[commitment] = replace(self.commitments[commitment], spent=True)
            self.touched_entries.add(commitment)

    def _write(self, claim_id: Hash32, file: ClaimFile) -> None:
        self.claims[claim_id] = file
        self.touched_entries.add(claim_id)

    def _write_docket(self, node: Account, docket: Docket) -> None:
        self.dockets[node] = docket
        self.touched_dockets.add(node)

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
