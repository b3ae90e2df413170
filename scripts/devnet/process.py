"""A child process with files of its own for what it prints and logs, known by the line it prints when ready."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class ProcessError(Exception):
    """A process that did not start, or a command that failed; the text has the end of its log."""


class Process:
    """A running program. It leads a process group of its own, so that stopping it leaves no child behind."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        *,
        end_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name, self.log, self.command = name, log, list(command)
        self.output = log.with_suffix(".out")
        self._environment = {**os.environ, **environment}
        self._end_signal = end_signal
        self._running: subprocess.Popen[bytes] | None = None
        self._offset = 0

    @property
    def pid(self) -> int:
        """The process's id; ProcessError when it never ran."""
        if self._running is None:
            raise ProcessError(f"{self.name} is not running")
        return self._running.pid

    @property
    def alive(self) -> bool:
        """Whether it is running."""
        return self._running is not None and self._running.poll() is None

    def start(self) -> None:
        """Start it; standard output is appended to `output`, standard error to `log`."""
        self._offset = self.output.stat().st_size if self.output.exists() else 0
        with self.output.open("ab") as output, self.log.open("ab") as log:
            self._running = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    def wait_for(self, pattern: str, seconds: float, poll_seconds: float = 0.02) -> re.Match[str]:
        """Return the first match in what it printed since its start; ProcessError when none comes in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = re.search(pattern, self._printed(), re.MULTILINE)
            if found:
                return found
            if not self.alive:
                break
            time.sleep(poll_seconds)
        raise ProcessError(
            f"{self.name} did not get ready; the end of {self.log}:\n{self._printed()[-1500:]}"
        )

    def wait_ready(self, seconds: float = 60.0) -> dict[str, Any]:
        """Return the JSON object that it prints on a line of its own once it serves."""
        line = self.wait_for(r"^\{.*\}$", seconds).group(0)
        ready: dict[str, Any] = json.loads(line)
        return ready

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        if self.alive:
            os.kill(self.pid, number)

    def stop(self, seconds: float = 8.0) -> None:
        """End it and everything it started: politely, then for good."""
        if self._running is None:
            return
        self.signal(self._end_signal)
        try:
            self._running.wait(seconds)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self._running.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _printed(self) -> str:
        with self.output.open("rb") as file:
            file.seek(self._offset)
            return file.read().decode(errors="replace")


def run(
    name: str, command: Sequence[str], log: Path, environment: Mapping[str, str], seconds: float = 60.0
) -> str:
    """Run a command to its end and return what it printed; ProcessError with its last words when it fails."""
    try:
        finished = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**os.environ, **environment},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProcessError(f"{name} did not end within {seconds:g} s") from error
    with log.open("a") as file:
        file.write(finished.stdout + finished.stderr)
    if finished.returncode:
        raise ProcessError(
            f"{name} failed with status {finished.returncode}:\n{(finished.stdout + finished.stderr)[-1500:]}"
        )
    return finished.stdout
