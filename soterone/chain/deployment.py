"""Where a set of contracts stands on a chain, and with which parameters: `deployments/<chain id>.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from soterone.domain.panels import Terms

DAY_SECONDS: Final = 86_400


class DeploymentError(Exception):
    """Contracts could not be deployed or a deployment file not be used; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the constructors and role grants take; the defaults are those of production.

    `admin_delay_seconds` is how long whatever the governor decides is public before it holds. The quorum's terms, from
    `panel_size` on, are `soterone.domain.panels.Terms`; by default a claim about liveness, version or duty has severity
    1 at most, about profile or snapshot 2, about a dataset 3. Addresses are checksummed; None means the deployer, and
    for `unpauser` nobody: the governor grants it later, as one account never holds both pausing roles.
    """

    epoch_seconds: int = DAY_SECONDS
    week_seconds: int = 7 * DAY_SECONDS
    feedback_window_seconds: int = 14 * DAY_SECONDS
    silent_settle_seconds: int = DAY_SECONDS
    admin_delay_seconds: int = 2 * DAY_SECONDS
    detector_epoch_seconds: int = 3600
    panel_size: int = 7
    threshold: int = 5
    appeal_epochs: int = 24
    suspension_epochs: int = 720
    severities: int = 0x01312210
    governor: str | None = None
    coordinator: str | None = None
    pauser: str | None = None
    unpauser: str | None = None

    @property
    def terms(self) -> Terms:
        """The quorum's terms."""
        return Terms(
            self.panel_size, self.threshold, self.appeal_epochs, self.suspension_epochs, self.severities
        )


DEVNET: Final = Parameters(
    admin_delay_seconds=1,
    detector_epoch_seconds=20,
    panel_size=3,
    threshold=2,
    appeal_epochs=3,
    suspension_epochs=9,
)
"""A network on one machine: seven detectors are enough, and a claim takes seconds. Reputation's days are days."""


@dataclass(frozen=True, slots=True)
class DeployedContract:
    """Where a contract stands; `code_hash` is the Keccak-256 of its runtime code, hex with 0x."""

    address: str
    code_hash: str
    deployed_block: int


@dataclass(frozen=True, slots=True)
class Deployment:
    """One set of contracts on one chain; `start_block` is the first block that can hold an event of theirs."""

    chain_id: int
    start_block: int
    parameters: Parameters
    contracts: Mapping[str, DeployedContract]

    def address_of(self, contract: str) -> str:
        """Checksummed address of a contract by its Solidity name; DeploymentError when there is none."""
        if contract not in self.contracts:
            raise DeploymentError(f"the deployment of chain {self.chain_id} has no {contract}: deploy again")
        return self.contracts[contract].address

    def save(self, path: Path) -> None:
        """Writes the file whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n")
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> Deployment:
        """Reads what `save` wrote; DeploymentError when the file is missing or is not a deployment."""
        try:
            return cls.from_dict(json.loads(path.read_text()))
        except FileNotFoundError:
            raise DeploymentError(
                f"{path} does not exist: deploy the contracts with scripts/deploy.py"
            ) from None
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            raise DeploymentError(f"{path} is not a deployment file ({problem}): deploy again") from None

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Deployment:
        """Parses the JSON object of a deployment file; unknown parameters are refused."""
        contracts = {name: DeployedContract(**one) for name, one in value["contracts"].items()}
        return cls(
            int(value["chain_id"]), int(value["start_block"]), Parameters(**value["parameters"]), contracts
        )
