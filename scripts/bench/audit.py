"""How long `soter audit` takes for 100,000 events, from the beginning and from a checkpoint.

    python -m scripts.bench.audit [--events 100000] [--profile FILE]

The events are really emitted: anvil mines them in large blocks. Exit 1 when the floor is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.bench.rebuild import long_chain
from scripts.devnet.anvil import Anvil
from soterone.audit.auditor import Request, run_audit
from soterone.audit.checkpoint import Checkpoint, load, own_key, public_key_of, save
from soterone.audit.page import as_html
from soterone.chain.client import ChainClient
from soterone.chain.deployment import Deployment
from soterone.chain.records import Contracts

FLOOR_SECONDS = 60.0
EVENTS_A_QUERY = 10.9
"""On average, with those that fail, go on or are rated."""
_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Figures:
    """`processor_seconds`, this program's alone, tells a slow program from a busy machine."""

    events: int
    seconds: float
    processor_seconds: float
    megabytes: float = 0.0


def main() -> None:
    """Make the history once, audit it twice, print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--profile", type=Path, help="write the profile of the first audit")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soterone-audit-") as name:
        folder = Path(name)
        with long_chain(folder, int(arguments.events / EVENTS_A_QUERY) + 2) as (chain, deployment):
            profile = cProfile.Profile() if arguments.profile else None
            if profile:
                profile.enable()
            whole = asyncio.run(measure(chain, deployment, folder, None))
            if profile:
                profile.disable()
                profile.dump_stats(arguments.profile)
            again = asyncio.run(measure(chain, deployment, folder, folder / "checkpoint"))
    print(
        json.dumps({"floor_seconds": FLOOR_SECONDS, "whole": asdict(whole), "from_checkpoint": asdict(again)})
    )
    sys.exit(whole.seconds > FLOOR_SECONDS or whole.events < arguments.events)


async def measure(chain: Anvil, deployment: Deployment, folder: Path, checkpoint: Path | None) -> Figures:
    """Return what an audit takes, with its page and the checkpoint that it leaves."""
    began, busy = time.monotonic(), time.process_time()
    key = own_key(folder / "audit.key")
    known: Checkpoint | None = load(checkpoint, frozenset({public_key_of(key)})) if checkpoint else None
    contracts = Contracts.of(deployment)
    async with await ChainClient.connect(chain.url, contracts, timeout_seconds=_TIMEOUT_SECONDS) as client:
        finished = await run_audit(client, Request(checkpoint=known))
    if finished.checkpoint is None:
        raise RuntimeError(
            f"the chain contradicts itself: {[one for one in finished.report.checks if not one.ok]}"
        )
    save(finished.checkpoint, folder / "checkpoint", key)
    as_html(finished.report)
    size = (folder / "checkpoint").stat().st_size / 1e6
    return Figures(
        finished.report.new_events,
        round(time.monotonic() - began, 1),
        round(time.process_time() - busy, 1),
        round(size, 1),
    )


if __name__ == "__main__":
    main()
