"""What the attacks on the reputation gain: never as much as honesty, and the worse the deed the less."""

import json

import pytest

from scripts.bench.reputation_attackers import ATTACKERS, HONEST, UNSEEN
from scripts.bench.reputation_attacks import Gain, Study, main, study
from scripts.bench.reputation_lives import FARMED
from scripts.bench.reputation_market import Conditions
from soterone.domain.reputation import PRIOR_SCORE

SMALL = Conditions(days=120, honest_nodes=9, queries_a_day=9)


@pytest.fixture(scope="module")
def found() -> Study:
    return study(SMALL, seeds=2)


@pytest.fixture(scope="module")
def gains(found: Study) -> dict[str, Gain]:
    return {one.attack: one for one in (*found.attacks, *found.unseen)}


def test_every_known_attack_is_played() -> None:
    assert list(ATTACKERS) == [
        "honest",
        "honest, new account on day 60",
        "on-off, 1 of 10",
        "on-off, 1 of 2",
        "milking",
        "whitewashing, same account",
        "whitewashing, new accounts",
        "whitewashing, a swarm",
        "ballot stuffing",
        "bad-mouthing",
        "sybil customers",
        "credibility farming",
        "update-frequency gaming",
    ]


@pytest.mark.parametrize("attack", [name for name in (*ATTACKERS, *UNSEEN) if name != HONEST])
def test_an_attacker_gains_less_than_an_honest_node(gains: dict[str, Gain], attack: str) -> None:
    assert gains[HONEST].gain == 1
    assert gains[attack].gain < 1


def test_who_spoils_more_is_trusted_less_and_wins_fewer_places(gains: dict[str, Gain]) -> None:
    for names in (
        (HONEST, "on-off, 1 of 10", "on-off, 1 of 2", "ballot stuffing"),
        (HONEST, "unseen, 1 of 10", "unseen, 1 of 2", "unseen, all"),
    ):
        scores = [gains[name].mean_score for name in names]
        places = [gains[name].places for name in names]
        assert scores == sorted(scores, reverse=True)
        assert places == sorted(places, reverse=True)


def test_what_nobody_but_customers_sees_costs_less_than_what_everybody_sees(gains: dict[str, Gain]) -> None:
    for share in ("1 of 10", "1 of 2"):
        assert gains[f"on-off, {share}"].mean_score < gains[f"unseen, {share}"].mean_score


def test_updating_often_changes_nothing(gains: dict[str, Gain]) -> None:
    often, seldom = gains["update-frequency gaming"], gains["on-off, 1 of 10"]
    assert (often.places, often.spoiled) == (seldom.places, seldom.spoiled)
    assert often.mean_score == pytest.approx(seldom.mean_score, abs=1e-6)


def test_coming_back_under_the_same_account_washes_nothing_off(gains: dict[str, Gain]) -> None:
    assert gains["whitewashing, same account"].mean_score < PRIOR_SCORE / 1e9 / 2
    assert gains["whitewashing, same account"].gain < gains["ballot stuffing"].gain


def test_a_new_name_is_never_worth_more_than_a_newcomers(gains: dict[str, Gain]) -> None:
    for name in ("whitewashing, new accounts", "whitewashing, a swarm"):
        assert gains[name].mean_score <= PRIOR_SCORE / 1e9
        assert gains[name].places <= gains[name].accounts * SMALL.places_a_day


def test_the_swarm_pays_only_while_accounts_are_cheap(gains: dict[str, Gain]) -> None:
    swarm, honest = gains["whitewashing, a swarm"], gains[HONEST]
    threshold = swarm.pays_below_entry_cost
    assert threshold is not None
    assert 0 < threshold < SMALL.entry_cost
    cheaper = (SMALL.entry_cost - threshold) * swarm.accounts
    assert swarm.profit + cheaper == pytest.approx(honest.profit + SMALL.entry_cost - threshold)


def test_sybil_customers_lift_a_score_for_more_work_than_it_brings(gains: dict[str, Gain]) -> None:
    sybils, alone = gains["sybil customers"], gains["on-off, 1 of 10"]
    assert sybils.mean_score > alone.mean_score
    assert sybils.gain < alone.gain


def test_slander_costs_the_slanderer_and_one_customer_cannot_do_it(found: Study) -> None:
    by_name = {one.slanderers: one for one in found.defamations}
    alone, farmed = by_name["one customer"], by_name[FARMED]
    daily, three = by_name["a new customer each day"], by_name["three new customers each day"]
    assert alone.score > alone.undisturbed
    assert farmed.undisturbed < farmed.score < alone.score
    assert three.score < daily.score < daily.undisturbed
    assert three.score > 0.75
    assert three.queries == 3 * daily.queries == 270


def test_a_seed_gives_the_same_figures_again() -> None:
    few = Conditions(days=10, honest_nodes=7, queries_a_day=7)
    assert study(few, seeds=1) == study(few, seeds=1)


def test_the_command_prints_what_was_asked_for_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--days", "5", "--nodes", "7", "--seeds", "1"]
    status = main(["--json", *few, "--entry-cost", "2", "--only", "1 of 2"])
    document = json.loads(capsys.readouterr().out)
    assert document["conditions"]["entry_cost"] == 2
    assert [one["attack"] for one in document["attacks"]] == [HONEST, "on-off, 1 of 2"]
    assert [one["attack"] for one in document["unseen"]] == ["unseen, 1 of 2"]
    losing = all(one["gain"] < 1 for one in document["attacks"][1:])
    assert status == (0 if losing else 1)


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--days", "2", "--nodes", "7", "--seeds", "1"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in (*ATTACKERS, *UNSEEN, FARMED))
