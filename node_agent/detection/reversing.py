"""What a detector does for appeals beside hearing them: commits to the panel's votes, and sends a reversal."""

from node_agent.detection.appeals import Appeal
from node_agent.detection.parts import DetectorParts
from node_agent.detection.schedule import REVEAL_WAITS, Schedule, Window
from node_agent.detection.telling import Telling
from soterone.chain.ballots import Ballot, reversal_id
from soterone.domain.detection import NO_HASH, ClaimStatus, leaves_of, reversal_subject
from soterone.domain.ids import hash_bytes


class Reversing:
    """One detector's part in reversals."""

    def __init__(self, parts: DetectorParts, telling: Telling) -> None:
        self._parts, self._telling = parts, telling

    async def commit(self, times: Schedule, appeal: Appeal) -> None:
        """Put the panel's hashes on record, unless another member has by then or this one lets the claim stand."""
        parts = self._parts
        if not parts.hearings.wants_reversal(appeal):
            return
        turn = appeal.panel.index(parts.own) / (2 * len(appeal.panel))
        await parts.clock.until(times.commitments.within(turn))
        hashes = parts.hearings.hashes(appeal)
        listed = [hashes.get(member, NO_HASH) for member in appeal.panel]
        commitment = reversal_id(appeal.claim_id, appeal.epoch, leaves_of(appeal.panel, listed))
        if (await parts.quorum.claim_of(commitment)).status is ClaimStatus.NONE:
            await parts.send(parts.calls.commit_reversal(appeal.claim_id, appeal.claim, listed))

    async def reverse(self, present: int) -> None:
        """Show the votes on appeals of the epoch before the present, and send what enough members agree on."""
        times, hearings = self._parts.schedule(present), self._parts.hearings
        left = [one for one in await hearings.due(present - 1) if hearings.wants_reversal(one)]
        reach = await self._parts.reach({one for appeal in left for one in appeal.panel}) if left else {}
        for wait in REVEAL_WAITS:
            if not left:
                return
            await self._parts.clock.until(times.reveals.within(wait))
            await self._telling.tell(present - 1, {}, left, reach)
            left = [one for one in left if not await self._reversed(one, times.reveals)]

    async def _reversed(self, appeal: Appeal, reveals: Window) -> bool:
        """Send a reversal when enough votes are known; whether there is nothing left to do for it."""
        parts, known = self._parts, self._parts.hearings.votes(appeal)
        if len(known) < appeal.threshold:
            return False
        votes = await parts.quorum.still_seated(known)
        subject = reversal_subject(appeal.claim_id, appeal.epoch)
        for committed in await parts.quorum.commitments_to(subject, parts.blocks_back):
            ballot = Ballot.of(appeal.panel, [hash_bytes(one) for one in committed.leaves], votes)
            if len(ballot.voters) < appeal.threshold or parts.own not in ballot.voters:
                continue
            turn = ballot.voters.index(parts.own) * parts.tick_seconds
            await parts.clock.until(min(parts.clock.now() + turn, reveals.end))
            if (await parts.quorum.claim_of(appeal.claim_id)).status is not ClaimStatus.APPEALED:
                return True
            return await parts.send(parts.calls.reverse(appeal.claim_id, appeal.claim, ballot))
        return False
