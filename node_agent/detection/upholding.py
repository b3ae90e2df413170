"""What a detector does in the epoch after its votes: shows them, and sends what enough members agree on."""

from node_agent.detection.parts import DetectorParts, Panel
from node_agent.detection.schedule import REVEAL_WAITS, Window
from node_agent.detection.telling import Telling
from soterone.chain.ballots import Ballot
from soterone.domain.detection import ClaimStatus, Kind
from soterone.domain.ids import Account, hash_bytes


class Upholding:
    """One detector's part in claims."""

    def __init__(self, parts: DetectorParts, telling: Telling) -> None:
        self._parts, self._telling = parts, telling

    async def uphold(self, present: int) -> None:
        """Show the votes of the epoch before the present, and send what enough members agree on."""
        times, epoch = self._parts.schedule(present), present - 1
        accused = {
            node: kinds
            for node in self._parts.store.ballots.judged_in(epoch, self._parts.own)
            if (kinds := self._parts.polling.accused(epoch, node))
        }
        if not accused or (bench := await self._parts.draws.bench(epoch)) is None:
            return
        panels = {
            node: bench.panel_on(node, self._parts.polling.votes(epoch, node, kinds[0])[0].operator)
            for node, kinds in accused.items()
        }
        reach = await self._parts.reach({one for panel in panels.values() for one in panel})
        for wait in REVEAL_WAITS:
            await self._parts.clock.until(times.reveals.within(wait))
            await self._telling.tell(epoch, panels, (), reach)
            open_claims = [
                (node, kind)
                for node, kinds in accused.items()
                for kind in kinds
                if not await self._settled(
                    epoch, node, panels[node], kind, bench.terms.threshold, times.reveals
                )
            ]
            if not open_claims:
                return

    async def _settled(
        self, epoch: int, node: Account, panel: Panel, kind: Kind, threshold: int, reveals: Window
    ) -> bool:
        """Send a claim when enough votes are known; whether there is nothing left to do for it."""
        parts = self._parts
        accusation, known = parts.polling.votes(epoch, node, kind)
        if len(known) < threshold:
            return False
        votes = await parts.quorum.still_seated(known)
        for committed in await parts.quorum.commitments_to(accusation.subject, parts.blocks_back):
            ballot = Ballot.of(panel, [hash_bytes(one) for one in committed.leaves], votes)
            if len(ballot.voters) < threshold or parts.own not in ballot.voters:
                continue
            turn = ballot.voters.index(parts.own) * parts.tick_seconds
            await parts.clock.until(min(parts.clock.now() + turn, reveals.end))
            if (await parts.quorum.claim_of(committed.commitment)).status is not ClaimStatus.COMMITTED:
                return True
            return await parts.send(parts.calls.uphold(accusation, ballot))
        return False
