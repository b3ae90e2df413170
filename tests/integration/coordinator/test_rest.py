"""The REST interface over real TLS: signing in, refusals, limits, the catalog, leaving."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc.aio
import httpx
import pytest
from fixtures.live_coordinator import ClientNode, LiveCoordinator, beat, eventually
from sqlalchemy import update

from coordinator.models.accounts import AccessToken
from coordinator.models.queries import Query
from soterone.crypto.accounts import Signer
from soterone.crypto.siwe import parse_sign_in, sign_in_digest
from soterone.rpc.generated import coordinator_pb2 as pb

IDS = [f"{digit * 8}-1111-4111-8111-111111111111" for digit in "123"]


async def nonce_for(live: LiveCoordinator, signer: Signer) -> str:
    async with live.rest() as web:
        return str(
            (await web.post("/v1/auth/nonce", json={"account": signer.account.lower()})).json()["message"]
        )


async def verify(live: LiveCoordinator, message: str, signer: Signer) -> httpx.Response:
    body = {"message": message, "signature": f"0x{signer.sign(sign_in_digest(message)).hex()}"}
    async with live.rest() as web:
        return await web.post("/v1/auth/verify", json=body)


async def test_signing_in_gives_a_token_that_works(live: LiveCoordinator) -> None:
    signer = Signer.new()
    answer = await verify(live, await nonce_for(live, signer), signer)
    assert answer.json()["account"] == signer.account
    async with live.rest(answer.json()["token"]) as web:
        assert (await web.get("/v1/queries")).json() == {"queries": [], "next": None}


async def test_a_message_works_once(live: LiveCoordinator) -> None:
    signer = Signer.new()
    message = await nonce_for(live, signer)
    assert (await verify(live, message, signer)).status_code == 200
    again = await verify(live, message, signer)
    assert again.status_code == 401
    assert "used before" in again.json()["detail"]


async def test_another_signature_is_refused_and_the_message_still_works(live: LiveCoordinator) -> None:
    signer = Signer.new()
    message = await nonce_for(live, signer)
    assert (await verify(live, message, Signer.new())).status_code == 401
    assert (await verify(live, message, signer)).status_code == 200


@pytest.mark.parametrize("change", ["account", "chain", "domain", "expiry", "statement"])
async def test_a_changed_message_is_refused(live: LiveCoordinator, change: str) -> None:
    signer, thief = Signer.new(), Signer.new()
    message = await nonce_for(live, signer)
    later = datetime.now(UTC) + timedelta(days=30)
    old = parse_sign_in(message)
    changes = {
        "account": (signer.account, thief.account),
        "chain": (f"Chain ID: {old.chain_id}", "Chain ID: 1"),
        "domain": (old.domain, "evil.example"),
        "expiry": (old.expires_at.isoformat(), later.replace(microsecond=0).isoformat()),
        "statement": ("costs nothing", "costs a lot"),
    }
    changed = message.replace(*changes[change])
    assert changed != message
    assert (await verify(live, changed, thief if change == "account" else signer)).status_code == 401


async def test_a_token_ends(live: LiveCoordinator) -> None:
    token = await live.sign_in(Signer.new())
    async with live.database.transaction() as session:
        await session.execute(update(AccessToken).values(expires_at=1.0))
    async with live.rest(token) as web:
        assert (await web.get("/v1/queries")).status_code == 401


async def test_no_token_stands_in_the_database(live: LiveCoordinator) -> None:
    token = await live.sign_in(Signer.new())
    files = [path.read_bytes() for path in live.settings.data_dir.glob("coordinator.sqlite*")]
    assert not any(token.encode() in content for content in files)


async def test_an_account_is_deleted_with_its_tokens(live: LiveCoordinator) -> None:
    signer = Signer.new()
    token = await live.sign_in(signer)
    async with live.rest(token) as web:
        assert (await web.delete("/v1/account")).status_code == 204
        assert (await web.get("/v1/queries")).status_code == 401
    content = b"".join(path.read_bytes() for path in live.settings.data_dir.glob("coordinator.sqlite*"))
    assert signer.account.encode() not in content


async def test_a_node_deletes_itself_by_unregistering_only(owner: ClientNode, live: LiveCoordinator) -> None:
    async with live.rest(await live.sign_in(owner.signer)) as web:
        answer = await web.delete("/v1/account")
    assert answer.status_code == 409
    assert "unregister" in answer.json()["detail"]


async def test_a_customer_with_a_running_query_stays(live: LiveCoordinator) -> None:
    signer = Signer.new()
    async with live.database.transaction() as session:
        session.add(
            Query(
                id="0x" + "12" * 32, customer=signer.account, name="x", status="running", spec_json="{}",
                spec_hash="0x", result_key="0x", result_key_hash="0x", salt="0x", max_run_seconds=9,
                result_retry_seconds=9, cleanup_grace_seconds=9, max_replacements=0, order_deadline=9,
                created_at=1.0, expires_at=1.0,
            )
        )  # fmt: skip
    async with live.rest(await live.sign_in(signer)) as web:
        answer = await web.delete("/v1/account")
    assert answer.status_code == 409
    assert "have not ended" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 422),
        (b'{"account": 7}', 422),
        (b'{"account": "0x12"}', 422),
        (b'{"account": "0x' + b"a" * 40 + b'", "more": 1}', 422),
        (b'{"account": "\\u0000"}', 422),
        ('{"account": "\u202e"}'.encode(), 422),
        (b'{"account": "\\u202E"}', 422),
        (b"\xff\xfe", 422),
        (b"[" * 100_000, 422),
        (gzip.compress(b" " * 50_000_000), 422),
        (b"x" * ((1 << 20) + 1), 413),
    ],
)
async def test_unreadable_bodies_are_problems(live: LiveCoordinator, content: bytes, status: int) -> None:
    async with live.rest() as web:
        answer = await web.post(
            "/v1/auth/nonce", content=content, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


async def test_a_body_without_end_is_cut_off(live: LiveCoordinator) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    async with live.rest() as web, asyncio.timeout(5):
        with pytest.raises(httpx.TransportError):
            raise httpx.ReadError((await web.post("/v1/auth/nonce", content=endless())).text)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/catalog/datasets?limit=0",
        "/v1/catalog/datasets?limit=101",
        "/v1/catalog/datasets?text=%00",
        "/v1/catalog/datasets?text=%E2%80%AE",
        "/v1/catalog/datasets?owner=0x12",
        "/v1/catalog/nodes?role=king",
        "/v1/catalog/nodes?after=1%27%20OR%201=1",
        "/v1/reputation/zz",
    ],
)
async def test_bad_filters_are_problems(live: LiveCoordinator, path: str) -> None:
    async with live.rest() as web:
        answer = await web.get(path)
    assert answer.status_code == 422
    assert answer.json()["title"] == "Malformed request"


async def test_unknown_addresses_and_methods_are_problems(live: LiveCoordinator) -> None:
    async with live.rest() as web:
        for method, path, status in (("GET", "/nothing", 404), ("PUT", "/v1/network", 405)):
            answer = await web.request(method, path)
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_only_the_dapps_origin_may_read_answers(live: LiveCoordinator) -> None:
    async with live.rest() as web:
        for origin, allowed in (("https://dapp.example", True), ("https://evil.example", False)):
            answer = await web.get("/v1/network", headers={"Origin": origin})
            assert ("access-control-allow-origin" in answer.headers) is allowed


async def test_the_network_is_described_and_documented(live: LiveCoordinator) -> None:
    async with live.rest() as web:
        network = (await web.get("/v1/network")).json()
        document = (await web.get("/openapi.json")).json()
        metrics = (await web.get("/metrics")).text
        ready = await eventually(lambda: web.get("/readyz"), lambda answer: answer.status_code == 200)
    assert network["contracts"]["NodeRegistry"] == live.registry.contract
    assert network["agents_address"] == live.addresses["agents"]
    assert (
        "application/problem+json" in document["paths"]["/v1/queries"]["post"]["responses"]["401"]["content"]
    )
    assert 'soter_rest_requests_total{method="GET",route="/v1/network",status="200"} 1.0' in metrics
    assert ready.json() == {"status": "ready", "complaints": {}}


async def test_figures_are_counted(owner: ClientNode, live: LiveCoordinator) -> None:
    async with owner.agents() as agents, live.rest() as web:
        await beat(agents.Connect(), 1)
        figures = (await web.get("/metrics")).text.splitlines()
    for line in (
        "soter_nodes_online 1.0",
        "soter_agent_streams 1.0",
        "soter_heartbeats_total 1.0",
        'soter_rpc_calls_total{code="OK",method="/soterone.v1.Enrolment/Register"} 1.0',
    ):
        assert line in figures


async def test_a_slow_head_is_hung_up_on(live: LiveCoordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    from coordinator import web

    monkeypatch.setattr(web, "_HEAD_SECONDS", 0.3)
    host, port = live.addresses["rest"].removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=live.trust, server_hostname=host)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.transport.abort()


def metadata(dataset: str, name: str, tags: list[str], rows: int) -> pb.PublishDatasetRequest:
    document = {
        "id": dataset,
        "name": name,
        "tags": tags,
        "rows_at_least": rows,
        "rows_below": rows * 2,
        "columns": [
            {"name": "id", "kind": "key", "key_kind": "integer"},
            {"name": "tumour radius", "kind": "number"},
        ],
    }
    return pb.PublishDatasetRequest(metadata_json=json.dumps(document))


async def test_the_catalog_filters_groups_and_pages(owner: ClientNode, live: LiveCoordinator) -> None:
    async with owner.agents() as agents, live.rest() as web:
        stream = agents.Connect()
        await beat(stream, 1)
        for dataset, name, tags, rows in (
            (IDS[0], "Lyon_100", ["cancer", "eu"], 500),
            (IDS[1], "Boston", ["cancer"], 50),
            (IDS[2], "Oslo", ["eu"], 5000),
        ):
            await agents.PublishDataset(metadata(dataset, name, tags, rows))
            await agents.PublishDataset(metadata(dataset, name, tags, rows))

        async def names(query: str) -> list[str]:
            answer = (await web.get(f"/v1/catalog/datasets{query}")).json()
            return [entry["metadata"]["name"] for entry in answer["datasets"]]

        assert await names("") == ["Lyon_100", "Boston", "Oslo"]
        assert await names("?tag=cancer&tag=eu") == ["Lyon_100"]
        assert await names("?text=BOST") == ["Boston"]
        assert await names("?text=tumour radius") == ["Lyon_100", "Boston", "Oslo"]
        assert await names("?text=_") == ["Lyon_100"]
        assert await names("?text=%25") == []
        assert await names("?text=';DROP TABLE datasets--") == []
        assert await names("?rows_at_least=500") == ["Lyon_100", "Oslo"]
        await beat(stream, 2)
        assert await names(f"?owner={owner.account.lower()}&online=true") == ["Lyon_100", "Boston", "Oslo"]
        assert await names(f"?owner={Signer.new().account}") == []
        page = (await web.get("/v1/catalog/datasets?limit=2&group_by=tag")).json()
        assert page["groups"] == [{"name": "cancer", "datasets": 2}, {"name": "eu", "datasets": 2}]
        rest = (await web.get(f"/v1/catalog/datasets?limit=2&after={page['next']}")).json()
        assert [entry["metadata"]["id"] for entry in rest["datasets"]] == [IDS[2]]
        assert rest["next"] is None
        await agents.WithdrawDataset(pb.WithdrawDatasetRequest(dataset_id=IDS[0]))
        assert await names("?tag=cancer") == ["Boston"]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await agents.PublishDataset(metadata(IDS[0], "Lyon again", [], 5))
        assert "withdrawn" in str(caught.value.details())


FITS = {
    "id": IDS[0],
    "name": "a",
    "rows_at_least": 1,
    "rows_below": 2,
    "columns": [{"name": "a", "kind": "number"}],
}
TWICE = [{"name": "a", "kind": "number"}] * 2


@pytest.mark.parametrize(
    "document",
    [
        "no json",
        "[" * 100_000,
        "{}",
        json.dumps(FITS | {"rows_at_least": 2}),
        json.dumps(FITS | {"columns": TWICE}),
        json.dumps(FITS | {"description": "\u202eabc"}),
        json.dumps(FITS | {"columns": [{"name": "a", "kind": "number", "range_low": float("nan")}]}),
        json.dumps(FITS | {"rows": [[1, 2, 3]]}),
    ],
)
async def test_metadata_that_do_not_fit_are_refused(owner: ClientNode, document: str) -> None:
    async with owner.agents() as agents:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await agents.PublishDataset(pb.PublishDatasetRequest(metadata_json=document))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
