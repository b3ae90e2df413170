"""Detectors at work: real chain, real TLS, real challenges. Only the waiting between an epoch's steps is cut short."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest
from fixtures.chain import Anvil, deploy_contracts
from fixtures.court import GOVERNOR, Court
from fixtures.detection import Ground
from fixtures.participants import Node

from node_agent.detection.appeals import Appeals
from node_agent.detection.detector import Detector
from node_agent.detection.draws import Draws
from node_agent.detection.hearings import Hearings
from node_agent.detection.openings import Openings
from node_agent.detection.parts import DetectorParts
from node_agent.detection.paying import Payer
from node_agent.detection.polling import Polling
from node_agent.detection.reach import load_in_heartbeats
from node_agent.detection.rounds import Rounds
from node_agent.detection.schedule import Schedule
from node_agent.detection.speed import core_speed
from node_agent.resources import usable_cores
from node_agent.store import Store
from node_agent.store.node_keys import NodeKey
from soterone.chain.calls import Call, CallBuilder
from soterone.chain.client import ChainClient
from soterone.chain.deployment import DEVNET
from soterone.chain.direct_sender import DirectSender
from soterone.chain.events import ClaimReversed, ClaimUpheld, Event, ProfileMeasured, VotesCommitted
from soterone.chain.quorum import Quorum
from soterone.chain.records import Contracts
from soterone.crypto.accounts import Signer, account, account_bytes
from soterone.crypto.certificates import key_hash_of_key
from soterone.crypto.messages import Domain, Registration, sign
from soterone.domain.detection import ClaimStatus, Evidence, Kind
from soterone.domain.ids import Account, hash32, hash_bytes
from soterone.domain.profiles import NodeProfile
from soterone.domain.reputation import Severity
from soterone.domain.roles import Role
from soterone.rpc.generated import coordinator_pb2 as pb

EPOCH_SECONDS = 36_000
SEATS = 8
VERSION = 0x000100
MODEST = NodeProfile(
    name="node", endpoint="127.0.0.1:1", cpu_cores=1, memory_bytes=64 * 2**20, disk_bytes=0, core_speed=1_000
)


class Warp:
    """A clock that jumps to what is waited for next, once all its users wait, and takes the chain along."""

    def __init__(self, anvil: Anvil) -> None:
        self._anvil, self._now = anvil, 0.0
        self._busy, self._order = 0, itertools.count()
        self._waiting: list[tuple[float, int, asyncio.Event]] = []

    def now(self) -> float:
        return self._now

    def set(self, now: float) -> None:
        self._now = now

    async def until(self, moment: float) -> None:
        if moment <= self._now:
            return
        woken = asyncio.Event()
        heapq.heappush(self._waiting, (moment, next(self._order), woken))
        self._let_go()
        await woken.wait()

    async def all(self, *works: Awaitable[None]) -> None:
        """Run works side by side to their ends."""
        self._busy = len(works)
        await asyncio.gather(*map(self._one, works))

    async def _one(self, work: Awaitable[None]) -> None:
        try:
            await work
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._busy -= 1
        if self._busy or not self._waiting:
            return
        moment, _, woken = heapq.heappop(self._waiting)
        self._now = moment
        if int(moment) > int(self._anvil.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16):
            self._anvil.rpc("evm_setNextBlockTimestamp", int(moment))
        self._anvil.rpc("anvil_mine", "0x1")
        self._busy = 1
        woken.set()


@dataclass
class Coordinator:
    """What a coordinator tells detectors of nodes."""

    cards: dict[Account, pb.NodeCard] = field(default_factory=dict)
    court: Court | None = None
    relayed: int = 0

    async def RelayToQuorum(self, asked: pb.QuorumCall, timeout: float) -> pb.Nothing:  # noqa: N802, ASYNC109
        assert self.court is not None
        quorum = self.court.chain.contracts.addresses["DetectorQuorum"]
        await self.court.payer.send(Call(quorum, asked.data, "relayed"))
        self.relayed += 1
        return pb.Nothing()

    async def DescribeNodes(self, asked: pb.NodesRequest, timeout: float) -> pb.NodesReply:  # noqa: N802, ASYNC109
        known = (self.cards.get(account(one)) for one in asked.accounts)
        return pb.NodesReply(nodes=[one for one in known if one is not None])


@dataclass
class Town:
    """A network with eight detectors in seats, whom `judge` and `uphold` let work through an epoch."""

    court: Court
    warp: Warp
    folder: Path
    stack: AsyncExitStack
    ground: Ground = field(default_factory=Ground)
    coordinator: Coordinator = field(default_factory=Coordinator)
    detectors: dict[Account, Detector] = field(default_factory=dict)
    stores: dict[Account, Store] = field(default_factory=dict)

    async def settle(self) -> None:
        """Register and seat the detectors; every other one has coins, half of the rest one that buys nothing."""
        self.coordinator.court = self.court
        for number in range(SEATS):
            node = self.ground.node(Role.DETECTOR)
            self.court.anvil.rpc(
                "anvil_setBalance", node.account, hex(10**18 if number % 2 else number // 2 % 2)
            )
            store = self.stores[node.account] = Store.open(self.folder / f"{number}.sqlite3")
            self.stack.callback(store.close)
            polling = Polling(
                node.signer,
                self.court.quorum.domain,
                store.ballots,
                self._draws(),
                self._operator,
                self._may_show,
            )
            hearings = self._hearings(node, store)
            await self.add(node, MODEST, Role.DETECTOR, polling, store, hearings)
            self.detectors[node.account] = self._detector(node, store, polling, hearings)
            self.court.detectors[node.account] = node.signer
        await self.court.rotate([], list(self.detectors))

    def _may_show(self, epoch: int) -> bool:
        return self.warp.now() >= Schedule(epoch + 1, EPOCH_SECONDS).reveals.start

    def _draws(self) -> Draws:
        """The chain's draw, never remembered: time jumps here."""
        hours = itertools.count(0, 3600)
        return Draws(self.court.quorum, lambda: float(next(hours)))

    def _appeals(self) -> Appeals:
        hours = itertools.count(0, 3600)
        return Appeals(self.court.quorum, self._draws(), lambda: float(next(hours)))

    def _hearings(self, node: Node, store: Store) -> Hearings:
        return Hearings(
            signer=node.signer,
            tls=node.tls,
            quorum=self.court.quorum.domain,
            registry=self._registry,
            chain=self.court.chain,
            panels=self._draws(),
            appeals=self._appeals(),
            table=store.ballots,
            epoch_seconds=EPOCH_SECONDS,
            may_show=self._may_show,
            clock=self.warp,
        )

    @property
    def _registry(self) -> Domain:
        contracts = self.court.chain.contracts
        return Domain(contracts.chain_id, contracts.addresses["NodeRegistry"])

    def _operator(self, node: Account) -> Account:
        return node

    def _detector(self, node: Node, store: Store, polling: Polling, hearings: Hearings) -> Detector:
        rounds = Rounds(
            node.tls,
            self.court.chain,
            self._registry,
            store.findings,
            lambda: True,
            partial(load_in_heartbeats, self.coordinator),  # type: ignore[arg-type]
            self.warp,
        )
        parts = DetectorParts(
            own=node.account,
            tls=node.tls,
            coordinator=self.coordinator,  # type: ignore[arg-type]
            chain=self.court.chain,
            quorum=Quorum(self.court.chain),
            store=store,
            rounds=rounds,
            polling=polling,
            hearings=hearings,
            draws=self._draws(),
            payer=Payer(
                node.account,
                self.court.chain,
                DirectSender(self.court.chain, node.signer),
                self.coordinator,  # type: ignore[arg-type]
            ),
            epoch_seconds=EPOCH_SECONDS,
            clock=self.warp,
        )
        return Detector(parts)

    async def add(
        self,
        node: Node,
        profile: NodeProfile,
        role: Role,
        votes: Polling | None = None,
        store: Store | None = None,
        hearings: Hearings | None = None,
    ) -> None:
        """Serve a node, register what it declares, and let the coordinator tell of it."""
        panels, appeals = self._draws(), self._appeals()
        openings = store and Openings(node.account, panels, appeals, store.ballots, self.folder)
        reach = await self.stack.enter_async_context(
            self.ground.serving(
                node,
                profile,
                votes=votes,
                panels=panels,
                appeals=appeals,
                openings=openings,
                reversals=hearings,
            )
        )
        await self._register(node, reach.profile, role)
        self.coordinator.cards[node.account] = pb.NodeCard(
            account=account_bytes(node.account),
            profile=pb.NodeProfile(json=reach.profile.canonical().decode()),
            profile_version=1,
            certificate_pem=reach.certificate_pem,
        )

    async def _register(self, node: Node, profile: NodeProfile, role: Role) -> None:
        contracts = self.court.chain.contracts
        deadline = (await self.court.chain.head()).timestamp + EPOCH_SECONDS
        key_hash = key_hash_of_key(node.tls.key_pem)
        message = Registration(
            node.account, node.account, int(role), VERSION, key_hash, hash_bytes(profile.hash), 1, deadline
        )
        registry = Domain(contracts.chain_id, contracts.addresses["NodeRegistry"])
        call = CallBuilder(contracts.addresses).register(message, sign(node.signer, registry, message))
        await self.court.payer.send(call)

    async def live(self, profile: NodeProfile) -> Account:
        """A node that the detectors know of, and judge."""
        node = self.ground.node(Role.MPC_NODE)
        await self.add(node, profile, Role.MPC_NODE)
        key_hash = hash32(key_hash_of_key(node.tls.key_pem))
        seen = NodeKey(node.account, 1, 0, node.account, 2, VERSION, 1, key_hash, suspended=False)
        for store in self.stores.values():
            store.node_keys.append(seen)
        return node.account

    async def epoch(self) -> int:
        """Go to the beginning of the next epoch and return it."""
        epoch = int(self.warp.now()) // EPOCH_SECONDS + 1
        await self.warp.all(self.warp.until(epoch * EPOCH_SECONDS + 1))
        return epoch

    async def judge(self, epoch: int) -> None:
        await self.warp.all(*(one.judge(epoch) for one in self.detectors.values()))

    async def uphold(self, epoch: int) -> None:
        await self.warp.all(*(one.uphold(epoch) for one in self.detectors.values()))

    async def reverse(self, epoch: int) -> None:
        await self.warp.all(*(one.reverse(epoch) for one in self.detectors.values()))

    async def heard(self, claim: ClaimUpheld, by: Signer) -> ClaimStatus:
        """Appeal, let the detectors hear it and decide; how the claim stands then."""
        await self.court.payer.send(await self.court.appealing(claim.claim_id, claim.claim, by))
        epoch = await self.epoch()
        await self.judge(epoch)
        assert await self.epoch() == epoch + 1
        await self.reverse(epoch + 1)
        return (await self.court.quorum.claim_of(claim.claim_id)).status

    async def events(self, kind: type[Event]) -> list[Event]:
        head = await self.court.chain.head()
        found = await self.court.chain.events_between(0, head.number)
        return [one for one in found if isinstance(one, kind)]


