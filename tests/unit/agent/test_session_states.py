"""What may follow what in a session, and what its fence admits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.sessions.states import (
    ENDED,
    LIVE,
    MAX_ATTEMPTS,
    Fence,
    IllegalStepError,
    State,
    Step,
    advance,
)

STEPS = st.lists(st.sampled_from(Step), max_size=40)
OF_ONE_GENERATION = st.lists(
    st.sampled_from([step for step in Step if step is not Step.REPLACE]), max_size=40
)
USUAL = [Step.ORDER, Step.JOIN, Step.START, Step.RESULT, Step.DELIVERED, Step.CLEAN]


def walk(steps: list[Step], *, owner: bool) -> list[State]:
    states = [State.OFFERED]
    for step in steps:
        try:
            states.append(advance(states[-1], step, owner=owner))
        except IllegalStepError:
            continue
    return states


@pytest.mark.parametrize("owner", [True, False])
def test_the_usual_life(owner: bool) -> None:
    assert walk(USUAL, owner=owner) == [
        State.OFFERED,
        State.ORDERED,
        State.JOINED,
        State.RUNNING,
        State.DELIVERING,
        State.DONE,
        State.CLEANED,
    ]


@given(STEPS, st.booleans())
def test_nothing_leaves_cleaned_and_nothing_computes_without_an_order(steps: list[Step], owner: bool) -> None:
    states = walk(steps, owner=owner)
    if State.CLEANED in states:
        assert set(states[states.index(State.CLEANED) :]) == {State.CLEANED}
    computing = [i for i, state in enumerate(states) if state in LIVE - {State.ORDERED}]
    assert not computing or State.ORDERED in states[: computing[0]]


@given(OF_ONE_GENERATION)
def test_an_mpc_node_that_has_a_result_computes_no_more(steps: list[Step]) -> None:
    states = walk(steps, owner=False)
    if State.DELIVERING in states:
        after = states[states.index(State.DELIVERING) :]
        assert not {State.ORDERED, State.JOINED, State.RUNNING} & set(after)


@given(OF_ONE_GENERATION)
def test_a_failed_session_only_waits_for_its_cleanup(steps: list[Step]) -> None:
    states = walk(steps, owner=True)
    if State.FAILED in states:
        assert set(states[states.index(State.FAILED) :]) <= {State.FAILED, State.CLEANED}


@pytest.mark.parametrize("owner", [True, False])
def test_a_new_generation_is_examined_anew_from_everywhere_but_the_end(owner: bool) -> None:
    for state in set(State) - {State.CLEANED}:
        assert advance(state, Step.REPLACE, owner=owner) is State.OFFERED
    with pytest.raises(IllegalStepError):
        advance(State.CLEANED, Step.REPLACE)


def test_an_owner_shares_again_when_the_mpc_nodes_did_not_link() -> None:
    done = walk([*USUAL[:-1], Step.JOIN, Step.START], owner=True)
    assert done[-1] is State.RUNNING
    with pytest.raises(IllegalStepError) as caught:
        advance(State.DONE, Step.JOIN)
    assert (caught.value.state, caught.value.step) == (State.DONE, Step.JOIN)


def test_completion_on_chain_ends_work_in_every_live_state() -> None:
    assert {advance(state, Step.COMPLETE) for state in LIVE} == {State.DONE}
    for state in ENDED:
        with pytest.raises(IllegalStepError):
            advance(state, Step.COMPLETE)


@pytest.mark.parametrize(
    ("known", "asked", "admitted"),
    [
        (Fence(0, 0), Fence(0, 1), True),
        (Fence(0, 1), Fence(0, 1), True),
        (Fence(0, 1), Fence(0, 2), True),
        (Fence(0, 2), Fence(0, 1), False),
        (Fence(0, 2), Fence(0, MAX_ATTEMPTS), True),
        (Fence(0, 2), Fence(0, MAX_ATTEMPTS + 1), False),
        (Fence(0, 0), Fence(0, 2**32 - 1), False),
        (Fence(0, 0), Fence(0, 0), False),
        (Fence(1, 0), Fence(0, 5), False),
        (Fence(0, 0), Fence(1, 1), False),
    ],
)
def test_only_a_newer_attempt_of_this_generation_opens(known: Fence, asked: Fence, admitted: bool) -> None:
    assert known.admits_join(asked) is admitted
