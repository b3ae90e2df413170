"""One query over marked values, stopped at its telling moments to take down what everybody holds, writes and sends."""

import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from link_capture import Capture, permitted
from marked_tables import KEY, Marks, marked_and_labelled
from process_memory import Dump, dump, frozen

from node_agent.workspace.folder import Workspaces
from scripts.demo.leftovers import leftovers
from scripts.devnet.network import Agent, Devnet
from soterone.crypto.accounts import Signer, open_keystore
from soterone.domain.share_file import FRACTION_BITS, ShareFile
from soterone.domain.spec import Training

TRAINING = Training(epochs=8, batch_size=64, holdout=0.4)
OWNERS, MPC_NODES = ("marked", "labelled"), ("ada", "bela", "cleo", "dora")
CREDENTIAL_FILES = ("*.password", "*.key", "*.secret", "*.pem")
ENGINE_PORTS = 200
PHASE_SECONDS = 60.0
POLL_SECONDS = 0.002


@dataclass(slots=True, repr=False)
class Evidence:
    """What was gathered, over a gigabyte.

    Names of dumps begin with the party's; `weights` are those of the epochs at which the engines were stopped.
    """

    marks: Marks
    dumps: list[Dump] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    flows: dict[tuple[int, int], bytes] = field(default_factory=dict)
    weights: dict[int, list[float]] = field(default_factory=dict)
    credentials: dict[str, str] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    peer_ports: set[int] = field(default_factory=set)
    control_port: int = 0
    dropped_packets: int = 0
    left_over: list[str] = field(default_factory=list)


