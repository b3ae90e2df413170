"""Draws the pictures of docs/reputation.md from the reputation's own formula, the same bytes each time.

    python -m scripts.reputation_pictures [--folder docs/pictures]

The gains of attacks come from reputation-attacks.json in that folder, which `scripts.bench.reputation_attacks --json`
writes.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from math import log
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.bench.reputation_lives import BORN, VETERAN_DAYS, Critic, Life, veteran
from soterone.domain.reputation import (
    EVIDENCE_CAP,
    ONE,
    HalfLife,
    Severity,
    decay,
    expectation,
    lower_bound,
    tenure_cap,
)

FOLDER: Final = Path(__file__).parents[1] / "docs" / "pictures"
FIGURES: Final = "reputation-attacks.json"
STYLE: Final[dict[Any, Any]] = {
    "svg.hashsalt": "soterone",
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
BLUE, GREEN, RED, ORANGE, GREY, VIOLET = "#1f6fb4", "#2c8a4b", "#c0392b", "#d9822b", "#7f7f7f", "#7b4fa3"
AFTERWARDS_DAYS: Final = 150
SEVERITY_COLOURS: Final = {Severity.LIGHT: GREEN, Severity.GRAVE: ORANGE, Severity.CRITICAL: RED}


def draw(folder: Path, figures: Mapping[str, Any]) -> None:
    """Write every picture into a folder; `figures` is the attacks' document."""
    pictures: dict[str, Callable[[Axes], None]] = {
        "rise": draw_rise,
        "conduct": draw_conduct,
        "penalties": draw_penalties,
        "forgetting": draw_forgetting,
        "credibility": draw_credibility,
        "gains": lambda axes: draw_gains(axes, figures),
    }
    for name, picture in pictures.items():
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(7.6, 4.4), layout="constrained")
            picture(figure.add_subplot())
            figure.savefig(
                folder / f"reputation-{name}.svg", format="svg", metadata={"Date": None, "Creator": None}
            )


def draw_rise(axes: Axes) -> None:
    """An honest node with one query a day: what it is worth, what it is credited with, what it is drawn by."""
    life, rows = Life(), []
    for day in range(VETERAN_DAYS):
        life.serve(100)
        record = life.record
        rows.append(
            (
                expectation(record.good, record.bad) / ONE,
                tenure_cap(day) / ONE,
                lower_bound(record, life.day) / ONE,
                life.sleep(),
            )
        )
    expected, cap, lower, score = zip(*rows, strict=True)
    axes.plot(expected, color=GREY, label="E, what its evidence says")
    axes.plot(cap, color=ORANGE, linestyle="--", label="tenure cap")
    axes.plot(score, color=BLUE, linewidth=3, label="R', its score: the lower of the two")
    axes.plot(lower, color=GREEN, linestyle=":", label="lower bound, by which nodes are drawn")
    _finish(axes, "An honest newcomer, one query a day", "days", "score")


def draw_conduct(axes: Axes) -> None:
    """Four ways to behave, one query a day each."""
    days = range(VETERAN_DAYS)
    lives = {
        "honest": (BLUE, [100 for _ in days]),
        "nine good, one bad": (ORANGE, [0 if day % 10 == 9 else 100 for day in days]),
        "milking: 60 good days, then bad ones": (RED, [100 if day < 60 else 0 for day in days]),
        "60 bad days, then good ones": (VIOLET, [0 if day < 60 else 100 for day in days]),
    }
    for label, (colour, observations) in lives.items():
        axes.plot(Life().live(observations), color=colour, label=label)
    stuffed = Life()
    axes.plot(
        [_stuffed(stuffed) for _ in days], color=GREY, linestyle="--", label="bad, praised by accomplices"
    )
    _finish(axes, "What conduct does to a score", "days", "score R'")


