"""Scores and nodes as another agent's tools read them: by ERC-8004's signatures alone, without our ABI."""

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak
from nodes import dispatched, domain, mined, soon

from soterone.chain.calls import CallBuilder
from soterone.chain.client import ChainClient
from soterone.chain.errors import RevertedError
from soterone.chain.openings import result_hash
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Feedback, QueryOrder, Unregistration, sign
from soterone.domain.ids import Account, hash_bytes

SHARES = (b"\x01" * 32, b"\x02" * 32, b"\x03" * 32)
NONEXISTENT = keccak(text="ERC721NonexistentToken(uint256)")[:4].hex()
NO_FEEDBACK = keccak(text="Erc8004ReputationNoFeedback(uint256,address,uint64)")[:4].hex()


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that knows an ERC-8004 reputation registry by its address, and the standard."""

    chain: ChainClient
    reputation: Account

    async def ask(self, contract: Account, signature: str, answers: str, *arguments: Any) -> tuple[Any, ...]:
        """Call a function by its signature; `answers` names the types that come back, without parentheses."""
        kinds = [kind for kind in re.sub(r"^\w+\(|\)$", "", signature).split(",") if kind]
        data = keccak(text=signature)[:4] + encode(kinds, arguments)
        answer = await self.chain.rpc.call("eth_call", {"to": contract, "data": f"0x{data.hex()}"}, "latest")
        return tuple(decode(answers.split(","), bytes.fromhex(answer[2:])))

    async def identity(self) -> Account:
        (registry,) = await self.ask(self.reputation, "getIdentityRegistry()", "address")
        return Account(registry)

    async def clients(self, agent: int) -> tuple[str, ...]:
        (clients,) = await self.ask(self.reputation, "getClients(uint256)", "address[]", agent)
        return tuple(clients)

    async def score(self, agent: int, clients: tuple[str, ...]) -> float:
        count, value, decimals = await self.ask(
            self.reputation,
            "getSummary(uint256,address[],string,string)",
            "uint64,int128,uint8",
            agent,
            clients,
            "starred",
            "",
        )
        assert count == 1
        return float(value) / 10**decimals


@pytest.fixture
def tool(own_chain: ChainClient) -> Tool:
    return Tool(own_chain, own_chain.contracts.addresses["Erc8004Reputation"])


@pytest_asyncio.fixture
async def order(own_chain: ChainClient, coordinator_signer: Signer, signers: list[Signer]) -> QueryOrder:
    """A query that is settled: the third MPC node failed, the first was praised."""
    calls = CallBuilder(own_chain.contracts.addresses)
    order, opening = await dispatched(own_chain, coordinator_signer, signers)
    query = await own_chain.query_id_of(order.customer, order.salt)
    await mined(own_chain, coordinator_signer, calls.complete(query, opening, SHARES))
    opening = opening.completed(result_hash(SHARES))
    await mined(own_chain, coordinator_signer, calls.settle(query, opening, [100, 100, 100, 100, 0]))
    message = Feedback(hash_bytes(query), order.mpcs[:1], (100,), soon())
    signature = sign(signers[0], domain(own_chain, "ReputationLedger"), message)
    await mined(own_chain, coordinator_signer, calls.give_feedback(message, opening, signature))
    return order


async def test_scores_are_read_from_0_to_100(tool: Tool, order: QueryOrder) -> None:
    praised, failed = (int(node, 16) for node in (order.mpcs[0], order.mpcs[2]))
    clients = await tool.clients(failed)
    ours = await tool.chain.scores_of([order.mpcs[0], order.mpcs[2]])
    scores = [await tool.score(agent, clients) for agent in (praised, failed)]
    assert scores == [one / 10**7 for one in ours]
    assert 0 < scores[1] < scores[0] <= 100


async def test_each_feedback_is_read_and_no_customer_is_a_client(tool: Tool, order: QueryOrder) -> None:
    agent = int(order.mpcs[0], 16)
    (ledger,) = await tool.clients(agent)
    (last,) = await tool.ask(tool.reputation, "getLastIndex(uint256,address)", "uint64", agent, ledger)
    value, decimals, *tags, revoked = await tool.ask(
        tool.reputation,
        "readFeedback(uint256,address,uint64)",
        "int128,uint8,string,string,bool",
        agent,
        ledger,
        last,
    )
    assert (value, decimals) == ((await tool.chain.scores_of([order.mpcs[0]]))[0], 7)
    assert (tags, revoked) == (["starred", "soterone"], False)
    columns = await tool.ask(
        tool.reputation,
        "readAllFeedback(uint256,address[],string,string,bool)",
        "address[],uint64[],int128[],uint8[],string[],string[],bool[]",
        agent,
        [],
        "",
        "",
        True,
    )
    assert [list(one) for one in columns] == [[ledger], [1], [value], [7], ["starred"], ["soterone"], [False]]
    (given,) = await tool.ask(
        tool.reputation, "getLastIndex(uint256,address)", "uint64", agent, order.customer
    )
    assert given == 0
    with pytest.raises(RevertedError, match=NO_FEEDBACK):
        await tool.ask(
            tool.reputation,
            "readFeedback(uint256,address,uint64)",
            "int128,uint8,string,string,bool",
            agent,
            order.customer,
            1,
        )


async def test_an_agent_has_an_owner_and_a_registration_file(tool: Tool, order: QueryOrder) -> None:
    node = order.owners[0]
    agent, identity = int(node, 16), await tool.identity()
    (owner,) = await tool.ask(identity, "ownerOf(uint256)", "address", agent)
    assert owner == node.lower()
    (address,) = await tool.ask(identity, "tokenURI(uint256)", "string", agent)
    kind, _, body = address.partition(",")
    assert kind == "data:application/json;base64"
    file = json.loads(base64.b64decode(body))
    assert file["type"] == "https://eips.ethereum.org/EIPS/eip-8004#registration-v1"
    assert file["name"] == f"SoterOne node {node}"
    assert "data owner" in file["description"]
    assert (file["services"], file["active"], file["supportedTrust"]) == ([], True, ["reputation"])
    registry = f"eip155:{tool.chain.contracts.chain_id}:{tool.chain.contracts.addresses['Erc8004Identity']}"
    assert file["registrations"] == [{"agentId": agent, "agentRegistry": registry}]
    (version,) = await tool.ask(identity, "getMetadata(uint256,string)", "bytes", agent, "version")
    assert int.from_bytes(version) == (await tool.chain.node_of(node)).version
    (wallet,) = await tool.ask(identity, "getAgentWallet(uint256)", "address", agent)
    assert wallet == node.lower()


async def test_who_left_is_no_agent_but_keeps_its_score(
    tool: Tool, order: QueryOrder, coordinator_signer: Signer, signers: list[Signer]
) -> None:
    node = next(one for one in signers if one.account == order.mpcs[0])
    agent, identity = int(node.account, 16), await tool.identity()
    clients = await tool.clients(agent)
    before = await tool.score(agent, clients)
    leaving = Unregistration(node.account, 1, soon())
    signature = sign(node, domain(tool.chain, "NodeRegistry"), leaving)
    calls = CallBuilder(tool.chain.contracts.addresses)
    await mined(tool.chain, coordinator_signer, calls.unregister(leaving, signature))
    with pytest.raises(RevertedError, match=NONEXISTENT):
        await tool.ask(identity, "ownerOf(uint256)", "address", agent)
    assert await tool.score(agent, clients) == before
