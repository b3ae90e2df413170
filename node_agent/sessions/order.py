"""What an agent checks before it works: that the order on chain is the session it knows, and that each peer is real.

Pure. The coordinator describes, the chain decides: whatever differs is refused.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from soterone.chain.events import MPCUpdated, QueryDispatched
from soterone.crypto.accounts import account, account_bytes
from soterone.crypto.certificates import CertificateError, check_validity, key_hash_of_certificate
from soterone.crypto.sealing import SealingError, check_public, result_key_hash
from soterone.domain.endpoints import why_unreachable
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account, Hash32, QueryId, hash32, query_id
from soterone.domain.profiles import Endpoint
from soterone.domain.roles import Role
from soterone.domain.spec import QuerySpec, describe
from soterone.rpc.generated.coordinator_pb2 import Participant, SessionDescription

SPEC_BYTES_LIMIT = 1 << 18
_ENDPOINT: TypeAdapter[str] = TypeAdapter(Endpoint)


class OrderRefusedError(Exception):
    """This node does not work on the order; `sentence` says why, for the customer to read."""

    def __init__(self, sentence: str, reason: FailureReason = FailureReason.POLICY_REFUSED) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Replacement:
    """One MPCUpdated: who took whose place, and what its draw can be repeated from. `block` is the event's own."""

    old: Account
    new: Account
    seed_block: int
    block: int
    candidates: tuple[Account, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """The order as QueryDispatched announced it, with the nodes of its newest generation.

    `owners` ascend by address. `mpcs` stand by rank: they ascend at first, then a successor takes the lost node's
    rank. `lost` are the replaced ones, `drawn` is the newest replacement.
    """

    query_id: QueryId
    customer: Account
    spec_hash: Hash32
    owners: tuple[Account, ...]
    mpcs: tuple[Account, ...]
    result_key_hash: Hash32
    max_run_seconds: int
    result_retry_seconds: int
    cleanup_grace_seconds: int
    dispatched_block: int = 0
    generation: int = 0
    lost: tuple[Account, ...] = ()
    drawn: Replacement | None = None

    @classmethod
    def from_event(cls, event: QueryDispatched) -> "Order":
        """Take an order from its event."""
        return cls(
            query_id(event.query_id),
            event.customer,
            hash32(event.spec_hash),
            tuple(event.owners),
            tuple(event.mpcs),
            hash32(event.result_key_hash),
            event.max_run_seconds,
            event.result_retry_seconds,
            event.cleanup_grace_seconds,
            event.position.block_number,
        )

    @classmethod
    def from_json(cls, text: str) -> "Order":
        """Read what `to_json` wrote."""
        return _ORDER.validate_json(text)

    def to_json(self) -> str:
        """Return the order for the store."""
        return _ORDER.dump_json(self).decode()

    def replaced(self, event: MPCUpdated) -> "Order":
        """Return the order of the next generation; ValueError unless the event leads to exactly that one."""
        used = {*self.participants, *self.lost}
        if event.generation != self.generation + 1 or event.old_mpc not in self.mpcs or event.new_mpc in used:
            raise ValueError(
                f"MPCUpdated to generation {event.generation} does not follow generation {self.generation}"
            )
        block = event.position.block_number
        return replace(
            self,
            mpcs=tuple(event.new_mpc if mpc == event.old_mpc else mpc for mpc in self.mpcs),
            generation=event.generation,
            lost=(*self.lost, event.old_mpc),
            drawn=Replacement(event.old_mpc, event.new_mpc, event.seed_block, block, tuple(event.candidates)),
        )

    @property
    def leader(self) -> Account:
        """The MPC node with the lowest account of the present trio: it numbers the attempts."""
        return min(self.mpcs, key=account_bytes)

    @property
    def participants(self) -> tuple[Account, ...]:
        """Everybody who works on the query, owners first."""
        return (*self.owners, *self.mpcs)


_ORDER: TypeAdapter[Order] = TypeAdapter(Order)


@dataclass(frozen=True, slots=True)
class Peer:
    """Another participant, its certificate checked against the chain."""

    account: Account
    endpoint: str
    certificate_pem: bytes


KeyHash = Callable[[Account], bytes | None]


def read_spec(description: SessionDescription) -> QuerySpec:
    """Return the spec of a session; OrderRefusedError when its text is not the canonical form of a spec.

    Read as JSON and nothing more: YAML's aliases would let a coordinator fill this node's memory.
    """
    if len(description.spec_json) > SPEC_BYTES_LIMIT:
        raise OrderRefusedError(f"The coordinator sent a spec of more than {SPEC_BYTES_LIMIT} bytes.")
    try:
        spec = QuerySpec.model_validate_json(description.spec_json)
    except ValidationError as error:
        raise OrderRefusedError(
            f"The coordinator sent a spec that this node cannot read: {describe(error)}."
        ) from error
    if spec.canonical() != description.spec_json:
        raise OrderRefusedError("The coordinator sent a spec that is not in its canonical form.")
    return spec


def participant(description: SessionDescription, node: Account) -> Participant | None:
    """Return what a session says of a node, None when it does not name it."""
    wanted = account_bytes(node)
    return next((one for one in description.participants if one.account == wanted), None)


def check_session(description: SessionDescription, node: Account) -> QuerySpec:
    """Check what a session says by itself: this node is in it, trio and owners have the shape that the engine runs.

    Returns the spec; OrderRefusedError with one sentence otherwise. Called at the offer and at the order.
    """
    spec = read_spec(description)
    own = participant(description, node)
    if own is None:
        raise OrderRefusedError("The coordinator offered a query that does not name this node.")
    owners, mpcs = accounts_of(description, Role.DATA_OWNER), accounts_of(description, Role.MPC_NODE)
    if len(mpcs) != 3 or len(owners) != 2 or len({*owners, *mpcs}) != 5:
        raise OrderRefusedError("A query needs two data owners and three MPC nodes, all different.")
    datasets = [one for each in description.participants for one in each.datasets]
    if sorted(datasets) != sorted(spec.datasets) or any(
        len(each.datasets) != (each.role == Role.DATA_OWNER) for each in description.participants
    ):
        raise OrderRefusedError(
            "Each data owner brings exactly one of the spec's datasets: list two of two owners."
        )
    _check_result_key(description.result_key)
    return spec


def _check_result_key(public: bytes) -> None:
    try:
        check_public(public)
    except SealingError as error:
        raise OrderRefusedError(f"The customer's result key cannot be used: {error}.") from error


def accounts_of(description: SessionDescription, role: Role) -> tuple[Account, ...]:
    """Return the accounts of a role, ascending by address."""
    return _ascending(account(one.account) for one in description.participants if one.role == role)


def _ascending(accounts: Iterable[Account]) -> tuple[Account, ...]:
    return tuple(sorted(accounts, key=account_bytes))


def check_order(order: Order, description: SessionDescription) -> None:
    """Compare the session with the order on chain; OrderRefusedError names what differs."""
    facts = {
        "query id": (hash32(description.query_id), order.query_id),
        "spec": (hash32(hashlib.sha256(description.spec_json).digest()), order.spec_hash),
        "customer": (account(description.customer), order.customer),
        "data owners": (accounts_of(description, Role.DATA_OWNER), order.owners),
        "MPC nodes": (accounts_of(description, Role.MPC_NODE), _ascending(order.mpcs)),
        "result key": (hash32(result_key_hash(description.result_key)), order.result_key_hash),
    }
    for name, (described, ordered) in facts.items():
        if described != ordered:
            raise OrderRefusedError(f"The coordinator's {name} differs from the order on chain.")


def check_peers(
    description: SessionDescription, node: Account, own_host: str, key_hash: KeyHash, now: datetime
) -> list[Peer]:
    """Return the other participants once each certificate's key is the one on chain; OrderRefusedError otherwise.

    `own_host` is how this node itself is known to others: it decides whether a loopback address may be dialled.
    """
    peers = []
    for one in description.participants:
        who = account(one.account)
        if who == node:
            continue
        _check_certificate(who, one.certificate_pem, key_hash(who), now)
        _check_endpoint(who, one.endpoint, own_host)
        peers.append(Peer(who, one.endpoint, one.certificate_pem))
    return peers


def _check_certificate(who: Account, pem: bytes, on_chain: bytes | None, now: datetime) -> None:
    if on_chain is None:
        raise OrderRefusedError(f"The node {who} is not registered on chain as active.")
    try:
        shown = key_hash_of_certificate(pem)
        check_validity(pem, now)
    except CertificateError as error:
        raise OrderRefusedError(f"The certificate of node {who} cannot be used: {error}.") from error
    if shown != on_chain:
        raise OrderRefusedError(f"The certificate of node {who} is not the one on chain.")


def _check_endpoint(who: Account, endpoint: str, own_host: str) -> None:
    """Refuse what gRPC would take for a socket file or another resolver, and addresses that are no other party's."""
    try:
        _ENDPOINT.validate_python(endpoint)
    except ValidationError as error:
        raise OrderRefusedError(f"The endpoint of node {who} is no host and port.") from error
    complaint = why_unreachable(endpoint, own_host)
    if complaint is not None:
        raise OrderRefusedError(f"Node {who} cannot be dialled: {complaint}.")
