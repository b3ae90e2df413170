"""A long history on a local chain, made fast: many queries through their whole life, in batches and large blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import httpx
from eth_utils.crypto import keccak

from scripts.devnet.anvil import DEVELOPER_KEYS, Anvil
from soterone.chain.calls import NOBODY, Call, CallBuilder
from soterone.chain.deployment import Deployment
from soterone.chain.openings import Opening, result_hash
from soterone.crypto.accounts import Signer, account_bytes
from soterone.crypto.messages import Domain, Feedback, QueryOrder, Registration, query_id_of, sign
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account, QueryId, hash_bytes
from soterone.domain.roles import Role

_GAS = hex(1_000_000)
_BLOCK_CALLS = 400
_FAILED_EVERY, _RUNNING_EVERY, _RATED_EVERY = 10, 100, 20


class LongHistory:
    """Registers two owners and three MPC nodes, then plays queries: one in a hundred goes on, one in ten failed, one in
    twenty is rated. All that needs a signature is signed."""

    def __init__(self, chain: Anvil, deployment: Deployment) -> None:
        self._chain = chain
        addresses = {name: Account(one.address) for name, one in deployment.contracts.items()}
        self._calls = CallBuilder(addresses)
        self._registry = Domain(deployment.chain_id, addresses["NodeRegistry"])
        self._ledger = Domain(deployment.chain_id, addresses["QueryLedger"])
        self._relay = Signer.from_key(DEVELOPER_KEYS[0]).account
        self._reputation = Domain(deployment.chain_id, addresses["ReputationLedger"])
        self._customer = Signer.from_key(keccak(text="customer"))
        self._owners = _nodes("owner", 2)
        self._mpcs = _nodes("mpc", 3)
        self._nonce = int(chain.rpc("eth_getTransactionCount", self._relay, "latest"), 16)
        self._http = httpx.Client(timeout=600)
        self._deadline = int(chain.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16) + 86_400

    def play(self, queries: int) -> None:
        """Put that many queries on the chain; RuntimeError when a transaction was refused."""
        self._send(list(self._registrations()))
        for first in range(0, queries, _BLOCK_CALLS):
            numbers = range(first, min(first + _BLOCK_CALLS, queries))
            self._play([self._order(number) for number in numbers], numbers)

    def _registrations(self) -> Iterator[Call]:
        for role, nodes in ((Role.DATA_OWNER, self._owners), (Role.MPC_NODE, self._mpcs)):
            for node in nodes:
                key_hash, profile = keccak(text=f"key {node.account}"), keccak(text=f"profile {node.account}")
                message = Registration(
                    node.account, node.account, int(role), 0x000100, key_hash, profile, 1, self._deadline
                )
                yield self._calls.register(message, sign(node, self._registry, message))

    def _order(self, number: int) -> QueryOrder:
        return QueryOrder(
            self._customer.account,
            keccak(text=f"salt {number}"),
            keccak(text=f"spec {number}"),
            tuple(one.account for one in self._owners),
            tuple(one.account for one in self._mpcs),
            keccak(text="result key"),
            *(3600, 600, 600, 2),
            self._deadline,
        )

    def _play(self, orders: Sequence[QueryOrder], numbers: Sequence[int]) -> None:
        ids = [query_id_of(self._ledger, one.customer, one.salt) for one in orders]
        openings = [Opening.of_order(one) for one in orders]
        signatures = [sign(self._customer, self._ledger, one) for one in orders]
        self._send([self._calls.dispatch(*pair) for pair in zip(orders, signatures, strict=True)])
        ends, cleanups, settlements, ratings = [], [], [], []
        for number, query, opening in zip(numbers, ids, openings, strict=True):
            if number % _RUNNING_EVERY == 0:
                continue
            call, ended = self._end(query, opening, failed=number % _FAILED_EVERY == 1)
            ends.append(call)
            cleanups.append(self._calls.cleanup(query))
            settlements.append(self._calls.settle(query, ended, [100] * 5))
            if number % _RATED_EVERY == 2:
                ratings.append(self._rating(query, ended))
        for calls in (ends, cleanups, settlements, ratings):
            if calls:
                self._send(calls)

    def _end(self, query: QueryId, opening: Opening, *, failed: bool) -> tuple[Call, Opening]:
        if failed:
            return self._calls.fail(query, opening, FailureReason.ENGINE_ERROR, NOBODY), opening
        shares = [keccak(text=f"{query} {rank}") for rank in range(3)]
        return self._calls.complete(query, opening, shares), opening.completed(result_hash(shares))

    def _rating(self, query: QueryId, opening: Opening) -> Call:
        message = Feedback(hash_bytes(query), opening.roster.mpcs, (100, 80, 60), self._deadline)
        return self._calls.give_feedback(message, opening, sign(self._customer, self._reputation, message))

    def _send(self, calls: Sequence[Call]) -> None:
        """Mine the calls in one block."""
        requests = [self._request(nonce, call) for nonce, call in enumerate(calls, self._nonce)]
        self._nonce += len(calls)
        answers = self._http.post(self._chain.url, json=requests).json()
        refused = [one["error"] for one in answers if "error" in one]
        if refused:
            raise RuntimeError(f"the chain refused {len(refused)} calls: {refused[0]}")
        self._ask("evm_mine")
        receipts = self._ask("eth_getBlockReceipts", "latest")
        reverted = sum(one["status"] != "0x1" for one in receipts)
        if reverted or len(receipts) != len(calls):
            raise RuntimeError(f"{reverted} of {len(receipts)} calls reverted, {len(calls)} were sent")

    def _ask(self, method: str, *parameters: Any) -> Any:
        """Call with the patience that a large block takes."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        return self._http.post(self._chain.url, json=body).json()["result"]

    def _request(self, nonce: int, call: Call) -> dict[str, Any]:
        transaction = {"from": self._relay, "to": call.to, "data": f"0x{call.data.hex()}", "gas": _GAS}
        parameters = [{**transaction, "nonce": hex(nonce)}]
        return {"jsonrpc": "2.0", "id": nonce, "method": "eth_sendTransaction", "params": parameters}


def _nodes(kind: str, count: int) -> list[Signer]:
    signers = [Signer.from_key(keccak(text=f"{kind} {number}")) for number in range(count)]
    return sorted(signers, key=lambda one: account_bytes(one.account))
