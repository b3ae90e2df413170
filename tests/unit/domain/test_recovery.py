"""Who is lost: silence that somebody signed, or the one with most failed links."""

from collections import Counter

from soterone.domain.ids import Account
from soterone.domain.recovery import LINK_PATIENCE_SECONDS, Complaint, Loss, find_loss, lot_of

A, B, C = (Account("0x" + str(digit) * 40) for digit in (1, 2, 3))
OWNER = Account("0x" + "a" * 40)
LOT = lot_of(bytes(32), 0)


def says(reporter: Account, lost: Account, *, unlinked: bool = False, at: float = 0.0) -> Complaint:
    return Complaint(reporter, lost, unlinked, at)


def test_neither_silence_nor_a_word_alone_replaces_a_node() -> None:
    assert find_loss([], [A], LOT, 1e9) is None
    assert find_loss([says(OWNER, A)], [], LOT, 1e9) is None
    assert find_loss([says(OWNER, A)], [A], LOT, 0.0) == Loss(A, blamed=True)


def test_a_failed_link_waits_for_what_the_others_say() -> None:
    said = [says(A, B, unlinked=True, at=10.0)]
    assert find_loss(said, [], LOT, 10.0 + LINK_PATIENCE_SECONDS - 0.1) is None
    assert find_loss(said, [], LOT, 10.0 + LINK_PATIENCE_SECONDS) == Loss(B, blamed=False)


def test_the_one_that_two_others_complain_of_is_replaced() -> None:
    said = [says(A, B, unlinked=True), says(B, A, unlinked=True), says(C, A)]
    assert find_loss(said, [], LOT, 10.0) == Loss(A, blamed=False)
    twice = [says(A, B, unlinked=True), says(A, B), says(A, B), says(C, A), says(OWNER, A)]
    assert find_loss(twice, [], LOT, 10.0) == Loss(A, blamed=False)


def drawn(said: list[Complaint]) -> set[Account]:
    """Return whom some lot replaces."""
    losses = [find_loss(said, [], lot_of(bytes([number]) * 32, 0), 10.0) for number in range(20)]
    return {loss.node for loss in losses if loss is not None and not loss.blamed}


def test_a_failed_link_counts_against_both_its_ends() -> None:
    said = says(A, B, unlinked=True)
    assert drawn([said, says(A, C, unlinked=True), says(C, A)]) == {A}
    assert drawn([said, says(OWNER, A)]) == {A}
    assert drawn([said, says(OWNER, A), says(OWNER, B)]) == {A, B}
    assert drawn([said, says(C, B), says(OWNER, A)]) == {A, B}


def test_nobody_is_replaced_whom_nobody_signed_against() -> None:
    assert drawn([says(A, B, unlinked=True), says(A, C, unlinked=True)]) == {B, C}
    assert drawn([says(OWNER, B, unlinked=True), says(A, B)]) == {B}


def test_a_silence_of_long_ago_says_nothing_of_a_link_that_fails_now() -> None:
    long_ago = [says(reporter, C) for reporter in (A, B, OWNER)]
    said = [says(A, B, unlinked=True, at=900.0), says(OWNER, B, unlinked=True, at=900.0)]
    assert find_loss([*long_ago, *said], [], LOT, 910.0) == Loss(B, blamed=False)


def test_a_silent_node_goes_before_a_failed_link() -> None:
    said = [says(A, B, unlinked=True), says(C, B, unlinked=True), says(OWNER, C)]
    assert find_loss(said, [C], LOT, 10.0) == Loss(C, blamed=True)


def test_a_tie_is_drawn_by_lot_and_the_lot_is_fair() -> None:
    said = [says(A, B, unlinked=True), says(B, A, unlinked=True)]
    losses = Counter(find_loss(said, [], lot_of(bytes([n]) * 32, n % 3), 10.0) for n in range(200))
    assert set(losses) == {Loss(A, blamed=False), Loss(B, blamed=False)}
    assert min(losses.values()) > 60
    assert find_loss(said, [], LOT, 10.0) == find_loss(list(reversed(said)), [], LOT, 10.0)
