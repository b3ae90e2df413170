"""The transactions that SoterOne sends: calldata for every function of the contracts that changes something.

Anybody may send those that carry a signature; an empty signature means that the signer itself is the sender.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from soterone.chain.codec import encode_call
from soterone.chain.openings import EMPTY_HASH, Opening
from soterone.crypto.messages import (
    Cancellation,
    Feedback,
    LossReport,
    NodeUpdate,
    QueryOrder,
    Registration,
    Unregistration,
)
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account, QueryId, hash_bytes

NOBODY = Account("0x" + "00" * 20)
"""The zero account: a failure that is about no node."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction says; `description` is for people and logs."""

    to: Account
    data: bytes
    description: str


@dataclass(frozen=True, slots=True)
class CallBuilder:
    """Builds calls to the contracts at `addresses` (by Solidity name)."""

    addresses: Mapping[str, Account]

    def register(self, message: Registration, signature: bytes, operator_signature: bytes = b"") -> Call:
        """`operator_signature` signs the same message; empty when the operator is the node itself or the sender."""
        arguments = (astuple(message), signature, operator_signature)
        return self._registry(f"register node {message.node}", "register", *arguments)

    def update(
        self,
        message: NodeUpdate,
        signature: bytes,
        previous_tls_key_hash: bytes,
        previous_profile_hash: bytes,
    ) -> Call:
        """The previous hashes (32 bytes) are those that stood until now."""
        arguments = (astuple(message), signature, previous_tls_key_hash, previous_profile_hash)
        return self._registry(f"update node {message.node}", "update", *arguments)

    def unregister(self, message: Unregistration, signature: bytes) -> Call:
        """Ends the node's incarnation."""
        return self._registry(f"unregister node {message.node}", "unregister", astuple(message), signature)

    def dispatch(self, order: QueryOrder, signature: bytes) -> Call:
        """Records and announces a query."""
        return self._ledger(f"dispatch a query of {order.customer}", "dispatch", astuple(order), signature)

    def complete(self, query_id: QueryId, opening: Opening, share_hashes: Sequence[bytes | None]) -> Call:
        """Coordinator only. Three share hashes in rank order, None where absent; `opening` is that of the running
        query in the generation that the shares belong to."""
        hashes = [one or EMPTY_HASH for one in share_hashes]
        return self._query("complete", query_id, opening.commitment(), hashes)

    def fail(
        self, query_id: QueryId, opening: Opening, reason: FailureReason, node: Account = NOBODY
    ) -> Call:
        """Coordinator with any reason but ABANDONED, or the customer with CANCELLED."""
        return self._query("fail", query_id, opening.abi(), int(reason), node)

    def cancel(self, message: Cancellation, opening: Opening, signature: bytes) -> Call:
        """The customer takes its order back."""
        query_id = QueryId(f"0x{message.query_id.hex()}")
        return self._query("cancel", query_id, opening.abi(), message.deadline, signature)

    def cleanup(self, query_id: QueryId) -> Call:
        """Coordinator only, once, after the end of the query."""
        return self._query("cleanup", query_id)

    def expire(self, query_id: QueryId, opening: Opening) -> Call:
        """Anybody, once the query's longest time has passed."""
        return self._query("expire", query_id, opening.abi(), opening.terms.abi())

    def replace_mpc(
        self,
        report: LossReport,
        opening: Opening,
        reporter: Account,
        signature: bytes,
        *,
        new_mpc: Account,
        seed_block: int,
        candidates: Sequence[Account],
    ) -> Call:
        """Coordinator only. `opening` is that of the generation in which the node was lost; `reporter` signed.
        ValueError when lost or reporter take no part, or the successor is no candidate."""
        query_id = QueryId(f"0x{report.query_id.hex()}")
        participants = opening.roster.participants
        places = (participants.index(report.lost), participants.index(reporter), candidates.index(new_mpc))
        replacement = (*places, seed_block, report.deadline, list(candidates))
        return self._query("replaceMpc", query_id, opening.abi(), replacement, signature)

    def settle(self, query_id: QueryId, opening: Opening, observations: Sequence[int]) -> Call:
        """Coordinator only, once. `opening` as it stands at the end, percents in the order of its participants."""
        return self._reputation("settle", query_id, opening, list(observations))

    def settle_uncontested(self, query_id: QueryId, opening: Opening) -> Call:
        """Anybody, for a completed query that nobody settled in time."""
        return self._reputation("settleUncontested", query_id, opening)

    def give_feedback(self, message: Feedback, opening: Opening, signature: bytes) -> Call:
        """The customer's ratings."""
        arguments = (astuple(message), opening.abi(), signature)
        data = encode_call("ReputationLedger", "giveFeedback", *arguments)
        return Call(
            self.addresses["ReputationLedger"], data, f"giveFeedback on query 0x{message.query_id.hex()}"
        )

    def _registry(self, description: str, function: str, *arguments: object) -> Call:
        return Call(
            self.addresses["NodeRegistry"], encode_call("NodeRegistry", function, *arguments), description
        )

    def _ledger(self, description: str, function: str, *arguments: object) -> Call:
        return Call(
            self.addresses["QueryLedger"], encode_call("QueryLedger", function, *arguments), description
        )

    def _query(self, function: str, query_id: QueryId, *arguments: object) -> Call:
        return self._ledger(f"{function} query {query_id}", function, hash_bytes(query_id), *arguments)

    def _reputation(self, function: str, query_id: QueryId, opening: Opening, *arguments: object) -> Call:
        given = (hash_bytes(query_id), opening.abi(), *arguments)
        data = encode_call("ReputationLedger", function, *given)
        return Call(self.addresses["ReputationLedger"], data, f"{function} query {query_id}")
