"""The processes of a network, brought up in order and taken down in reverse."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from node_agent.resources import load_profile
from node_agent.settings import RoleName
from scripts.devnet.anvil import INTERVAL_MINING, Anvil
from scripts.devnet.hosting import Hosting, Loopback
from scripts.devnet.postgres import Postgres
from scripts.devnet.process import Process, run
from soterone.chain.client import ChainClient
from soterone.chain.deploying import deploy
from soterone.chain.deployment import DEVNET, Deployment, Parameters
from soterone.chain.direct_sender import DirectSender
from soterone.chain.governance import GovernanceCalls, carry_through
from soterone.chain.records import Contracts
from soterone.crypto.accounts import Signer
from soterone.domain.ids import Account

BIN = Path(sys.executable).parent
COINS_WEI = 10**21


@dataclass(slots=True)
class Agent:
    """One agent: its folder, account and process."""

    name: str
    role: RoleName
    folder: Path
    account: Account
    process: Process


SERVICES = ("api", "rpc", "follower", "sender", "reconciler")
_OF_EACH = 2


@dataclass(slots=True)
class Devnet:
    """A network inside one folder. Every server listens on its party's address at a port that was free.

    The coordinator is one process on SQLite, or with a `postgres` two processes of every service: `services`.
    """

    folder: Path
    parameters: Parameters = DEVNET
    environment: Mapping[str, str] = field(default_factory=dict)
    hosting: Hosting = field(default_factory=Loopback)
    postgres: Postgres | None = None
    chain: Anvil = field(init=False)
    coordinator: Process | None = None
    services: dict[str, Process] = field(default_factory=dict)
    agents: dict[str, Agent] = field(default_factory=dict)
    rest_url: str = ""
    deployment: Deployment | None = None
    governor: Signer = field(default_factory=Signer.new)

    def __post_init__(self) -> None:
        state = ("--state", str(self.folder / "chain.json"), "--state-interval", "1")
        self.chain = Anvil(self._log("chain").parent, *INTERVAL_MINING, *state, hosting=self.hosting)

    @property
    def ca_file(self) -> Path:
        """The coordinator's certificate authority, for those who talk to it."""
        return self.folder / "coordinator" / "ca.pem"

    @property
    def database_url(self) -> str:
        """The coordinator's database, for a reader of its own (SQLAlchemy, blocking)."""
        if self.postgres is not None:
            return self.postgres.url()
        file = self.folder / "coordinator" / "coordinator.sqlite"
        return f"sqlite:///file:{file}?mode=ro&uri=true"

    @property
    def deployment_file(self) -> Path:
        """Where the contracts stand."""
        return self.folder / "deployment.json"

    @property
    def rpc_url(self) -> str:
        """The chain's HTTP address."""
        return self.chain.url

    def start_chain(self) -> str:
        """Start anvil and return its address."""
        self.chain.start()
        return self.rpc_url

    def deploy(self) -> Deployment:
        """Put the contracts on the chain with a fresh governor and a fresh coordinator key."""
        self.governor, sender = self.funded_account(), self.funded_account()
        self._secret("coordinator.key", sender.private_key().hex())
        parameters = replace(self.parameters, coordinator=sender.account)
        self.deployment = deploy(self.rpc_url, self.governor.private_key().hex(), parameters)
        self.deployment.save(self.deployment_file)
        return self.deployment

    def enlist(self, detectors: Sequence[Account]) -> None:
        """Give registered detectors seats, for epochs not yet open; takes what the timelock waits and a block."""
        asyncio.run(self._enlist(detectors))

    async def _enlist(self, detectors: Sequence[Account]) -> None:
        if self.deployment is None:
            raise ValueError("deploy the contracts before detectors get seats")
        async with await ChainClient.connect(self.rpc_url, Contracts.of(self.deployment)) as chain:
            change = GovernanceCalls(chain.contracts.addresses).rotate((), detectors)
            await carry_through(chain, DirectSender(chain, self.governor), change)

    def initialise_coordinator(self) -> Path:
        """Make the coordinator's folder and database, once, and return the folder."""
        data, host = self.folder / "coordinator", self.hosting.address("coordinator")
        if not data.exists():
            self._run(
                "coordinator", "soter-coordinator", "init", "--data-dir", str(data),
                "--host", host, "--public-host", host,
                "--chain-rpc", self.rpc_url, "--chain-ws", self.chain.ws_url,
                "--deployment", str(self.deployment_file), "--key-file", str(self.folder / "coordinator.key"),
                "--database-url", self.postgres.url() if self.postgres else "",
            )  # fmt: skip
            self._run("coordinator", "soter-coordinator", "migrate", "--data-dir", str(data))
        return data

    def start_coordinator(self) -> str:
        """Initialise, migrate and start the coordinator; returns its REST address."""
        if self.postgres is not None:
            return self._start_services(self.postgres)
        data = self.initialise_coordinator()
        self.coordinator = self._process(
            "coordinator", [str(BIN / "soter-coordinator"), "serve", "--data-dir", str(data)]
        )
        self.coordinator.start()
        self.rest_url = self.coordinator.wait_ready()["rest"]
        return self.rest_url

    def _start_services(self, postgres: Postgres) -> str:
        postgres.start()
        command = [str(BIN / "soter-coordinator"), "serve", "--data-dir", str(self.initialise_coordinator())]
        for service in SERVICES:
            for number in range(1, _OF_EACH + 1):
                name = f"{service}-{number}"
                self.services[name] = self._process(name, [*command, "--only", service], "coordinator")
                self.services[name].start()
        ready = {name: process.wait_ready() for name, process in self.services.items()}
        self.coordinator = self.services["rpc-1"]
        self.rest_url = ready["api-1"]["rest"]
        return self.rest_url

    def add_agent(
        self, name: str, role: RoleName, *options: str, declares: Mapping[str, Any] | None = None
    ) -> Agent:
        """Initialise and register an agent; `start_agent` runs it. `declares` replaces what its profile measured."""
        data = self.folder / name
        password_file = self._secret(f"{name}.password", secrets.token_urlsafe(24))
        self._run(
            name, "soter-node", "init", "--data-dir", str(data), "--coordinator", self.rest_url,
            "--ca-file", str(self.ca_file), "--deployment", str(self.deployment_file),
            "--rpc", self.rpc_url, "--rpc-ws", self.chain.ws_url,
            "--name", name, "--role", role, "--listen", f"{self.hosting.address(name)}:0",
            "--password-file", str(password_file), *options,
        )  # fmt: skip
        if declares:
            profile = load_profile(data / "profile.json").model_copy(update=declares)
            (data / "profile.json").write_text(profile.model_dump_json(indent=2))
        answer = self.node(name, "register")
        command = [str(BIN / "soter-node"), "run", *self._node_options(name)]
        agent = Agent(name, role, data, Account(answer["account"]), self._process(name, command))
        self.agents[name] = agent
        return agent

    def node(self, name: str, *command: str) -> dict[str, Any]:
        """Run a `soter-node` command of an agent with `--json` and return its answer."""
        printed = self._run(name, "soter-node", *command, *self._node_options(name), "--json")
        answer: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
        return answer

    def start_agent(self, name: str) -> None:
        """Run an agent and wait until it is connected."""
        agent = self.agents[name]
        agent.process.start()
        agent.process.wait_ready()

    def funded_account(self) -> Signer:
        """Return a fresh account with coins of this chain."""
        signer = Signer.new()
        self.chain.rpc("anvil_setBalance", signer.account, hex(COINS_WEI))
        return signer

    @property
    def processes(self) -> list[Process]:
        """Everything that was started, in order."""
        coordinator = [self.coordinator] if self.coordinator and not self.services else []
        coordinator += self.services.values()
        return [self.chain.process, *coordinator, *(agent.process for agent in self.agents.values())]

    def stop(self) -> None:
        """Stop everything, agents first; the services of the coordinator together."""
        for service in self.services.values():
            service.signal(signal.SIGTERM)
        for process in reversed(self.processes):
            process.stop()
        if self.postgres is not None:
            self.postgres.stop()

    def _node_options(self, name: str) -> list[str]:
        return ["--data-dir", str(self.folder / name)]

    def _process(self, name: str, command: list[str], place: str | None = None) -> Process:
        return Process(name, self.hosting.command(place or name, command), self._log(name), self._settings)

    def _run(self, party: str, program: str, *arguments: str) -> str:
        return run(
            f"{program} {arguments[0]}",
            self.hosting.command(party, [str(BIN / program), *arguments]),
            self._log("commands"),
            self._settings,
        )

    @property
    def _settings(self) -> dict[str, str]:
        """What every process gets: on this chain what is mined counts at once."""
        return {"SOTER_FINAL_DEPTH_BLOCKS": "0", **self.environment}

    def _log(self, name: str) -> Path:
        folder = self.folder / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}.log"

    def _secret(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(content)
        return path