@pytest.fixture
def own_city(tmp_path: Path) -> Iterator[tuple[Anvil, Contracts]]:
    process = Anvil(tmp_path)
    process.start()
    terms = replace(
        DEVNET,
        admin_delay_seconds=1000,
        detector_epoch_seconds=EPOCH_SECONDS,
        governor=GOVERNOR.account,
    )
    yield process, Contracts.of(deploy_contracts(process, terms))
    process.stop()


@pytest.fixture
async def town(own_city: tuple[Anvil, Contracts], tmp_path: Path) -> AsyncIterator[Town]:
    anvil, contracts = own_city
    async with AsyncExitStack() as stack:
        chain = await stack.enter_async_context(await ChainClient.connect(anvil.url, contracts))
        made = Town(Court(anvil, chain), Warp(anvil), tmp_path, stack)
        await made.settle()
        made.warp.set((await chain.head()).timestamp)
        yield made


async def test_a_liar_is_found_and_an_honest_node_is_not(town: Town) -> None:
    truth = MODEST.model_copy(update={"cpu_cores": usable_cores(), "core_speed": core_speed()})
    lie = MODEST.model_copy(update={"cpu_cores": 8 * usable_cores(), "core_speed": 20_000})
    honest, liar = await town.live(truth), await town.live(lie)
    epoch = await town.epoch()
    await town.judge(epoch)
    assert await town.events(ClaimUpheld) == []
    assert await town.epoch() == epoch + 1
    await town.uphold(epoch + 1)
    (claim,) = await town.events(ClaimUpheld)
    assert isinstance(claim, ClaimUpheld)
    assert (claim.node, claim.claim.accusation.kind) == (liar, Kind.PROFILE)
    (announced,) = await town.events(ProfileMeasured)
    assert isinstance(announced, ProfileMeasured)
    assert announced.measured.cores <= 2 * usable_cores()
    ledger = await town.court.chain.record_of(liar)
    assert ledger[1] > (await town.court.chain.record_of(honest))[1]
    panel = await Quorum(town.court.chain).panel_of(liar, epoch)
    for voter in claim.claim.signers_among(panel):
        kept = [one for one in town.stores[voter].ballots.of(epoch, liar) if one.evidence]
        shown = Evidence.model_validate_json(kept[0].evidence)
        assert (shown.detector, shown.node, shown.kind) == (voter, liar, Kind.PROFILE)
        assert shown.findings["rounds"]


