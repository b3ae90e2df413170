"""Orders as the customer checks them before signing: a coordinator may propose, the customer decides."""

from soterone.client.errors import Untrustworthy
from soterone.crypto.accounts import account
from soterone.crypto.messages import QueryOrder
from soterone.crypto.sealing import result_key_hash
from soterone.domain.ids import Account, QueryId, hash_bytes
from soterone.rest.queries import OrderBody, Proposal, ProposalRequest

LONGEST_DEADLINE_SECONDS = 30 * 86_400


def to_order(body: OrderBody) -> QueryOrder:
    """Return the EIP-712 message that a REST body spells out."""
    return QueryOrder(
        customer=account(body.customer),
        salt=hash_bytes(body.salt),
        spec_hash=hash_bytes(body.spec_hash),
        owners=tuple(account(owner) for owner in body.owners),
        mpcs=tuple(account(node) for node in body.mpcs),
        result_key_hash=hash_bytes(body.result_key_hash),
        max_run_seconds=body.max_run_seconds,
        result_retry_seconds=body.result_retry_seconds,
        cleanup_grace_seconds=body.cleanup_grace_seconds,
        max_replacements=body.max_replacements,
        deadline=body.deadline,
    )


def check_order(
    request: ProposalRequest,
    proposal: Proposal,
    owners: set[Account],
    customer: Account,
    expected_id: QueryId,
    now: float,
) -> QueryOrder:
    """Return the order to sign; Untrustworthy when it is not what was asked for.

    `owners` are those of the datasets in the spec, as the catalog named them; `now` is the chain's time.
    """
    order, timers = to_order(proposal.order), request.timers
    named = {account(node) for node in request.spec.mpc.nodes}
    same_timers = (
        timers.max_run_seconds,
        timers.result_retry_seconds,
        timers.cleanup_grace_seconds,
        timers.max_replacements,
    ) == (
        order.max_run_seconds,
        order.result_retry_seconds,
        order.cleanup_grace_seconds,
        order.max_replacements,
    )
    complaints = {
        "another customer": order.customer != customer,
        "another spec": order.spec_hash != hash_bytes(request.spec.hash),
        "another result key": order.result_key_hash != result_key_hash(bytes.fromhex(request.result_key[2:])),
        "other data owners": set(order.owners) != owners,
        "other MPC nodes": len(set(order.mpcs)) != 3 or bool(named and set(order.mpcs) != named),
        "other timers": not same_timers,
        "a deadline out of reason": not now < order.deadline < now + LONGEST_DEADLINE_SECONDS,
        "another query id": proposal.query_id != expected_id,
    }
    wrong = [complaint for complaint, holds in complaints.items() if holds]
    if wrong:
        raise Untrustworthy(
            f"the coordinator proposed an order with {' and '.join(wrong)}; it was not signed"
        )
    return order
