"""A sender at work in a test: rows for its outbox, the loop around it, and what became of the rows."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

from eth_utils.crypto import keccak
from fixtures.chain import Anvil
from nodes import registering

from soterone.chain.calls import Call, CallBuilder
from soterone.chain.client import ChainClient
from soterone.chain.codec import encode_call
from soterone.chain.outbox import MemoryOutbox, Outbox, OutboxRow, RowState
from soterone.chain.sender import Sender, SendingPolicy
from soterone.crypto.accounts import Signer
from soterone.domain.ids import Account, QueryId
from soterone.domain.roles import Role

QUICK = SendingPolicy(
    poll_seconds=0.05,
    resend_seconds=0.15,
    stuck_seconds=0.3,
    lost_nonce_seconds=0.2,
    refusal_pause_seconds=0.05,
)
_keys = count(1)


def registration_row(chain: ChainClient) -> tuple[OutboxRow, Account]:
    node = Signer.new()
    return OutboxRow(f"node:{node.account}:register:1", registering(chain, node, Role.MPC_NODE)), node.account


def refused_row(chain: ChainClient, gas_limit: int | None = None) -> OutboxRow:
    call = CallBuilder(chain.contracts.addresses).cleanup(QueryId("0x" + "cd" * 32))
    return OutboxRow(f"query:{next(_keys)}:cleanup:0", call, gas_limit)


@asynccontextmanager
async def sending(
    chain: ChainClient, signer: Signer, outbox: Outbox, policy: SendingPolicy = QUICK
) -> AsyncIterator[Sender]:
    sender, stop = Sender(chain, signer, outbox, policy), asyncio.Event()
    task = asyncio.create_task(sender.run(stop))
    try:
        yield sender
    finally:
        stop.set()
        await asyncio.wait_for(task, 5)


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (the condition is a reading of many things)
            await asyncio.sleep(0.005)


def all_done(outbox: MemoryOutbox, rows: list[OutboxRow]) -> Callable[[], bool]:
    """Mined, some perhaps so deep by now that they are final."""
    return lambda: all(outbox.state_of(one.key) in (RowState.MINED, RowState.FINAL) for one in rows)


def all_in(outbox: MemoryOutbox, rows: list[OutboxRow], state: RowState) -> Callable[[], bool]:
    return lambda: all(outbox.state_of(one.key) is state for one in rows)


async def registered(chain: ChainClient, accounts: list[Account]) -> bool:
    return all([(await chain.node_of(account)).incarnation == 1 for account in accounts])


def enqueue(chain: ChainClient, outbox: MemoryOutbox, number: int) -> tuple[list[OutboxRow], list[Account]]:
    made = [registration_row(chain) for _ in range(number)]
    for row, _ in made:
        assert outbox.enqueue(row)
    return [row for row, _ in made], [account for _, account in made]


async def until_registered(chain: ChainClient, nodes: list[Account]) -> None:
    async with asyncio.timeout(10):
        while not await registered(chain, nodes):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def suspension(chain: ChainClient, node: Account, suspended: bool = True) -> Call:
    data = encode_call("NodeRegistry", "setSuspended", node, suspended)
    return Call(chain.contracts.addresses["NodeRegistry"], data, "suspend or readmit")


def grant_suspender(anvil: Anvil, chain: ChainClient, suspender: Signer) -> None:
    grant(anvil, chain, "NodeRegistry", "SUSPENDER_ROLE", suspender)


def grant(anvil: Anvil, chain: ChainClient, contract: str, role: str, holder: Signer) -> None:
    """The timelock grants it at once: what it waits for is its own affair."""
    addresses = chain.contracts.addresses
    data = encode_call(contract, "grantRole", keccak(text=role), holder.account)
    call = {"from": addresses["Timelock"], "to": addresses[contract], "data": f"0x{data.hex()}"}
    anvil.rpc("anvil_impersonateAccount", addresses["Timelock"])
    anvil.rpc("anvil_setBalance", addresses["Timelock"], hex(10**18))
    anvil.rpc("eth_sendTransaction", call)
    anvil.rpc("anvil_stopImpersonatingAccount", addresses["Timelock"])
