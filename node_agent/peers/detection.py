"""The calls of detectors among the Peer service's: the chain says who calls, the desk and the ballot box answer."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import grpc.aio

from node_agent.peers.errors import NotAllowedError
from soterone.domain.ids import Account
from soterone.rpc.channels import caller_key_hash
from soterone.rpc.generated.peer_pb2 import (
    AppealedClaim,
    ChallengeAnswer,
    ChallengeRun,
    OpenedClaim,
    PanelVotes,
    ProbeReply,
    ProbeRequest,
    ReversalVotes,
)

Context = grpc.aio.ServicerContext[Any, Any]


class ProbeAnswerer(Protocol):
    """Who answers probes and challenges; `node_agent.detection.desk.Desk`."""

    async def probe(self, caller: Account, epoch: int) -> ProbeReply:
        """Tell what this node declares and how it stands; PeerRefusalError."""

    async def challenge(
        self,
        caller: Account,
        runs: AsyncIterator[ChallengeRun],
        write: Callable[[ChallengeAnswer], Awaitable[None]],
    ) -> None:
        """Answer one round's runs in turn; PeerRefusalError."""


class VoteExchanger(Protocol):
    """Who exchanges votes with the other members of a panel."""

    async def exchange(self, caller: Account, votes: PanelVotes) -> PanelVotes:
        """Take what another member cast, and tell what this one did; PeerRefusalError."""


class ClaimOpener(Protocol):
    """Who opens evidence; `node_agent.detection.openings.Openings`."""

    async def open(self, caller: Account, claim_id: bytes) -> OpenedClaim:
        """Open what this node has of a claim under appeal; PeerRefusalError."""


class ReversalExchanger(Protocol):
    """Who exchanges votes on appeals with the other members of a panel."""

    async def exchange(self, caller: Account, votes: ReversalVotes) -> ReversalVotes:
        """Take what another member cast, and tell what this one did; PeerRefusalError."""


class Callers(Protocol):
    """Who shows which key."""

    def account_of(self, key_hash: bytes) -> Account | None:
        """Return the active node that shows this TLS key, None when there is none."""


@dataclass(slots=True)
class DetectionCalls:
    """What this node does of detection; without a desk and an exchange it refuses. `votes` and `reversals` come with
    the detector."""

    callers: Callers | None = None
    desk: ProbeAnswerer | None = None
    votes: VoteExchanger | None = None
    openings: ClaimOpener | None = None
    reversals: ReversalExchanger | None = None

    async def probe(self, request: ProbeRequest, context: Context) -> ProbeReply:
        """See `Peer.Probe`."""
        caller = self._caller(context)
        return await self._desk().probe(caller, request.epoch)

    async def challenge(self, runs: AsyncIterator[ChallengeRun], context: Context) -> None:
        """See `Peer.Challenge`."""
        caller = self._caller(context)
        await self._desk().challenge(caller, aiter(runs), context.write)

    async def exchange(self, request: PanelVotes, context: Context) -> PanelVotes:
        """See `Peer.ExchangeVotes`."""
        caller = self._caller(context)
        if self.votes is None:
            raise NotAllowedError("This node is no detector.")
        return await self.votes.exchange(caller, request)

    async def open_claim(self, request: AppealedClaim, context: Context) -> OpenedClaim:
        """See `Peer.OpenClaim`."""
        caller = self._caller(context)
        if self.openings is None:
            raise NotAllowedError("This network has no detectors.")
        return await self.openings.open(caller, request.claim_id)

    async def exchange_reversals(self, request: ReversalVotes, context: Context) -> ReversalVotes:
        """See `Peer.ExchangeReversals`."""
        caller = self._caller(context)
        if self.reversals is None:
            raise NotAllowedError("This node is no detector.")
        return await self.reversals.exchange(caller, request)

    def _desk(self) -> ProbeAnswerer:
        if self.desk is None:
            raise NotAllowedError("This network has no detectors.")
        return self.desk

    def _caller(self, context: Context) -> Account:
        shown = caller_key_hash(context)
        caller = self.callers.account_of(shown) if shown is not None and self.callers is not None else None
        if caller is None:
            raise NotAllowedError("The caller's TLS key is on chain for no active node.")
        return caller
