"""Nodes join and leave a coordinator over real TLS, with a real chain behind it."""

import asyncio
import re
import time
from dataclasses import replace

import grpc.aio
import pytest
from fixtures.live_coordinator import PROFILE, ClientNode, LiveCoordinator, beat, changed, eventually
from sqlalchemy import select
from sqlmodel import SQLModel

from soterone.chain.client import ChainClient
from soterone.chain.records import NodeStatus
from soterone.crypto.accounts import Signer
from soterone.crypto.certificates import (
    certificate_request,
    key_hash_of_certificate,
    key_hash_of_key,
    new_tls_key,
)
from soterone.crypto.messages import Domain
from soterone.domain.roles import Role
from soterone.rpc.channels import agents_channel
from soterone.rpc.generated import coordinator_pb2 as pb
from soterone.rpc.generated.coordinator_pb2_grpc import AgentsStub

Code = grpc.StatusCode


async def refusal(node: ClientNode, request: pb.RegisterRequest) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await node.register(request)
    return caught.value


async def test_registration_stands_on_chain_before_the_certificate_is_given(
    live: LiveCoordinator, chain: ChainClient
) -> None:
    node = ClientNode(live)
    reply = await node.register()
    record = await chain.node_of(node.account)
    assert record.status is NodeStatus.ACTIVE
    assert record.roles == Role.DATA_OWNER
    assert key_hash_of_certificate(reply.certificate_pem) == key_hash_of_key(node.tls_key)
    receipt = await chain.receipt("0x" + reply.transaction_hash.hex())
    assert receipt is not None
    assert receipt.succeeded


async def test_the_same_registration_again_gives_a_certificate_and_sends_nothing(owner: ClientNode) -> None:
    again = await owner.register()
    assert again.transaction_hash == b""
    assert key_hash_of_certificate(again.certificate_pem) == key_hash_of_key(owner.tls_key)


async def test_two_identical_registrations_at_once_are_one(live: LiveCoordinator) -> None:
    node = ClientNode(live)
    request = node.request()
    replies = await asyncio.gather(node.register(request), node.register(request))
    hashes = {reply.transaction_hash for reply in replies} - {b""}
    assert len(hashes) == 1


async def test_an_operator_signs_too(live: LiveCoordinator, chain: ChainClient) -> None:
    node = ClientNode(live, operator=Signer.new())
    await node.register()
    assert node.operator is not None
    assert (await chain.node_of(node.account)).operator == node.operator.account


async def test_an_operator_that_did_not_sign_is_refused(live: LiveCoordinator) -> None:
    node = ClientNode(live, operator=Signer.new())
    request = node.request()
    request.operator_signature = request.node_signature
    error = await refusal(node, request)
    assert error.code() is Code.PERMISSION_DENIED
    assert "operator" in str(error.details())


async def test_another_key_than_the_signed_one_is_refused(live: LiveCoordinator) -> None:
    node = ClientNode(live)
    request = node.request()
    request.certificate_request_der = certificate_request(new_tls_key(), node.account)
    assert (await refusal(node, request)).code() is Code.PERMISSION_DENIED


async def test_another_profile_than_the_signed_one_is_refused(live: LiveCoordinator) -> None:
    node = ClientNode(live)
    request = node.request()
    request.profile.json = PROFILE.model_copy(update={"cpu_cores": 64}).canonical().decode()
    assert (await refusal(node, request)).code() is Code.PERMISSION_DENIED


async def test_a_signature_for_another_chain_is_refused(live: LiveCoordinator) -> None:
    node = ClientNode(live)
    other = Domain(live.registry.chain_id + 1, live.registry.contract)
    error = await refusal(node, node.request(domain=other))
    assert error.code() is Code.PERMISSION_DENIED
    assert "for this chain" in str(error.details())


