"""What this machine has and how busy it is, measured with psutil: the profile once, a snapshot each heartbeat."""

import importlib.util
import os
from pathlib import Path

import psutil
from pydantic import ValidationError

from node_agent.detection.speed import core_speed
from node_agent.errors import AgentError
from soterone.domain.profiles import NodeProfile
from soterone.domain.spec import describe
from soterone.rpc.generated.coordinator_pb2 import ResourceSnapshot

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_LOAD = Path("/proc/loadavg")


def measure_profile(name: str, endpoint: str, folder: Path) -> NodeProfile:
    """Return a profile with what was measured: usable cores and their speed, memory, and the free disk under
    `folder`. Takes about half a second."""
    return NodeProfile(
        name=name,
        endpoint=endpoint,
        cpu_cores=usable_cores(),
        memory_bytes=memory_limit_bytes(),
        disk_bytes=psutil.disk_usage(str(folder)).free,
        core_speed=core_speed(),
        engines=installed_engines(),
    )


def load_profile(path: Path) -> NodeProfile:
    """Read the profile that init measured; AgentError when it is damaged."""
    try:
        return NodeProfile.model_validate_json(path.read_text())
    except ValidationError as error:
        raise AgentError(f"{path} is wrong at {describe(error)}; restore it as init wrote it") from error


def installed_engines() -> tuple[str, ...]:
    """Return the engines that can be run here, without loading any."""
    own_interpreter = "SOTER_ENGINE_PYTHON" in os.environ
    return ("spu",) if own_interpreter or importlib.util.find_spec("spu") else ()


def memory_limit_bytes() -> int:
    """Return this machine's memory, or less when a control group (cgroup v2) allows less."""
    total = psutil.virtual_memory().total
    try:
        limit = _CGROUP_LIMIT.read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def usable_cores() -> int:
    """Return the cores that this process may use, or fewer when a control group (cgroup v2) grants less time."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = _CGROUP_QUOTA.read_text().split()
    except (OSError, ValueError):
        return cores
    return min(cores, max(1, int(quota) // int(period))) if quota.isdigit() else cores


def runnable_tasks() -> float:
    """Return how many tasks of this machine want a core: now, or over the last minute where that is more."""
    running = int(_LOAD.read_text().split()[3].partition("/")[0]) - 1
    return max(float(running), os.getloadavg()[0])


class Snapshots:
    """Takes a heartbeat's snapshots and keeps the latest, which detectors are shown."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._latest: ResourceSnapshot | None = None

    def take(self) -> ResourceSnapshot:
        """Take one; only the heartbeat does, as CPU fractions count from one to the next."""
        self._latest = take_snapshot(self._folder)
        return self._latest

    def latest(self) -> ResourceSnapshot:
        """Return the latest; the first is taken when there is none."""
        return self._latest or self.take()


def take_snapshot(folder: Path) -> ResourceSnapshot:
    """Return the load now; the CPU fraction counts since the previous call in this process."""
    memory = psutil.virtual_memory()
    return ResourceSnapshot(
        cpu_fraction=min(1.0, psutil.cpu_percent(None) / 100),
        memory_used_bytes=memory.total - memory.available,
        memory_total_bytes=memory.total,
        disk_free_bytes=psutil.disk_usage(str(folder)).free,
        load_1min=os.getloadavg()[0],
    )
