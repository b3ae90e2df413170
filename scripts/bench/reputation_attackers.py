"""The known ways to game a reputation, each an operator that tries it in a market."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from scripts.bench.reputation_market import Deed, Honest, Market
from soterone.chain.calls import NOBODY
from soterone.domain.ids import Account

LOVED: Final = 100
HATED: Final = 0
TRUSTED_AFTER_DAYS: Final = 60
WEEK_DAYS: Final = 7
FARMING_WEEKS: Final = 8
BURNING_WEEKS: Final = 2
SWARM: Final = 12


@dataclass(slots=True)
class Attacker(Honest):
    """Runs one node, the market's first, and may have customers of its own. Honest unless a subclass says otherwise."""

    node: Account = NOBODY
    customers: list[Account] = field(default_factory=list)

    def deed(self, market: Market, node: Account) -> Deed:
        """Do what it intends, but for accidents."""
        return Deed.SPOILED if market.accident() else self.intent(market)

    def intent(self, market: Market) -> Deed:
        """Say what it would do with a place."""
        return Deed.SERVED

    def hire(self, market: Market, count: int) -> None:
        """Get that many customers of its own, once."""
        while len(self.customers) < count:
            self.customers.append(market.new_account())

    def rival(self, market: Market) -> Account:
        """Return the honest node that it is after."""
        return next(node for node, operator in market.operators.items() if operator is not self)


class Newcomer(Attacker):
    """Serves honestly, and begins anew under another account once everybody else is trusted."""

    def morning(self, market: Market) -> None:
        """Change the account, once."""
        if market.day == TRUSTED_AFTER_DAYS:
            market.leave(self.node)
            self.node = market.join(self)


@dataclass(slots=True)
class OnOff(Attacker):
    """Spoils one place of every `period`, and hopes that the others outweigh it."""

    period: int = 10
    spoiling: Deed = Deed.SPOILED
    places: int = 0

    def intent(self, market: Market) -> Deed:
        """Spoil the last place of each period."""
        self.places += 1
        return Deed.SERVED if self.places % self.period else self.spoiling


class Milking(Attacker):
    """Serves until its tenure caps it no more, then spoils everything."""

    def intent(self, market: Market) -> Deed:
        """Serve while trust still grows."""
        return Deed.SERVED if market.day < TRUSTED_AFTER_DAYS else Deed.SPOILED


class Spoiler(Attacker):
    """Spoils everything."""

    def intent(self, market: Market) -> Deed:
        """Never serve."""
        return Deed.SPOILED


@dataclass(slots=True)
class Returning(Spoiler):
    """Whitewashing with the same account: leaves and registers again every week."""

    incarnation: int = 1

    def morning(self, market: Market) -> None:
        """Come back as a new incarnation."""
        if market.day % WEEK_DAYS == WEEK_DAYS - 1:
            self.incarnation += 1
            market.purse(self).accounts += 1
            market.book.node_registered(self.node, self.incarnation, market.time)


class Renaming(Spoiler):
    """Whitewashing with new accounts: drops a name on the morning after it was first settled."""

    def morning(self, market: Market) -> None:
        """Take a new account when the present one has a record."""
        if market.book.record_of(self.node).last_epoch:
            market.leave(self.node)
            self.node = market.join(self)


class Swarm(Spoiler):
    """Whitewashing with many new accounts at once, so that every newcomer's lot is its own."""

    def morning(self, market: Market) -> None:
        """Replace every account that has a record."""
        mine = [node for node, operator in market.operators.items() if operator is self]
        used = [node for node in mine if market.book.record_of(node).last_epoch]
        for node in used:
            market.leave(node)
        for _ in range(SWARM - len(mine) + len(used)):
            self.node = market.join(self)


class BallotStuffing(Spoiler):
    """Spoils everything, and has its own customers praise it each day for work that it did not do."""

    def morning(self, market: Market) -> None:
        """Order one query a day that the node fails."""
        self.hire(market, 2)
        customer = self.customers[market.day % 2]
        market.own_query(self, customer, self.node, LOVED, Deed.SPOILED)


class SybilCustomers(OnOff):
    """On-off, and its own customers order two queries a day that it does serve, to make up for what it spoils."""

    def morning(self, market: Market) -> None:
        """Order, serve and praise."""
        self.hire(market, 2)
        for customer in self.customers:
            market.own_query(self, customer, self.node, LOVED)


class BadMouthing(Attacker):
    """Serves honestly, and has a new customer each day defame a rival that served it, to get the rival's places."""

    def morning(self, market: Market) -> None:
        """Order one query from the rival, and rate it 0."""
        market.own_query(self, market.new_account(), self.rival(market), HATED)


class CredibilityFarming(Attacker):
    """Serves honestly; its customer rates truly until it is believed, then defames a rival, and again."""

    def morning(self, market: Market) -> None:
        """Order one query a day from the rival: eight weeks truthful, two weeks not."""
        self.hire(market, 1)
        week = market.day // WEEK_DAYS % (FARMING_WEEKS + BURNING_WEEKS)
        rating = LOVED if week < FARMING_WEEKS else HATED
        market.own_query(self, self.customers[0], self.rival(market), rating)


class Touching(OnOff):
    """On-off, and updates its record every day, in the hope that bad evidence is then forgotten faster."""

    def evening(self, market: Market) -> None:
        """Update without evidence."""
        market.touch(self.node)


HONEST: Final = "honest"
NEWCOMER: Final = "honest, new account on day 60"
ATTACKERS: Final[Mapping[str, Callable[[], Attacker]]] = {
    HONEST: Attacker,
    NEWCOMER: Newcomer,
    "on-off, 1 of 10": OnOff,
    "on-off, 1 of 2": lambda: OnOff(period=2),
    "milking": Milking,
    "whitewashing, same account": Returning,
    "whitewashing, new accounts": Renaming,
    "whitewashing, a swarm": Swarm,
    "ballot stuffing": BallotStuffing,
    "bad-mouthing": BadMouthing,
    "sybil customers": SybilCustomers,
    "credibility farming": CredibilityFarming,
    "update-frequency gaming": Touching,
}
"""The attacks by name. `HONEST` is what they are measured by; `NEWCOMER` is no attack, but what a late start costs."""

UNSEEN: Final[Mapping[str, Callable[[], Attacker]]] = {
    "unseen, 1 of 10": lambda: OnOff(spoiling=Deed.BOTCHED),
    "unseen, 1 of 2": lambda: OnOff(period=2, spoiling=Deed.BOTCHED),
    "unseen, all": lambda: OnOff(period=1, spoiling=Deed.BOTCHED),
}
"""Spoiling that the management system takes for service: what ratings alone can do about it."""
