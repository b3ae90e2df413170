"""The votes of the panels that this detector sits on: cast in one epoch as hashes, shown in the next.

In an epoch a member tells the others one hash a kind, of its signed vote or random where it has none, so that nobody
learns from them who is accused. The votes themselves are told only when the epoch of their commitments is over.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from eth_utils.crypto import keccak

from node_agent.detection.desk import Panels
from node_agent.peers.errors import MalformedError, NotAllowedError, NotReadyError
from node_agent.store.ballots import BallotTable, CastBallot
from soterone.chain.ballots import SignedVote
from soterone.crypto.accounts import Wallet, account, account_bytes
from soterone.crypto.messages import Domain, SignatureError, Vote, recover, sign
from soterone.domain.detection import Accusation, Evidence, Kind, Measurement, Verdict
from soterone.domain.ids import Account, hash32
from soterone.domain.reputation import Severity
from soterone.rpc.generated.peer_pb2 import CastVote, PanelVotes, VoteHash

KINDS: Final = (Kind.LIVENESS, Kind.PROFILE, Kind.SNAPSHOT, Kind.VERSION, Kind.DATASET)
"""What nodes are probed for; a claim about duty is about detectors."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and what it stands on."""

    verdict: Verdict
    evidence: Evidence


class Polling:
    """Casts, keeps and exchanges votes. `operator_of` tells a node's operator; `may_show` whether an epoch's votes may
    be shown by now."""

    def __init__(
        self,
        signer: Wallet,
        domain: Domain,
        table: BallotTable,
        panels: Panels,
        operator_of: Callable[[Account], Account | None],
        may_show: Callable[[int], bool],
    ) -> None:
        self._signer, self._domain, self._table = signer, domain, table
        self._panels, self._operator_of, self._may_show = panels, operator_of, may_show

    def cast(self, epoch: int, node: Account, judgements: Sequence[Judgement]) -> None:
        """Sign what this detector concludes of a node, once an epoch; the kinds that are left get random hashes."""
        votes = {one.verdict.accusation.kind: one for one in judgements}
        for kind in KINDS:
            own = CastBallot(epoch, node, self._signer.account, kind, secrets.token_bytes(32))
            if kind in votes:
                message = Vote.of(votes[kind].verdict)
                signature = sign(self._signer, self._domain, message)
                wire, evidence = _wire(message, signature), votes[kind].evidence.model_dump_json()
                own = CastBallot(
                    epoch, node, own.member, kind, keccak(signature), wire.SerializeToString(), evidence
                )
            self._table.cast(own)

    def told(self, epoch: int, node: Account) -> PanelVotes:
        """Return what the other members may know of this detector's votes now."""
        own = [one for one in self._table.of(epoch, node) if one.member == self._signer.account]
        votes = [CastVote.FromString(one.vote) for one in own if one.vote]
        return PanelVotes(
            node=account_bytes(node),
            epoch=epoch,
            hashes=[VoteHash(kind=one.kind, signature_hash=one.signature_hash) for one in own],
            votes=votes if self._may_show(epoch) else (),
        )

    async def exchange(self, caller: Account, votes: PanelVotes) -> PanelVotes:
        """Take what another member cast, and tell what this one did. Errors: PeerRefusalError."""
        present = await self._panels.present_epoch()
        if votes.epoch not in (present, present - 1) or len(votes.node) != 20:
            raise NotReadyError(f"The epoch here is {present}.")
        node = account(votes.node)
        operator = self._operator_of(node)
        panel = await self._panels.panel(node, operator, votes.epoch) if operator else ()
        if caller not in panel or self._signer.account not in panel:
            raise NotAllowedError(
                "Caller and callee are not members of one panel on this node in this epoch."
            )
        self.take(caller, votes, still_open=votes.epoch == present)
        return self.told(votes.epoch, node)

    def take(self, member: Account, told: PanelVotes, *, still_open: bool) -> None:
        """Keep what another member told, hashes only while the epoch is `still_open`; what does not fit is
        MalformedError."""
        if len(told.hashes) > len(KINDS) or len(told.votes) > len(KINDS):
            raise MalformedError("There is one vote a kind at most.")
        node = account(told.node)
        for one in told.hashes if still_open else ():
            if one.kind not in KINDS or len(one.signature_hash) != 32:
                raise MalformedError("A hash is of one of five kinds and has 32 bytes.")
            self._table.cast(CastBallot(told.epoch, node, member, one.kind, one.signature_hash))
        for vote in told.votes:
            self._keep(told.epoch, node, member, vote)

    def _keep(self, epoch: int, node: Account, member: Account, vote: CastVote) -> None:
        try:
            signed = signed_vote(epoch, node, vote)
            if recover(self._domain, signed.message, signed.signature) != member:
                raise MalformedError("A vote is not signed by the member who tells it.")
        except (SignatureError, ValueError) as error:
            raise MalformedError("A vote is not signed as votes are.") from error
        shown = CastBallot(epoch, node, member, vote.kind, signed.signature_hash, vote.SerializeToString())
        self._table.reveal(shown)

    def hashes(self, epoch: int, node: Account, kind: Kind) -> Mapping[Account, bytes]:
        """Return the hash that each member cast in one kind, as far as known."""
        return {one.member: one.signature_hash for one in self._table.of(epoch, node) if one.kind == kind}

    def accused(self, epoch: int, node: Account) -> tuple[Kind, ...]:
        """Return in which kinds this detector accuses a node."""
        return tuple(
            Kind(one.kind)
            for one in self._table.of(epoch, node)
            if one.member == self._signer.account and one.vote
        )

    def votes(self, epoch: int, node: Account, kind: Kind) -> tuple[Accusation, dict[Account, SignedVote]]:
        """Return this detector's accusation and the votes known, its own too, that say the same; KeyError when it has
        none."""
        shown = {
            one.member: signed_vote(epoch, node, CastVote.FromString(one.vote))
            for one in self._table.of(epoch, node)
            if one.kind == kind and one.vote
        }
        accusation = _accusation(shown[self._signer.account].message)
        return accusation, {
            member: vote for member, vote in shown.items() if _accusation(vote.message) == accusation
        }


def _wire(vote: Vote, signature: bytes) -> CastVote:
    return CastVote(
        operator=account_bytes(vote.operator),
        kind=vote.kind,
        severity=vote.severity,
        evidence_hash=vote.evidence_hash,
        cores=vote.cores,
        memory_mib=vote.memory_mib,
        speed=vote.speed,
        signature=signature,
    )


def signed_vote(epoch: int, node: Account, vote: CastVote) -> SignedVote:
    """Read a vote off the wire, its signature not yet checked; ValueError when it is none."""
    accusation = Accusation(node, account(vote.operator), epoch, Kind(vote.kind), Severity(vote.severity))
    measured = Measurement(vote.cores, vote.memory_mib, vote.speed)
    return SignedVote(Vote.of(Verdict(accusation, hash32(vote.evidence_hash), measured)), vote.signature)


def _accusation(vote: object) -> Accusation:
    if not isinstance(vote, Vote):
        raise TypeError("a ballot on a node holds votes")
    return Accusation(vote.node, vote.operator, vote.epoch, Kind(vote.kind), Severity(vote.severity))
