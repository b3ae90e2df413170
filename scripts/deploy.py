"""Deploys the contracts and writes deployments/<chain id>.json.

Exit status: 0 done, 1 refused or failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from dataclasses import fields
from pathlib import Path

from eth_account import Account

sys.path.insert(0, str(Path(__file__).parents[1]))

from soterone.chain.deploying import connect, deploy, is_live
from soterone.chain.deployment import Deployment, DeploymentError, Parameters

FOLDER = Path(__file__).parents[1] / "deployments"


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; says each step on standard output and what is wrong on standard error."""
    options = _parser().parse_args(arguments)
    try:
        path = _deploy(options)
    except DeploymentError as problem:
        print(f"deploy: {problem}", file=sys.stderr)
        return 1
    print(f"wrote {path}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rpc", required=True, metavar="URL", help="JSON-RPC address of the chain")
    parser.add_argument(
        "--key-file", required=True, type=Path, metavar="FILE", help="private key in hex, or a JSON keystore"
    )
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="of the keystore; asked for otherwise"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where <chain id>.json goes")
    parser.add_argument("--replace", action="store_true", help="deploy anew beside a live deployment")
    for one in fields(Parameters):
        flag = "--" + one.name.replace("_", "-")
        if isinstance(one.default, int):
            parser.add_argument(
                flag, type=number, default=one.default, metavar="N", help=f"default {one.default}"
            )
        else:
            parser.add_argument(flag, metavar="ADDRESS", help=f"account that gets the role of {one.name}")
    return parser


def number(text: str) -> int:
    """Decimal, or hexadecimal with 0x."""
    return int(text, 0)


def _deploy(options: argparse.Namespace) -> Path:
    client = connect(options.rpc)
    path: Path = options.folder / f"{client.eth.chain_id}.json"
    if path.exists() and not options.replace and is_live(client, Deployment.load(path)):
        raise DeploymentError(
            f"{path} names contracts that are live: add --replace to deploy others beside them"
        )
    parameters = Parameters(**{one.name: getattr(options, one.name) for one in fields(Parameters)})
    print(f"deploying to chain {client.eth.chain_id} at {options.rpc}")
    deploy(
        options.rpc, private_key(options.key_file, options.password_file), parameters, announce=print
    ).save(path)
    return path


def private_key(key_file: Path, password_file: Path | None) -> str:
    """The key in a file as hex; of a keystore with its password, which is asked for when no file has it."""
    try:
        text: str = key_file.read_text().strip()
        if not text.startswith("{"):
            return text
        return bytes(Account.decrypt(json.loads(text), _password(password_file))).hex()
    except OSError as problem:
        raise DeploymentError(
            f"{problem.filename} cannot be read ({problem.strerror}): check the path"
        ) from None
    except ValueError as problem:
        raise DeploymentError(f"{key_file} does not open ({problem}): check file and password") from None


def _password(file: Path | None) -> str:
    return file.read_text().strip() if file else getpass.getpass("password of the keystore: ")


if __name__ == "__main__":
    sys.exit(main())
