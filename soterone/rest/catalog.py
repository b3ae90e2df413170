"""The catalog: `GET /v1/catalog/datasets` and `GET /v1/catalog/nodes`."""

from collections.abc import Iterable, Mapping
from typing import Literal, Self

from pydantic import Field

from soterone.chain.claim_history import StandingClaim
from soterone.chain.reputation_history import Step
from soterone.chain.standing import Standing
from soterone.domain.detection import Accusation, ClaimStatus
from soterone.domain.ids import Account
from soterone.domain.metadata import DatasetMetadata
from soterone.rest.base import AccountText, Body


class UsageStatistics(Body):
    """How often something was chosen for a query that was dispatched, and how that ended."""

    chosen: int = 0
    completed: int = 0
    failed: int = 0


class DatasetEntry(Body):
    """A dataset that may be queried."""

    owner: AccountText
    metadata: DatasetMetadata
    online: bool
    statistics: UsageStatistics


class DatasetGroup(Body):
    """How many of the filtered datasets share a tag or an owner."""

    name: str
    datasets: int


class DatasetList(Body):
    """One page of datasets; ask again with `after=next` for more. `groups` only where `group_by` asked for them."""

    datasets: list[DatasetEntry]
    groups: list[DatasetGroup] = Field(default_factory=list)
    next: str | None = None


class NodeEntry(Body):
    """A node with its public standing. `score` is R' on chain, 0 to 1.

    `cpu_cores`, `memory_bytes` and `core_speed` (thousandths of the yardstick task a second) are declared, the verified
    ones what queries are planned with: less where detectors measured less, in the claim `measured_in`, and where the
    cores are slower than the reference.
    """

    account: AccountText
    operator: AccountText
    name: str
    roles: int
    version: str
    online: bool
    cpu_cores: int
    memory_bytes: int
    core_speed: int | None = None
    verified_cpu_cores: int
    verified_memory_bytes: int
    measured_in: str | None = None
    engines: tuple[str, ...]
    score: float = Field(ge=0, le=1)
    statistics: UsageStatistics


class NodeList(Body):
    """One page of nodes; ask again with `after=next` for more."""

    nodes: list[NodeEntry]
    next: str | None = None


ClaimStatusName = Literal["upheld", "appealed", "reversed", "final"]

_CLAIM_STATUSES: Mapping[ClaimStatus, ClaimStatusName] = {
    ClaimStatus.UPHELD: "upheld",
    ClaimStatus.APPEALED: "appealed",
    ClaimStatus.REVERSED: "reversed",
    ClaimStatus.FINAL: "final",
}


class ClaimView(Body):
    """A claim that detectors upheld, as the chain has it. `kind`: 1 liveness, 2 profile, 3 snapshot, 4 version, 5
    dataset, 6 duty. `epoch` is the quorum's, in which it was voted on; an appeal is voted on in `appeal_epoch`.

    `signers` (bit i: member i of the panel), `added` (1e9 fixed point) and `ledger_epoch` are what an appeal repeats.
    `measured_*` only where the claim is about a profile.
    """

    claim_id: str
    node: AccountText
    operator: AccountText
    epoch: int
    kind: int
    severity: int
    signers: int
    added: int
    ledger_epoch: int
    status: ClaimStatusName
    appeal_epoch: int | None = None
    measured_cpu_cores: int | None = None
    measured_memory_bytes: int | None = None
    measured_speed: int | None = None
    block: int
    tx: str

    @classmethod
    def of(cls, standing: StandingClaim) -> Self:
        """Return what is shown of a claim."""
        claim, measured, position = standing.claim, standing.measured, standing.position
        accusation = {name: getattr(claim.accusation, name) for name in Accusation.__slots__}
        return cls(
            claim_id=standing.claim_id,
            **accusation,
            signers=claim.signers,
            added=claim.added,
            ledger_epoch=claim.ledger_epoch,
            status=_CLAIM_STATUSES[standing.status],
            appeal_epoch=standing.appeal_epoch,
            measured_cpu_cores=measured.cores if measured else None,
            measured_memory_bytes=measured.memory_bytes if measured else None,
            measured_speed=measured.speed if measured else None,
            block=position.block_number,
            tx=position.transaction_hash,
        )


class ClaimList(Body):
    """The claims upheld against an account, newest first."""

    claims: list[ClaimView]


class ReputationStep(Body):
    """One step of a node's history; null is what the cause does not have.

    `percent` is what was observed (settled) or the rating (rated), `reversed_evidence` what a reversed penalty had
    added. `score`, `good` and `bad` are those after the step, 1e9 fixed point.
    """

    cause: str
    time: int
    block: int
    tx: str
    query_id: str | None = None
    percent: int | None = None
    customer: AccountText | None = None
    severity: int | None = None
    reversed_evidence: int | None = None
    incarnation: int | None = None
    score: int | None = None
    good: int | None = None
    bad: int | None = None

    @classmethod
    def of(cls, step: Step) -> Self:
        """Return what is shown of a step."""
        shown = {name: getattr(step, name) for name in Step.__slots__ if name != "position"}
        return cls(block=step.position.block_number, tx=step.position.transaction_hash, **shown)


class ReputationView(Body):
    """What the chain says of an account, all in 1e9 fixed point; ask again with `before=next` for older history.

    Everything but the history is as of `block`, the newest when it was read; `good` and `bad` are the evidence as of
    `last_epoch`. `score` is the lower of `expectation` and `tenure_cap`; nodes are drawn by `lower_bound`. `status` is
    none, active, suspended or gone.
    """

    account: AccountText
    block: int
    status: str
    incarnation: int
    score: int
    good: int
    bad: int
    last_epoch: int
    born_epoch: int
    epoch: int
    expectation: int
    tenure_cap: int
    lower_bound: int
    credibility: int
    history: list[ReputationStep]
    next: str | None = None

    @classmethod
    def of(
        cls,
        account: Account,
        standing: Standing,
        history: Iterable[ReputationStep] = (),
        following: str | None = None,
    ) -> Self:
        """Return what is shown of a standing; `following` is where the next page of the history goes on."""
        return cls(
            account=account,
            block=standing.block.number,
            status=standing.status.name.lower(),
            incarnation=standing.incarnation,
            score=standing.score,
            good=standing.record.good,
            bad=standing.record.bad,
            last_epoch=standing.record.last_epoch,
            born_epoch=standing.record.born_epoch,
            epoch=standing.epoch,
            expectation=standing.expectation,
            tenure_cap=standing.tenure_cap,
            lower_bound=standing.lower_bound,
            credibility=standing.credibility,
            history=list(history),
            next=following,
        )

    def contradiction(self, chain: Self) -> str | None:
        """Say in which figure of the standing this differs from what the chain gives, None in none."""
        for name in type(self).model_fields:
            told, known = getattr(self, name), getattr(chain, name)
            if name not in ("history", "next") and told != known:
                return f"{name} {told}, the chain gives {known}"
        return None
