"""A network's days, in memory: customers order, nodes are drawn, serve or spoil, are settled and rated.

Scores come from the product's own reputation book and places from its own draw; only people are invented here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final, Protocol

from eth_utils.crypto import keccak

from soterone.domain.candidates import Candidate, choose
from soterone.domain.ids import Account, QueryId
from soterone.domain.reputation import ONE, Record, advance, lower_bound
from soterone.domain.reputation_book import ReputationBook

DAY_SECONDS: Final = 86_400
FIRST_DAY: Final = 20_000
PLACES: Final = 3


class Deed(Enum):
    """What a node does with a place: what the management system observes of it, and how the customer rates it."""

    SERVED = (100, 90)
    SPOILED = (0, 10)
    BOTCHED = (100, 10)
    """Spoiled in a way that only the customer notices."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How large and how busy a network is, and what a place in a query is worth.

    A place pays 1 however it ends, as if customers paid before they looked: the worst case. `work_cost` is what
    serving costs and spoiling saves, `entry_cost` what an account costs, both in the pay of a place.
    """

    days: int = 180
    honest_nodes: int = 12
    queries_a_day: int = 12
    places_a_day: int = 4
    crash_one_in: int = 50
    work_cost: float = 0.5
    entry_cost: float = 1.0
    seed: int = 0


@dataclass(slots=True)
class Purse:
    """What one operator did: places in strangers' queries, accounts, work for its own customers, and places that
    these paid to strangers' nodes."""

    served: int = 0
    spoiled: int = 0
    accounts: int = 0
    own_work: int = 0
    ordered: int = 0

    def income(self, conditions: Conditions) -> float:
        """Return what is left before accounts are paid for, in the pay of a place."""
        work = conditions.work_cost * (self.served + self.own_work)
        return self.served + self.spoiled - work - self.ordered


class Operator(Protocol):
    """Whoever runs nodes."""

    def morning(self, market: Market) -> None:
        """Register, leave, order queries of its own."""

    def deed(self, market: Market, node: Account) -> Deed:
        """Say what the node does with a place in a stranger's query."""

    def evening(self, market: Market) -> None:
        """Do what needs no query."""


class Honest:
    """Serves whenever it does not crash."""

    def morning(self, market: Market) -> None:
        """Do nothing."""

    def deed(self, market: Market, node: Account) -> Deed:
        """Serve, but for accidents."""
        return Deed.SPOILED if market.accident() else Deed.SERVED

    def evening(self, market: Market) -> None:
        """Do nothing."""


@dataclass(slots=True)
class Market:
    """One network and everybody in it."""

    conditions: Conditions
    day: int = 0
    book: ReputationBook = field(default_factory=lambda: ReputationBook(DAY_SECONDS, 7 * DAY_SECONDS))
    operators: dict[Account, Operator] = field(default_factory=dict)
    _purses: dict[int, Purse] = field(default_factory=dict)
    _room: dict[Account, int] = field(default_factory=dict)
    _queries: int = 0
    _names: int = 0
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.conditions.seed)  # noqa: S311 - a simulation

    @property
    def time(self) -> int:
        """The present block's timestamp, in seconds: noon."""
        return (FIRST_DAY + self.day) * DAY_SECONDS + DAY_SECONDS // 2

    def live(self) -> Iterator[int]:
        """Go through every day; yields its number at its end."""
        customers = [self.new_account() for _ in range(self.conditions.queries_a_day)]
        for day in range(self.conditions.days):
            self.day = day
            self._room = dict.fromkeys(self.operators, self.conditions.places_a_day)
            for operator in self._everybody():
                operator.morning(self)
            for customer in customers:
                self._strangers_query(customer)
            for operator in self._everybody():
                operator.evening(self)
            yield day

    def new_account(self) -> Account:
        """Return an account that nobody has."""
        self._names += 1
        return Account(f"0x{keccak(text=f'{self.conditions.seed} {self._names}')[:20].hex()}")

    def join(self, operator: Operator) -> Account:
        """Register a new account of an operator."""
        node = self.new_account()
        self.operators[node] = operator
        self._room[node] = self.conditions.places_a_day
        self.book.node_registered(node, 1, self.time)
        self.purse(operator).accounts += 1
        return node

    def leave(self, node: Account) -> None:
        """Unregister a node."""
        del self.operators[node], self._room[node]

    def purse(self, operator: Operator) -> Purse:
        """Return what an operator did so far."""
        return self._purses.setdefault(id(operator), Purse())

    def score(self, node: Account) -> float:
        """Return R' of a node now, 0 to 1."""
        return self.book.score_of(node, self.time) / ONE

    def accident(self) -> bool:
        """Say whether a node crashes, once in `crash_one_in`, by chance."""
        return self._chance.randrange(self.conditions.crash_one_in) == 0

    def own_query(
        self, sponsor: Operator, customer: Account, node: Account, rating: int, deed: Deed = Deed.SERVED
    ) -> None:
        """Let an operator's own customer order a query from a node that it names, unless that has no room left.

        A stranger's node is paid by the sponsor.
        """
        if not self._room[node]:
            return
        self._room[node] -= 1
        owner, payer = self.purse(self.operators[node]), self.purse(sponsor)
        if owner is payer:
            payer.own_work += deed is Deed.SERVED
        else:
            owner.served, payer.ordered = owner.served + 1, payer.ordered + 1
        self._record(customer, {node: (deed.value[0], rating)})

    def touch(self, node: Account) -> None:
        """Bring a node's record up to date without evidence, for nothing; a rating of one half would do that."""
        self.book.records[node] = advance(self.book.record_of(node), FIRST_DAY + self.day)

    def _everybody(self) -> list[Operator]:
        return list({id(one): one for one in self.operators.values()}.values())

    def _strangers_query(self, customer: Account) -> None:
        seed = keccak(text=f"{self.conditions.seed} {self.day} {customer}")
        nodes = choose(seed, [self._candidate(node) for node, room in self._room.items() if room], PLACES)
        self._record(customer, {node: self._place(node).value for node in nodes})

    def _place(self, node: Account) -> Deed:
        self._room[node] -= 1
        operator = self.operators[node]
        deed, purse = operator.deed(self, node), self.purse(operator)
        if deed is Deed.SERVED:
            purse.served += 1
        else:
            purse.spoiled += 1
        return deed

    def _record(self, customer: Account, outcome: Mapping[Account, Sequence[int]]) -> None:
        self._queries += 1
        query, nodes = QueryId(f"0x{self._queries:064x}"), list(outcome)
        observed, ratings = zip(*outcome.values(), strict=True)
        self.book.query_settled(query, nodes, observed, self.time)
        self.book.feedback_given(query, customer, nodes, ratings, self.time)

    def _candidate(self, node: Account) -> Candidate:
        record = self.book.record_of(node)
        bound = _lower_bound(record, FIRST_DAY + self.day)
        return Candidate(node, node, 1, bound, record.last_epoch == 0)


@lru_cache(maxsize=4_096)
def _lower_bound(record: Record, epoch: int) -> int:
    return lower_bound(record, max(epoch, record.last_epoch))
