"""Joins the network and leaves it: what the node signs, and the certificate that it gets for it."""

import time
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

import soterone
from node_agent.coordinator_link import CoordinatorLink, refusal
from node_agent.errors import AgentError
from node_agent.folder import DataFolder
from node_agent.identity import read_tls_key
from node_agent.network import Network, open_chain
from node_agent.resources import load_profile
from node_agent.settings import AgentSettings
from soterone.chain.client import ChainClient
from soterone.chain.records import NodeStatus
from soterone.crypto.accounts import Signer, account, account_bytes
from soterone.crypto.certificates import (
    CertificateError,
    certificate_request,
    key_hash_of_certificate,
    key_hash_of_key,
)
from soterone.crypto.messages import Registration, Unregistration, sign
from soterone.domain.deadlines import signature_deadline
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.roles import pack_version
from soterone.rpc.channels import enrolment_channel
from soterone.rpc.generated.coordinator_pb2 import (
    NodeProfile,
    RegisterReply,
    RegisterRequest,
    UnregisterRequest,
)
from soterone.rpc.generated.coordinator_pb2_grpc import EnrolmentStub

CALL_SECONDS = 120.0


class RegistrationError(AgentError):
    """A registration was refused or came back wrong."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What came of it. `transaction_hash` is empty when the registration stood on chain already."""

    account: Account
    operator: Account
    incarnation: int
    transaction_hash: str


async def register(
    folder: DataFolder, settings: AgentSettings, network: Network, signer: Signer, operator: Signer | None
) -> Registered:
    """Register the node, or fetch its certificate again when it is registered; safe to repeat."""
    if account(settings.operator) != (operator or signer).account:
        raise RegistrationError(
            f"the operator is {settings.operator}, so give its keystore with --operator-key-file:"
            " it signs the registration, too"
        )
    profile = load_profile(folder.profile)
    tls_key = read_tls_key(folder.tls_key)
    async with await open_chain(settings.chain_rpc, network.contracts) as chain:
        incarnation = await _incarnation(chain, signer.account)
        deadline = await _deadline(chain)
    message = Registration(
        node=signer.account,
        operator=account(settings.operator),
        roles=int(settings.roles),
        version=pack_version(soterone.__version__),
        tls_key_hash=key_hash_of_key(tls_key),
        profile_hash=hash_bytes(profile.hash),
        incarnation=incarnation,
        deadline=deadline,
    )
    domain = network.domain("NodeRegistry")
    reply = await _enrol(
        network,
        RegisterRequest(
            node=account_bytes(message.node),
            operator=account_bytes(message.operator),
            roles=message.roles,
            version=message.version,
            incarnation=message.incarnation,
            deadline=message.deadline,
            node_signature=sign(signer, domain, message),
            operator_signature=sign(operator, domain, message) if operator else b"",
            certificate_request_der=certificate_request(tls_key, signer.account),
            profile=NodeProfile(json=profile.canonical().decode()),
        ),
    )
    _keep_certificate(folder, network, reply, message.tls_key_hash)
    transaction = f"0x{reply.transaction_hash.hex()}" if reply.transaction_hash else ""
    return Registered(message.node, message.operator, incarnation, transaction)


async def unregister(settings: AgentSettings, network: Network, signer: Signer, link: CoordinatorLink) -> str:
    """End the node's incarnation; returns the transaction's hash. The certificate is worth nothing afterwards."""
    async with await open_chain(settings.chain_rpc, network.contracts) as chain:
        node = await chain.node_of(signer.account)
        if node.status not in (NodeStatus.ACTIVE, NodeStatus.SUSPENDED):
            raise RegistrationError("this node is not registered on chain, so there is nothing to end")
        message = Unregistration(signer.account, node.incarnation, await _deadline(chain))
    signature = sign(signer, network.domain("NodeRegistry"), message)
    request = UnregisterRequest(
        incarnation=message.incarnation, deadline=message.deadline, signature=signature
    )
    try:
        reply = await link.agents.Unregister(request, timeout=CALL_SECONDS)
    except grpc.aio.AioRpcError as error:
        raise refusal(error, "so the node stays registered") from error
    return f"0x{reply.transaction_hash.hex()}"


async def _incarnation(chain: ChainClient, node: Account) -> int:
    """The one to sign: the present one to get a certificate again, else the next."""
    record = await chain.node_of(node)
    if record.status is NodeStatus.SUSPENDED:
        raise RegistrationError("this account is suspended on chain and cannot register")
    return record.incarnation + (record.status is not NodeStatus.ACTIVE)


async def _deadline(chain: ChainClient) -> int:
    return signature_deadline(time.time(), (await chain.head()).timestamp)


async def _enrol(network: Network, request: RegisterRequest) -> RegisterReply:
    description = network.description
    async with enrolment_channel(description.enrolment_address, description.ca_pem.encode()) as channel:
        try:
            return await EnrolmentStub(channel).Register(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise refusal(error, "so the node is not registered") from error


def _keep_certificate(
    folder: DataFolder, network: Network, reply: RegisterReply, expected_key_hash: bytes
) -> None:
    try:
        issued_for = key_hash_of_certificate(reply.certificate_pem)
    except CertificateError as error:
        raise RegistrationError(f"the coordinator sent a certificate that is none: {error}") from error
    if issued_for != expected_key_hash or reply.ca_pem.strip() != network.description.ca_pem.encode().strip():
        raise RegistrationError("the coordinator sent a certificate for another key or by another authority")
    _replace(folder.tls_certificate, reply.certificate_pem)


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".part")
    draft.write_bytes(content)
    draft.replace(path)
