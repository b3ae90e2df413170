"""Penalties and who answers for them: each is explained by a claim upheld, or by a reversal that falls on its accusers.

Where there is no quorum, whoever holds the ledger's role penalises, and nothing is to be explained.
"""

from dataclasses import dataclass, field

from soterone.audit.report import Finding
from soterone.chain.events import ClaimReversed, ClaimUpheld, Event, NodePenalised, PenaltyReversed
from soterone.domain.detection import Claim
from soterone.domain.ids import Account, Hash32
from soterone.domain.reputation import Severity


@dataclass(frozen=True, slots=True)
class Penalty:
    """What a NodePenalised brought: `added` bad evidence (1e9 fixed point) in `epoch` of the ledger."""

    node: Account
    severity: Severity
    added: int
    epoch: int


@dataclass(slots=True)
class PenaltyWatch:
    """Penalties of the present transaction that nothing explains yet, and what a reversal must bring."""

    transaction: Hash32 | None = None
    unexplained: list[Penalty] = field(default_factory=list)
    accusers: list[Account] = field(default_factory=list)
    reversal: tuple[Account, int, int] | None = None

    def apply(self, event: Event, penalty: Penalty | None) -> list[Finding]:
        """Take in the next event; return what the transaction before it left unexplained."""
        left = self.finish() if event.position.transaction_hash != self.transaction else []
        self.transaction = event.position.transaction_hash
        if isinstance(event, NodePenalised) and penalty is not None:
            return left + self._penalised(penalty)
        if isinstance(event, PenaltyReversed):
            return left + self._reversed(event)
        return left

    def explain(self, event: ClaimUpheld) -> list[Finding]:
        """Match a claim with the penalty right before it."""
        claim = event.claim
        due = Penalty(claim.accusation.node, claim.accusation.severity, claim.added, claim.ledger_epoch)
        if due in self.unexplained:
            self.unexplained.remove(due)
            return []
        sentence = f"claim {event.claim_id} against {event.node} says that it added {claim.added}, the ledger does not"
        return [Finding(sentence, (event.node,))]

    def expect_reversal(self, event: ClaimReversed, claim: Claim, accusers: tuple[Account, ...]) -> None:
        """Remember what must follow a reversal: the evidence taken back, and a light penalty for each accuser."""
        self.reversal = (event.node, claim.added, claim.ledger_epoch)
        self.accusers = list(accusers)

    def finish(self) -> list[Finding]:
        """Return what is left unexplained or undone, and forget it."""
        findings = [
            Finding(
                f"{one.node} was penalised by severity {int(one.severity)} without an upheld claim",
                (one.node,),
            )
            for one in self.unexplained
        ]
        findings += [
            Finding(f"{one} signed a claim that was reversed and was not penalised", (one,))
            for one in self.accusers
        ]
        if self.reversal:
            findings.append(
                Finding(
                    f"what a reversed claim added to {self.reversal[0]} was not taken back", self.reversal[:1]
                )
            )
        self.unexplained, self.accusers, self.reversal = [], [], None
        return findings

    def _penalised(self, penalty: Penalty) -> list[Finding]:
        if self.accusers and penalty.node == self.accusers[0] and penalty.severity is Severity.LIGHT:
            self.accusers.pop(0)
        else:
            self.unexplained.append(penalty)
        return []

    def _reversed(self, event: PenaltyReversed) -> list[Finding]:
        if self.reversal == (event.node, event.added, event.epoch):
            self.reversal = None
            return []
        return [Finding(f"a penalty of {event.node} was taken back without a reversed claim", (event.node,))]
