"""A node that declares sixteen cores and has two, among detectors that are real processes on a real chain.

    python -m scripts.bench.liar [--epoch-seconds 420] [--json FILE]

Everything runs on this one machine, so that an epoch must be long enough for all challenges: 420 s on two idle cores.
Exit 1 when the liar is not found in the first epoch that is judged whole, an honest node is accused, or the
coordinator still plans with the lie.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from scripts.devnet.network import Devnet
from scripts.devnet.process import ProcessError
from soterone.chain.client import ChainClient
from soterone.chain.deployment import DEVNET
from soterone.chain.events import ClaimUpheld, Event, VotesCommitted
from soterone.chain.records import Contracts
from soterone.client.customer import Customer
from soterone.client.errors import ClientError
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import query_id_of
from soterone.domain.detection import Kind
from soterone.domain.ids import Account
from soterone.domain.spec import QuerySpec
from soterone.rest.catalog import NodeEntry

DECLARED_CORES: Final = 16
LIAR, HONEST = "boaster", "dora"
OWNERS: Final = ("clinic", "laboratory")
DETECTING_NODES: Final = ("ada", "bela", "cleo")
WATCHERS: Final = ("uma", "vera", "wilma")
PROPOSALS: Final = 5
_ROWS = 200
_LOOK_SECONDS = 1.0
_MOST_EPOCHS = 4

Kept = TypeVar("Kept", bound=Event)


@dataclass(frozen=True, slots=True)
class LiarFigures:
    """`rounds` were played with the liar before it was upheld; bounds are lower bounds of E, 1e9 fixed point."""

    epoch_seconds: int
    rounds: int
    seconds_to_claim: float
    declared_cores: int
    verified_cores: int
    liar_bound: int
    honest_bound: int
    claims_against_others: int
    proposals: int
    proposals_with_the_liar: int
    proposals_with_the_honest_node: int

    def complaints(self) -> list[str]:
        """What is not as it must be."""
        wrong = {
            f"the liar was found after {self.rounds} rounds": self.rounds > 2,
            f"{self.claims_against_others} claims against honest nodes": self.claims_against_others > 0,
            f"{self.verified_cores} cores are planned with": self.verified_cores > DECLARED_CORES // 4,
            "the liar's reputation did not fall": self.liar_bound >= self.honest_bound,
            "the liar was proposed": self.proposals_with_the_liar > 0,
        }
        return [sentence for sentence, applies in wrong.items() if applies]


def measure(folder: Path, epoch_seconds: int, tell: Callable[[str], None]) -> LiarFigures:
    """Bring a network up inside `folder`, wait for the claim, and take it down again; TimeoutError without one."""
    network = Devnet(folder, replace(DEVNET, detector_epoch_seconds=epoch_seconds, appeal_epochs=1))
    try:
        network.start_chain()
        network.deploy()
        network.start_coordinator()
        _populate(network, tell)
        return asyncio.run(_watch(network, epoch_seconds, tell))
    finally:
        network.stop()


def _populate(network: Devnet, tell: Callable[[str], None]) -> None:
    small = {"cpu_cores": 1}
    with ThreadPoolExecutor(max_workers=2) as pool:
        work = [pool.submit(network.add_agent, one, "owner", "--detector", declares=small) for one in OWNERS]
        work += [
            pool.submit(network.add_agent, one, "mpc", "--detector", declares=small)
            for one in DETECTING_NODES
        ]
        work += [pool.submit(network.add_agent, one, "detector", declares=small) for one in WATCHERS]
        work.append(pool.submit(network.add_agent, HONEST, "mpc"))
        lie = {"cpu_cores": DECLARED_CORES}
        work.append(pool.submit(network.add_agent, LIAR, "mpc", declares=lie))
        for one in work:
            one.result()
    with ThreadPoolExecutor(max_workers=3) as pool:
        list(pool.map(network.start_agent, network.agents))
    for place, owner in enumerate(OWNERS):
        path = network.folder / f"{owner}.csv"
        path.write_text(_table(place))
        network.node(owner, "dataset", "add", str(path), "--name", owner, "--key", "id")
    tell("all agents run")
    detectors = [network.agents[one].account for one in (*OWNERS, *DETECTING_NODES, *WATCHERS)]
    for payer in detectors[::2]:
        network.chain.rpc("anvil_setBalance", payer, hex(10**18))
    network.enlist(detectors)  # last: whoever runs is judged from here on
    tell(f"{len(detectors)} detectors have seats, every other one has coins")


def _table(place: int) -> str:
    header = "id,malignant,radius" if place == 0 else "id,texture"
    rows = (
        f"P{row:04},{row % 2},{row % 17}.5" if place == 0 else f"P{row:04},{row % 13}.5"
        for row in range(_ROWS)
    )
    return "\n".join((header, *rows, ""))


async def _watch(network: Devnet, epoch_seconds: int, tell: Callable[[str], None]) -> LiarFigures:
    if network.deployment is None:
        raise RuntimeError("nothing is deployed")
    liar, honest = (network.agents[one].account for one in (LIAR, HONEST))
    first_epoch = int(time.time()) // epoch_seconds + 1
    tell(f"epoch {first_epoch} will be judged whole")
    async with await ChainClient.connect(network.rpc_url, Contracts.of(network.deployment)) as chain:
        began = first_epoch * epoch_seconds
        claim = await _claim_against(chain, liar, began + _MOST_EPOCHS * epoch_seconds, tell)
        seconds = time.time() - began
        judged = claim.claim.accusation.epoch
        tell(f"upheld {seconds:.0f} s after the beginning of epoch {first_epoch}, by votes of epoch {judged}")
        with Customer.connect(
            network.rest_url, Signer.new(), network.rpc_url, network.ca_file, network.folder / "customer"
        ) as customer:
            entry = await _planned_with(customer, liar)
            bounds = [customer.ledger.standing_of(one).lower_bound for one in (liar, honest)]
            tell(f"the coordinator plans with {entry.verified_cpu_cores} of {entry.cpu_cores} cores")
            chosen = [_proposed(network, number) for number in range(PROPOSALS)]
        await asyncio.sleep(
            max(0.0, (judged + 2) * epoch_seconds - time.time())
        )  # claims on others come until then
        others = [one for one in await _events(chain, ClaimUpheld) if one.node != liar]
    return LiarFigures(
        epoch_seconds=epoch_seconds,
        rounds=2 * (judged - first_epoch + 1),
        seconds_to_claim=round(seconds, 1),
        declared_cores=entry.cpu_cores,
        verified_cores=entry.verified_cpu_cores,
        liar_bound=bounds[0],
        honest_bound=bounds[1],
        claims_against_others=len(others),
        proposals=len(chosen),
        proposals_with_the_liar=sum(liar in one for one in chosen),
        proposals_with_the_honest_node=sum(honest in one for one in chosen),
    )


async def _claim_against(
    chain: ChainClient, node: Account, deadline: float, tell: Callable[[str], None]
) -> ClaimUpheld:
    committed = 0
    while time.time() < deadline:
        events = await _events(chain, ClaimUpheld)
        if found := [one for one in events if one.node == node and one.claim.accusation.kind is Kind.PROFILE]:
            return found[0]
        if len(await _events(chain, VotesCommitted)) > committed:
            committed += 1
            tell("votes were committed")
        await asyncio.sleep(_LOOK_SECONDS)
    raise TimeoutError("no claim against the liar; see the agents' logs, or make epochs longer")


async def _events(chain: ChainClient, kind: type[Kept]) -> list[Kept]:
    found = await chain.events_between(0, (await chain.head()).number)
    return [one for one in found if isinstance(one, kind)]


async def _planned_with(customer: Customer, node: Account) -> NodeEntry:
    """The catalog's entry, once the coordinator has read the claim."""
    async with asyncio.timeout(60):
        while True:
            entry = next(one for one in customer.nodes() if one.account == node)
            if entry.measured_in is not None:
                return entry
            await asyncio.sleep(_LOOK_SECONDS)