def draw_penalties(axes: Axes) -> None:
    """A veteran after an upheld claim that serves on, beside a newcomer and one that wins its appeal."""
    for severity, colour in SEVERITY_COLOURS.items():
        life = veteran()
        life.penalise(severity)
        label = f"upheld claim, severity {severity.value}" + (" (suspends)" if severity == 3 else "")
        axes.plot(life.live([100] * AFTERWARDS_DAYS), color=colour, label=label)
    axes.plot(_vindicated(14), color=GREEN, linestyle=":", label="severity 3, reversed after 14 days")
    newcomer = Life(day=BORN + VETERAN_DAYS).live([100] * AFTERWARDS_DAYS)
    axes.plot(newcomer, color=GREY, linestyle="--", label="a newcomer of that day")
    _finish(axes, "The way back after a claim, one good query a day", "days since the claim", "score R'")


def draw_forgetting(axes: Axes) -> None:
    """How evidence fades, and what a linear shortcut would give away."""
    days = range(VETERAN_DAYS)
    for half_life, colour, label in ((HalfLife.GOOD, GREEN, "good"), (HalfLife.BAD, RED, "bad")):
        left = [decay(EVIDENCE_CAP, day, half_life) / EVIDENCE_CAP for day in days]
        axes.plot(left, color=colour, label=f"{label} evidence, half-life {half_life.value} days")
        rate = log(2) / half_life.value
        once = [max(0.0, 1 - rate * day) for day in days]
        axes.plot(
            once, color=colour, linestyle=":", label=f"{label}, linear shortcut, updated once at the end"
        )
    _finish(axes, "Forgetting does not depend on how often one updates", "days", "part that is left")


def draw_credibility(axes: Axes) -> None:
    """A customer's credibility over its feedbacks about nodes that served well."""
    conducts = {
        "truthful": (BLUE, [100] * 60),
        "rates everybody 50": (GREY, [50] * 60),
        "farms for 40 feedbacks, then defames": (ORANGE, [100] * 40 + [0] * 20),
        "defames": (RED, [0] * 60),
    }
    for label, (colour, ratings) in conducts.items():
        critic, elsewhere = Critic(), Life()
        course = [critic.credibility / ONE]
        for rating in ratings:
            critic.rate(elsewhere, rating, 100)
            course.append(critic.credibility / ONE)
        axes.plot(course, color=colour, label=label)
    _finish(axes, "Whom the network believes", "feedbacks", "credibility c")


def draw_gains(axes: Axes, figures: Mapping[str, Any]) -> None:
    """What each attack earned in the bench, beside honesty."""
    gains: Sequence[Mapping[str, Any]] = [*figures["attacks"], *figures["unseen"]][::-1]
    unseen = {one["attack"] for one in figures["unseen"]}
    colours = [
        BLUE if one["attack"].startswith("honest") else VIOLET if one["attack"] in unseen else RED
        for one in gains
    ]
    bars = axes.barh(
        [one["attack"] for one in gains], [one["gain"] for one in gains], color=colours, height=0.65
    )
    axes.bar_label(bars, labels=[f"{one['gain']:.2f}" for one in gains], padding=3, fontsize=9)
    axes.axvline(1, color=BLUE, linestyle="--", linewidth=1)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.grid(visible=False, axis="y")
    axes.set_title("What an attack earns (an honest node: 1)", loc="left")
    axes.set_xlim(min(-0.5, *(one["gain"] - 0.15 for one in gains)), 1.15)


def _vindicated(after_days: int) -> list[float]:
    life = veteran()
    added, epoch = life.penalise(Severity.CRITICAL)
    before = life.live([100] * after_days)
    life.vindicate(added, epoch)
    return before + life.live([100] * (AFTERWARDS_DAYS - after_days))


def _stuffed(life: Life) -> float:
    life.serve(0, rating=100)
    return life.sleep()


def _finish(axes: Axes, title: str, days: str, value: str) -> None:
    axes.set_title(title, loc="left")
    axes.set_xlabel(days)
    axes.set_ylabel(value)
    axes.set_ylim(0, 1.02)
    axes.margins(x=0)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2, fontsize=9)


def main() -> int:
    """Draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    folder: Path = parser.parse_args().folder
    draw(folder, json.loads((folder / FIGURES).read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
