"""Hears appeals: gathers what accusers and accused open, holds it against what this panel saw itself, and votes.

Votes are hidden in the epoch of the appeal and shown in the next, as those on nodes; without a vote the claim stands.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import grpc.aio
import structlog
from eth_utils.crypto import keccak
from pydantic import ValidationError

from node_agent.datasets.commitment import is_bound
from node_agent.detection.appeals import Appeal, Appeals, Shown, reason_to_reverse
from node_agent.detection.clock import Clock, WallClock
from node_agent.detection.desk import Panels
from node_agent.detection.findings import FINDINGS, Findings
from node_agent.detection.polling import signed_vote
from node_agent.detection.probing import NodeLine
from node_agent.detection.reach import Reach
from node_agent.detection.schedule import Schedule
from node_agent.peers.errors import MalformedError, NotAllowedError, NotReadyError
from node_agent.store.ballots import BallotTable, CastBallot
from soterone.chain.ballots import SignedVote
from soterone.chain.events import Event, MPCUpdated, QueryCompleted, QueryDispatched, QueryFailed
from soterone.chain.records import Block
from soterone.crypto.accounts import Wallet
from soterone.crypto.certificates import TlsIdentity
from soterone.crypto.messages import Domain, Reversal, SignatureError, Vote, recover, sign
from soterone.domain.detection import CounterEvidence, Evidence, Kind, Measurement, leaf_of
from soterone.domain.ids import Account, QueryId, hash32, hash_bytes
from soterone.rpc.generated.peer_pb2 import OpenedClaim, ReversalVotes

log = structlog.get_logger()

_TIMES_ASKED, _PAUSE_SHARE = 3, 0.01
_REVERSAL = 0
"""The kind under which ballots on appeals are kept, with the claim's id in place of a node."""


class HearingChain(Protocol):
    """What excuses are held against; `ChainClient`."""

    async def head(self) -> Block:
        """Return the newest block."""

    async def block(self, number: int) -> Block | None:
        """Return a block."""

    async def events_of_query(self, query_id: QueryId, last_block: int) -> tuple[Event, ...]:
        """Return the query's events up to a block."""


