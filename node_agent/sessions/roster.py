"""The engine addresses of one attempt: each signed by its node, gathered and handed round by the leader.

The signature keeps the leader from putting an engine of its own between two others.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from node_agent.sessions.order import Order
from node_agent.sessions.plan import Engine
from node_agent.sessions.states import Fence
from soterone.crypto.accounts import Signer, account, account_bytes
from soterone.crypto.certificates import key_hash_of_certificate
from soterone.crypto.messages import Domain, Message, SignatureError, recover, sign
from soterone.domain.ids import Account, hash_bytes
from soterone.rpc.generated import peer_pb2


class RosterError(ValueError):
    """A roster that is not the query's, or an address that its node did not sign for this attempt."""


@dataclass(frozen=True, slots=True)
class EngineAddress(Message):
    """A node says where its engine listens in one attempt. Checked by its peers, in `QueryLedger`'s domain."""

    solidity = ("bytes32", "uint8", "uint32", "string", "uint16", "bytes32")
    query_id: bytes
    generation: int
    attempt: int
    host: str
    port: int
    certificate_hash: bytes


def signed_address(
    signer: Signer, ledger: Domain, order: Order, fence: Fence, engine: Engine
) -> peer_pb2.EngineAddress:
    """Return this node's own address for an attempt, signed."""
    message = _message(order, fence, engine)
    return peer_pb2.EngineAddress(
        account=account_bytes(engine.account),
        host=engine.host,
        port=engine.port,
        certificate_pem=engine.certificate_pem.encode(),
        signature=sign(signer, ledger, message),
    )


def check_roster(
    ledger: Domain,
    order: Order,
    fence: Fence,
    hosts: Mapping[Account, str],
    addresses: Iterable[peer_pb2.EngineAddress],
) -> tuple[Engine, ...]:
    """Return everybody's engine; RosterError unless each participant signed exactly one address, on its own host.

    `hosts` are those that the participants are known by: nobody sends this node's engine to a third party.
    """
    engines = tuple(check_address(ledger, order, fence, hosts, address) for address in addresses)
    if sorted(engine.account for engine in engines) != sorted(order.participants):
        raise RosterError("The roster does not name each participant once.")
    return engines


def check_address(
    ledger: Domain,
    order: Order,
    fence: Fence,
    hosts: Mapping[Account, str],
    address: peer_pb2.EngineAddress,
) -> Engine:
    """Return a participant's engine; RosterError unless it signed exactly this address, on its own host."""
    if not 0 < address.port < 65536:
        raise RosterError("The roster has an address that cannot be dialled.")
    try:
        engine = Engine(
            account(address.account), address.host, address.port, address.certificate_pem.decode("ascii")
        )
        key_hash_of_certificate(address.certificate_pem)
        signed_by = recover(ledger, _message(order, fence, engine), address.signature)
    except (ValueError, SignatureError) as error:
        raise RosterError("The roster has an address that does not parse.") from error
    if signed_by != engine.account:
        raise RosterError(f"The engine address of {engine.account} is not signed by it for this attempt.")
    if engine.host != hosts.get(engine.account):
        raise RosterError(f"The engine of {engine.account} is not on the host that this node is known by.")
    return engine


def _message(order: Order, fence: Fence, engine: Engine) -> EngineAddress:
    certificate_hash = hashlib.sha256(engine.certificate_pem.encode()).digest()
    return EngineAddress(
        hash_bytes(order.query_id),
        fence.generation,
        fence.attempt,
        engine.host,
        engine.port,
        certificate_hash,
    )
