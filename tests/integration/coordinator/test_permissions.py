"""Every route and every RPC stands in the table, and the table is what happens."""

from pathlib import Path

import grpc.aio
import pytest
from fastapi.routing import APIRoute
from fixtures.live_coordinator import ClientNode, LiveCoordinator
from google.protobuf.message import Message

from coordinator.app import create_app
from coordinator.health import Health
from coordinator.permissions import RULES, Caller, Reach
from coordinator.services import open_context
from node_agent.detection.reach import load_in_heartbeats
from soterone.crypto.accounts import Signer, account_bytes
from soterone.crypto.certificates import (
    CertificateAuthority,
    TlsIdentity,
    certificate_request,
    key_hash_of_certificate,
    key_hash_of_key,
    new_tls_key,
)
from soterone.domain.profiles import NodeProfile
from soterone.domain.roles import Role
from soterone.rpc.channels import agents_channel
from soterone.rpc.generated import coordinator_pb2 as pb
from soterone.rpc.generated.coordinator_pb2_grpc import AgentsStub

SERVICES = pb.DESCRIPTOR.services_by_name
RPCS = [
    (f"/{service.full_name}/{method.name}", method)
    for service in SERVICES.values()
    for method in service.methods
]
AGENT_RPCS = [(path, method) for path, method in RPCS if "/soterone.v1.Agents/" in path]


@pytest.fixture
def empty_database_url(tmp_path: Path) -> str:
    """Who may call what does not depend on the database: one is enough."""
    return f"sqlite+aiosqlite:///{tmp_path / 'empty.sqlite'}"


async def test_the_table_and_the_routes_are_the_same(live: LiveCoordinator) -> None:
    async with open_context(live.settings, Signer.new()) as context:
        app = create_app(context, Health())
    routes = {"GET /openapi.json"}
    for path, operations in app.openapi()["paths"].items():
        routes |= {f"{method.upper()} {path}" for method in operations}
    hidden = [route for route in app.routes if isinstance(route, APIRoute) and not route.include_in_schema]
    assert hidden == []
    assert routes == {name for name in RULES if not name.startswith("/")}


def test_the_table_and_the_rpcs_are_the_same() -> None:
    assert {path for path, _ in RPCS} == {name for name in RULES if name.startswith("/")}


@pytest.mark.parametrize("name", [name for name in RULES if RULES[name].caller is Caller.SIGNED_IN])
async def test_nobody_calls_these_without_a_token(live: LiveCoordinator, name: str) -> None:
    method, path = name.split()
    url = path.replace("{query_id}", "0x" + "00" * 32)
    for token in ("", "made-up"):
        async with live.rest(token) as web:
            answer = await web.request(method, url, json={} if method == "POST" else None)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("name", [name for name in RULES if "{query_id}" in name])
async def test_other_peoples_queries_do_not_exist(live: LiveCoordinator, name: str) -> None:
    assert RULES[name].reach is Reach.OWN
    method, path = name.split()
    bodies = {
        "cancel": {},
        "feedback": {"nodes": ["0x" + "11" * 20], "ratings": [1], "deadline": 1, "signature": "0x"},
    }
    async with live.rest(await live.sign_in(Signer.new())) as web:
        url = path.replace("{query_id}", "0x" + "00" * 32)
        answer = await web.request(method, url, json=bodies.get(path.rsplit("/", 1)[1]))
    assert answer.status_code == 404


async def refused(channel: grpc.aio.Channel, path: str, method: object) -> grpc.StatusCode:
    """Call a method with an empty request, whatever its kind, and return its status."""
    request_class: type[Message] = getattr(pb, method.input_type.name)  # type: ignore[attr-defined]
    kind = {
        (False, False): channel.unary_unary,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }[(method.client_streaming, method.server_streaming)]  # type: ignore[attr-defined]
    reply = getattr(pb, method.output_type.name).FromString  # type: ignore[attr-defined]
    make = kind(path, request_serializer=request_class.SerializeToString, response_deserializer=reply)
    call = make(iter([request_class()]) if method.client_streaming else request_class())  # type: ignore[attr-defined]
    return await call.code()  # type: ignore[no-any-return]


