"""Changes the detectors' seats or the quorum's terms: proposes to the timelock, and carries out what has waited.

Run it again with the same arguments until it says that the change is done; --wait does so by itself.
Exit status: 0 done or proposed, 1 refused or failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.deploy import number, private_key
from soterone.chain.calls import Call
from soterone.chain.client import ChainClient
from soterone.chain.deployment import Deployment, DeploymentError
from soterone.chain.direct_sender import DirectSender
from soterone.chain.errors import ChainError
from soterone.chain.governance import GovernanceCalls, Governor, carry_through
from soterone.chain.quorum import Quorum
from soterone.chain.records import Contracts
from soterone.crypto.accounts import Signer, account
from soterone.domain.panels import Terms


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; says each step on standard output and what is wrong on standard error."""
    options = _parser().parse_args(arguments)
    try:
        asyncio.run(_govern(options))
    except (ChainError, DeploymentError, ValueError) as problem:
        print(f"govern: {problem}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rpc", required=True, metavar="URL", help="JSON-RPC address of the chain")
    parser.add_argument("--deployment", required=True, type=Path, metavar="FILE")
    parser.add_argument(
        "--key-file", required=True, type=Path, metavar="FILE", help="private key in hex, or a JSON keystore"
    )
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="of the keystore; asked for otherwise"
    )
    parser.add_argument("--wait", action="store_true", help="wait until the change may be made, and make it")
    changes = parser.add_subparsers(dest="change", required=True)
    seats = changes.add_parser("seats", help="give and take detectors' seats")
    seats.add_argument("--enlist", nargs="*", default=[], type=account, metavar="ACCOUNT")
    seats.add_argument("--remove", nargs="*", default=[], type=account, metavar="ACCOUNT")
    terms = changes.add_parser("terms", help="set the quorum's terms; what is not named stays")
    for one in fields(Terms):
        terms.add_argument("--" + one.name.replace("_", "-"), type=number, metavar="N")
    return parser


async def _govern(options: argparse.Namespace) -> None:
    contracts = Contracts.of(Deployment.load(options.deployment))
    signer = Signer.from_key(private_key(options.key_file, options.password_file))
    async with await ChainClient.connect(options.rpc, contracts) as chain:
        if not await Governor(chain).may_propose(signer.account):
            raise ValueError(f"{signer.account} may not propose: use the governor's key")
        change = await _change(chain, options)
        await carry_through(chain, DirectSender(chain, signer), change, print, wait=options.wait)


async def _change(chain: ChainClient, options: argparse.Namespace) -> Call:
    calls = GovernanceCalls(chain.contracts.addresses)
    if options.change == "seats":
        if not options.enlist and not options.remove:
            raise ValueError("name whom to --enlist or to --remove")
        return calls.rotate(options.remove, options.enlist)
    present, _ = await Quorum(chain).roster()
    given = {one.name: getattr(options, one.name) for one in fields(Terms)}
    wanted = Terms(
        **{name: getattr(present, name) if value is None else value for name, value in given.items()}
    )
    problem = wanted.problem()
    if problem is not None:
        raise ValueError(f"{problem}: choose other terms")
    return calls.set_terms(wanted)


if __name__ == "__main__":
    sys.exit(main())