def _proposed(network: Devnet, number: int) -> Sequence[Account]:
    """The MPC nodes that are reserved for a customer's first query; it is cancelled, not launched."""
    with Customer.connect(
        network.rest_url,
        Signer.new(),
        network.rpc_url,
        network.ca_file,
        network.folder / f"customer-{number}",
    ) as customer:
        datasets = list(customer.datasets())
        labelled = next(one.metadata.id for one in datasets if one.metadata.column("malignant"))
        spec = QuerySpec.model_validate(
            {
                "name": "plan",
                "algorithm": "vertical-logistic-regression",
                "datasets": [one.metadata.id for one in datasets],
                "key": "id",
                "label": {"dataset": labelled, "column": "malignant"},
            }
        )
        order = customer.propose(spec)
        customer.query(
            query_id_of(customer.connection.ledger_domain, customer.account, order.salt)
        ).cancel()  # the owners' only cores are free again for the next
        return order.mpcs


def main() -> int:
    """Print the figures as JSON; exit 1 when one is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--epoch-seconds", type=int, default=420)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began = time.monotonic()

    def tell(sentence: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {sentence}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="soterone-liar-") as folder:
        try:
            figures = measure(Path(folder), options.epoch_seconds, tell)
        except (TimeoutError, ClientError, ProcessError) as problem:
            print(f"liar: {problem}", file=sys.stderr)
            return 1
    document = json.dumps({**asdict(figures), "wrong": figures.complaints()}, indent=2)
    if options.json:
        options.json.write_text(document + "\n")
    print(document)
    return int(bool(figures.complaints()))


if __name__ == "__main__":
    sys.exit(main())
