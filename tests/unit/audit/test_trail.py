"""What something was after a block, also when the older past is forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from soterone.audit.trail import Trail, forget, moment, note, value_at

STEPS = st.lists(st.integers(0, 50), min_size=1, max_size=30).map(sorted)


@given(STEPS, st.integers(0, 60), st.integers(0, 60))
def test_the_past_is_as_it_was(blocks: list[int], forgotten: int, asked: int) -> None:
    trail: Trail[str, int] = {}
    for number, block in enumerate(blocks):
        note(trail, "one", block, number)
    expected = max((number for number, block in enumerate(blocks) if block <= asked), default=None)
    assert value_at(trail, "one", asked) == expected
    forget(trail, forgotten)
    if asked >= forgotten:
        assert value_at(trail, "one", asked) == expected
    assert value_at(trail, "another", asked) is None


def test_the_end_of_a_block_is_after_its_logs_and_before_the_next() -> None:
    assert moment(3) > moment(3, 1_000_000) > moment(3, 0) > moment(2)
