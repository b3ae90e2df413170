"""Whose MPC nodes an owner uploads to. Pure: the owner's agent enforces it, the coordinator spares the refusals."""

from collections.abc import Iterable

from soterone.domain.ids import Account

ACCEPTED_NEEDED = 2
"""Any two nodes of a trio could together read the rows: so two must be operated by somebody the owner trusts."""


def accepts(accepted: frozenset[Account], own: Account, operators: Iterable[Account]) -> bool:
    """Say whether an owner uploads to the nodes of three operators; an empty `accepted` accepts anybody's.

    `own` is the owner's operator, which it trusts anyway. Accounts are checksummed.
    """
    return not accepted or sum(one in accepted or one == own for one in operators) >= ACCEPTED_NEEDED
