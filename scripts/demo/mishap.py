"""`--kill`: somebody dies in the middle of training, and a person watches how the others go on."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from scripts.demo.narrator import Narrator
from scripts.devnet.network import Devnet
from scripts.devnet.process import Process
from soterone.rest.queries import QueryEvent

EPOCHS = 40
_STRUCK_AT_EPOCH = 5
_DOWN_SECONDS = 5.0


class Victim(StrEnum):
    """Who is killed."""

    MPC = "mpc"
    OWNER = "owner"
    COORDINATOR = "coordinator"
    CHAIN = "chain"


@dataclass(slots=True)
class Mishap:
    """Kills its victim once training has reached an epoch, and tells what follows, counted from the kill.

    Infrastructure is started again after a few seconds; a node stays dead until `bring_back`.
    """

    victim: Victim
    network: Devnet
    narrator: Narrator
    seconds: dict[str, float] = field(default_factory=dict)
    _struck_at: float | None = None
    _process: Process | None = None
    _repair: threading.Thread | None = None

    @property
    def fatal(self) -> bool:
        """Whether the query is meant to fail: an owner's data cannot be replaced."""
        return self.victim is Victim.OWNER

    def take(self, event: QueryEvent) -> None:
        """Take in the query's next event: strike when it is time, and tell what the event means afterwards."""
        if self._struck_at is None:
            if _epoch(event) >= _STRUCK_AT_EPOCH:
                self._strike(event)
            return
        at = datetime.fromisoformat(event.at).timestamp() - self._struck_at
        if at > 0:
            self._tell(event, at)

    def bring_back(self) -> None:
        """Start what is still dead, and wait until it serves."""
        if self._repair is not None:
            self._repair.join()
        if self._process is None or self._process.alive or self.victim is Victim.CHAIN:
            return
        self._process.start()
        self._process.wait_ready()
        self.narrator.say(
            f"[bold]{self._process.name}[/] is started again: it reads from the chain what it slept through"
        )

    def _strike(self, event: QueryEvent) -> None:
        self._process = process = self._chosen(event)
        self._struck_at = time.time()
        process.signal(signal.SIGKILL)
        self.narrator.say(
            f"[bold red]kill -9[/] {process.name}, process {process.pid}, in the middle of training"
        )
        if self.victim in (Victim.COORDINATOR, Victim.CHAIN):
            self._repair = threading.Thread(target=self._start_again, args=(process,), daemon=True)
            self._repair.start()

    def _chosen(self, event: QueryEvent) -> Process:
        if self.victim is Victim.CHAIN:
            return self.network.chain.process
        if self.victim is Victim.COORDINATOR:
            if self.network.coordinator is None:
                raise RuntimeError("the coordinator does not run")
            return self.network.coordinator
        agents = self.network.agents.values()
        if self.victim is Victim.OWNER:
            return min((one for one in agents if one.role == "owner"), key=lambda one: one.name).process
        return next(agent.process for agent in agents if agent.account == event.data["node"])

    def _start_again(self, process: Process) -> None:
        self.narrator.say("nobody stops: the nodes go on training among themselves")
        time.sleep(_DOWN_SECONDS)
        process.stop()
        if self.victim is Victim.CHAIN:
            self.network.chain.start()
        else:
            process.start()
            process.wait_ready()
        self.narrator.say(f"{process.name} is started again, {self._since():.1f} s after the kill")

    def _since(self) -> float:
        return time.time() - (self._struck_at or 0.0)

    def _tell(self, event: QueryEvent, at: float) -> None:
        """Tell what is new in an event that came `at` seconds after the kill."""
        name, data = self.narrator.name, event.data
        match event.kind:
            case "loss-reported":
                self._once("reported", at, f"{name(data['node'])} signs that {name(data['lost'])} is lost")
            case "mpc-lost":
                words = (
                    "the coordinator does not hear it either: it is lost, and a later block draws who follows"
                )
                self._once("detected", at, words)
            case "mpc-updated":
                drawn, among = name(data["new"]), len(data["candidates"])
                self._once("replaced", at, f"MPCUpdated: {drawn} is drawn among {among} to take its place")
            case "progress" if _epoch(event) and self._goes_on():
                self._once("training", at, f"training goes on: {data['detail']}")
            case "failed":
                self._once("failed", at, "QueryFailed is on chain")

    def _goes_on(self) -> bool:
        return self.victim is not Victim.MPC or "replaced" in self.seconds

    def _once(self, step: str, at: float, words: str) -> None:
        if step not in self.seconds:
            self.seconds[step] = round(at, 1)
            self.narrator.say(f"[bold]{at:4.1f} s after the kill[/]  {words}")


def _epoch(event: QueryEvent) -> int:
    """Return the epoch that an event tells of, 0 when it tells of none."""
    detail = str(event.data.get("detail", "")) if event.kind == "progress" else ""
    return int(detail.split()[1]) if detail.startswith("epoch") else 0
