"""The node manager: a node joins and leaves by its own signature, relayed to the chain through the outbox."""

from collections.abc import Awaitable, Callable, Collection

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from coordinator import liveness
from coordinator.chain import outbox
from coordinator.context import Context
from coordinator.database import database_now, exclusive
from coordinator.models.nodes import Node, NodeStatus
from coordinator.nodes import mining, repository
from coordinator.nodes.endpoints import check_endpoint
from coordinator.nodes.errors import (
    BadRegistration,
    BadSignature,
    KeyTaken,
    NodeSuspendedError,
    NotActive,
    OperatorForLife,
    OtherRegistration,
    RegistrationRefused,
    UnknownNode,
    WrongIncarnation,
)
from coordinator.nodes.schemas import Registered, RegistrationRequest, UnregistrationRequest
from coordinator.signatures import signed_by
from coordinator.wakeups import Topic
from soterone.chain.calls import CallBuilder
from soterone.chain.records import NodeRecord
from soterone.chain.records import NodeStatus as ChainStatus
from soterone.crypto.messages import Message, Registration, digest
from soterone.domain.ids import Account, hash32
from soterone.domain.profiles import commitment_of

_ALL_ROLES = 7


async def active(session: AsyncSession, accounts: Collection[Account]) -> list[Node]:
    """Return those of the accounts that are active nodes, by account."""
    found = await repository.many(session, accounts)
    return [found[one] for one in sorted(found) if found[one].status == NodeStatus.ACTIVE]


heartbeats = repository.heartbeats


async def register(context: Context, request: RegistrationRequest) -> Registered:
    """Relay a registration and return the node's certificate once it stands on chain.

    The same request may be sent again at any time, also after it was mined: it gives a fresh certificate then.
    """
    await _check(context, request)
    record = await context.chain.node_of(request.message.node)
    transaction = b""
    if record.status not in (ChainStatus.ACTIVE, ChainStatus.SUSPENDED):
        transaction = await _relay(context, request, record)
        record = await context.chain.node_of(request.message.node)
    _check_same(record, request.message)
    certificate = context.authority.issue(
        request.certificate_request_der, request.message.node, context.settings.certificate_days
    )
    async with context.database.transaction() as session:
        await _keep(session, request, NodeStatus.ACTIVE, certificate)
    context.wakeups.notify(Topic.NODES)
    return Registered(certificate, context.authority.ca_pem, transaction)


async def unregister(
    context: Context,
    request: UnregistrationRequest,
    check_free: Callable[[AsyncSession], Awaitable[None]],
) -> bytes:
    """Relay a node's signed wish to leave; returns the transaction's hash once the chain has taken it.

    `check_free` runs in the same transaction and raises when the node takes part in something unfinished.
    """
    await _check_unregistration(context, request)
    call = CallBuilder(context.chain.contracts.addresses).unregister(request.message, request.signature)
    name = mining.key_of(call, "unregister", request.message.incarnation)
    await context.chain.simulate(call, context.coordinator)
    async with context.database.transaction() as session:
        await check_free(session)
        await _start_leaving(session, request.message.node)
        await outbox.enqueue(session, name, call)
    context.wakeups.notify(Topic.OUTBOX, Topic.NODES)
    return await mining.until_mined(context, name)


async def _check(context: Context, request: RegistrationRequest) -> None:
    message = request.message
    if not 0 < message.roles <= _ALL_ROLES:
        raise BadRegistration(
            "the roles must be 1 (data owner), 2 (MPC node), 4 (detector) or a sum of these"
        )
    check_endpoint(request.profile.endpoint, context.settings.public_host)
    await _check_deadline(context, message.deadline)
    await _check_signature(context, message, "registration", request.signature, message.node)
    if message.operator != message.node:
        what = "operator's part of the registration"
        await _check_signature(context, message, what, request.operator_signature, message.operator)


