"""Nodes and queries on a real chain, as the tests of this folder need them."""

import asyncio
import time
from itertools import count

from soterone.chain.calls import Call, CallBuilder
from soterone.chain.client import ChainClient
from soterone.chain.openings import Opening
from soterone.chain.outbox import Attempt
from soterone.chain.records import Receipt
from soterone.chain.transactions import Fees, sign_call
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Domain, QueryOrder, Registration, sign
from soterone.domain.ids import Account
from soterone.domain.roles import Role

_salts = count(1)


def domain(chain: ChainClient, contract: str) -> Domain:
    return Domain(chain.contracts.chain_id, chain.contracts.addresses[contract])


def soon() -> int:
    return int(time.time()) + 3_600


def registration(node: Account, role: Role, *, incarnation: int = 1) -> Registration:
    return Registration(node, node, int(role), 0x000100, b"\x11" * 32, b"\x22" * 32, incarnation, soon())


def registering(chain: ChainClient, node: Signer, role: Role) -> Call:
    message = registration(node.account, role)
    signature = sign(node, domain(chain, "NodeRegistry"), message)
    return CallBuilder(chain.contracts.addresses).register(message, signature)


def order_of(customer: Signer, owners: list[Signer], mpcs: list[Signer]) -> QueryOrder:
    return QueryOrder(
        customer.account,
        next(_salts).to_bytes(32),
        b"\x33" * 32,
        ascending(owners),
        ascending(mpcs),
        b"\x44" * 32,
        600,
        60,
        60,
        2,
        soon(),
    )


def ascending(signers: list[Signer]) -> tuple[Account, ...]:
    return tuple(sorted((one.account for one in signers), key=lambda account: int(account, 16)))


def dispatching(chain: ChainClient, customer: Signer, order: QueryOrder) -> Call:
    signature = sign(customer, domain(chain, "QueryLedger"), order)
    return CallBuilder(chain.contracts.addresses).dispatch(order, signature)


async def signed(chain: ChainClient, sender: Signer, call: Call, *, nonce: int | None = None) -> Attempt:
    if nonce is None:
        nonce = await chain.transaction_count(sender.account)
    gas_limit = await chain.estimate_gas(call, sender.account) * 5 // 4
    return sign_call(sender, chain.contracts.chain_id, call, nonce, gas_limit, Fees(20 * 10**9, 10**9))


async def mined(chain: ChainClient, sender: Signer, call: Call) -> Receipt:
    attempt = await signed(chain, sender, call)
    await chain.send_raw(attempt.raw)
    async with asyncio.timeout(5):
        while (receipt := await chain.receipt(attempt.transaction_hash)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert receipt.succeeded
    return receipt


async def dispatched(chain: ChainClient, sender: Signer, signers: list[Signer]) -> tuple[QueryOrder, Opening]:
    """Register signers 1 to 5 as two owners and three MPC nodes where needed, and dispatch a query of signer 0."""
    customer, *nodes = signers[:6]
    for index, node in enumerate(nodes):
        if (await chain.node_of(node.account)).incarnation == 0:
            role = Role.DATA_OWNER if index < 2 else Role.MPC_NODE
            await mined(chain, sender, registering(chain, node, role))
    order = order_of(customer, nodes[:2], nodes[2:])
    await mined(chain, sender, dispatching(chain, customer, order))
    return order, Opening.of_order(order)
