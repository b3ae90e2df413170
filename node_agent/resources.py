"""What this machine has and how busy it is, measured with psutil: the profile once, a snapshot each heartbeat."""

import importlib.util
import os
from pathlib import Path

import psutil
from pydantic import ValidationError

from node_agent.errors import AgentError
from soterone.domain.profiles import NodeProfile
from soterone.domain.spec import describe
from soterone.rpc.generated.coordinator_pb2 import ResourceSnapshot

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def measure_profile(name: str, endpoint: str, folder: Path) -> NodeProfile:
    """Return a profile with what was measured: usable cores and memory, and the free disk under `folder`."""
    return NodeProfile(
        name=name,
        endpoint=endpoint,
        cpu_cores=len(os.sched_getaffinity(0)),
        memory_bytes=memory_limit_bytes(),
        disk_bytes=psutil.disk_usage(str(folder)).free,
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
