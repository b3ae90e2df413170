"""The order of a query, and what the chain's commitment opens to, composed from the rows. Pure."""

from collections.abc import Sequence

from coordinator.models.queries import Participant, Query
from soterone.chain.openings import Opening, Roster, Terms
from soterone.crypto.accounts import account_bytes
from soterone.crypto.messages import QueryOrder
from soterone.domain.ids import Account, hash32, hash_bytes
from soterone.domain.roles import Role
from soterone.rest.queries import OrderBody


def ascending(accounts: Sequence[Account]) -> tuple[Account, ...]:
    """Return accounts in the one order that the chain takes: by number."""
    return tuple(sorted(accounts, key=account_bytes))


def order_of(query: Query, participants: Sequence[Participant]) -> QueryOrder:
    """Return the order as it was proposed: the participants of generation 0."""
    roster = roster_at(query, participants, 0)
    return QueryOrder(
        roster.customer,
        hash_bytes(query.salt),
        hash_bytes(query.spec_hash),
        roster.owners,
        roster.mpcs,
        hash_bytes(query.result_key_hash),
        query.max_run_seconds,
        query.result_retry_seconds,
        query.cleanup_grace_seconds,
        query.max_replacements,
        query.order_deadline,
    )


def order_body(order: QueryOrder) -> OrderBody:
    """Return an order as REST shows it."""
    return OrderBody(
        customer=order.customer,
        salt=hash32(order.salt),
        spec_hash=hash32(order.spec_hash),
        owners=list(order.owners),
        mpcs=list(order.mpcs),
        result_key_hash=hash32(order.result_key_hash),
        max_run_seconds=order.max_run_seconds,
        result_retry_seconds=order.result_retry_seconds,
        cleanup_grace_seconds=order.cleanup_grace_seconds,
        max_replacements=order.max_replacements,
        deadline=order.deadline,
    )


def opening_of(query: Query, participants: Sequence[Participant]) -> Opening:
    """Return what the query's commitment opens to now, in the generation that the chain has; after completion with the
    result's hash."""
    terms = Terms(
        hash_bytes(query.spec_hash),
        hash_bytes(query.result_key_hash),
        query.max_run_seconds,
        query.result_retry_seconds,
        query.cleanup_grace_seconds,
        query.max_replacements,
    )
    opening = Opening(roster_at(query, participants, query.chain_generation), terms)
    return opening if query.result_hash is None else opening.completed(hash_bytes(query.result_hash))


def roster_at(query: Query, participants: Sequence[Participant], generation: int) -> Roster:
    """Return who took part in a generation, by rank, and who was lost by then, oldest first."""
    joined = [one for one in participants if one.joined_generation <= generation]
    here = [one for one in joined if one.lost_generation is None or one.lost_generation > generation]
    lost = sorted((one.lost_generation or 0, one.account) for one in joined if one not in here)
    return Roster(
        Account(query.customer),
        _ranked(here, Role.DATA_OWNER),
        _ranked(here, Role.MPC_NODE),
        tuple(Account(account) for _, account in lost),
    )


def _ranked(participants: Sequence[Participant], role: Role) -> tuple[Account, ...]:
    mine = sorted((one for one in participants if one.role == role), key=lambda one: one.rank)
    return tuple(Account(one.account) for one in mine)