@dataclass(frozen=True, slots=True)
class Hearings:
    """One detector's part in the panels of appeals; `may_show` says whether an epoch's votes may be shown by now."""

    signer: Wallet
    tls: TlsIdentity
    quorum: Domain
    registry: Domain
    chain: HearingChain
    panels: Panels
    appeals: Appeals
    table: BallotTable
    epoch_seconds: int
    may_show: Callable[[int], bool]
    clock: Clock = field(default_factory=WallClock)

    async def due(self, epoch: int) -> list[Appeal]:
        """Return the appeals that this detector hears in an epoch."""
        return [one for one in await self.appeals.in_epoch(epoch) if self.signer.account in one.panel]

    async def vote(self, appeal: Appeal, seen: Findings | None, reach: Mapping[Account, Reach]) -> None:
        """Gather what is opened, and cast a ballot: a vote for reversal, or nothing that looks like one.

        An accuser whose address the coordinator does not tell was not asked, and has not kept anything back.
        """
        told = {one: reach[one] for one in (appeal.node, *appeal.accusers) if one in reach}
        opened = await self._opened(appeal, told)
        shown = [
            found
            for accuser in appeal.accusers
            if (found := self.shown(appeal, accuser, opened[accuser])) is not None
        ]
        excused = await self._excused(appeal, opened[appeal.node].counter_evidence_json)
        not_asked = sum(one not in told for one in appeal.accusers)
        reason = reason_to_reverse(appeal, shown, seen, excused=excused, not_asked=not_asked)
        log.info("appeal heard", claim=appeal.claim_id, node=appeal.node, opened=len(shown), reason=reason)
        self.cast(appeal, reason, seen)

    def cast(self, appeal: Appeal, reason: str | None, seen: Findings | None) -> None:
        """Sign a vote for reversal when there is a reason, once; a random hash stands for none."""
        place = (appeal.epoch, Account(appeal.claim_id), self.signer.account, _REVERSAL)
        if reason is None:
            self.table.cast(CastBallot(*place, secrets.token_bytes(32)))
            return
        accused = appeal.claim.accusation
        evidence = Evidence(
            detector=self.signer.account,
            node=accused.node,
            epoch=appeal.epoch,
            kind=accused.kind,
            findings={"reason": reason, "seen": seen.document() if seen else None},
            salt=secrets.token_hex(32),
        )
        message = Reversal(hash_bytes(appeal.claim_id), appeal.epoch, hash_bytes(evidence.hash))
        signature = sign(self.signer, self.quorum, message)
        wire = ReversalVotes(evidence_hash=message.evidence_hash, signature=signature)
        self.table.cast(
            CastBallot(*place, keccak(signature), wire.SerializeToString(), evidence.model_dump_json())
        )

    def shown(self, appeal: Appeal, accuser: Account, opened: OpenedClaim) -> Shown | None:
        """Return what an accuser opened, None unless vote, signature, commitment and evidence fit one another."""
        accused = appeal.claim.accusation
        try:
            signed = signed_vote(accused.epoch, accused.node, opened.vote)
            evidence = Evidence.model_validate_json(opened.evidence_json)
            evidence_hash = hash_bytes(evidence.hash)
            findings = FINDINGS.validate_python(evidence.findings)
            voter = recover(self.quorum, signed.message, signed.signature)
            proven = accused.kind is not Kind.DATASET or self._two_roots(accused.node, findings)
        except (SignatureError, ValidationError, ValueError):
            return None
        vote = signed.message
        told = (evidence.detector, evidence.node, evidence.epoch, evidence.kind)
        fits = (
            isinstance(vote, Vote)
            and (voter, leaf_of(accuser, signed.signature_hash)) == (accuser, appeal.leaves[accuser])
            and evidence_hash == vote.evidence_hash
            and told == (accuser, accused.node, accused.epoch, accused.kind)
            and proven
        )
        if not fits or not isinstance(vote, Vote):
            return None
        return Shown(findings, Measurement(vote.cores, vote.memory_mib, vote.speed))

    # Between the members of a panel

    def told(self, appeal: Appeal) -> ReversalVotes:
        """Return what the other members may know of this detector's ballot now."""
        own = self._ballots(appeal).get(self.signer.account)
        told = ReversalVotes(claim_id=hash_bytes(appeal.claim_id), epoch=appeal.epoch)
        if own is not None:
            told.signature_hash = own.signature_hash
            if own.vote and self.may_show(appeal.epoch):
                told.MergeFromString(own.vote)
        return told

    async def exchange(self, caller: Account, votes: ReversalVotes) -> ReversalVotes:
        """Take what another member cast, and tell what this one did. Errors: PeerRefusalError."""
        present = await self.panels.present_epoch()
        if votes.epoch not in (present, present - 1) or len(votes.claim_id) != 32:
            raise NotReadyError(f"The epoch here is {present}.")
        appeal = await self.appeals.find(hash32(votes.claim_id), votes.epoch)
        if appeal is None or not {caller, self.signer.account} <= set(appeal.panel):
            raise NotAllowedError("Caller and callee are not members of one panel that hears this appeal.")
        self.take(appeal, caller, votes, still_open=votes.epoch == present)
        return self.told(appeal)

    def take(self, appeal: Appeal, member: Account, told: ReversalVotes, *, still_open: bool) -> None:
        """Keep what another member told, its hash only while the epoch is `still_open`; MalformedError."""
        place = (appeal.epoch, Account(appeal.claim_id), member, _REVERSAL)
        if still_open and told.signature_hash:
            if len(told.signature_hash) != 32:
                raise MalformedError("A hash has 32 bytes.")
            self.table.cast(CastBallot(*place, told.signature_hash))
        if not told.signature:
            return
        vote = ReversalVotes(evidence_hash=told.evidence_hash, signature=told.signature)
        try:
            if recover(self.quorum, self._message(appeal, vote), vote.signature) != member:
                raise MalformedError("A vote is not signed by the member who tells it.")
        except (SignatureError, ValueError) as error:
            raise MalformedError("A vote is not signed as votes are.") from error
        self.table.reveal(CastBallot(*place, keccak(vote.signature), vote.SerializeToString()))

    def wants_reversal(self, appeal: Appeal) -> bool:
        """Whether this detector voted for it."""
        own = self._ballots(appeal).get(self.signer.account)
        return own is not None and bool(own.vote)

    def hashes(self, appeal: Appeal) -> Mapping[Account, bytes]:
        """Return the hash that each member cast, as far as known."""
        return {member: one.signature_hash for member, one in self._ballots(appeal).items()}

    def votes(self, appeal: Appeal) -> dict[Account, SignedVote]:
        """Return the votes for reversal that are known, this detector's too."""
        known = {
            member: ReversalVotes.FromString(one.vote)
            for member, one in self._ballots(appeal).items()
            if one.vote
        }
        return {
            member: SignedVote(self._message(appeal, one), one.signature) for member, one in known.items()
        }

    def _ballots(self, appeal: Appeal) -> dict[Account, CastBallot]:
        return {one.member: one for one in self.table.of(appeal.epoch, Account(appeal.claim_id))}

    def _message(self, appeal: Appeal, vote: ReversalVotes) -> Reversal:
        if len(vote.evidence_hash) != 32:
            raise ValueError("a hash has 32 bytes")
        return Reversal(hash_bytes(appeal.claim_id), appeal.epoch, vote.evidence_hash)

    def _two_roots(self, node: Account, findings: Findings) -> bool:
        """Whether the owner itself signed both roots."""
        return any(
            one.first_root != one.second_root
            and all(
                is_bound(node, self.registry, one.dataset, bytes.fromhex(root), bytes.fromhex(signature))
                for root, signature in (
                    (one.first_root, one.first_signature),
                    (one.second_root, one.second_signature),
                )
            )
            for one in findings.two_roots
        )

    async def _opened(self, appeal: Appeal, told: Mapping[Account, Reach]) -> Mapping[Account, OpenedClaim]:
        """Return what each node opens; nothing of those that cannot be reached three times."""
        opened = defaultdict[Account, OpenedClaim](OpenedClaim)
        for number in range(_TIMES_ASKED):
            left = [reach for one, reach in told.items() if one not in opened]
            if left and number:
                await self.clock.until(self.clock.now() + _PAUSE_SHARE * self.epoch_seconds)
            answers = await asyncio.gather(*(self._ask(appeal, one) for one in left))
            opened.update(
                (one.account, found) for one, found in zip(left, answers, strict=True) if found is not None
            )
        return opened

    async def _ask(self, appeal: Appeal, whom: Reach) -> OpenedClaim | None:
        try:
            async with NodeLine(whom, self.tls) as line:
                return await line.open_claim(hash_bytes(appeal.claim_id))
        except grpc.aio.AioRpcError as error:
            log.info("claim not opened", claim=appeal.claim_id, by=whom.account, reason=error.details())
            return None

    async def _excused(self, appeal: Appeal, answer_json: str) -> bool:
        try:
            answer = CounterEvidence.model_validate_json(answer_json)
        except ValidationError:
            return False
        if answer.hash != appeal.counter_evidence_hash or answer.claim_id != appeal.claim_id:
            return False
        accused = appeal.claim.accusation
        times = Schedule(accused.epoch, self.epoch_seconds)
        for one in answer.queries:
            began, ended = await self._computed(accused.node, QueryId(hash32(bytes.fromhex(one[2:]))))
            if began <= times.round(0).end and ended >= times.round(1).start:
                return True
        return False

    async def _computed(self, node: Account, query: QueryId) -> tuple[float, float]:
        """From when until when a node took part in a query, in seconds since 1970 by the chain."""
        began, ended, head = float("inf"), float("inf"), await self.chain.head()
        for event in await self.chain.events_of_query(query, head.number):
            match event:
                case QueryDispatched() if node in (*event.owners, *event.mpcs):
                    began = await self._time_of(event)
                case MPCUpdated() if node == event.new_mpc:
                    began = await self._time_of(event)
                case MPCUpdated() if node == event.old_mpc:
                    ended = min(ended, await self._time_of(event))
                case QueryCompleted() | QueryFailed():
                    ended = min(ended, await self._time_of(event))
        return began, ended

    async def _time_of(self, event: Event) -> float:
        block = await self.chain.block(event.position.block_number)
        return float(block.timestamp) if block else float("inf")
