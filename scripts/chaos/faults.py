"""How a party breaks, and how it is mended: real signals to real processes, real cables pulled."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import psutil

from scripts.chaos.cells import Fault
from scripts.chaos.ground import Ground
from scripts.chaos.namespaces import Namespaces

STOPPED_SECONDS = 30.0
"""How long a process is stopped: long enough for all that waits for it to be noticed."""

AWAY_SECONDS = 10.0
"""How long a cut or the death of infrastructure lasts: well over the 6 s that make an agent count as dead."""

_REORG_BLOCKS = 4


@dataclass(slots=True)
class Breakage:
    """One fault at some parties. Made by `inject`; `mend` ends it, once, from whichever thread."""

    ground: Ground
    fault: Fault
    parties: tuple[str, ...]
    at: float = field(default_factory=time.time)
    mended_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _timer: threading.Timer | None = None
    _failure: BaseException | None = None

    def outlast(self) -> None:
        """Wait until the fault has lasted as long as it should, then mend it."""
        if self.fault not in (Fault.RESTART, Fault.REORG):
            time.sleep(max(0.0, self.at + _seconds_of(self.fault) - time.time()))
        self.mend()

    def mend(self) -> None:
        """Bring the parties back and wait until they serve; raises what a mending by the timer raised."""
        with self._lock:
            if self.mended_at is None:
                self._mend_all()
                self.mended_at = time.time()
        if self._failure is not None:
            raise self._failure

    def forget(self) -> None:
        """Mend nothing any more by itself."""
        if self._timer is not None:
            self._timer.cancel()

    def mend_after(self, seconds: float) -> None:
        """Mend it in the background after a while."""
        self._timer = threading.Timer(seconds, self._mend_quietly)
        self._timer.daemon = True
        self._timer.start()

    def _mend_all(self) -> None:
        if self.fault is Fault.PART:
            _namespaces(self.ground).join(*self.parties)
            return
        with ThreadPoolExecutor(len(self.parties)) as pool:
            mending = [pool.submit(_mend, self.ground, self.fault, one) for one in self.parties]
        for one in mending:
            one.result()

    def _mend_quietly(self) -> None:
        try:
            self.mend()
        except BaseException as error:
            self._failure = error


def inject(ground: Ground, fault: Fault, parties: Sequence[str], *, until_mended: bool) -> Breakage:
    """Break the parties now. They come back by themselves after a while unless `until_mended`."""
    breakage = Breakage(ground, fault, tuple(parties))
    if fault is Fault.PART:
        _namespaces(ground).part(*parties)
        return breakage
    for party in parties:
        _break(ground, fault, party)
    if fault in (Fault.RESTART, Fault.REORG):
        breakage.mend()
    elif fault is not Fault.KILL or not until_mended:
        breakage.mend_after(_seconds_of(fault))
    return breakage


def _seconds_of(fault: Fault) -> float:
    return STOPPED_SECONDS if fault is Fault.STOP else AWAY_SECONDS


def _break(ground: Ground, fault: Fault, party: str) -> None:
    match fault:
        case Fault.KILL | Fault.RESTART:
            ground.process_of(party).signal(signal.SIGKILL)
        case Fault.STOP:
            _signal_all(ground.process_of(party).pid, signal.SIGSTOP)
        case Fault.CUT:
            _namespaces(ground).cut(party)
        case Fault.REORG:
            ground.network.chain.rpc("anvil_reorg", _REORG_BLOCKS, [])


def _mend(ground: Ground, fault: Fault, party: str) -> None:
    match fault:
        case Fault.KILL | Fault.RESTART:
            ground.process_of(party).stop()
            ground.restart(party)
        case Fault.STOP:
            _signal_all(ground.process_of(party).pid, signal.SIGCONT)
        case Fault.CUT:
            _namespaces(ground).heal(party)


def _namespaces(ground: Ground) -> Namespaces:
    if ground.namespaces is None:
        raise RuntimeError("links cannot be cut without network namespaces")
    return ground.namespaces


def _signal_all(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and to all that it started, as when its machine freezes."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for one in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid, number)