@pytest.mark.parametrize(
    ("changes", "code", "sentence"),
    [
        ({"deadline": 1}, Code.INVALID_ARGUMENT, "deadline"),
        ({"incarnation": 2}, Code.FAILED_PRECONDITION, "expects incarnation 1"),
        ({"roles": 0}, Code.INVALID_ARGUMENT, "roles"),
        ({"roles": 8}, Code.INVALID_ARGUMENT, "roles"),
        ({"deadline": 2**63}, Code.FAILED_PRECONDITION, "contract refuses"),
    ],
)
async def test_values_that_do_not_fit_are_refused(
    live: LiveCoordinator, changes: dict[str, int], code: grpc.StatusCode, sentence: str
) -> None:
    node = ClientNode(live)
    error = await refusal(node, node.request(changed(node.message(), **changes)))
    assert error.code() is code
    assert sentence in str(error.details())


@pytest.mark.parametrize(
    "damage",
    [
        {"node": b"short"},
        {"certificate_request_der": b"no request"},
        {"profile": pb.NodeProfile(json='{"name": "x"}')},
        {"node_signature": b"\0" * 9000},
    ],
)
async def test_malformed_registrations_are_refused(live: LiveCoordinator, damage: dict[str, object]) -> None:
    node = ClientNode(live)
    request = pb.RegisterRequest()
    request.CopyFrom(node.request())
    for name, value in damage.items():
        request.ClearField(name)
        request.MergeFrom(pb.RegisterRequest(**{name: value}))
    assert (await refusal(node, request)).code() is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "endpoint", ["0.0.0.0:5000", "169.254.169.254:80", "224.0.0.1:9", "127.0.0.1:0", "[::]:80"]
)
async def test_endpoints_that_nobody_should_dial_are_refused(live: LiveCoordinator, endpoint: str) -> None:
    node = ClientNode(live, profile=PROFILE.model_copy(update={"endpoint": endpoint}))
    error = await refusal(node, node.request())
    assert error.code() is Code.INVALID_ARGUMENT
    assert "endpoint" in str(error.details())


async def test_a_registered_account_cannot_register_another_key(owner: ClientNode) -> None:
    owner.tls_key = new_tls_key()
    error = await refusal(owner, owner.request())
    assert error.code() is Code.FAILED_PRECONDITION
    assert "registered already" in str(error.details())


async def test_two_nodes_cannot_share_a_key(owner: ClientNode) -> None:
    other = ClientNode(owner.coordinator, tls_key=owner.tls_key)
    error = await refusal(other, other.request())
    assert error.code() is Code.FAILED_PRECONDITION
    assert "TLS key" in str(error.details())


async def test_whoever_leaves_leaves_no_trace_and_may_come_back(
    owner: ClientNode, live: LiveCoordinator, chain: ChainClient
) -> None:
    token = await live.sign_in(owner.signer)
    async with owner.agents() as agents:
        stream = agents.Connect()
        assert await beat(stream, 1) == 1
        metadata = (
            '{"id":"11111111-1111-4111-8111-111111111111","name":"Quokka table","rows_at_least":1,"rows_below":2,'
            '"columns":[{"name":"wombat","kind":"number"}]}'
        )
        await agents.PublishDataset(pb.PublishDatasetRequest(metadata_json=metadata))
        assert await traces(live, owner), "the search itself finds what is there"
        reply = await owner.unregister()
        receipt = await chain.receipt("0x" + reply.transaction_hash.hex())
        assert receipt is not None
        assert receipt.succeeded

        async def found() -> list[str]:
            return await traces(live, owner)

        await eventually(found, lambda left: not left)
        assert await stream.code() is Code.PERMISSION_DENIED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await agents.WithdrawDataset(pb.WithdrawDatasetRequest(dataset_id="x"))
        assert caught.value.code() is Code.UNAUTHENTICATED
    async with live.rest(token) as web:
        assert (await web.get("/v1/queries")).status_code == 401
        assert (await web.get("/v1/catalog/nodes")).json()["nodes"] == []
        assert (await web.get("/v1/catalog/datasets")).json()["datasets"] == []
    owner.incarnation, owner.operator = 2, Signer.new()
    error = await refusal(owner, owner.request())
    assert error.code() is Code.FAILED_PRECONDITION
    assert f"is operated by {owner.account} for life" in str(error.details())
    owner.operator = None
    await owner.register()
    assert (await chain.node_of(owner.account)).incarnation == 2


