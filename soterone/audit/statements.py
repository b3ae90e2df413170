"""What the calldata of each transaction says beside the events that it caused: the same, signed by whom it must be.

Only calls that went straight to a contract can be read; what another contract passed on is counted and left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from soterone.audit.report import Finding
from soterone.audit.transactions import Transaction
from soterone.audit.visits import Replayed, Tally, Visit, message_of
from soterone.audit.votes import check_reverse, check_uphold
from soterone.chain.codec import decode_call, selectors
from soterone.chain.events import (
    ClaimAppealed,
    Event,
    FeedbackGiven,
    MPCUpdated,
    NodeRegistered,
    NodeUnregistered,
    NodeUpdated,
    QueryCompleted,
    QueryDispatched,
    QueryFailed,
    QuerySettled,
    ReplacementLimit,
    TermsChanged,
)
from soterone.chain.openings import result_hash
from soterone.crypto.messages import (
    Appeal,
    Cancellation,
    Feedback,
    LossReport,
    NodeUpdate,
    QueryOrder,
    Registration,
    Unregistration,
    query_id_of,
)
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account, hash_bytes


@dataclass(slots=True)
class StatementReader:
    """Reads transactions one after another. `passed_on` counts those that came through another contract: what was said
    to ours is not in their calldata."""

    replayed: Replayed
    tally: Tally = field(default_factory=Tally)
    passed_on: int = 0

    def apply(self, transaction: Transaction, events: Sequence[Event], time: int) -> None:
        """Compare a transaction with its events, in order; `time` is its block's (seconds)."""
        names = {address: name for name, address in self.replayed.contracts.addresses.items()}
        contract = names.get(transaction.to) if transaction.to else None
        if contract is None:
            self.passed_on += not _deployed(transaction, events)
            return
        if transaction.data[:4] not in selectors(contract):
            self.tally.findings.append(_impossible(transaction))
        for function, check in _CHECKS.get(contract, {}).items():
            arguments = decode_call(contract, function, transaction.data)
            if arguments is not None:
                visit = Visit(self.replayed, self.tally, contract, transaction, events, time)
                self.tally.findings += _outcome(check, visit, arguments)


def _deployed(transaction: Transaction, events: Sequence[Event]) -> bool:
    """Whether a transaction created the quorum, whose constructor announces its terms."""
    return transaction.to is None and all(isinstance(one, TermsChanged) for one in events)


def _outcome(
    check: Callable[..., Iterator[Finding]], visit: Visit, arguments: Sequence[Any]
) -> list[Finding]:
    """Run a check; calldata that no contract would have taken cannot be the cause of any event."""
    try:
        return list(check(visit, *arguments))
    except (IndexError, ValueError, RuntimeError):
        return [_impossible(visit.transaction)]


def _impossible(transaction: Transaction) -> Finding:
    return Finding(f"transaction {transaction.hash} cannot have caused its events")


def _register(
    visit: Visit, values: Sequence[Any], signature: bytes, operator_signature: bytes
) -> Iterator[Finding]:
    message = message_of(Registration, values)
    node, what = message.node, f"the registration of {message.node}"
    event = visit.caused(NodeRegistered, node)
    if event:
        said = (*values[:2], values[6], *values[2:6])
        announced = (event.node, event.operator, event.incarnation, event.roles, event.version)
        yield from visit.differs(what, said, (*announced, event.tls_key_hash, event.profile_hash), node)
    yield from visit.signed(what, message, signature, [node], node)
    if message.operator != node:
        yield from visit.signed(what, message, operator_signature, [message.operator], node)
    yield from visit.in_time(what, message.deadline, node)


def _update(visit: Visit, values: Sequence[Any], signature: bytes, *_: Any) -> Iterator[Finding]:
    message = message_of(NodeUpdate, values)
    node, what = message.node, f"an update of {message.node}"
    event = visit.caused(NodeUpdated, node)
    if event:
        said = (values[0], values[5], *values[1:5])
        announced = (event.node, event.profile_version, event.roles, event.version)
        yield from visit.differs(what, said, (*announced, event.tls_key_hash, event.profile_hash), node)
    yield from visit.signed(what, message, signature, [node], node)
    yield from visit.in_time(what, message.deadline, node)


