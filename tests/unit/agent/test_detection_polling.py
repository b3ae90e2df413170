"""Votes of a panel: hidden in their epoch, shown in the next, and nobody's but who signed them."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fixtures.detection import EPOCH, SetDraw

from node_agent.detection.polling import KINDS, Judgement, Polling
from node_agent.peers.errors import MalformedError, NotAllowedError, NotReadyError
from node_agent.store import Store
from soterone.crypto.accounts import Signer, account, account_bytes
from soterone.crypto.messages import Domain
from soterone.domain.detection import Accusation, Evidence, Kind, Measurement, Verdict
from soterone.domain.ids import Account
from soterone.domain.reputation import Severity
from soterone.rpc.generated.peer_pb2 import CastVote, PanelVotes, VoteHash

NODE = account(b"\x01" * 20)
DOMAIN = Domain(31337, account(b"\x02" * 20))


class NextEpoch(SetDraw):
    """Panels of the present epoch and of the one before."""

    async def panel(self, node: Account, operator: Account, epoch: int) -> tuple[Account, ...]:
        return self.get(node, ())


@dataclass
class Member:
    """One of a panel, with its memory."""

    signer: Signer
    polling: Polling

    @property
    def account(self) -> Account:
        return self.signer.account

    async def meet(self, other: "Member", epoch: int = EPOCH, present: int = EPOCH) -> None:
        """Exchange votes, as over the peer channel."""
        told = await other.polling.exchange(self.account, self.polling.told(epoch, NODE))
        self.polling.take(other.account, told, still_open=epoch == present)


@dataclass
class Panel:
    draw: NextEpoch
    members: list[Member]
    over: bool = False


@pytest.fixture
def panel(tmp_path: Path) -> Panel:
    made = Panel(NextEpoch(), [])
    for number in range(3):
        signer, store = Signer.new(), Store.open(tmp_path / f"{number}.sqlite3")
        polling = Polling(
            signer, DOMAIN, store.ballots, made.draw, lambda node: node, lambda epoch: made.over
        )
        made.members.append(Member(signer, polling))
    made.draw[NODE] = tuple(member.account for member in made.members)
    return made


def judgement(by: Account, kind: Kind = Kind.PROFILE, cores: int = 2) -> Judgement:
    accusation = Accusation(NODE, NODE, EPOCH, kind, Severity.GRAVE)
    evidence = Evidence(detector=by, node=NODE, epoch=EPOCH, kind=kind, findings={}, salt="ab" * 32)
    return Judgement(Verdict(accusation, evidence.hash, Measurement(cores, 4096, 700)), evidence)


async def test_hashes_are_exchanged_in_the_epoch_and_votes_in_the_next(panel: Panel) -> None:
    first, second, silent = panel.members
    first.polling.cast(EPOCH, NODE, [judgement(first.account)])
    second.polling.cast(EPOCH, NODE, [judgement(second.account, cores=3)])
    silent.polling.cast(EPOCH, NODE, [])
    for one, other in ((first, second), (first, silent), (second, silent)):
        await one.meet(other)
    assert set(first.polling.hashes(EPOCH, NODE, Kind.PROFILE)) == set(panel.draw[NODE])
    _, votes = first.polling.votes(EPOCH, NODE, Kind.PROFILE)
    assert set(votes) == {first.account}
    panel.over, panel.draw.epoch = True, EPOCH + 1
    for other in (second, silent):
        await first.meet(other, present=EPOCH + 1)
    accusation, votes = first.polling.votes(EPOCH, NODE, Kind.PROFILE)
    assert set(votes) == {first.account, second.account}
    assert accusation.kind is Kind.PROFILE
    hashes = first.polling.hashes(EPOCH, NODE, Kind.PROFILE)
    assert all(votes[one].signature_hash == hashes[one] for one in votes)
    assert second.polling.accused(EPOCH, NODE) == (Kind.PROFILE,)
    assert silent.polling.accused(EPOCH, NODE) == ()


def test_hashes_do_not_tell_who_accuses(panel: Panel) -> None:
    accuser, other = panel.members[:2]
    accuser.polling.cast(EPOCH, NODE, [judgement(accuser.account)])
    other.polling.cast(EPOCH, NODE, [])
    for member in (accuser, other):
        told = member.polling.told(EPOCH, NODE)
        assert [one.kind for one in told.hashes] == list(KINDS)
        assert {len(one.signature_hash) for one in told.hashes} == {32}
        assert not told.votes


async def test_what_was_told_first_stands(panel: Panel) -> None:
    first, second = panel.members[:2]
    first.polling.cast(EPOCH, NODE, [judgement(first.account)])
    before = first.polling.told(EPOCH, NODE)
    await second.polling.exchange(first.account, before)
    changed = PanelVotes(node=before.node, epoch=EPOCH)
    changed.hashes.append(VoteHash(kind=Kind.PROFILE, signature_hash=bytes(32)))
    await second.polling.exchange(first.account, changed)
    known = second.polling.hashes(EPOCH, NODE, Kind.PROFILE)[first.account]
    assert known in [one.signature_hash for one in before.hashes]
    panel.draw.epoch = EPOCH + 1
    late = PanelVotes(node=before.node, epoch=EPOCH)
    late.hashes.append(VoteHash(kind=Kind.LIVENESS, signature_hash=bytes(32)))
    third = panel.members[2]
    await second.polling.exchange(third.account, late)
    assert third.account not in second.polling.hashes(EPOCH, NODE, Kind.LIVENESS)


async def test_a_vote_that_was_not_cast_before_does_not_count(panel: Panel) -> None:
    first, second = panel.members[:2]
    second.polling.cast(EPOCH, NODE, [judgement(second.account)])
    panel.over, panel.draw.epoch = True, EPOCH + 1
    first.polling.cast(EPOCH, NODE, [judgement(first.account)])
    await second.polling.exchange(first.account, first.polling.told(EPOCH, NODE))
    _, votes = second.polling.votes(EPOCH, NODE, Kind.PROFILE)
    assert set(votes) == {second.account}


async def test_only_members_of_the_panel_exchange(panel: Panel) -> None:
    first, second = panel.members[:2]
    first.polling.cast(EPOCH, NODE, [])
    told = first.polling.told(EPOCH, NODE)
    with pytest.raises(NotAllowedError, match="one panel"):
        await second.polling.exchange(Signer.new().account, told)
    panel.draw[NODE] = (first.account,)
    with pytest.raises(NotAllowedError, match="one panel"):
        await second.polling.exchange(first.account, told)
    panel.draw.epoch = EPOCH + 2
    with pytest.raises(NotReadyError, match="epoch here is"):
        await second.polling.exchange(first.account, told)


def shown(vote: CastVote) -> PanelVotes:
    return PanelVotes(node=account_bytes(NODE), epoch=EPOCH, votes=[vote])


def test_what_does_not_fit_is_refused(panel: Panel) -> None:
    first, second = panel.members[:2]
    panel.over = True
    first.polling.cast(EPOCH, NODE, [judgement(first.account)])
    (vote,) = first.polling.told(EPOCH, NODE).votes
    odd = [(second.account, vote)]
    for field, value in (
        ("kind", 9),
        ("severity", 0),
        ("operator", b""),
        ("evidence_hash", b"x"),
        ("signature", b"x"),
        ("cores", 3),
    ):
        changed = CastVote()
        changed.CopyFrom(vote)
        setattr(changed, field, value)
        odd.append((first.account, changed))
    for member, one in odd:
        with pytest.raises(MalformedError):
            second.polling.take(member, shown(one), still_open=False)
    for hashes in (
        [VoteHash(kind=9, signature_hash=bytes(32))],
        [VoteHash(kind=1, signature_hash=b"")],
        [VoteHash(kind=1, signature_hash=bytes(32))] * 6,
    ):
        with pytest.raises(MalformedError):
            second.polling.take(
                first.account,
                PanelVotes(node=account_bytes(NODE), epoch=EPOCH, hashes=hashes),
                still_open=True,
            )


def test_only_votes_that_say_the_same_count_together(panel: Panel) -> None:
    first, second = panel.members[:2]
    panel.over = True
    first.polling.cast(EPOCH, NODE, [judgement(first.account)])
    other = judgement(second.account)
    lighter = replace(other.verdict.accusation, severity=Severity.LIGHT)
    second.polling.cast(EPOCH, NODE, [replace(other, verdict=replace(other.verdict, accusation=lighter))])
    told = second.polling.told(EPOCH, NODE)
    first.polling.take(second.account, told, still_open=True)
    _, votes = first.polling.votes(EPOCH, NODE, Kind.PROFILE)
    assert set(votes) == {first.account}