async def traces(live: LiveCoordinator, node: ClientNode) -> list[str]:
    """Search every byte of every file of the coordinator's folder, and every row of a PostgreSQL, for the node."""
    account, key_hash = node.account[2:], key_hash_of_key(node.tls_key)
    wanted = {
        "account": account.lower().encode(),
        "account bytes": bytes.fromhex(account),
        "name": PROFILE.name.lower().encode(),
        "endpoint": PROFILE.endpoint.encode(),
        "key": key_hash.hex().encode(),
        "key bytes": key_hash,
        "profile": node.profile.hash[2:].encode(),
        "table": b"quokka table",
        "column": b"wombat",
    }
    files = [path.read_bytes() for path in live.settings.data_dir.rglob("*") if path.is_file()]
    contents = [*files, *(await rows(live))]
    return [
        what
        for what, mark in wanted.items()
        if any(mark in content or mark in content.lower() for content in contents)
    ]


async def rows(live: LiveCoordinator) -> list[bytes]:
    """Return every table of a PostgreSQL as text, with its bytes as they are."""
    if live.database.is_sqlite:
        return []
    tables = SQLModel.metadata.sorted_tables
    async with live.database.reading() as session:
        found = [row for table in tables for row in await session.execute(select(table))]
    return [b"|".join(one if isinstance(one, bytes) else str(one).encode() for one in row) for row in found]


async def test_leaving_needs_the_nodes_own_signature(owner: ClientNode) -> None:
    request = pb.UnregisterRequest(incarnation=1, deadline=int(time.time()) + 60, signature=bytes(65))
    async with owner.agents() as agents:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await agents.Unregister(request)
    assert caught.value.code() is Code.PERMISSION_DENIED


async def test_a_certificate_by_the_same_authority_for_an_unknown_key_opens_nothing(
    owner: ClientNode, live: LiveCoordinator
) -> None:
    from soterone.crypto.certificates import CertificateAuthority, TlsIdentity

    authority = CertificateAuthority.load(live.settings.data_dir)
    key = new_tls_key()
    stranger = TlsIdentity(key, authority.issue(certificate_request(key, owner.account), owner.account))
    async with agents_channel(live.addresses["agents"], live.ca_pem, stranger) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await AgentsStub(channel).WithdrawDataset(pb.WithdrawDatasetRequest(dataset_id="x"))
    assert caught.value.code() is Code.UNAUTHENTICATED
    assert re.search("no registered node", str(caught.value.details()))


async def test_a_rogue_authority_does_not_get_past_the_handshake(
    owner: ClientNode, live: LiveCoordinator
) -> None:
    from soterone.crypto.certificates import CertificateAuthority, TlsIdentity

    rogue = CertificateAuthority.create()
    forged = TlsIdentity(
        owner.tls_key, rogue.issue(certificate_request(owner.tls_key, owner.account), owner.account)
    )
    async with agents_channel(live.addresses["agents"], live.ca_pem, forged) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await AgentsStub(channel).WithdrawDataset(pb.WithdrawDatasetRequest(dataset_id="x"), timeout=5)
    assert caught.value.code() in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)


async def test_a_smaller_copy_of_a_message_cannot_be_signed_by_somebody_else(
    live: LiveCoordinator,
) -> None:
    victim, thief = ClientNode(live), ClientNode(live)
    request = replace(thief).request(changed(thief.message(), node=victim.account))
    assert (await refusal(thief, request)).code() is Code.PERMISSION_DENIED
