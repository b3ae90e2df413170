"""The network that breaks: one chain, one coordinator, two owners, six MPC nodes of six operators, one customer."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from scripts.chaos.namespaces import Namespaces
from scripts.demo.hospitals import KEY, LABEL, Hospital, split
from scripts.devnet.hosting import Hosting, Loopback
from scripts.devnet.network import Devnet
from scripts.devnet.postgres import Postgres
from scripts.devnet.process import Process
from soterone.chain.deployment import DEVNET
from soterone.chain.records import Contracts
from soterone.client.customer import Customer
from soterone.client.errors import ClientError
from soterone.crypto.accounts import Signer
from soterone.domain.spec import QuerySpec
from soterone.rest.queries import TimerWishes

MPC_NAMES = ("ada", "bela", "cleo", "dora", "emil", "fay")
EPOCHS = 16
SHORT_DAYS = replace(
    DEVNET, epoch_seconds=20, week_seconds=140, feedback_window_seconds=3600, silent_settle_seconds=3600
)
"""Reputation has to move within minutes: a day of this chain takes 20 s."""

SETTINGS = {"SOTER_TOKEN_SECONDS": "43200"}
TIMERS = TimerWishes(max_run_seconds=150, result_retry_seconds=60, cleanup_grace_seconds=60)
_ONLINE_SECONDS = 60.0


class GroundError(Exception):
    """The network does not get on its feet; the text says which part."""


@dataclass(slots=True)
class Ground:
    """One network and its customer. `namespaces` is None where links cannot be cut.

    With `postgres` the coordinator is two processes of every service. `process_ids` are all that an agent ever had,
    by its name.
    """

    folder: Path
    namespaces: Namespaces | None
    postgres: bool
    network: Devnet = field(init=False)
    customer: Customer = field(init=False)
    spec: QuerySpec = field(init=False)
    process_ids: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        hosting: Hosting = self.namespaces or Loopback()
        (self.folder / "logs").mkdir()
        database = Postgres(self.folder / "logs", hosting=hosting) if self.postgres else None
        self.network = Devnet(self.folder, SHORT_DAYS, SETTINGS, hosting, database)

    @property
    def contracts(self) -> Contracts:
        """Where the contracts stand."""
        if self.network.deployment is None:
            raise GroundError("the contracts are not deployed")
        return Contracts.of(self.network.deployment)

    def start(self) -> None:
        """Bring everything up; ProcessError, ClientError or GroundError when a part does not come."""
        self.network.start_chain()
        self.network.deploy()
        self.network.start_coordinator()
        with ThreadPoolExecutor(max_workers=2) as pool:
            work = [pool.submit(self._add_owner, table) for table in split()]
            work += [pool.submit(self._add_mpc_node, name) for name in MPC_NAMES]
            for one in work:
                one.result()
        self.customer = Customer.connect(
            self.network.rest_url,
            Signer.new(),
            self.network.rpc_url,
            self.network.ca_file,
            self.folder / "customer",
        )
        self.spec = self._spec()

    def stop(self) -> None:
        """Take everything down."""
        self.network.stop()
        if self.namespaces is not None:
            self.namespaces.close()

    def wait_online(self) -> None:
        """Wait until the catalog shows every node online; GroundError names those that do not come."""
        deadline = time.monotonic() + _ONLINE_SECONDS
        while missing := self._offline():
            if time.monotonic() > deadline:
                raise GroundError(f"not online after {_ONLINE_SECONDS:.0f} s: {', '.join(missing)}")
            time.sleep(0.25)

    def name_of(self, account: str) -> str:
        """Return the name of the agent with an account."""
        return next((name for name, one in self.network.agents.items() if one.account == account), account)

    def process_of(self, party: str) -> Process:
        """Return a party's process."""
        if party == "postgres" and self.network.postgres is not None:
            return self.network.postgres.process
        return next(process for process in self.network.processes if process.name == party)

    def leading_sender(self) -> str:
        """Return the sender that said last that it leads."""
        said = {
            line["timestamp"]: name
            for name, process in self.network.services.items()
            for line in map(json.loads, _json_lines(process.log))
            if line.get("event") == "sender_leads"
        }
        return said[max(said)]

    def restart(self, party: str) -> None:
        """Start a party's process again and wait until it serves; nothing happens when it runs."""
        process = self.process_of(party)
        if process.alive:
            return
        if party == "chain":
            self.network.chain.start()
        elif party == "postgres" and self.network.postgres is not None:
            self.network.postgres.start()
        else:
            process.start()
            process.wait_ready()
            self.process_ids[party].add(process.pid)

    def _offline(self) -> list[str]:
        try:
            return [node.name for node in self.customer.nodes() if not node.online]
        except ClientError as error:
            return [f"the coordinator ({error})"]

    def _add_owner(self, table: Hospital) -> None:
        self.network.add_agent(table.name, "owner")
        self._start_agent(table.name)
        path = self.folder / f"{table.name}.csv"
        table.write(path)
        self.network.node(table.name, "dataset", "add", str(path), "--name", table.name, "--key", KEY)

    def _add_mpc_node(self, name: str) -> None:
        self.network.add_agent(name, "mpc")
        self._start_agent(name)

    def _start_agent(self, name: str) -> None:
        self.network.start_agent(name)
        self.process_ids[name].add(self.network.agents[name].process.pid)

    def _spec(self) -> QuerySpec:
        datasets = [entry.metadata for entry in self.customer.datasets()]
        labelled = next(metadata.id for metadata in datasets if metadata.column(LABEL))
        document = {
            "name": "chaos",
            "algorithm": "vertical-logistic-regression",
            "datasets": [metadata.id for metadata in datasets],
            "key": KEY,
            "label": {"dataset": labelled, "column": LABEL},
            "training": {"epochs": EPOCHS},
        }
        return QuerySpec.model_validate(document)


def _json_lines(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if line.startswith("{")]
