"""What the audit's tests share: a small history on a chain of their own, and RPCs that lie about it."""

from collections.abc import Callable, Sequence
from typing import Any

from nodes import dispatched, domain, mined, soon

from soterone.audit.asking import Told
from soterone.audit.auditor import Request, run_audit
from soterone.audit.report import Report
from soterone.chain.calls import CallBuilder
from soterone.chain.client import ChainClient
from soterone.chain.codec import event_codecs
from soterone.chain.json_rpc import JsonRpc
from soterone.chain.openings import Opening, result_hash
from soterone.chain.reputation_history import read_history
from soterone.chain.standing import read_standing
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Feedback, sign
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account, QueryId, hash_bytes
from soterone.domain.roles import unpack_version
from soterone.rest.catalog import NodeEntry, ReputationStep, ReputationView, UsageStatistics
from soterone.rest.network import NetworkDescription

SHARES = (b"\x01" * 32, b"\x02" * 32, b"\x03" * 32)
Lie = Callable[[Any], Any]


async def small_history(chain: ChainClient, relay: Signer, signers: list[Signer]) -> QueryId:
    """One query completed, cleaned, settled and rated; another failed; a third still running. Returns the first."""
    query = await finished_query(chain, relay, signers)
    calls = CallBuilder(chain.contracts.addresses)
    second, opening = await dispatched(chain, relay, signers)
    failing = await chain.query_id_of(second.customer, second.salt)
    await mined(chain, relay, calls.fail(failing, opening, FailureReason.OWNER_LOST, second.owners[0]))
    await dispatched(chain, relay, signers)
    return query


async def settled_query(
    chain: ChainClient, relay: Signer, signers: list[Signer], observations: Sequence[int]
) -> tuple[QueryId, Opening]:
    """Play a query from its order to its settlement: nothing but ratings may still come."""
    calls = CallBuilder(chain.contracts.addresses)
    order, opening = await dispatched(chain, relay, signers)
    query = await chain.query_id_of(order.customer, order.salt)
    await mined(chain, relay, calls.complete(query, opening, SHARES))
    opening = opening.completed(result_hash(SHARES))
    await mined(chain, relay, calls.cleanup(query))
    await mined(chain, relay, calls.settle(query, opening, observations))
    return query, opening


async def finished_query(chain: ChainClient, relay: Signer, signers: list[Signer]) -> QueryId:
    """Play a query from its order to the customer's ratings."""
    query, opening = await settled_query(chain, relay, signers, [100, 90, 100, 50, 0])
    message = Feedback(hash_bytes(query), opening.roster.mpcs[:2], (100, 20), soon())
    signature = sign(signers[0], domain(chain, "ReputationLedger"), message)
    calls = CallBuilder(chain.contracts.addresses)
    await mined(chain, relay, calls.give_feedback(message, opening, signature))
    return query


def complaints(report: Report) -> str:
    """Every contradiction of a report, a line each."""
    return "\n".join(sentence for check in report.checks for sentence in check.contradictions)


def complaints_of(report: Report, name: str) -> str:
    """The contradictions that one check found, a line each."""
    (check,) = [one for one in report.checks if one.name == name]
    return "\n".join(check.contradictions)


def notes_of(report: Report) -> dict[str, str]:
    """What the checks say besides, by their names."""
    return {check.name: check.note for check in report.checks if check.note}


class LyingRpc(JsonRpc):
    """An RPC that changes its answers to some methods."""

    def __init__(self, url: str, lies: dict[str, Lie]) -> None:
        super().__init__(url, timeout_seconds=120)
        self._lies = lies

    async def call(self, method: str, *parameters: Any) -> Any:
        return self._said(method, await super().call(method, *parameters))

    async def batch(self, calls: Any) -> list[Any]:
        answers = await super().batch(calls)
        return [self._said(method, answer) for (method, _), answer in zip(calls, answers, strict=True)]

    def _said(self, method: str, answer: Any) -> Any:
        return self._lies[method](answer) if method in self._lies else answer


async def audit_through(lies: dict[str, Lie], chain: ChainClient, request: Request | None = None) -> Report:
    """Audit through an RPC that lies."""
    async with ChainClient(LyingRpc(chain.rpc.endpoint, lies), chain.contracts) as liar:
        return (await run_audit(liar, request or Request())).report


def topic_of(event: str) -> str:
    """The first topic of an event's logs."""
    return next(topic for topic, codec in event_codecs().items() if codec.name == event)


def changed_logs(event: str, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> dict[str, Lie]:
    """A lie about every log of an event; None leaves it out."""
    topic = topic_of(event)

    def told(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        said = [change(log) if log["topics"][0] == topic else log for log in logs]
        return [log for log in said if log is not None]

    return {"eth_getLogs": told}


def network(chain: ChainClient, **changes: object) -> NetworkDescription:
    contracts = chain.contracts
    described = NetworkDescription(
        version="0.1.0",
        chain_id=contracts.chain_id,
        start_block=contracts.start_block,
        contracts=dict(contracts.addresses),
        enrolment_address="",
        agents_address="",
        ca_pem="",
        heartbeat_interval_seconds=2,
        heartbeat_patience=3,
    )
    return described.model_copy(update=changes)


async def complaints_about(chain: ChainClient, told: Told) -> str:
    report = (await run_audit(chain, Request(told=told))).report
    found = complaints_of(report, "the coordinator tells what the chain says").splitlines()
    return "\n".join(one for one in found if "does not show node" not in one)


async def standing_told(chain: ChainClient, node: Account) -> tuple[NodeEntry, ReputationView]:
    """What an honest coordinator tells of a node."""
    known, standing = await chain.node_of(node), await read_standing(chain, node)
    history = [ReputationStep.of(step) for step in await read_history(chain, node, 100)]
    entry = NodeEntry(
        account=node,
        operator=known.operator,
        name="",
        roles=int(known.roles),
        version=unpack_version(known.version),
        online=True,
        cpu_cores=1,
        memory_bytes=1,
        verified_cpu_cores=1,
        verified_memory_bytes=1,
        engines=(),
        score=standing.score / 1e9,
        statistics=UsageStatistics(),
    )
    return entry, ReputationView.of(node, standing, history)
