"""Whatever breaks, in whatever order: a query's invariants hold at every step, and left alone it ends well."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from lifecycle_model import MOST_REPLACEMENTS, NODES, OWNERS, WAIT_SECONDS, Network, Row, State, failure

from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account
from soterone.domain.lifecycle import (
    SHARES_NEEDED,
    AnnounceCompletion,
    AnnounceFailure,
    Announcement,
    DrawSuccessor,
    RecordLoss,
    Stage,
    decide,
)
from soterone.domain.recovery import LINK_PATIENCE_SECONDS, OUTDATED_SECONDS, Complaint, OpenReplacement

_CLOSING = {Announcement.COMPLETE, Announcement.FAIL, Announcement.EXPIRE}
_PHASES = ("linked", "train", "deliver")


def _on_chain(machine: "Life") -> bool:
    return machine.net.dispatched_at is not None and machine.net.chain.end is None


def _failed_links(said: list[Complaint], node: Account) -> set[Account]:
    """Return with whom a node is said not to work, whoever of the two says so."""
    complain_of_it = {one.reporter for one in said if one.lost == node}
    return complain_of_it | {one.lost for one in said if one.reporter == node}


class Life(RuleBasedStateMachine):
    """One query among crashing nodes, a chain that reorganises, a clock that jumps and a coordinator that rests."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Network()
        self.dead: set[Account] = set()
        self.listening = True
        self.highest_generation = 0
        self.ended_as: Stage | None = None

    @initialize(runs=st.sampled_from([True, True, False]))
    def it_may_run_already(self, runs: bool) -> None:
        if runs:
            self.customer_signs()
            self.net.mine()

    # The world

    @rule(seconds=st.floats(0, 120))
    def time_passes(self, seconds: float) -> None:
        self.net.now += seconds

    @rule(seconds=st.floats(-600, 600))
    def the_clock_jumps(self, seconds: float) -> None:
        self.net.now = max(1_000.0, self.net.now + seconds)

    @precondition(lambda self: self.net.stage is Stage.RESERVED and not self.net.outbox)
    @rule()
    def customer_signs(self) -> None:
        self.net.send(Announcement.DISPATCH)

    @precondition(_on_chain)
    @rule()
    def customer_cancels(self) -> None:
        self.net.send(Announcement.CANCEL)

    @rule(node=st.sampled_from(OWNERS + NODES))
    def a_node_dies(self, node: Account) -> None:
        self.dead.add(node)

    @precondition(lambda self: self.dead)
    @rule(data=st.data())
    def a_node_returns(self, data: st.DataObject) -> None:
        node = data.draw(st.sampled_from(sorted(self.dead)))
        self.dead.discard(node)
        if self.listening:
            self.net.offline.discard(node)

    @precondition(lambda self: self.listening)
    @rule()
    def silence_is_noticed(self) -> None:
        self.net.offline |= self.dead

    @rule()
    def nobody_listens(self) -> None:
        self.listening = False

    @precondition(lambda self: not self.listening)
    @rule()
    def somebody_listens_again(self) -> None:
        self.listening = True
        self.net.offline &= self.dead
        self.net.patient_until = self.net.now + 60.0

    @precondition(_on_chain)
    @rule(rank=st.sampled_from(range(3)), reporter=st.sampled_from(OWNERS))
    def an_mpc_node_is_lost(self, rank: int, reporter: Account) -> None:
        """What leads to most of what can go wrong, in one step."""
        lost = self.net.trio[rank]
        self.a_node_dies(lost)
        if self.listening:
            self.silence_is_noticed()
        self.a_participant_complains(OWNERS.index(reporter), rank, False)
        for _ in range(2):
            self.the_coordinator_looks()
            if self.net.open is not None:
                self.the_seed_is_mined()

    @precondition(_on_chain)
    @rule(ranks=st.permutations(range(3)), third=st.booleans())
    def two_mpc_nodes_cannot_link(self, ranks: list[int], third: bool) -> None:
        self.a_participant_complains(2 + ranks[0], ranks[1], True)
        self.a_participant_complains(2 + ranks[1], ranks[0], True)
        if third:
            self.a_participant_complains(2 + ranks[2], ranks[1], False)
        self.net.now += LINK_PATIENCE_SECONDS
        self.the_coordinator_looks()

    # The nodes

    @precondition(_on_chain)
    @rule(reporter=st.sampled_from(range(5)), rank=st.sampled_from(range(3)), unlinked=st.booleans())
    def a_participant_complains(self, reporter: int, rank: int, unlinked: bool) -> None:
        who, lost = (OWNERS + self.net.trio)[reporter], self.net.trio[rank]
        if who not in self.dead | {lost}:
            complaint = Complaint(who, lost, unlinked, self.net.now)
            self.net.complaints.setdefault(self.net.generation, []).append(complaint)

    @precondition(_on_chain)
    @rule(rank=st.sampled_from(range(3)), phase=st.sampled_from(_PHASES))
    def a_node_goes_on(self, rank: int, phase: str) -> None:
        node = self.net.trio[rank]
        if node not in self.dead:
            self.net.phases[self.net.generation, node] = phase
            self.net.trained |= self.net.delivering >= SHARES_NEEDED

    @precondition(_on_chain)
    @rule()
    def the_training_ends(self) -> None:
        for rank in range(3):
            self.a_node_goes_on(rank, "deliver")

    @precondition(_on_chain)
    @rule(rank=st.sampled_from(range(3)))
    def a_share_arrives(self, rank: int) -> None:
        node, kept = self.net.trio[rank], (self.net.generation, self.net.trio[rank])
        late = Announcement.COMPLETE in self.net.facts().announced
        if node not in self.dead and kept not in self.net.shares and not late:
            self.net.shares[kept] = self.net.now

    @precondition(_on_chain)
    @rule(reason=st.sampled_from([FailureReason.ENGINE_ERROR, FailureReason.BAD_DATA]))
    def a_participant_reports_failure(self, reason: FailureReason) -> None:
        self.net.reports.setdefault(self.net.generation, failure(reason, self.net.now))

    # The chain

    @precondition(lambda self: self.net.pending)
    @rule(refused=st.sampled_from([False, False, False, True]))
    def a_transaction_is_mined(self, refused: bool) -> None:
        self.net.mine(refused=refused)

    @precondition(lambda self: self.net.open is not None)
    @rule()
    def the_seed_is_mined(self) -> None:
        place = self.net.open
        assert place is not None
        self.net.open = OpenReplacement(place.loss, True, place.vacant_since)

    @precondition(lambda self: self.net.chain.mined)
    @rule(depth=st.integers(1, 8))
    def the_chain_reorganises(self, depth: int) -> None:
        self.ended_as = None
        self.net.reorganise(depth)

    # The coordinator: it keeps nothing but its rows, so that acting now or after a restart is the same

    @rule()
    def the_coordinator_looks(self) -> None:
        facts = self.net.facts()
        for action in decide(facts, self.net.now):
            match action:
                case RecordLoss(loss):
                    self._check_loss(loss.node, loss.blamed)
                case DrawSuccessor():
                    self._check_draw()
                case AnnounceCompletion():
                    assert len(self.net.present_shares()) >= SHARES_NEEDED
                    assert not facts.behind_chain, "the chain would not open it"
                case AnnounceFailure():
                    assert len(facts.shares) < SHARES_NEEDED or facts.behind_chain
            self.net.act(action)

    def _check_loss(self, node: Account, blamed: bool) -> None:
        signed = [one for one in self.net.complaints.get(self.net.generation, []) if one.lost == node]
        assert signed, "a loss that nobody signed"
        assert node in self.net.trio
        assert self.net.open is None
        assert not self.net.assured, "a node was replaced although its share is not needed"
        assert self.net.generation < MOST_REPLACEMENTS
        if blamed:
            assert node in self.net.offline, "blamed for silence while nobody listened"
        else:
            said = self._still_said()
            accused = {one.lost for one in said}
            assert node in accused
            most = max(len(_failed_links(said, one)) for one in accused)
            assert len(_failed_links(said, node)) == most, "another one has more failed links"
            assert any(one.unlinked for one in said)

    def _still_said(self) -> list[Complaint]:
        said = self.net.complaints[self.net.generation]
        latest = max(one.at for one in said)
        return [one for one in said if one.unlinked or one.at > latest - OUTDATED_SECONDS]

    def _check_draw(self) -> None:
        place = self.net.open
        assert place is not None
        assert place.seeded
        assert not place.loss.blamed or place.loss.node in self.net.offline, "replaced although it is back"
        assert not self.net.assured, "replaced although its share is not needed"
        vacant = place.vacant_since is not None and self.net.now >= place.vacant_since + WAIT_SECONDS
        assert not vacant, "nobody can follow, and the query still waits"

    # What always holds

    @invariant()
    def the_generation_never_goes_back(self) -> None:
        assert self.net.generation >= self.highest_generation
        self.highest_generation = self.net.generation
        assert self.net.generation <= MOST_REPLACEMENTS

    @invariant()
    def a_terminal_stage_is_never_left(self) -> None:
        if self.ended_as is not None:
            assert self.net.stage is self.ended_as
        self.ended_as = self.net.stage if self.net.stage.terminal else None

    @invariant()
    def at_most_one_ending_is_on_its_way(self) -> None:
        waiting = [row for row in self.net.pending if row.action in _CLOSING and self._is_present(row)]
        assert len(waiting) <= 1
        if any(row.action == Announcement.REPLACE and self._is_present(row) for row in self.net.pending):
            assert not waiting, "an ending that the replacement beside it makes void"
        assert sum(row.action in _CLOSING for row in self.net.chain.mined) <= 1

    def _is_present(self, row: Row) -> bool:
        return row.generation == self.net.generation

    @invariant()
    def completed_implies_a_stored_result(self) -> None:
        for row in self.net.outbox:
            if row.action == Announcement.COMPLETE and row.state is State.MINED:
                stored = [node for generation, node in self.net.shares if generation == row.opens]
                assert len(stored) >= SHARES_NEEDED

    @invariant()
    def nobody_replaces_who_was_here_already(self) -> None:
        followers = [new for _, new in self.net.chain.changes]
        assert len({*followers, *NODES[:3]}) == 3 + len(followers)

    def teardown(self) -> None:
        """Left alone, every query that was signed ends once, is cleaned up, settled, and frees its nodes."""
        self.silence_is_noticed()
        for _ in range(20):
            self.net.now += 200.0
            self.the_coordinator_looks()
            if self.net.open is not None:
                self.the_seed_is_mined()
            while self.net.pending:
                self.net.mine()
            self.a_terminal_stage_is_never_left()
        self.completed_implies_a_stored_result()
        assert self.net.stage.terminal
        assert not self.net.reserved
        if self.net.chain.mined:
            assert self.net.chain.end is not None
            assert self.net.chain.has(Announcement.CLEANUP)
            assert self.net.chain.has(Announcement.SETTLE)


Life.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
test_any_sequence_of_events_and_faults = Life.TestCase
