"""The detectors' quorum as Python speaks to it: what it knows, and the transactions that anybody may send to it."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, TypeVar

from soterone.chain.ballots import Ballot, SignedVote
from soterone.chain.calls import NOBODY, Call
from soterone.chain.client import ChainClient
from soterone.chain.codec import decode_result, encode_call, event_codecs
from soterone.chain.events import ClaimAppealed, ClaimUpheld, Event, VotesCommitted
from soterone.chain.log_ranges import LogRanges
from soterone.crypto.messages import Domain
from soterone.domain.detection import Accusation, Claim, ClaimStatus
from soterone.domain.ids import Account, Hash32, hash32, hash_bytes
from soterone.domain.panels import Bench, Seat, Terms

QUORUM = "DetectorQuorum"

Kept = TypeVar("Kept", bound=Event)


@dataclass(frozen=True, slots=True)
class ClaimState:
    """`epoch` is that of the commitment, or the one in which an appeal's panel votes once there is an appeal."""

    status: ClaimStatus
    epoch: int


@dataclass(frozen=True, slots=True)
class Suspension:
    """The last epoch of a node's suspension by claims that stand, and how many there are."""

    last_epoch: int
    claims: int


class Quorum:
    """Reads the quorum of one network. Every method may raise what a `ChainClient` raises.

    A network deployed without a quorum has none: `is_deployed` says so, and nothing else may be asked then.
    """

    def __init__(self, chain: ChainClient) -> None:
        self._chain, self._ranges = chain, LogRanges()

    @property
    def is_deployed(self) -> bool:
        """Whether the network has a quorum at all."""
        return QUORUM in self._chain.contracts.addresses

    @property
    def domain(self) -> Domain:
        """What its votes, reversals and appeals are signed for (EIP-712)."""
        contracts = self._chain.contracts
        return Domain(contracts.chain_id, contracts.addresses[QUORUM])

    async def epoch_seconds(self) -> int:
        """How long an epoch lasts: epoch = block time // this."""
        (seconds,) = await self._read("EPOCH_SECONDS")
        return int(seconds)

    async def present_epoch(self) -> int:
        """The epoch of the latest block."""
        (epoch,) = await self._read("presentEpoch")
        return int(epoch)

    async def roster(self) -> tuple[Terms, tuple[Seat, ...]]:
        """Terms and seats for epochs not yet open, in ascending order of the detectors."""
        terms, detectors, operators = await self._read("roster")
        seats = tuple(Seat(*pair) for pair in zip(detectors, operators, strict=True))
        return Terms(*terms), seats

    async def still_seated(self, votes: Mapping[Account, SignedVote]) -> dict[Account, SignedVote]:
        """Leave out the votes of detectors that lost their seats: one of them would void the ballot of all."""
        _, seats = await self.roster()
        detectors = {one.detector for one in seats}
        return {member: vote for member, vote in votes.items() if member in detectors}

    async def has_panels(self) -> bool:
        """Whether an epoch could be opened: there are seats for a panel and an appeal against it."""
        terms, seats = await self.roster()
        return len(seats) >= terms.seats_needed

    async def is_open(self, epoch: int) -> bool:
        """Whether somebody opened an epoch."""
        roster, _ = await self._epoch_of(epoch)
        return roster != NOBODY

    async def bench_of(self, epoch: int, block_number: int | None = None) -> Bench | None:
        """Everything that an epoch's panels follow from; None while it is not opened and seeded."""
        roster, seed = await self._epoch_of(epoch, block_number)
        if roster == NOBODY or seed == 0:
            return None
        return Bench.of_code(await self._chain.code_at(roster), seed)

    async def panel_of(self, node: Account, epoch: int) -> tuple[Account, ...]:
        """Who judges a node, in ascending order; RevertedError
        (`DetectorQuorumEpochNotSeeded`) when the epoch has no panels yet."""
        (panel,) = await self._read("panelOf", node, epoch)
        return tuple(panel)

    async def appeal_panel_of(self, claim_id: Hash32, claim: Claim) -> tuple[Account, ...]:
        """Who judges an appeal against a claim, once its epoch is seeded."""
        (panel,) = await self._read("appealPanelOf", hash_bytes(claim_id), claim.abi())
        return tuple(panel)

    async def claim_of(self, claim_id: Hash32) -> ClaimState:
        """How a claim or a commitment stands; status NONE when there is no such."""
        status, epoch = await self._read("claimOf", hash_bytes(claim_id))
        return ClaimState(ClaimStatus(status), epoch)

    async def commitments_to(self, subject: bytes, blocks_back: int) -> tuple[VotesCommitted, ...]:
        """The commitments to votes on a subject (32 bytes) in the last blocks, in order."""
        return await self._announced(VotesCommitted, [None, hash32(subject)], blocks_back)

    async def commitment(self, claim_id: Hash32, blocks_back: int) -> VotesCommitted | None:
        """The commitment that a claim opened, None when there is none in the last blocks."""
        found = await self._announced(VotesCommitted, [claim_id], blocks_back)
        return found[-1] if found else None

    async def claim(self, claim_id: Hash32, blocks_back: int) -> ClaimUpheld | None:
        """A claim as it was upheld, None when none was in the last blocks."""
        found = await self._announced(ClaimUpheld, [claim_id], blocks_back)
        return found[-1] if found else None

    async def claims_against(self, node: Account, blocks_back: int) -> tuple[ClaimUpheld, ...]:
        """The claims upheld against a node in the last blocks, in order."""
        topic = f"0x{node[2:].lower():0>64}"
        return await self._announced(ClaimUpheld, [None, topic], blocks_back)

    async def appeals(self, blocks_back: int) -> tuple[ClaimAppealed, ...]:
        """The appeals of the last blocks, in order."""
        return await self._announced(ClaimAppealed, [], blocks_back)

    async def suspension_of(self, node: Account) -> Suspension:
        """How long a node is suspended, and by how many claims."""
        return Suspension(*await self._read("suspensionOf", node))

    async def _announced(
        self, kind: type[Kept], topics: Sequence[str | None], blocks_back: int
    ) -> tuple[Kept, ...]:
        """The quorum's events of one kind with these indexed values, in order."""
        head = (await self._chain.head()).number
        first = max(self._chain.contracts.start_block, head - blocks_back)
        topic = next(one for one, codec in event_codecs().items() if codec.name == kind.__name__)
        span = {"topics": [topic, *topics], "address": self._chain.contracts.addresses[QUORUM]}

        async def ask(start: int, last: int) -> tuple[Event, ...]:
            return await self._chain.events_where(span | {"fromBlock": hex(start), "toBlock": hex(last)})

        found = await self._ranges.read_all(first, head, ask)
        return tuple(one for one in found if isinstance(one, kind))

    async def _epoch_of(self, epoch: int, block_number: int | None = None) -> tuple[Account, int]:
        roster, seed = await self._read("epochOf", epoch, block_number=block_number)
        return Account(roster), int(seed)

    async def _read(self, function: str, *arguments: Any, block_number: int | None = None) -> tuple[Any, ...]:
        to = self._chain.contracts.addresses[QUORUM]
        call = Call(to, encode_call(QUORUM, function, *arguments), function)
        return decode_result(
            QUORUM, function, await self._chain.simulate(call, NOBODY, block_number=block_number)
        )


