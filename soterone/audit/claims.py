"""Claims, appeals and readmissions as the quorum's events tell them, each judged by the rules. Pure.

Who signed a ballot stands in calldata alone: `soterone.audit.votes` looks there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from soterone.audit.panels import Commitment, OpenEpoch, PanelReplay
from soterone.audit.penalties import Penalty, PenaltyWatch
from soterone.audit.report import Finding, Subject
from soterone.chain.events import (
    ClaimAppealed,
    ClaimFinal,
    ClaimReversed,
    ClaimUpheld,
    Event,
    NodeReadmitted,
)
from soterone.chain.records import NodeStatus
from soterone.domain.detection import Claim, ClaimStatus, reversal_subject
from soterone.domain.ids import Account, Hash32, hash_bytes
from soterone.domain.reputation import Severity
from soterone.domain.roles import Role


@dataclass(frozen=True, slots=True)
class ClaimFile:
    """A claim and how it stands; `epoch` is the accusation's, or that of the appeal's panel once there is an appeal."""

    claim: Claim
    status: ClaimStatus
    epoch: int

    @property
    def is_over(self) -> bool:
        """Whether nothing can change it any more."""
        return self.status in (ClaimStatus.REVERSED, ClaimStatus.FINAL)


@dataclass(frozen=True, slots=True)
class Docket:
    """A node's claims: the kinds of the last epoch with one, and the suspensions that stand."""

    epoch: int = 0
    kinds: int = 0
    suspended_until: int = 0
    suspensions: int = 0


@dataclass(slots=True)
class ClaimReplay:
    """Claims by id and what they brought. The panels must be fed each event first. `touched*` changed since the replay
    began; `cleared` is the transaction in which the last claim that suspended a node was reversed, and the node."""

    panels: PanelReplay
    claims: dict[Hash32, ClaimFile] = field(default_factory=dict)
    dockets: dict[Account, Docket] = field(default_factory=dict)
    reversals: dict[Hash32, Hash32] = field(default_factory=dict)
    touched: set[Hash32] = field(default_factory=set)
    touched_dockets: set[Account] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    penalties: PenaltyWatch = field(default_factory=PenaltyWatch)
    cleared: tuple[Hash32, Account] | None = None

    def apply(self, event: Event, epoch: int, penalty: Penalty | None) -> bool:
        """Take in the next event with the epoch of its block; `penalty` is what a NodePenalised cost. Return whether it
        is one of these."""
        self.findings += self.penalties.apply(event, penalty)
        match event:
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
                return False
        return True

    def finish(self) -> None:
        """Complain of penalties that no claim explains."""
        self.findings += self.penalties.finish()

    def _uphold(self, event: ClaimUpheld, epoch: int) -> None:
        claim, claim_id = event.claim, event.claim_id
        for problem in self._claim_problems(event, epoch):
            self._complain(f"claim {claim_id} against {event.node} {problem}", event.node)
        self.findings += self.penalties.explain(event)
        self._enter(claim)
        self.panels.spend(claim_id)
        self.claims[claim_id] = ClaimFile(claim, ClaimStatus.UPHELD, claim.accusation.epoch)

    def _claim_problems(self, event: ClaimUpheld, epoch: int) -> Iterator[str]:
        accused, votes = event.claim.accusation, self.panels.commitments.get(event.claim_id)
        opened = self.panels.epochs.get(accused.epoch)
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
        known = self.panels.registry.node_before(accused.node, votes.position)
        if known is None or known.operator != accused.operator:
            yield "accuses another operator than the votes were on"
        yield from self._ballot_problems(event.claim, opened, votes)

    def _ballot_problems(self, claim: Claim, opened: OpenEpoch, votes: Commitment) -> Iterator[str]:
        panel = self.panels.panel_on(claim.accusation)
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
        known = self.panels.registry.node_before(member, position)
        if not any(leaf):
            yield f"counts a vote of {member}, which committed to none"
        if known is None or known.status is not NodeStatus.ACTIVE or not known.roles & Role.DETECTOR:
            yield f"counts a vote of {member}, which was no active detector then"
        if opened.rotated and member not in self.panels.seats:
            yield f"counts a vote of {member}, which has lost its seat"

    def _enter(self, claim: Claim) -> None:
        accused, opened = claim.accusation, self.panels.epochs.get(claim.accusation.epoch)
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
        accusers = file.claim.signers_among(self.panels.panel_on(file.claim.accusation))
        self.penalties.expect_reversal(event, file.claim, accusers)
        self.panels.spend(event.commitment)
        self.reversals[event.claim_id] = event.commitment
        self._write(event.claim_id, replace(file, status=ClaimStatus.REVERSED))
        docket = self.dockets.get(event.node, Docket())
        if file.claim.accusation.severity == Severity.CRITICAL and docket.suspensions:
            self._write_docket(event.node, replace(docket, suspensions=docket.suspensions - 1))
            if docket.suspensions == 1:
                self.cleared = (event.position.transaction_hash, event.node)

    def _reversal_problems(self, event: ClaimReversed, file: ClaimFile, epoch: int) -> Iterator[str]:
        votes, opened = self.panels.commitments.get(event.commitment), self.panels.epochs.get(file.epoch)
        if votes is None or opened is None or votes.spent:
            yield "stands on votes that were never committed, or that decided before"
            return
        if hash_bytes(votes.subject) != reversal_subject(event.claim_id, file.epoch):
            yield "stands on votes on something else"
        if votes.epoch != file.epoch or epoch != file.epoch + 1:
            yield f"came in epoch {epoch} by votes of epoch {votes.epoch}"
        panel = self.panels.panel_on_appeal(event.claim_id, file.claim.accusation, file.epoch)
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
        if not docket.suspensions and self.cleared != (event.position.transaction_hash, event.node):
            self._complain(f"{event.node} was readmitted and no claim suspended it", event.node)
        self.cleared = None
        self._write_docket(event.node, replace(docket, suspensions=0))

    def _file(self, claim_id: Hash32, node: Account, status: ClaimStatus, what: str) -> ClaimFile | None:
        file = self.claims.get(claim_id)
        if file is None or file.status is not status or file.claim.accusation.node != node:
            self._complain(f"claim {claim_id} {what} out of turn", node)
            return None
        return file

    def _last_appeal_epoch(self, claim: Claim) -> int:
        opened = self.panels.epochs.get(claim.accusation.epoch)
        windows = opened.terms.appeal_epochs if opened else 0
        return claim.accusation.epoch + 1 + windows

    def _write(self, claim_id: Hash32, file: ClaimFile) -> None:
        self.claims[claim_id] = file
        self.touched.add(claim_id)

    def _write_docket(self, node: Account, docket: Docket) -> None:
        self.dockets[node] = docket
        self.touched_dockets.add(node)

    def _complain(self, sentence: str, *subjects: Subject) -> None:
        self.findings.append(Finding(sentence, subjects))
