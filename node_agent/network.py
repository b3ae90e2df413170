"""The network that this agent belongs to: fetched once from the coordinator, held against the chain, then kept."""

from pathlib import Path

from eth_utils.crypto import keccak
from pydantic import BaseModel, ConfigDict, ValidationError

from node_agent.errors import AgentError, Unreachable
from soterone.chain.client import ChainClient
from soterone.chain.deployment import Deployment, DeploymentError
from soterone.chain.errors import ChainError, ChainUnreachableError
from soterone.chain.records import Contracts
from soterone.client import errors as client_errors
from soterone.client.transport import Transport
from soterone.crypto.accounts import account
from soterone.crypto.files import write_private
from soterone.crypto.messages import Domain
from soterone.domain.ids import Hash32, hash32
from soterone.domain.spec import describe
from soterone.rest.network import NetworkDescription


class NetworkError(AgentError):
    """The coordinator's description of its network does not hold; the text says against what."""


class Network(BaseModel):
    """A network as this agent trusts it. The code hashes are the deployment file's, or those found at init."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: NetworkDescription
    code_hashes: dict[str, Hash32]

    @property
    def contracts(self) -> Contracts:
        """Where the contracts stand, for the chain client."""
        addresses = {name: account(address) for name, address in self.description.contracts.items()}
        return Contracts(self.description.chain_id, self.description.start_block, addresses, self.code_hashes)

    def domain(self, contract: str) -> Domain:
        """The EIP-712 domain of one of the contracts."""
        return Domain(self.description.chain_id, account(self.description.contracts[contract]))

    def save(self, path: Path) -> None:
        """Write a new file (mode 0600)."""
        write_private(path, self.model_dump_json(indent=2).encode())

    @classmethod
    def load(cls, path: Path) -> "Network":
        """Read what `save` wrote; NetworkError when it is missing or wrong."""
        try:
            return cls.model_validate_json(path.read_text())
        except OSError as error:
            raise NetworkError(
                f"{path} cannot be read ({error.strerror}); run `soter-node init` anew"
            ) from error
        except ValidationError as error:
            raise NetworkError(f"{path} is wrong at {describe(error)}; run `soter-node init` anew") from error


def fetch_description(coordinator: str, ca_file: Path | None) -> NetworkDescription:
    """Ask a coordinator for its network over HTTPS. Errors: Unreachable, NetworkError."""
    try:
        transport = Transport(coordinator, ca_file)
        try:
            return transport.get("network", NetworkDescription)
        finally:
            transport.close()
    except client_errors.Unreachable as error:
        raise Unreachable(str(error)) from error
    except client_errors.ClientError as error:
        raise NetworkError(str(error)) from error


def check_against_deployment(description: NetworkDescription, path: Path) -> dict[str, Hash32]:
    """Return the code hashes of a deployment file; NetworkError when the coordinator names other contracts."""
    try:
        deployment = Deployment.load(path)
    except DeploymentError as error:
        raise NetworkError(str(error)) from error
    known = {name: one.address.lower() for name, one in deployment.contracts.items()}
    told = {name: address.lower() for name, address in description.contracts.items()}
    if (deployment.chain_id, known) != (description.chain_id, told):
        raise NetworkError(
            f"the coordinator names other contracts or another chain than {path}; do not trust it"
        )
    return {name: hash32(one.code_hash) for name, one in deployment.contracts.items()}


async def join_network(
    coordinator: str, ca_file: Path | None, rpc_url: str, deployment: Path | None
) -> Network:
    """Return the network once the chain, read through the agent's own RPC, bears it out."""
    description = fetch_description(coordinator, ca_file)
    hashes = check_against_deployment(description, deployment) if deployment else {}
    unproven = Network(description=description, code_hashes=hashes)
    async with await open_chain(rpc_url, unproven.contracts) as chain:
        found = {name: await chain.code_at(address) for name, address in unproven.contracts.addresses.items()}
    return Network(
        description=description, code_hashes={name: hash32(keccak(code)) for name, code in found.items()}
    )


async def open_chain(rpc_url: str, contracts: Contracts) -> ChainClient:
    """Connect to the chain and check its contracts. Errors: Unreachable, NetworkError."""
    try:
        return await ChainClient.connect(rpc_url, contracts)
    except ChainUnreachableError as error:
        raise Unreachable(str(error)) from error
    except ChainError as error:
        raise NetworkError(str(error)) from error
