"""The parts that every party shares and that a customer imports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soterone.client.customer import Customer
    from soterone.crypto.accounts import Wallet

__version__ = "0.1.0"


def connect(url: str, wallet: Wallet, rpc_url: str, ca_file: Path | None = None) -> Customer:
    """Sign in at the coordinator at `url` as a query customer; `rpc_url` is a chain node that you trust.

    Raises `soterone.client.errors.Unreachable` or `Refused`.
    """
    from soterone.client.customer import Customer

    return Customer.connect(url, wallet, rpc_url, ca_file)
