"""What each known attack on the reputation gains, beside a node that serves honestly in the same network.

    python -m scripts.bench.reputation_attacks [--days 180] [--nodes 12] [--seeds 8] [--entry-cost 1.0]
        [--only TEXT] [--json]

Every attack has a market of its own (`scripts.bench.reputation_market`); figures are means over the seeds. Exit 1 when
one of the attacks gains as much as honesty.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from statistics import mean
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from scripts.bench.reputation_attackers import ATTACKERS, HONEST, UNSEEN, Attacker
from scripts.bench.reputation_lives import Defamation, defamations
from scripts.bench.reputation_market import Conditions, Honest, Market, Purse

DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Life:
    """One attacker's time in one market: R' on average and at the end (0 to 1), and what it did."""

    mean_score: float
    final_score: float
    purse: Purse


@dataclass(frozen=True, slots=True)
class Gain:
    """What an attack brought, on average over the seeds.

    Attributes:
        attack: its name.
        mean_score, final_score: R' of its present node, over the days and at the end, 0 to 1.
        places, spoiled: places won in strangers' queries, and those of them that were spoiled.
        accounts: registrations paid for.
        profit: in the pay of a place.
        gain: profit in that of an honest node.
        pays_below_entry_cost: the price of an account under which it beats honesty; None when it does at no price,
            or needs no further account.
    """

    attack: str
    mean_score: float
    final_score: float
    places: float
    spoiled: float
    accounts: float
    profit: float
    gain: float
    pays_below_entry_cost: float | None


@dataclass(frozen=True, slots=True)
class Study:
    """Everything that the bench found; `attacks` begins with honesty."""

    conditions: Conditions
    seeds: int
    attacks: tuple[Gain, ...]
    unseen: tuple[Gain, ...]
    defamations: tuple[Defamation, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name, fractions to four digits."""
        found: dict[str, Any] = _rounded(asdict(self))
        return found

    @property
    def losing(self) -> bool:
        """Whether every attack gains less than honesty."""
        return all(one.gain < 1 for one in self.attacks if one.attack != HONEST)


def study(conditions: Conditions, seeds: int, only: str = "") -> Study:
    """Let every attack whose name holds `only` live once a seed; honesty always does."""
    markets = [replace(conditions, seed=seed) for seed in range(seeds)]
    honest = [live(ATTACKERS[HONEST], market) for market in markets]
    chosen = {name: make for name, make in ATTACKERS.items() if name == HONEST or only in name}
    measured = _gains(chosen, markets, honest)
    unseen = _gains({name: make for name, make in UNSEEN.items() if only in name}, markets, honest)
    return Study(conditions, seeds, tuple(measured), tuple(unseen), tuple(defamations()))


def live(make: Callable[[], Attacker], conditions: Conditions) -> Life:
    """Let one attacker live in a market of honest nodes."""
    market, attacker = Market(conditions), make()
    attacker.node = market.join(attacker)
    for _ in range(conditions.honest_nodes):
        market.join(Honest())
    scores = [market.score(attacker.node) for _ in market.live()]
    return Life(mean(scores), scores[-1], market.purse(attacker))


def _gains(
    attackers: Mapping[str, Callable[[], Attacker]], markets: list[Conditions], honest: list[Life]
) -> Iterator[Gain]:
    for name, make in attackers.items():
        lives = honest if name == HONEST else [live(make, market) for market in markets]
        yield _gain(name, lives, honest, markets[0])


def _gain(name: str, lives: list[Life], honest: list[Life], conditions: Conditions) -> Gain:
    income, accounts = _account(lives, conditions)
    honest_income, honest_accounts = _account(honest, conditions)
    profit = income - conditions.entry_cost * accounts
    further = accounts - honest_accounts
    return Gain(
        attack=name,
        mean_score=mean(one.mean_score for one in lives),
        final_score=mean(one.final_score for one in lives),
        places=mean(one.purse.served + one.purse.spoiled for one in lives),
        spoiled=mean(one.purse.spoiled for one in lives),
        accounts=accounts,
        profit=profit,
        gain=profit / (honest_income - conditions.entry_cost * honest_accounts),
        pays_below_entry_cost=(income - honest_income) / further
        if further and income > honest_income
        else None,
    )


def _account(lives: list[Life], conditions: Conditions) -> tuple[float, float]:
    return mean(one.purse.income(conditions) for one in lives), mean(one.purse.accounts for one in lives)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def _show(found: Study) -> None:
    console = Console(width=124)
    for title, gains in (("Seen by the management system", found.attacks), ("Unseen by it", found.unseen)):
        table = Table(title=title, title_justify="left")
        table.add_column("attack", no_wrap=True)
        for column in (
            "mean R'",
            "final R'",
            "places",
            "spoiled",
            "accounts",
            "profit",
            "gain",
            "pays below",
        ):
            table.add_column(column, justify="right")
        for one in gains:
            threshold = one.pays_below_entry_cost
            figures = [
                one.mean_score,
                one.final_score,
                one.places,
                one.spoiled,
                one.accounts,
                one.profit,
                one.gain,
            ]
            formats = ("{:.2f}", "{:.2f}", "{:.0f}", "{:.0f}", "{:.0f}", "{:.0f}", "{:.2f}")
            cells = [form.format(figure) for form, figure in zip(formats, figures, strict=True)]
            table.add_row(one.attack, *cells, "" if threshold is None else f"{threshold:.2f} an account")
        console.print(table)
    table = Table(title="What slander does to an honest node", title_justify="left")
    table.add_column("slanderers", no_wrap=True)
    for column in ("R'", "without", "queries ordered"):
        table.add_column(column, justify="right")
    for slander in found.defamations:
        table.add_row(
            slander.slanderers, f"{slander.score:.3f}", f"{slander.undisturbed:.3f}", str(slander.queries)
        )
    console.print(table)


def main(arguments: list[str] | None = None) -> int:
    """Print the tables, or one JSON document."""
    usual = Conditions()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=int, default=usual.days)
    parser.add_argument(
        "--nodes", type=int, default=usual.honest_nodes, help="honest ones, and queries a day"
    )
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument(
        "--entry-cost", type=float, default=usual.entry_cost, help="of an account, in places' pay"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="attacks whose name holds this")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    conditions = Conditions(
        options.days, options.nodes, queries_a_day=options.nodes, entry_cost=options.entry_cost
    )
    found = study(conditions, options.seeds, options.only)
    if options.json:
        print(json.dumps(found.as_dict(), indent=2))
    else:
        _show(found)
    return int(not found.losing)


if __name__ == "__main__":
    sys.exit(main())
