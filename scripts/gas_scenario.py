"""The lifecycle whose transactions are measured: nodes, keys, times and hashes are fixed, so the figures are exact.

Everything signed is relayed by the coordinator, and slots of reputation and credibility exist, an epoch old.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from eth_typing import ChecksumAddress
from eth_utils import keccak
from web3 import Web3
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.middleware import SignAndSendRawMiddlewareBuilder
from web3.types import RPCEndpoint

from scripts.devnet.anvil import DEVELOPER_KEYS
from scripts.gas_quorum import DELAY_SECONDS, Quorum, signer_of, sorted_signers
from soterone.chain.artifacts import load_artifact
from soterone.chain.deploying import connect, deploy
from soterone.chain.deployment import Parameters
from soterone.chain.openings import Opening, result_hash
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Domain, Feedback, LossReport, Message, QueryOrder, Registration, sign
from soterone.domain.ids import Account

START = 1_767_225_600
DAY_SECONDS = 86_400
MPC, OWNER = 2, 1


@dataclass(frozen=True, slots=True)
class Query:
    query_id: bytes
    opening: Opening


class Scenario:
    """Deploys on an empty chain that began at START and plays each operation once."""

    def __init__(self, rpc_url: str) -> None:
        self.client = connect(rpc_url)
        deployment = deploy(rpc_url, DEVELOPER_KEYS[0], Parameters(admin_delay_seconds=DELAY_SECONDS))
        relay = self.client.eth.account.from_key(DEVELOPER_KEYS[0])
        self.client.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(relay), layer=0)
        self.relay: ChecksumAddress = relay.address
        self.contracts = {
            name: self.client.eth.contract(
                address=Web3.to_checksum_address(deployment.address_of(name)), abi=load_artifact(name).abi
            )
            for name in deployment.contracts
        }
        self._customer = signer_of("customer")
        self._owners = sorted_signers("owner", 7)
        self._mpcs = sorted_signers("mpc", 6)

    def measure(self) -> dict[str, int]:
        """Gas used, by operation."""
        figures = {"register": self._register_all()}
        first, _ = self._complete(self._dispatch("first", 3)[0])
        self._settle(first, 6)
        self._rate(first, 2)
        self.pass_time(DAY_SECONDS)
        second, figures["dispatch_3do_3mpc"] = self._dispatch("second", 3)
        second, figures["complete"] = self._complete(second)
        figures["cleanup"] = self.send(self._queries.functions.cleanup(second.query_id))
        figures["settle_6"] = self._settle(second, 6)
        figures["feedback_2_relayed"] = self._rate(second, 2)
        third, figures["mpc_updated"] = self._replace(self._dispatch("third", 3)[0])
        self._settle(self._complete(third)[0], 7)
        self._settle(self._complete(self._dispatch("fourth", 7)[0])[0], 10)
        self.pass_time(DAY_SECONDS)
        fifth, _ = self._complete(self._dispatch("fifth", 7)[0])
        figures["reputation_batch_10"] = self._settle(fifth, 10)
        self.pass_time(DAY_SECONDS)
        return figures | Quorum(self, self._mpcs[0].account).measure()

    def register(self, signer: Signer, role: int) -> int:
        """Gas used to register a node that operates itself."""
        node = signer.account
        message = Registration(
            node,
            node,
            role,
            1 << 8,
            keccak(text=f"tls {node}"),
            keccak(text=node),
            1,
            self._deadline(),
        )
        signature = self._signed(signer, "NodeRegistry", message)
        return self.send(self.contracts["NodeRegistry"].functions.register(astuple(message), signature, b""))

    def pass_time(self, seconds: int) -> None:
        """Let so much of the chain's time pass."""
        self.client.provider.make_request(RPCEndpoint("evm_increaseTime"), [seconds])
        self.client.provider.make_request(RPCEndpoint("evm_mine"), [])

    def _register_all(self) -> int:
        gas = 0
        for role, signers in ((OWNER, self._owners), (MPC, self._mpcs)):
            for signer in signers:
                gas = self.register(signer, role)
        return gas

    def _dispatch(self, name: str, owners: int) -> tuple[Query, int]:
        order = QueryOrder(
            self._customer.account,
            keccak(text=f"salt {name}"),
            keccak(text=f"spec {name}"),
            tuple(one.account for one in self._owners[:owners]),
            tuple(one.account for one in self._mpcs[:3]),
            keccak(text="result key"),
            3600,
            600,
            600,
            2,
            self._deadline(),
        )
        values = astuple(order)
        signature = self._signed(self._customer, "QueryLedger", order)
        gas = self.send(self._queries.functions.dispatch(values, signature))
        query_id = self._queries.functions.queryIdOf(order.customer, order.salt).call()
        return Query(query_id, Opening.of_order(order)), gas

    def _complete(self, query: Query) -> tuple[Query, int]:
        shares = [keccak(text=f"share {rank}") for rank in range(3)]
        gas = self.send(self._queries.functions.complete(query.query_id, query.opening.commitment(), shares))
        return Query(query.query_id, query.opening.completed(result_hash(shares))), gas

    def _settle(self, query: Query, participants: int) -> int:
        opening = query.opening.abi()
        return self.send(self._reputation.functions.settle(query.query_id, opening, [100] * participants))

    def _rate(self, query: Query, count: int) -> int:
        nodes = query.opening.roster.participants[:count]
        feedback = Feedback(query.query_id, nodes, (90,) * count, self._deadline())
        signature = self._signed(self._customer, "ReputationLedger", feedback)
        values = (feedback.query_id, list(nodes), list(feedback.ratings), feedback.deadline)
        return self.send(self._reputation.functions.giveFeedback(values, query.opening.abi(), signature))

    def _replace(self, query: Query) -> tuple[Query, int]:
        participants = query.opening.roster.participants
        lost, reporter = self._mpcs[1].account, self._owners[0]
        report = LossReport(query.query_id, 0, lost, self._deadline())
        candidates = [one.account for one in self._mpcs[3:]]
        seed_block = self.client.eth.block_number
        replacement = (participants.index(lost), 0, 1, seed_block, report.deadline, candidates)
        signature = self._signed(reporter, "QueryLedger", report)
        gas = self.send(
            self._queries.functions.replaceMpc(query.query_id, query.opening.abi(), replacement, signature)
        )
        return Query(query.query_id, query.opening.replaced(lost, candidates[1])), gas

    @property
    def _queries(self) -> Contract:
        return self.contracts["QueryLedger"]

    @property
    def _reputation(self) -> Contract:
        return self.contracts["ReputationLedger"]

    def _signed(self, signer: Signer, contract: str, message: Message) -> bytes:
        domain = Domain(self.client.eth.chain_id, Account(self.contracts[contract].address))
        return sign(signer, domain, message)

    def send(self, call: ContractFunction) -> int:
        sent = call.transact({"from": self.relay})
        receipt = self.client.eth.wait_for_transaction_receipt(sent, poll_latency=0.005)
        if receipt["status"] != 1:
            raise RuntimeError(f"{call.fn_name} reverted")
        return receipt["gasUsed"]

    def _deadline(self) -> int:
        return START + 20 * DAY_SECONDS
