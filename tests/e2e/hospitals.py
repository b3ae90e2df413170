"""Two small hospitals, an archive that is never online and three MPC nodes: a whole network to refuse things in."""

from __future__ import annotations

import csv
import os
import sqlite3
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import yaml
from eth_typing import ChecksumAddress
from web3 import Web3

from scripts.demo.leftovers import leftovers
from scripts.devnet.network import BIN, Devnet
from soterone.client.customer import Customer
from soterone.crypto.accounts import Signer, create_keystore
from soterone.crypto.certificates import TlsIdentity
from soterone.crypto.sealing import ResultKey
from soterone.domain.spec import QuerySpec
from soterone.rest.network import NetworkDescription
from soterone.rpc.channels import agents_channel
from soterone.rpc.generated.coordinator_pb2_grpc import AgentsStub

if TYPE_CHECKING:
    from soterone.rpc.generated.coordinator_pb2_grpc import AgentsAsyncStub

ROOT = Path(__file__).parents[2]
ROWS, COMMON = 200, 160
PASSWORD = "hospital"
Cells = dict[str, list[str]]
"""A table by column, every value as text."""


def clinic_table() -> Cells:
    """The label, a feature and a text column; deterministic."""
    generator = np.random.default_rng(1)
    radius = generator.normal(14.0, 3.0, ROWS)
    malignant = (radius + generator.normal(0.0, 2.0, ROWS) > 15.0).astype(int)
    return {
        "id": [f"P{number:04}" for number in range(ROWS)],
        "malignant": [str(one) for one in malignant],
        "radius": [f"{one:.3f}" for one in radius],
        "ward": ["north" if one else "south" for one in malignant],
    }


def laboratory_table(first: int = ROWS - COMMON) -> Cells:
    """Two features of people counted from `first` on: by default most of the clinic's."""
    generator = np.random.default_rng(2)
    return {
        "id": [f"P{number:04}" for number in range(first, first + ROWS)],
        "texture": [f"{one:.3f}" for one in generator.normal(19.0, 4.0, ROWS)],
        "smoothness": [f"{one:.4f}" for one in generator.normal(0.1, 0.01, ROWS)],
    }