def _unregister(visit: Visit, values: Sequence[Any], signature: bytes) -> Iterator[Finding]:
    message = message_of(Unregistration, values)
    node, what = message.node, f"the leaving of {message.node}"
    event = visit.caused(NodeUnregistered, node)
    if event:
        yield from visit.differs(what, values[:2], (event.node, event.incarnation), node)
    known = visit.replayed.registry.node_at(node, visit.block)
    signers = [node, known.operator] if known and known.operator != node else [node]
    yield from visit.signed(what, message, signature, signers, node)
    yield from visit.in_time(what, message.deadline, node)


def _dispatch(visit: Visit, values: Sequence[Any], signature: bytes) -> Iterator[Finding]:
    order = message_of(QueryOrder, values)
    query_id = query_id_of(visit.domain, order.customer, order.salt)
    what = f"query {query_id}"
    event = visit.caused(QueryDispatched, query_id)
    if event:
        said = (query_id, values[0], *values[2:9])
        announced = (event.query_id, event.customer, event.spec_hash, event.owners, event.mpcs)
        timers = (event.max_run_seconds, event.result_retry_seconds, event.cleanup_grace_seconds)
        yield from visit.differs(what, said, (*announced, event.result_key_hash, *timers), query_id)
    limits = [one.max_replacements for one in visit.events if isinstance(one, ReplacementLimit)]
    yield from visit.differs(what, [[order.max_replacements]], [limits], query_id)
    yield from visit.signed(f"the order of {what}", order, signature, [order.customer], query_id)
    yield from visit.in_time(f"the order of {what}", order.deadline, query_id)


def _replace(
    visit: Visit, query_id: Any, opening: Sequence[Any], replacement: Sequence[Any], signature: bytes
) -> Iterator[Finding]:
    participants = opening[3]
    lost, reporter, successor, seed_block, deadline, candidates = replacement
    what = f"a replacement in query {query_id}"
    event = visit.caused(MPCUpdated, query_id)
    if event:
        said = (query_id, participants[lost], candidates[successor], seed_block, candidates)
        announced = (event.query_id, event.old_mpc, event.new_mpc, event.seed_block, event.candidates)
        yield from visit.differs(what, said, announced, query_id)
        report = LossReport(hash_bytes(query_id), event.generation - 1, participants[lost], deadline)
        yield from visit.signed(
            f"the loss behind {what}", report, signature, [participants[reporter]], query_id
        )
    yield from visit.in_time(f"the loss behind {what}", deadline, query_id)


def _complete(visit: Visit, query_id: Any, _: int, share_hashes: Sequence[Any]) -> Iterator[Finding]:
    shares = [hash_bytes(one) for one in share_hashes]
    visit.tally.results += 1
    event = visit.caused(QueryCompleted, query_id)
    if event:
        expected = (query_id, f"0x{result_hash(shares).hex()}")
        announced = (event.query_id, event.result_hash)
        visit.tally.wrong_results += visit.differs(f"query {query_id}", expected, announced, query_id)
    if sum(map(any, shares)) < 2:
        yield Finding(f"query {query_id} was completed with fewer than two shares", (query_id,))


def _fail(visit: Visit, query_id: Any, _: Any, reason: int, node: Account) -> Iterator[Finding]:
    yield from _failed(visit, query_id, reason, node)


def _cancel(visit: Visit, query_id: Any, _: Any, deadline: int, signature: bytes) -> Iterator[Finding]:
    yield from _failed(visit, query_id, FailureReason.CANCELLED)
    what, query = f"the cancellation of query {query_id}", visit.replayed.lifecycles.queries.get(query_id)
    if query:
        message = Cancellation(hash_bytes(query_id), deadline)
        yield from visit.signed(what, message, signature, [query.customer], query_id)
    yield from visit.in_time(what, deadline, query_id)


