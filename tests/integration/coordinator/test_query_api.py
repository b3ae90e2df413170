"""Queries over HTTP: statuses, problems, pages, and events that resume."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from fixtures.query_world import World

from coordinator.accounts import repository as accounts
from coordinator.accounts.service import _token_hash
from coordinator.app import create_app
from coordinator.health import Health
from soterone.crypto.accounts import Signer
from soterone.domain.ids import Account
from soterone.rest.queries import Proposal, QueryEvent, QueryList, QueryView, ResultView


async def token_of(world: World, account: Account) -> str:
    token = secrets.token_urlsafe()
    async with world.database.transaction() as session:
        await accounts.add_token(session, _token_hash(token), account, 600)
    return token


@pytest_asyncio.fixture
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_app(world.context, Health()))
    headers = {"Authorization": f"Bearer {await token_of(world, world.customer.account)}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="https://coordinator/v1/", headers=headers
    ) as client:
        yield client


async def proposed(world: World, http: httpx.AsyncClient) -> Proposal:
    answer = await http.post("queries/proposals", json=world.request().model_dump(mode="json"))
    assert answer.status_code == 201, answer.text
    return Proposal.model_validate_json(answer.content)


async def test_a_query_over_http(world: World, http: httpx.AsyncClient) -> None:
    proposal = await proposed(world, http)
    body = world.signed(proposal).model_dump(mode="json")
    for _ in range(2):
        answer = await http.post("queries", json=body)
        assert (answer.status_code, answer.json()["query_id"]) == (202, proposal.query_id)
    await world.until(proposal.query_id, lambda view: view.status == "dispatched")
    await world.run_to_the_end(proposal)
    view = QueryView.model_validate_json((await http.get(f"queries/{proposal.query_id}")).content)
    assert view.status == "completed"
    result = ResultView.model_validate_json((await http.get(f"queries/{proposal.query_id}/result")).content)
    assert result.result_hash == view.result_hash
    again = await http.post("queries", json=body)
    assert (again.status_code, "an order works once" in again.json()["detail"]) == (409, True)


async def test_refusals_are_problems(world: World, http: httpx.AsyncClient) -> None:
    request = world.request().model_dump(mode="json")
    request["spec"]["algorithm"] = "divination"
    answer = await http.post("queries/proposals", json=request)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert "unknown algorithm 'divination'" in answer.json()["detail"]
    request = world.request(label={"dataset": world.request().spec.label.dataset, "column": "cured"})
    answer = await http.post("queries/proposals", json=request.model_dump(mode="json"))
    assert (answer.status_code, "'cured'" in answer.json()["detail"]) == (422, True)
    answer = await http.get("queries/0x1234")
    assert answer.status_code == 422
    answer = await http.get(f"queries/0x{'ab' * 32}")
    assert (answer.status_code, answer.json()["title"]) == (404, "Not found")


async def test_nobody_sees_other_peoples_queries(world: World, http: httpx.AsyncClient) -> None:
    proposal = await proposed(world, http)
    stranger = {"Authorization": f"Bearer {await token_of(world, Signer.new().account)}"}
    for path in ("", "/events", "/result"):
        answer = await http.get(f"queries/{proposal.query_id}{path}", headers=stranger)
        assert answer.status_code == 404, path
    assert (await http.get("queries", headers=stranger)).json() == {"queries": [], "next": None}
    answer = await http.get("queries", headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401


async def test_pages_are_newest_first_and_complete(world: World, http: httpx.AsyncClient) -> None:
    made = [(await proposed(world, http)).query_id for _ in range(3)]
    first = QueryList.model_validate_json((await http.get("queries", params={"limit": 2})).content)
    assert first.next is not None
    rest = await http.get("queries", params={"limit": 2, "after": first.next})
    second = QueryList.model_validate_json(rest.content)
    assert [view.id for view in (*first.queries, *second.queries)] == made[::-1]
    assert second.next is None


async def events_of(world: World, query_id: str, after: int, until: str) -> list[QueryEvent]:
    """Read the event stream as the application sends it, up to a kind, and hang up."""
    app = create_app(world.context, Health())
    token = await token_of(world, world.customer.account)
    headers = [(b"authorization", f"Bearer {token}".encode()), (b"last-event-id", str(after).encode())]
    scope = {
        "type": "http", "method": "GET", "path": f"/v1/queries/{query_id}/events", "raw_path": b"",
        "query_string": b"", "headers": headers, "http_version": "1.1", "scheme": "https",
        "client": ("127.0.0.1", 1), "server": ("coordinator", 443), "root_path": "",
    }  # fmt: skip
    sent: asyncio.Queue[bytes] = asyncio.Queue()
    gone = asyncio.Event()

    async def receive() -> dict[str, object]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def first_receive() -> dict[str, object]:
        nonlocal reading
        if reading:
            return await receive()
        reading = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.body":
            await sent.put(bytes(message.get("body", b"")))  # type: ignore[call-overload]

    reading = False
    serving = asyncio.create_task(app(scope, first_receive, send))
    events: list[QueryEvent] = []
    async with asyncio.timeout(10):
        while not events or events[-1].kind != until:
            for line in (await sent.get()).decode().splitlines():
                if line.startswith("data:"):
                    events.append(QueryEvent.model_validate(json.loads(line[5:])))
    gone.set()
    await serving
    return events


async def test_events_resume_where_they_stopped(world: World) -> None:
    proposal = await world.propose()
    first = await events_of(world, proposal.query_id, 0, "reserved")
    assert [event.sequence for event in first] == [1, 2]
    following = asyncio.create_task(events_of(world, proposal.query_id, first[-1].sequence, "dispatched"))
    await world.launch(proposal)
    rest = await following
    assert [event.sequence for event in rest] == list(range(3, 3 + len(rest)))
    assert [event.kind for event in rest] == ["signed", "dispatched"]
    assert rest[-1].data["tx"] == (await world.view(proposal.query_id)).dispatched_tx


async def test_a_customer_holds_so_many_event_streams_and_no_more(world: World) -> None:
    proposal = await world.propose()
    world.change_limits(event_streams_per_customer=0)
    headers = {"Authorization": f"Bearer {await token_of(world, world.customer.account)}"}
    app = create_app(world.context, Health())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://coordinator") as web:
        answer = await web.get(f"/v1/queries/{proposal.query_id}/events", headers=headers)
    assert (answer.status_code, "event streams" in answer.json()["detail"]) == (429, True)


async def test_the_event_stream_of_nothing_is_a_problem(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"queries/0x{'cd' * 32}/events")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("value", ["-1", "x", "9" * 30])
async def test_a_last_event_id_that_is_no_sequence_is_refused(http: httpx.AsyncClient, value: str) -> None:
    answer = await http.get(f"queries/0x{'cd' * 32}/events", headers={"Last-Event-ID": value})
    assert answer.status_code == 422
