"""The contracts' events as frozen values, and where in the chain each stands.

A log is decoded only by who has checked that one of SoterOne's contracts emitted it (`ChainClient` asks by address).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from soterone.chain.codec import event_codecs
from soterone.domain.detection import Claim, Measurement
from soterone.domain.ids import Account, Hash32, QueryId, hash32
from soterone.domain.panels import Terms

RawLog = Mapping[str, Any]
"""A log as `eth_getLogs` and receipts give it: hexadecimal text by field."""


@dataclass(frozen=True, slots=True, order=True)
class LogPosition:
    """Where a log stands; all five together are its identity across reorganisations."""

    chain_id: int
    block_number: int
    log_index: int
    block_hash: Hash32
    transaction_hash: Hash32

    @classmethod
    def from_log(cls, log: RawLog, chain_id: int) -> Self:
        """Read the position of a mined log."""
        return cls(
            chain_id,
            int(log["blockNumber"], 16),
            int(log["logIndex"], 16),
            hash32(log["blockHash"]),
            hash32(log["transactionHash"]),
        )


@dataclass(frozen=True, slots=True)
class Event:
    """The root of all events; each class bears the name of its Solidity event."""

    position: LogPosition

    @classmethod
    def from_log(cls, log: RawLog, chain_id: int) -> Self:
        """Decode a log of exactly this event; ValueError when it is another's or does not fit."""
        event = decode(log, chain_id)
        if not isinstance(event, cls):
            raise ValueError(f"this log is no {cls.__name__}")
        return event

    @classmethod
    def of_values(cls, position: LogPosition, values: Mapping[str, Any]) -> Self:
        """Build it of the log's arguments by snake_case name; structs come as tuples in the order of their fields."""
        return cls(position, **values)


@dataclass(frozen=True, slots=True)
class NodeRegistered(Event):
    """A node joined; its profile has version 1."""

    node: Account
    operator: Account
    incarnation: int
    roles: int
    version: int
    tls_key_hash: Hash32
    profile_hash: Hash32


@dataclass(frozen=True, slots=True)
class NodeUpdated(Event):
    """A node changed what it declared."""

    node: Account
    profile_version: int
    roles: int
    version: int
    tls_key_hash: Hash32
    profile_hash: Hash32


@dataclass(frozen=True, slots=True)
class NodeUnregistered(Event):
    """An incarnation of a node ended."""

    node: Account
    incarnation: int


@dataclass(frozen=True, slots=True)
class NodeSuspended(Event):
    """A node was suspended, or reinstated when `suspended` is false."""

    node: Account
    suspended: bool


@dataclass(frozen=True, slots=True)
class QuerySubmitted(Event):
    """A customer's order reached the chain."""

    query_id: QueryId
    customer: Account
    spec_hash: Hash32


@dataclass(frozen=True, slots=True)
class QueryDispatched(Event):
    """The order to start. `owners` and `mpcs` are strictly ascending; an MPC node's index is its rank."""

    query_id: QueryId
    customer: Account
    spec_hash: Hash32
    owners: tuple[Account, ...]
    mpcs: tuple[Account, ...]
    result_key_hash: Hash32
    max_run_seconds: int
    result_retry_seconds: int
    cleanup_grace_seconds: int


@dataclass(frozen=True, slots=True)
class ReplacementLimit(Event):
    """How often the query's MPC nodes may be replaced; follows QueryDispatched in the same transaction."""

    query_id: QueryId
    max_replacements: int


@dataclass(frozen=True, slots=True)
class MPCUpdated(Event):
    """`new_mpc` took the rank of `old_mpc`; `generation` is the new one."""

    query_id: QueryId
    old_mpc: Account
    new_mpc: Account
    generation: int
    seed_block: int
    candidates: tuple[Account, ...]


@dataclass(frozen=True, slots=True)
class QueryCompleted(Event):
    """keccak256 of the three share hashes in rank order, zero where absent."""

    query_id: QueryId
    generation: int
    result_hash: Hash32


@dataclass(frozen=True, slots=True)
class QueryFailed(Event):
    """`reason` is a `FailureReason`; `node` is the zero account when it is about nobody."""

    query_id: QueryId
    reason: int
    node: Account


@dataclass(frozen=True, slots=True)
class QueryCleanup(Event):
    """The participants destroy what they hold of the query."""

    query_id: QueryId


@dataclass(frozen=True, slots=True)
class QuerySettled(Event):
    """What the management system observed of each participant, in percent, in the order owners, mpcs, lost."""

    query_id: QueryId
    nodes: tuple[Account, ...]
    observations: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FeedbackGiven(Event):
    """The customer's ratings in percent."""

    query_id: QueryId
    customer: Account
    nodes: tuple[Account, ...]
    ratings: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReputationUpdated(Event):
    """A node's score and evidence after an update, 1e9 fixed point; the query id is zero when no query caused it."""

    node: Account
    query_id: QueryId
    score: int
    good: int
    bad: int