async def test_a_node_that_vanishes_is_found(town: Town) -> None:
    gone = town.ground.node(Role.MPC_NODE)
    async with AsyncExitStack() as stack:
        served, town.stack = town.stack, stack
        await town.add(gone, MODEST, Role.MPC_NODE)
        town.stack = served
    key_hash = hash32(key_hash_of_key(gone.tls.key_pem))
    for store in town.stores.values():
        store.node_keys.append(
            NodeKey(gone.account, 1, 0, gone.account, 2, VERSION, 1, key_hash, suspended=False)
        )
    epoch = await town.epoch()
    await town.judge(epoch)
    assert await town.epoch() == epoch + 1
    await town.uphold(epoch + 1)
    (claim,) = await town.events(ClaimUpheld)
    assert isinstance(claim, ClaimUpheld)
    assert (claim.node, claim.claim.accusation.kind) == (gone.account, Kind.LIVENESS)

    assert await town.heard(claim, gone.signer) is ClaimStatus.APPEALED
    assert await town.events(VotesCommitted) != []
    assert await town.events(ClaimReversed) == []


async def test_a_claim_that_its_accusers_cannot_bear_out_is_reversed(town: Town) -> None:
    victim = town.ground.node(Role.MPC_NODE)
    await town.add(victim, MODEST, Role.MPC_NODE)
    before = await town.court.chain.record_of(victim.account)
    await town.court.next_epoch()
    accusation = await town.court.accusation(victim.account, Kind.LIVENESS, Severity.LIGHT)
    claim = await town.court.upheld(accusation)
    town.warp.set((await town.court.chain.head()).timestamp)
    assert (await town.court.chain.record_of(victim.account))[1] > before[1]

    assert await town.heard(claim, victim.signer) is ClaimStatus.REVERSED
    assert (await town.court.chain.record_of(victim.account))[1] == before[1]
    panel = await town.court.quorum.panel_of(victim.account, accusation.epoch)
    accusers = claim.claim.signers_among(panel)
    assert len(accusers) == 2
    for one in town.detectors:
        assert ((await town.court.chain.record_of(one))[1] > 0) is (one in accusers)