class MarkedQuery:
    """A network of two owners, four MPC nodes and a customer, each a process."""

    def __init__(self, folder: Path) -> None:
        self._first_port = 20_000 + ENGINE_PORTS * secrets.randbelow(11_000 // ENGINE_PORTS)
        ports = json.dumps([self._first_port, self._first_port + ENGINE_PORTS - 1])
        self._base = folder
        self._network = Devnet(folder / "network", environment={"SOTER_NODE_ENGINE_PORTS": ports})
        marked, labelled = marked_and_labelled()
        self._tables = dict(zip(OWNERS, (marked, labelled), strict=True))
        self.evidence = Evidence(Marks.of(marked, labelled, TRAINING))

    def run(self) -> Evidence:
        """Run the query and return everything gathered; the network is stopped afterwards."""
        try:
            self._start()
            with socket.create_server(("127.0.0.1", 0)) as control, self._capture(control) as capture:
                self._order(control)
            if capture is not None:
                self.evidence.flows, self.evidence.dropped_packets = capture.flows, capture.dropped
            self.evidence.left_over = leftovers(self._network)
        finally:
            self._network.stop()
        self._read_files("at the end", self._network.folder)
        self._read_credentials()
        return self.evidence

    def _start(self) -> None:
        network = self._network
        network.start_chain()
        network.deploy()
        network.start_coordinator()
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(self._start_agent, (*OWNERS, *MPC_NODES)))

    def _start_agent(self, name: str) -> None:
        self._network.add_agent(name, "owner" if name in OWNERS else "mpc")
        self._network.start_agent(name)
        if name in OWNERS:
            path = self._base / f"{name}.csv"
            self._tables[name].write(path)
            self._network.node(name, "dataset", "add", str(path), "--name", name, "--key", KEY)

    @contextmanager
    def _capture(self, control: socket.socket) -> Iterator[Capture | None]:
        """Take down what goes to and from every server of the network, and the one of this test itself."""
        self.evidence.peer_ports = {_listening_port(agent) for agent in self._network.agents.values()}
        self.evidence.peer_ports |= set(range(self._first_port, self._first_port + ENGINE_PORTS))
        self.evidence.control_port = control.getsockname()[1]
        ready = (self._network.folder / "logs" / "coordinator.out").read_text().splitlines()[0]
        addresses = [*json.loads(ready).values(), self._network.rpc_url]
        ports = [int(address.rpartition(":")[2]) for address in addresses]
        ports += [_listening_port(agent) for agent in self._network.agents.values()]
        ports.append(self.evidence.control_port)
        engines = (self._first_port, self._first_port + ENGINE_PORTS - 1)
        with Capture(self._base / "capture", ports, engines) if permitted() else nullcontext() as capture:
            yield capture

    def _order(self, control: socket.socket) -> None:
        key = Signer.new().private_key().hex()
        self.evidence.credentials["the customer's key"] = key
        network, training = self._network, TRAINING.model_dump_json()
        command = [sys.executable, str(Path(__file__).with_name("customer_process.py"))]
        command += [
            network.rest_url,
            network.rpc_url,
            str(network.ca_file),
            str(self._base / "customer"),
            key,
            training,
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as customer:
            try:
                self.evidence.credentials["the customer's token"] = _line(customer)["token"]
                self._watch(customer)
                _send_in_the_clear(control, self.evidence)
            finally:
                customer.kill()

    def _watch(self, customer: "subprocess.Popen[str]") -> None:
        """Stop at: both owners aligning; an early epoch; the last epoch, before the evaluation; the end."""
        self._wait_for("marked", "scratch/given.csv", customer)
        self._take_engines(OWNERS, "aligning")
        self._wait_for("*", "checkpoint-2.bin", customer)
        self._take_engines(MPC_NODES, "training")
        self._wait_for("*", f"checkpoint-{TRAINING.epochs}.bin", customer)
        self._take_engines(MPC_NODES, "trained")
        self._take_parties("trained")
        self.evidence.model = _line(customer)
        self.evidence.dumps.append(dump("customer with its model", customer.pid))
        self._take_parties("delivered")
        self._read_files("delivered", self._network.folder)

    def _wait_for(self, name: str, file: str, customer: "subprocess.Popen[str]") -> None:
        """Wait until a file stands in the attempt of an agent, or of two MPC nodes: two shares open a checkpoint."""
        agents = [self._network.agents[one] for one in (MPC_NODES if name == "*" else (name,))]

        def there() -> bool:
            holders = [
                agent for agent in agents if next(_scratch(agent).glob(f"*/*/{file}"), None) is not None
            ]
            return len(holders) >= min(2, len(agents))

        _wait_until(there, customer, file)

    def _take_engines(self, names: Sequence[str], moment: str) -> None:
        engines = {
            child.pid: name
            for name in names
            for child in psutil.Process(self._network.agents[name].process.pid).children(recursive=True)
        }
        with frozen(*engines):
            taken = [dump(f"{name}'s engine {moment}", pid) for pid, name in engines.items()]
            if names == MPC_NODES:
                self._read_scratch(moment)
        assert len(taken) == (3 if names == MPC_NODES else 2), [one.name for one in taken]
        self.evidence.dumps += taken

    def _take_parties(self, moment: str) -> None:
        for process in self._network.processes:
            with frozen(process.pid):
                self.evidence.dumps.append(dump(f"{process.name} {moment}", process.pid))

    def _read_scratch(self, moment: str) -> None:
        """Read what MPC nodes hold on tmpfs, and open from it the model of each epoch that two of them have."""
        found: dict[int, dict[int, ShareFile]] = {}
        for name in MPC_NODES:
            scratch = _scratch(self._network.agents[name])
            self._read_files(f"{name} {moment}", scratch)
            for path in scratch.rglob("checkpoint-*.bin"):
                file = ShareFile.from_bytes(path.read_bytes())
                found.setdefault(file.header.epoch, {})[file.header.rank] = file
        self.evidence.weights |= {epoch: _open(files) for epoch, files in found.items() if len(files) > 1}

    def _read_files(self, prefix: str, folder: Path) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.stat().st_size:
                self.evidence.files[f"{prefix}: {path.relative_to(folder)}"] = path.read_bytes()

    def _read_credentials(self) -> None:
        """Collect what must stand in no log: keys, passwords and tokens in the forms in which they could be written."""
        folder, kept = self._network.folder, self.evidence.credentials
        for path in (file for kind in CREDENTIAL_FILES for file in folder.rglob(kind)):
            text = path.read_text().strip()
            _, private, block = text.partition("PRIVATE KEY-----\n")
            if private or not text.startswith("-----"):
                kept[str(path.relative_to(folder))] = block.split("\n")[0] if private else text
        for name in ("marked", "ada"):
            signer = open_keystore(folder / name / "keystore.json", kept[f"{name}.password"])
            kept[f"{name}'s key"] = signer.private_key().hex()


def _open(files: dict[int, ShareFile]) -> list[float]:
    """Open the weights from two ranks, as only colluding nodes could: rank i holds the components i and i + 1."""
    components = {
        (rank + which) % 3: file.arrays["w"][..., which].ravel()
        for rank, file in files.items()
        for which in (0, 1)
    }
    total = components[0] + components[1] + components[2]
    return list(map(float, total.view("<i8") / 2.0**FRACTION_BITS))


def _send_in_the_clear(control: socket.socket, evidence: Evidence) -> None:
    """Send values and weights over a plain connection of the test's own, for the search of the capture to find."""
    content = evidence.marks.raw.tobytes() + json.dumps(evidence.marks.raw.tolist()).encode()
    with ThreadPoolExecutor(1) as pool, socket.create_connection(control.getsockname()) as sender:
        receiver, _ = control.accept()
        with receiver, receiver.makefile("rb") as stream:
            received = pool.submit(stream.read)
            sender.sendall(content + json.dumps(evidence.model["weights"]).encode())
            sender.shutdown(socket.SHUT_WR)
            received.result(10)


def _scratch(agent: Agent) -> Path:
    return Workspaces.under(agent.folder, quota_bytes=0).scratch_root


def _listening_port(agent: Agent) -> int:
    return int(yaml.safe_load((agent.folder / "config.yaml").read_text())["listen"].rpartition(":")[2])


def _line(customer: "subprocess.Popen[str]") -> dict[str, Any]:
    assert customer.stdout is not None
    line = customer.stdout.readline()
    assert line, "the customer's process ended: its error stands above"
    return dict(json.loads(line))


def _wait_until(condition: Callable[[], bool], customer: "subprocess.Popen[str]", what: str) -> None:
    deadline = time.monotonic() + PHASE_SECONDS
    while not condition():
        assert customer.poll() is None, f"the customer's process ended before {what} was there"
        assert time.monotonic() < deadline, f"{what} did not appear in {PHASE_SECONDS:g} seconds"
        time.sleep(POLL_SECONDS)