@pytest.mark.parametrize(("path", "method"), AGENT_RPCS, ids=[path for path, _ in AGENT_RPCS])
async def test_a_key_that_no_node_registered_calls_nothing(
    live: LiveCoordinator, path: str, method: object
) -> None:
    authority, key = CertificateAuthority.load(live.settings.data_dir), new_tls_key()
    account = Signer.new().account
    stranger = TlsIdentity(key, authority.issue(certificate_request(key, account), account))
    async with agents_channel(live.addresses["agents"], live.ca_pem, stranger) as channel:
        assert await refused(channel, path, method) is grpc.StatusCode.UNAUTHENTICATED


async def test_only_data_owners_publish(live: LiveCoordinator) -> None:
    node = ClientNode(live, roles=int(Role.MPC_NODE))
    await node.register()
    async with node.agents() as agents:
        for call, request in (
            (agents.PublishDataset, pb.PublishDatasetRequest()),
            (agents.WithdrawDataset, pb.WithdrawDatasetRequest()),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(request)
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_only_detectors_learn_how_nodes_are_reached(live: LiveCoordinator) -> None:
    node, detector = ClientNode(live), ClientNode(live, roles=int(Role.DETECTOR))
    await node.register()
    await detector.register()
    asked = pb.NodesRequest(accounts=[account_bytes(node.signer.account), bytes(20)])
    async with node.agents() as agents:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await agents.DescribeNodes(asked)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    async with detector.agents() as agents:
        (card,) = (await agents.DescribeNodes(asked)).nodes
        assert await load_in_heartbeats(agents, node.signer.account) is None
        assert card.account == account_bytes(node.signer.account)
        assert NodeProfile.model_validate_json(card.profile.json).hash == node.profile.hash
        assert key_hash_of_certificate(card.certificate_pem) == key_hash_of_key(node.tls_key)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await agents.DescribeNodes(pb.NodesRequest(accounts=[bytes(20)] * 65))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_detectors_learn_what_a_node_told_in_its_last_heartbeat(live: LiveCoordinator) -> None:
    node, detector = ClientNode(live), ClientNode(live, roles=int(Role.DETECTOR))
    await node.register()
    await detector.register()
    snapshot = pb.ResourceSnapshot(memory_total_bytes=2**33, load_1min=7.5)
    async with node.agents() as agents:
        stream = agents.Connect()
        await stream.write(pb.AgentMessage(sequence=1, heartbeat=pb.Heartbeat(snapshot=snapshot)))
        assert (await stream.read()).ack.sequence == 1
        stream.cancel()
    async with detector.agents() as agents:
        assert await load_in_heartbeats(agents, node.signer.account) == 7.5
        assert await load_in_heartbeats(agents, Signer.new().account) is None
    async with node.agents() as agents:
        assert await load_in_heartbeats(agents, node.signer.account) is None, "only detectors are told"


async def test_a_node_learns_nothing_of_queries_that_it_takes_no_part_in(owner: ClientNode) -> None:
    header = pb.ResultHeader(query_id=bytes(32), share_hash=bytes(32), signature=bytes(65), size_bytes=1)
    async with owner.agents() as agents:
        agent: AgentsStub = agents
        calls = [
            agent.GetSession(pb.SessionRequest(query_id=bytes(32))),
            agent.ReportProgress(pb.ProgressReport(query_id=bytes(32), phase="train")),
            agent.ReportFailure(pb.FailureReport(query_id=bytes(32), reason=4)),
            agent.DeliverResult(iter([pb.ResultChunk(header=header)])),
            agent.AcknowledgeCleanup(pb.CleanupAcknowledgement(query_id=bytes(32), signature=bytes(65))),
        ]
        codes = [await call.code() for call in calls]
    assert set(codes) <= {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED}
    assert len(set(codes)) == 1
