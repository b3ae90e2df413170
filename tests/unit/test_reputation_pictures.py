"""The pictures and tables of docs/reputation.md are those that the formula and the bench's figures give."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from scripts.bench.reputation_attackers import ATTACKERS, UNSEEN
from scripts.bench.reputation_lives import defamations, setbacks
from scripts.bench.reputation_market import Conditions
from scripts.reputation_pictures import FIGURES, FOLDER, draw
from soterone.domain.reputation import Severity

PAGE = FOLDER.parent / "reputation.md"


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / FIGURES).read_text())
    return document


def test_the_pictures_are_drawn_from_the_formula(tmp_path: Path, figures: dict[str, Any]) -> None:
    draw(tmp_path, figures)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {path.name for path in FOLDER.glob("reputation-*.svg")}
    assert [name for name in names if (tmp_path / name).read_bytes() != (FOLDER / name).read_bytes()] == []


def test_the_page_shows_every_picture() -> None:
    page = PAGE.read_text()
    assert all(f"(pictures/{path.name})" in page for path in FOLDER.glob("*.svg"))


def test_the_figures_are_those_of_the_usual_conditions(figures: dict[str, Any]) -> None:
    assert figures["conditions"] == asdict(Conditions())
    assert figures["seeds"] == 8
    assert [one["attack"] for one in figures["attacks"]] == list(ATTACKERS)
    assert [one["attack"] for one in figures["unseen"]] == list(UNSEEN)
    slanders = [{**asdict(one), "score": round(one.score, 4)} for one in defamations()]
    assert [{**one, "undisturbed": round(one["undisturbed"], 4)} for one in slanders] == figures[
        "defamations"
    ]


def test_the_tables_of_the_page_hold_the_figures(figures: dict[str, Any]) -> None:
    page = PAGE.read_text()
    for one in (*figures["attacks"], *figures["unseen"]):
        assert (
            f"| {one['attack']} | {one['mean_score']:.2f} | {one['places']:.0f} | {one['spoiled']:.0f} "
            f"| {one['accounts']:.0f} | {one['gain']:.2f} |" in page
        )
    for one in figures["defamations"]:
        row = f"| {one['slanderers']} | {one['score']:.2f} | {one['undisturbed']:.2f} | {one['queries']} |"
        assert row in page


def test_the_table_of_claims_is_what_the_formula_gives() -> None:
    page = PAGE.read_text()
    for one in setbacks():
        suspended = ", and suspended" if one.severity is Severity.CRITICAL else ""
        assert (
            f"| {int(one.severity)}{suspended} | {one.score:.2f} | {one.after_30_days:.2f}, {one.after_90_days:.2f} "
            f"| day {one.overtaken_on_day} |" in page
        )
