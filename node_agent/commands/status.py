"""`status`, `approve` and `deny`: how the agent stands, and the orders that wait for a person."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from node_agent.commands.reporting import DEFAULT_DATA_DIR, DataDir, Json, answer, command
from node_agent.errors import AgentError, Unreachable
from node_agent.folder import DataFolder
from node_agent.network import Network, open_chain
from node_agent.settings import AgentSettings, load_settings
from node_agent.store import Store
from node_agent.store.approvals import Approval
from soterone.chain.errors import ChainError
from soterone.crypto.accounts import account
from soterone.domain.ids import Account
from soterone.domain.spec import parse_spec

ApprovalId = Annotated[str, typer.Argument(help="The id that `soter-node status` shows.")]


@command
def status_command(data_dir: DataDir = DEFAULT_DATA_DIR, json_output: Json = False) -> None:
    """Show account, registration, datasets, queries and waiting approvals. Exit status 3: the chain is unreachable."""
    folder = DataFolder(data_dir.expanduser().absolute())
    settings, network = load_settings(folder.config), Network.load(folder.network)
    store = Store.open(folder.store)
    own = own_account(folder)
    on_chain = asyncio.run(_on_chain(settings, network, own))
    trail = store.chain_log.trail()
    waiting = [approval for approval in store.approvals.all() if approval.state == "pending"]
    facts: dict[str, Any] = {
        "name": settings.name,
        "role": settings.role,
        "account": own,
        "operator": settings.operator,
        "endpoint": settings.endpoint,
        "coordinator": settings.coordinator,
        "running": folder.locked(),
        "certificate": folder.tls_certificate.exists(),
        "on_chain": on_chain,
        "chain_read_to_block": trail[0].number if trail else None,
        "datasets": sum(dataset.published for dataset in store.datasets.all()),
    }
    sessions = [{"query_id": one.query_id, "state": one.state} for one in store.sessions.sessions()]
    document = {**facts, "sessions": sessions, "waiting_approvals": [_approval(one) for one in waiting]}
    answer(document, json_output, *_tables(facts, sessions, waiting))
    if on_chain == "unreachable":
        raise Unreachable(
            f"the chain does not answer at {settings.chain_rpc}; what stands above is this folder's own"
        )


@command
def approve_command(
    approval_id: ApprovalId, data_dir: DataDir = DEFAULT_DATA_DIR, json_output: Json = False
) -> None:
    """Approve a waiting order, once: the customer proposes it again and it is accepted."""
    _answer_order(data_dir, approval_id, "approved", json_output)


@command
def deny_command(
    approval_id: ApprovalId, data_dir: DataDir = DEFAULT_DATA_DIR, json_output: Json = False
) -> None:
    """Refuse a waiting order, also when it is proposed again."""
    _answer_order(data_dir, approval_id, "denied", json_output)


def _answer_order(
    data_dir: Path, approval_id: str, state: Literal["approved", "denied"], as_json: bool
) -> None:
    folder = DataFolder(data_dir.expanduser().absolute())
    load_settings(folder.config)
    if not Store.open(folder.store).approvals.answer(approval_id, state):
        raise AgentError(f"no order {approval_id!r} waits for an answer; see `soter-node status`")
    answer({"id": approval_id, "state": state}, as_json, f"Order {approval_id} is {state}.")


async def _on_chain(settings: AgentSettings, network: Network, own: Account) -> str:
    try:
        async with await open_chain(settings.chain_rpc, network.contracts) as chain:
            return (await chain.node_of(own)).status.name.lower()
    except (Unreachable, ChainError):
        return "unreachable"


def own_account(folder: DataFolder) -> Account:
    """Read the account from the keystore's clear part; no password is needed."""
    return account(f"0x{json.loads(folder.keystore.read_text())['address'].removeprefix('0x')}")


def _approval(approval: Approval) -> dict[str, Any]:
    spec = parse_spec(approval.spec_json)
    return {
        "id": approval.id,
        "customer": approval.customer,
        "query": spec.name,
        "purpose": spec.purpose,
        "algorithm": spec.algorithm,
        "spec": spec.model_dump(mode="json"),
        "asked_at": approval.asked_at,
    }


def _tables(facts: dict[str, Any], sessions: list[dict[str, str]], waiting: list[Approval]) -> list[Table]:
    overview = Table(show_header=False, title=f"Agent {escape(facts['name'])}", title_justify="left")
    for name, value in facts.items():
        overview.add_row(name.replace("_", " "), escape(str(value)))
    queries = Table("query", "state", title="Queries", title_justify="left")
    for session in sessions:
        queries.add_row(session["query_id"], session["state"])
    orders = Table(
        "id", "customer", "query", "purpose", "asked at", title="Waiting for you", title_justify="left"
    )
    for one in map(_approval, waiting):
        orders.add_row(one["id"], one["customer"], escape(one["query"]), one["purpose"], one["asked_at"])
    return [overview, *([queries] if sessions else []), *([orders] if waiting else [])]