def write_table(path: Path, cells: Cells) -> None:
    """Write a table as CSV, over what was there."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(cells)
        writer.writerows(zip(*cells.values(), strict=True))


def refused(answer: httpx.Response, status: int, *words: str) -> str:
    """Check that an answer is a problem of this status whose sentence has the words; returns the sentence."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    sentence = str(problem["detail"])
    assert [word for word in words if word not in sentence] == [], sentence
    return sentence


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended: exit status, and all that it printed."""

    status: int
    said: str


@dataclass(slots=True)
class Hospitals:
    """The running network, its customer, and the ids of what its owners published."""

    devnet: Devnet
    datasets: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The customer's folder."""
        return self.devnet.folder / "customer"

    def start(self) -> None:
        """Bring everything up; the archive registers and publishes, and stays offline."""
        self.devnet.start_chain()
        self.devnet.deploy()
        self.devnet.start_coordinator()
        write_table(self.table("clinic"), clinic_table())
        write_table(self.table("laboratory"), laboratory_table())
        write_table(self.table("archive"), laboratory_table())
        with ThreadPoolExecutor(max_workers=3) as pool:
            work = [pool.submit(self._start_owner, name) for name in ("clinic", "laboratory", "archive")]
            work += [pool.submit(self._start_mpc_node, name) for name in ("ada", "bela", "cleo")]
            for one in work:
                one.result()

    def table(self, owner: str) -> Path:
        """The file that an owner published."""
        return self.devnet.folder / f"{owner}.csv"

    def account(self, name: str) -> str:
        """The account of an agent."""
        return self.devnet.agents[name].account

    def identity(self, name: str) -> TlsIdentity:
        """The TLS identity of an agent."""
        folder = self.devnet.agents[name].folder
        return TlsIdentity(
            (folder / "tls-key.pem").read_bytes(), (folder / "tls-certificate.pem").read_bytes()
        )

    def customer(self, wallet: Signer | None = None, folder: str = "customer") -> Customer:
        """Sign in as a customer, by default a new one."""
        return Customer.connect(
            self.devnet.rest_url,
            wallet or Signer.new(),
            self.devnet.rpc_url,
            self.devnet.ca_file,
            self.devnet.folder / folder,
        )

    def make_home(self) -> Signer:
        """Make the customer's keystore for the command line."""
        self.home.mkdir(mode=0o700)
        (self.home / "password").write_text(PASSWORD)
        return create_keystore(self.home / "keystore.json", PASSWORD)

    def spec(self, **changes: Any) -> dict[str, Any]:
        """Return a spec that fits, as JSON, with fields replaced."""
        clinic, laboratory = self.datasets["clinic"], self.datasets["laboratory"]
        document = {
            "name": "malignancy-risk",
            "algorithm": "vertical-logistic-regression",
            "datasets": [clinic, laboratory],
            "label": {"dataset": clinic, "column": "malignant"},
            "training": {"epochs": 1},
        }
        return {**document, **changes}

    def query_spec(self) -> QuerySpec:
        """Return the spec that fits."""
        return QuerySpec.model_validate(self.spec())

    def post(self, customer: Customer, path: str, body: Any = None, content: bytes = b"") -> httpx.Response:
        """Send a body as it is, past the SDK's own checks."""
        return self.request("POST", path, customer, json=body) if body is not None else self.request(
            "POST", path, customer, content=content, headers={"Content-Type": "application/json"}
        )  # fmt: skip

    def request(self, method: str, path: str, customer: Customer | None, **options: Any) -> httpx.Response:
        """Call the REST interface; without a customer nobody is signed in."""
        headers = dict(options.pop("headers", {}))
        if customer is not None:
            headers["Authorization"] = f"Bearer {customer.transport.token}"
        context = ssl.create_default_context(cafile=str(self.devnet.ca_file))
        with httpx.Client(base_url=f"{self.devnet.rest_url}/v1/", verify=context, timeout=60) as http:
            return http.request(method, path, headers=headers, **options)

    def propose(self, customer: Customer, **changes: Any) -> httpx.Response:
        """Propose the spec that fits, with fields replaced."""
        key = f"0x{ResultKey.new().public.hex()}"
        return self.post(customer, "queries/proposals", {"spec": self.spec(**changes), "result_key": key})

    def rpc(self, method: str, *parameters: Any) -> Any:
        """Call the chain's RPC; returns the whole answer."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        return httpx.post(self.devnet.rpc_url, json=body).json()

    def command(self, program: str, *arguments: str, **environment: str) -> Finished:
        """Run one of the commands to its end, as the customer or for a folder named in the arguments."""
        own = {"SOTER_HOME": str(self.home), "SOTER_PASSWORD_FILE": str(self.home / "password")}
        finished = subprocess.run(
            [BIN / program, *arguments],
            cwd=ROOT,
            env={**os.environ, **own, "COLUMNS": "400", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Finished(finished.returncode, finished.stdout + finished.stderr)

    @asynccontextmanager
    async def agents_service(self, identity: TlsIdentity) -> AsyncIterator[AgentsAsyncStub]:
        """Yield the coordinator's service for agents, called with this identity."""
        description = self.network()
        channel = agents_channel(description.agents_address, description.ca_pem.encode(), identity)
        async with channel:
            yield AgentsStub(channel)

    def network(self) -> NetworkDescription:
        """Return what the coordinator says of its network."""
        return NetworkDescription.model_validate(self.request("GET", "network", None).json())

    def left_behind(self) -> list[str]:
        """Return what a refusal must not leave: queries that are not over, reservations, workspaces, engines."""
        return [*self._open_queries(), *leftovers(self.devnet)]

    @contextmanager
    def policy(self, name: str, rules: Mapping[str, Any] | str) -> Iterator[None]:
        """Give an agent another policy for the length of a block."""
        path = self.devnet.agents[name].folder / "policy.yaml"
        before = path.read_text()
        path.write_text(rules if isinstance(rules, str) else yaml.safe_dump(dict(rules)))
        try:
            yield
        finally:
            path.write_text(before)

    @contextmanager
    def changed_table(self, owner: str, cells: Cells) -> Iterator[None]:
        """Put another table where an owner's published one was, for the length of a block."""
        before = self.table(owner).read_bytes()
        write_table(self.table(owner), cells)
        try:
            yield
        finally:
            self.table(owner).write_bytes(before)

    def wait_for_log(self, names: Sequence[str], *words: str, seconds: float = 30.0) -> None:
        """Wait until each of these processes has written the words in one line; TimeoutError when one does not."""
        deadline = time.monotonic() + seconds
        for name in names:
            while not any(all(word in line for word in words) for line in self.logs([name]).splitlines()):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{name} did not log {words}")
                time.sleep(0.1)

    def contract(self, name: str) -> ChecksumAddress:
        """The address of a contract."""
        if self.devnet.deployment is None:
            raise RuntimeError("the contracts are not deployed")
        return Web3.to_checksum_address(self.devnet.deployment.address_of(name))

    def logs(self, names: Sequence[str] = ()) -> str:
        """Return what processes wrote: those named, or all."""
        folder = self.devnet.folder / "logs"
        chosen = [folder / f"{name}.log" for name in names] or sorted(folder.glob("*.log"))
        return "".join(path.read_text(errors="replace") for path in chosen)

    def _start_owner(self, name: str) -> None:
        self.devnet.add_agent(name, "owner")
        if name != "archive":
            self.devnet.start_agent(name)
        added = self.devnet.node(name, "dataset", "add", str(self.table(name)), "--name", f"{name} patients")
        self.datasets[name] = added["dataset_id"]

    def _start_mpc_node(self, name: str) -> None:
        self.devnet.add_agent(name, "mpc")
        self.devnet.start_agent(name)

    def _open_queries(self) -> list[str]:
        database = self.devnet.folder / "coordinator" / "coordinator.sqlite"
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(
                "SELECT id, status FROM queries WHERE status NOT IN ('completed', 'failed', 'cancelled')"
            ).fetchall()
        return [f"query {query_id} is {status}" for query_id, status in rows]