async def _check_unregistration(context: Context, request: UnregistrationRequest) -> None:
    message = request.message
    async with context.database.reading() as session:
        known = await repository.get(session, message.node)
    if known is None:
        raise UnknownNode(message.node)
    if message.incarnation != known.incarnation:
        raise WrongIncarnation(known.incarnation, message.incarnation)
    await _check_deadline(context, message.deadline)
    signers = dict.fromkeys((message.node, Account(known.operator)))
    await _check_signature(context, message, "unregistration", request.signature, *signers)


async def _check_deadline(context: Context, deadline: int) -> None:
    if deadline <= await context.database.now():
        raise BadRegistration(
            "the signature's deadline has passed; check this machine's clock and sign again"
        )


async def _check_signature(
    context: Context, message: Message, what: str, signature: bytes, *signers: Account
) -> None:
    signed = digest(context.domain("NodeRegistry"), message)
    for signer in signers:
        if await signed_by(context.chain, signer, signed, signature):
            return
    raise BadSignature(what, signers[0])


def _check_same(record: NodeRecord, message: Registration) -> None:
    if record.status is ChainStatus.SUSPENDED:
        raise NodeSuspendedError(message.node)
    commitment = commitment_of(hash32(message.tls_key_hash), hash32(message.profile_hash), 1)
    on_chain = (record.operator, int(record.roles), record.version, record.incarnation, record.commitment)
    signed = (message.operator, message.roles, message.version, message.incarnation, commitment)
    if on_chain != signed:
        raise OtherRegistration(message.node)


async def _relay(context: Context, request: RegistrationRequest, record: NodeRecord) -> bytes:
    message = request.message
    if message.incarnation != record.incarnation + 1:
        raise WrongIncarnation(record.incarnation + 1, message.incarnation)
    if record.incarnation and message.operator != record.operator:
        raise OperatorForLife(message.node, record.operator)
    builder = CallBuilder(context.chain.contracts.addresses)
    call = builder.register(message, request.signature, request.operator_signature)
    name = mining.key_of(call, "register", message.incarnation)
    await context.chain.simulate(call, context.coordinator)
    async with context.database.transaction() as session:
        await _keep(session, request, NodeStatus.PENDING)
        await outbox.enqueue(session, name, call)
    context.wakeups.notify(Topic.OUTBOX)
    try:
        return await mining.until_mined(context, name)
    except RegistrationRefused:
        await _forget_pending(context, message.node)
        raise


async def _keep(
    session: AsyncSession, request: RegistrationRequest, status: NodeStatus, certificate: bytes = b""
) -> None:
    message, key_hash = request.message, hash32(request.message.tls_key_hash)
    await exclusive(session, "registrations")
    other = (await repository.by_key_hashes(session, [key_hash])).get(key_hash)
    if other is not None and other.account != message.node:
        raise KeyTaken()
    node = await repository.get(session, message.node, lock=True)
    if node is not None and node.status in (NodeStatus.LEAVING, NodeStatus.GONE):
        raise NotActive(message.node, "leaving just now; try again in a few seconds")
    now = float(await session.scalar(select(database_now())) or 0.0)
    await session.merge(
        Node(
            account=message.node,
            operator=message.operator,
            roles=message.roles,
            version=message.version,
            incarnation=message.incarnation,
            status=status,
            tls_key_hash=key_hash,
            profile_hash=hash32(message.profile_hash),
            profile_version=1,
            profile_json=request.profile.canonical().decode(),
            certificate_pem=certificate.decode(),
            registered_at=node.registered_at if node else now,
        )
    )
    await session.flush()
    await repository.add_liveness(session, message.node)


async def _forget_pending(context: Context, account: Account) -> None:
    async with context.database.transaction() as session:
        node = await repository.get(session, account, lock=True)
        if node is not None and node.status == NodeStatus.PENDING:
            await repository.delete(session, account)


async def _start_leaving(session: AsyncSession, account: Account) -> None:
    node = await repository.get(session, account, lock=True)
    if node is None or node.status == NodeStatus.GONE:
        raise UnknownNode(account)
    node.status = NodeStatus.LEAVING
    await session.flush()
    await liveness.forget(session, account)
