"""A session that ends with an error of its own is taken up again, so that nothing stays behind at the node."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from fixtures.scripted_chain import ScriptedChain

from node_agent.sessions import manager
from node_agent.sessions.backoff import Backoff
from node_agent.sessions.manager import Sessions
from node_agent.sessions.order import Order
from node_agent.sessions.ports import SessionLimits, SessionRecord
from node_agent.sessions.states import State
from node_agent.store import Store
from node_agent.workspace.folder import Workspace, Workspaces
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Domain
from soterone.domain.ids import Account, Hash32, QueryId

QUERY = QueryId("0x" + "1" * 64)
HASH = Hash32("0x" + "2" * 64)
NODES = tuple(Account("0x" + digit * 40) for digit in "34567")


async def test_a_workspace_that_could_not_be_destroyed_is_destroyed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledged, tries, destroy = asyncio.Event(), [], Workspace.destroy

    def fail_once(workspace: Workspace) -> None:
        tries.append(workspace)
        if len(tries) == 1:
            raise OSError("the disk does not answer")
        destroy(workspace)

    async def acknowledge(request: object, **options: float) -> None:
        acknowledged.set()

    monkeypatch.setattr(Workspace, "destroy", fail_once)
    monkeypatch.setattr(manager, "RESTART_SECONDS", 0.0)
    store, signer = Store.open(tmp_path / "agent.sqlite"), Signer.new()
    order = Order(QUERY, NODES[0], HASH, NODES[:2], NODES[2:], HASH, 60, 60, 60)
    store.sessions.save_session(SessionRecord(QUERY, State.CLEANED, order=order.to_json()))
    context = SimpleNamespace(
        store=store.sessions,
        workspaces=Workspaces.under(tmp_path, 2**20),
        coordinator=SimpleNamespace(AcknowledgeCleanup=acknowledge),
        chain=ScriptedChain(),
        account=signer.account,
        signer=signer,
        ledger=Domain(1, NODES[0]),
        limits=SessionLimits(),
        clock=time.monotonic,
        last_contact=time.monotonic,
        backoff=Backoff(0.0, 0.0),
    )
    running = asyncio.create_task(Sessions(context).run())
    try:
        async with asyncio.timeout(5.0):
            await acknowledged.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        store.close()
    assert len(tries) == 2
