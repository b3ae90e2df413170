"""The plots of a report's page as the numbers that its template draws: bars and lines inside a fixed picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from soterone.audit.report import Report

WIDTH, HEIGHT = 640, 180
"""Pixels of every plot."""

_MOST_DAYS = 120
_SCORE_BINS = 20
_KINDS = (
    ("QueryDispatched", "dispatched", "#4472c4"),
    ("QueryCompleted", "completed", "#3a9d5d"),
    ("QueryFailed", "failed", "#c0504d"),
    ("NodePenalised", "penalised", "#7f3f98"),
)


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle in pixels with the text that it shows under the pointer."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot: bars, or the points of a line (`x,y` pairs as SVG takes them); `left` and `right` label its ends, `top`
    the height of the picture."""

    title: str
    bars: tuple[Bar, ...] = ()
    line: str = ""
    left: str = ""
    right: str = ""
    top: str = ""
    legend: tuple[tuple[str, str], ...] = ()


def plots_of(report: Report) -> tuple[Plot, ...]:
    """Return the plots that have something to show."""
    plots = (_daily(report), _statuses(report), _scores(report), _history(report))
    return tuple(one for one in plots if one.bars or one.line)


def _daily(report: Report) -> Plot:
    days = sorted(report.figures.daily.items())[-_MOST_DAYS:]
    totals = [sum(counted.get(event, 0) for event, *_ in _KINDS) for _, counted in days]
    highest, bars = max(totals, default=0), list[Bar]()
    for place, (day, counted) in enumerate(days):
        top = float(HEIGHT)
        for event, name, colour in _KINDS:
            count = counted.get(event, 0)
            height = HEIGHT * count / max(highest, 1)
            top -= height
            if count:
                width = WIDTH / len(days)
                bars.append(
                    Bar(
                        place * width,
                        top,
                        max(width - 1, 0.5),
                        height,
                        colour,
                        f"{_date(day)}: {count} {name}",
                    )
                )
    legend = tuple((name, colour) for _, name, colour in _KINDS)
    ends = (_date(days[0][0]), _date(days[-1][0])) if days else ("", "")
    return Plot("Queries and penalties by day", tuple(bars), "", *ends, f"{highest} a day", legend)


def _statuses(report: Report) -> Plot:
    counted = sorted(report.figures.statuses.items())
    labels = [name.replace("_", " ") for name, _ in counted]
    return Plot(
        "Queries by status", _columns(labels, [count for _, count in counted], "#4472c4"), top=_top(counted)
    )


def _scores(report: Report) -> Plot:
    bins = [0] * _SCORE_BINS
    for score in report.figures.scores.values():
        bins[min(int(score * _SCORE_BINS), _SCORE_BINS - 1)] += 1
    labels = [f"{place / _SCORE_BINS:.2f} to {(place + 1) / _SCORE_BINS:.2f}" for place in range(_SCORE_BINS)]
    bars = _columns(labels, bins, "#3a9d5d") if any(bins) else ()
    return Plot("Nodes by today's score", bars, left="0", right="1", top=f"{max(bins)} nodes")


def _history(report: Report) -> Plot:
    history = report.figures.history
    if len(history) < 2:
        return Plot("Score over time")
    first, last = history[0][0], history[-1][0]
    span = max(last - first, 1)
    points = [(WIDTH * (time - first) / span, HEIGHT * (1 - score)) for time, score in history]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Plot(
        "Score over time", line=line, left=_date(first // 86_400), right=_date(last // 86_400), top="1"
    )


def _columns(labels: Sequence[str], values: Sequence[int], colour: str) -> tuple[Bar, ...]:
    width, highest = WIDTH / max(len(values), 1), max(values, default=0)
    bars = list[Bar]()
    for place, (label, value) in enumerate(zip(labels, values, strict=True)):
        height = HEIGHT * value / max(highest, 1)
        bars.append(
            Bar(place * width, HEIGHT - height, max(width - 2, 0.5), height, colour, f"{label}: {value}")
        )
    return tuple(bars)


def _top(counted: Sequence[tuple[str, int]]) -> str:
    return f"{max((count for _, count in counted), default=0)} queries"


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")