@dataclass(frozen=True, slots=True)
class QuorumCalls:
    """Builds the transactions that anybody may send to the quorum among `addresses` (by Solidity name)."""

    addresses: Mapping[str, Account]

    def open_epoch(self) -> Call:
        """Once an epoch: fixes its terms, its seats and the block whose hash will seed its panels."""
        return self._call("open an epoch", "openEpoch")

    def seed_epoch(self, epoch: int) -> Call:
        """From three blocks after its opening on, while the chain knows the hash (256 blocks; 8,191 with EIP-2935)."""
        return self._call(f"seed epoch {epoch}", "seedEpoch", epoch)

    def commit_votes(self, node: Account, signature_hashes: Sequence[bytes]) -> Call:
        """In the epoch of the votes, any number of times; see `soterone.domain.detection.signature_hashes`."""
        return self._call(f"commit votes on {node}", "commitVotes", node, list(signature_hashes))

    def uphold(self, accusation: Accusation, ballot: Ballot) -> Call:
        """In the epoch after that of the votes."""
        description = f"uphold a claim against {accusation.node}"
        return self._call(description, "uphold", astuple(accusation), ballot.abi())

    def appeal(
        self, claim_id: Hash32, claim: Claim, counter_evidence_hash: bytes, deadline: int, signature: bytes
    ) -> Call:
        """By the accused or its operator; an empty signature when that is the sender."""
        return self._about(claim_id, claim, "appeal", counter_evidence_hash, deadline, signature)

    def commit_reversal(self, claim_id: Hash32, claim: Claim, signature_hashes: Sequence[bytes]) -> Call:
        """As `commit_votes`, in the epoch of the appeal, by its panel."""
        return self._about(claim_id, claim, "commitReversal", list(signature_hashes))

    def reverse(self, claim_id: Hash32, claim: Claim, ballot: Ballot) -> Call:
        """In the epoch after the appeal's."""
        return self._about(claim_id, claim, "reverse", ballot.abi())

    def finalise(self, claim_id: Hash32, claim: Claim) -> Call:
        """When a claim can neither be appealed nor reversed any more."""
        return self._about(claim_id, claim, "finalise")

    def readmit(self, node: Account) -> Call:
        """After the last epoch of a node's suspension."""
        return self._call(f"readmit node {node}", "readmit", node)

    def _about(self, claim_id: Hash32, claim: Claim, function: str, *arguments: object) -> Call:
        description = f"{function} on claim {claim_id}"
        return self._call(description, function, hash_bytes(claim_id), claim.abi(), *arguments)

    def _call(self, description: str, function: str, *arguments: object) -> Call:
        return Call(self.addresses[QUORUM], encode_call(QUORUM, function, *arguments), description)
