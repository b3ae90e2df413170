"""Which checkpoint an attempt goes on from, and what a workspace keeps of them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.sessions import checkpoints
from node_agent.sessions.checkpoints import KEPT, Checkpoint, Resume, choose
from node_agent.sessions.states import Fence
from node_agent.workspace.folder import Workspaces
from soterone.domain.ids import Account, QueryId

TRIO = tuple(Account("0x" + digit * 40) for digit in "312")
HELD = st.lists(
    st.builds(Checkpoint, st.integers(1, 4), st.builds(Fence, st.integers(0, 1), st.integers(1, 2))),
    max_size=3,
    unique=True,
)


def at(epoch: int, generation: int = 0, attempt: int = 1) -> Checkpoint:
    return Checkpoint(epoch, Fence(generation, attempt))


def test_what_all_three_hold_is_lent_by_nobody() -> None:
    held = {TRIO[0]: [at(5), at(4)], TRIO[1]: [at(4), at(3)], TRIO[2]: [at(4)]}
    assert choose(held, TRIO) == Resume(at(4))


def test_two_lend_in_the_order_of_their_ranks_what_a_third_does_not_have() -> None:
    held = {TRIO[2]: [at(4), at(3)], TRIO[0]: [at(4)], TRIO[1]: []}
    assert choose(held, TRIO) == Resume(at(4), (TRIO[0], TRIO[2]))


def test_checkpoints_of_different_attempts_do_not_fit_together() -> None:
    held = {TRIO[0]: [at(4, attempt=1)], TRIO[1]: [at(4, attempt=2)], TRIO[2]: [at(4, generation=1)]}
    assert choose(held, TRIO) is None
    assert choose({}, TRIO) is None


@given(st.lists(HELD, min_size=3, max_size=3))
def test_the_choice_is_the_furthest_that_two_hold_and_its_lenders_hold_it(
    held: list[list[Checkpoint]],
) -> None:
    by_node = dict(zip(TRIO, held, strict=True))
    chosen = choose(by_node, TRIO)
    common = {one for each in held for one in each if sum(one in other for other in held) >= 2}
    assert (chosen is None) == (not common)
    if chosen is not None:
        assert chosen.checkpoint.epoch == max(one.epoch for one in common)
        assert all(chosen.checkpoint in by_node[node] for node in chosen.lenders or TRIO)
        assert chosen.fits(TRIO)
        assert Resume.from_wire(chosen.to_wire()) == chosen


@pytest.mark.parametrize(
    "lenders", [TRIO[:1], TRIO[1::-1], (TRIO[0], TRIO[0]), TRIO, ("0x" + "9" * 40, TRIO[1])]
)
def test_lenders_are_two_of_the_trio_in_order(lenders: tuple[Account, ...]) -> None:
    assert not Resume(at(1), lenders).fits(TRIO)


def test_a_workspace_keeps_the_newest_of_the_newest_attempt(tmp_path: Path) -> None:
    workspace = Workspaces.under(tmp_path, 2**20).open(QueryId("0x" + "1" * 64))
    file = tmp_path / "checkpoint"
    for checkpoint in [at(8), at(9), *(at(epoch, attempt=2) for epoch in range(1, KEPT + 3))]:
        file.write_bytes(b"%d" % checkpoint.epoch)
        checkpoints.keep(workspace, checkpoint, file)
    newest = [at(epoch, attempt=2) for epoch in range(KEPT + 2, 2, -1)]
    assert checkpoints.kept(workspace) == newest
    assert workspace.read(newest[0].name) == b"%d" % newest[0].epoch
    checkpoints.keep(workspace, at(99, attempt=3), tmp_path / "gone")
    assert checkpoints.kept(workspace) == newest
    checkpoints.drop(workspace)
    assert checkpoints.kept(workspace) == []
    assert workspace.used_bytes <= 32
    workspace.destroy()