@dataclass(frozen=True, slots=True)
class CredibilityUpdated(Event):
    """A customer's credibility, 1e9 fixed point."""

    customer: Account
    credibility: int


@dataclass(frozen=True, slots=True)
class NodePenalised(Event):
    """An upheld claim of severity 1, 2 or 3."""

    node: Account
    severity: int


@dataclass(frozen=True, slots=True)
class DetectorEnlisted(Event):
    """The governor gave a detector a seat, for epochs not yet open."""

    detector: Account
    operator: Account


@dataclass(frozen=True, slots=True)
class DetectorRemoved(Event):
    """The governor took a detector's seat: its votes count no more."""

    detector: Account


@dataclass(frozen=True, slots=True)
class TermsChanged(Event):
    """Other terms for epochs not yet open."""

    terms: Terms

    @classmethod
    def of_values(cls, position: LogPosition, values: Mapping[str, Any]) -> Self:
        """See `Event.of_values`."""
        return cls(position, Terms(*values["terms"]))


@dataclass(frozen=True, slots=True)
class EpochOpened(Event):
    """Panels of `epoch` are drawn from the seats in the code at `roster`, by the hash of block `seed_block`."""

    epoch: int
    roster: Account
    seed_block: int


@dataclass(frozen=True, slots=True)
class PanelSeeded(Event):
    """The panels of `epoch` are known from now on; `seed` has 80 bits."""

    epoch: int
    seed: int


@dataclass(frozen=True, slots=True)
class VotesCommitted(Event):
    """Votes were cast; `subject` names node and epoch, or an appeal. Leaves in the panel's order, zero for nobody."""

    commitment: Hash32
    subject: Hash32
    epoch: int
    leaves: tuple[Hash32, ...]


@dataclass(frozen=True, slots=True)
class ClaimUpheld(Event):
    """A panel condemned a node."""

    claim_id: Hash32
    node: Account
    claim: Claim

    @classmethod
    def of_values(cls, position: LogPosition, values: Mapping[str, Any]) -> Self:
        """See `Event.of_values`."""
        return cls(position, values["claim_id"], values["node"], Claim.from_abi(values["claim"]))


@dataclass(frozen=True, slots=True)
class ProfileMeasured(Event):
    """What the signers of a claim about a profile measured, the lower median of each value."""

    claim_id: Hash32
    node: Account
    measured: Measurement

    @classmethod
    def of_values(cls, position: LogPosition, values: Mapping[str, Any]) -> Self:
        """See `Event.of_values`."""
        return cls(position, values["claim_id"], values["node"], Measurement(*values["measured"]))


@dataclass(frozen=True, slots=True)
class ClaimAppealed(Event):
    """The accused contests a claim; another panel votes in `epoch`."""

    claim_id: Hash32
    node: Account
    counter_evidence_hash: Hash32
    epoch: int


@dataclass(frozen=True, slots=True)
class ClaimReversed(Event):
    """Another panel took a claim back, by the votes of `commitment`."""

    claim_id: Hash32
    node: Account
    commitment: Hash32


@dataclass(frozen=True, slots=True)
class ClaimFinal(Event):
    """A claim can neither be appealed nor reversed any more."""

    claim_id: Hash32
    node: Account


@dataclass(frozen=True, slots=True)
class NodeReadmitted(Event):
    """No claim suspends the node any more."""

    node: Account


@dataclass(frozen=True, slots=True)
class PenaltyReversed(Event):
    """A claim was wrong: `added` of bad evidence that it brought in ledger epoch `epoch` goes, as far as it is left."""

    node: Account
    added: int
    epoch: int


_CLASSES: Mapping[str, type[Event]] = {
    one.__name__: one
    for one in (
        NodeRegistered,
        NodeUpdated,
        NodeUnregistered,
        NodeSuspended,
        QuerySubmitted,
        QueryDispatched,
        ReplacementLimit,
        MPCUpdated,
        QueryCompleted,
        QueryFailed,
        QueryCleanup,
        QuerySettled,
        FeedbackGiven,
        ReputationUpdated,
        CredibilityUpdated,
        NodePenalised,
        DetectorEnlisted,
        DetectorRemoved,
        TermsChanged,
        EpochOpened,
        PanelSeeded,
        VotesCommitted,
        ClaimUpheld,
        ProfileMeasured,
        ClaimAppealed,
        ClaimReversed,
        ClaimFinal,
        NodeReadmitted,
        PenaltyReversed,
    )
}


def decode(log: RawLog, chain_id: int) -> Event | None:
    """Return the event of a mined log, None for events that are no concern of this package (roles, pauses);
    ValueError when the log bears a known topic and does not fit it."""
    topics = log["topics"]
    codec = event_codecs().get(topics[0]) if topics else None
    kind = _CLASSES.get(codec.name) if codec else None
    if codec is None or kind is None:
        return None
    return kind.of_values(LogPosition.from_log(log, chain_id), codec.decode(topics, log["data"]))