def _expire(visit: Visit, query_id: Any, *_: Any) -> Iterator[Finding]:
    yield from _failed(visit, query_id, FailureReason.ABANDONED)


def _failed(visit: Visit, query_id: Any, reason: int, node: Account | None = None) -> Iterator[Finding]:
    event = visit.caused(QueryFailed, query_id)
    if event:
        said = (query_id, reason, node or event.node)
        yield from visit.differs(
            f"query {query_id}", said, (event.query_id, event.reason, event.node), query_id
        )


def _settle(visit: Visit, query_id: Any, opening: Sequence[Any], observations: Any) -> Iterator[Finding]:
    event = visit.caused(QuerySettled, query_id)
    if event:
        said, announced = (
            (query_id, opening[3], observations),
            (event.query_id, event.nodes, event.observations),
        )
        yield from visit.differs(f"the settlement of query {query_id}", said, announced, query_id)


def _settle_uncontested(visit: Visit, query_id: Any, opening: Sequence[Any]) -> Iterator[Finding]:
    yield from _settle(visit, query_id, opening, (100,) * len(opening[3]))
    lifecycles = visit.replayed.lifecycles
    query, silence = lifecycles.queries.get(query_id), lifecycles.windows.silent_settle_seconds
    if query is None or query.opening.result_hash is None or visit.time < query.time + silence:
        yield Finding(f"query {query_id} was settled as uncontested out of turn", (query_id,))


def _give_feedback(visit: Visit, values: Sequence[Any], _: Any, signature: bytes) -> Iterator[Finding]:
    message, query_id = message_of(Feedback, values), values[0]
    what = f"a rating in query {query_id}"
    event = visit.caused(FeedbackGiven, query_id)
    if event:
        yield from visit.differs(what, values[:3], (event.query_id, event.nodes, event.ratings), query_id)
        yield from visit.signed(what, message, signature, [event.customer], query_id, event.customer)
    yield from visit.in_time(what, message.deadline, query_id)


def _uphold(visit: Visit, accusation: Sequence[Any], ballot: Sequence[Any]) -> Iterator[Finding]:
    quorum = visit.replayed.quorum
    if quorum:
        visit.tally.signatures += ballot[0].bit_count()
        yield from check_uphold((accusation, ballot), visit.events, visit.domain, quorum)


def _reverse(visit: Visit, claim_id: Any, claim: Sequence[Any], ballot: Sequence[Any]) -> Iterator[Finding]:
    quorum = visit.replayed.quorum
    if quorum:
        visit.tally.signatures += ballot[0].bit_count()
        yield from check_reverse((claim_id, claim, ballot), visit.events, visit.domain, quorum)


def _appeal(
    visit: Visit,
    claim_id: Any,
    claim: Sequence[Any],
    counter_evidence_hash: Any,
    deadline: int,
    signature: bytes,
) -> Iterator[Finding]:
    node, operator, *_ = claim[0]
    what = f"the appeal against claim {claim_id}"
    event = visit.caused(ClaimAppealed, node)
    if event:
        said, announced = (claim_id, counter_evidence_hash), (event.claim_id, event.counter_evidence_hash)
        yield from visit.differs(what, said, announced, node)
    message = Appeal(hash_bytes(claim_id), hash_bytes(counter_evidence_hash), deadline)
    yield from visit.signed(what, message, signature, [node, operator], node)
    yield from visit.in_time(what, deadline, node)


_CHECKS: Mapping[str, Mapping[str, Callable[..., Iterator[Finding]]]] = {
    "NodeRegistry": {"register": _register, "update": _update, "unregister": _unregister},
    "QueryLedger": {
        "dispatch": _dispatch,
        "replaceMpc": _replace,
        "complete": _complete,
        "fail": _fail,
        "cancel": _cancel,
        "expire": _expire,
    },
    "ReputationLedger": {
        "settle": _settle,
        "settleUncontested": _settle_uncontested,
        "giveFeedback": _give_feedback,
    },
    "DetectorQuorum": {"uphold": _uphold, "reverse": _reverse, "appeal": _appeal},
}
