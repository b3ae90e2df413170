"""When a service takes the silence of all for its own."""

from coordinator.liveness import is_cut_off

INTERVAL_SECONDS, PATIENCE_SECONDS = 2.0, 6.0


def cut_off(*heard_at: float, now: float = 103.1) -> bool:
    return is_cut_off(heard_at, now, INTERVAL_SECONDS, PATIENCE_SECONDS)


def test_all_who_fall_silent_together_are_not_dead() -> None:
    assert cut_off(99.0, 99.5, 100.0)
    assert not cut_off(99.0, 99.5, 100.0, now=103.0)


def test_one_or_two_may_die_in_the_same_moment() -> None:
    assert not cut_off(99.5, 100.0)
    assert not cut_off()


def test_whoever_still_beats_shows_that_somebody_listens() -> None:
    assert not cut_off(97.0, 97.5, 98.0, 101.5)


def test_those_who_left_long_ago_do_not_count() -> None:
    assert not cut_off(90.0, 91.0, 92.0, 100.0)
