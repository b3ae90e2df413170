"""What this node opens to the panel that hears an appeal: its evidence when it signed the claim, its answer when it is
the accused."""

from pathlib import Path

from node_agent.detection.appeals import Appeals
from node_agent.detection.desk import Panels
from node_agent.peers.errors import MalformedError, NotAllowedError
from node_agent.store.ballots import BallotTable
from soterone.domain.ids import Account, Hash32, hash32
from soterone.rpc.generated.peer_pb2 import CastVote, OpenedClaim


class Openings:
    """Answers `OpenClaim`."""

    def __init__(
        self, own: Account, panels: Panels, appeals: Appeals, ballots: BallotTable, answers: Path
    ) -> None:
        self._own, self._panels, self._appeals = own, panels, appeals
        self._ballots, self._answers = ballots, answers

    async def open(self, caller: Account, claim_id: bytes) -> OpenedClaim:
        """Open what this node has of a claim. Errors: PeerRefusalError."""
        if len(claim_id) != 32:
            raise MalformedError("A claim's id has 32 bytes.")
        appeal = await self._appeals.find(hash32(claim_id), await self._panels.present_epoch())
        if appeal is None or caller not in appeal.panel:
            raise NotAllowedError(
                "The caller is not of a panel that hears this claim's appeal in this epoch."
            )
        accused = appeal.claim.accusation
        answer = self._answer(appeal.counter_evidence_hash) if self._own == accused.node else ""
        for one in self._ballots.of(accused.epoch, accused.node):
            if one.member == self._own and one.kind == accused.kind and one.evidence:
                return OpenedClaim(
                    vote=CastVote.FromString(one.vote),
                    evidence_json=one.evidence,
                    counter_evidence_json=answer,
                )
        return OpenedClaim(counter_evidence_json=answer)

    def _answer(self, counter_evidence_hash: Hash32) -> str:
        path = answer_file(self._answers, counter_evidence_hash)
        return path.read_text() if path.exists() else ""


def answer_file(folder: Path, counter_evidence_hash: Hash32) -> Path:
    """Where an answer to a claim is kept, JSON of `CounterEvidence`, by the hash that stands on chain."""
    return folder / f"{counter_evidence_hash}.json"
