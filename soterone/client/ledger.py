"""What the customer reads from the chain itself, through a node of its own choice."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from anyio.from_thread import start_blocking_portal

from soterone.chain.client import ChainClient
from soterone.chain.errors import ChainError, ChainUnreachableError, UnknownBlockError
from soterone.chain.events import MPCUpdated
from soterone.chain.records import Contracts, QueryState
from soterone.chain.reputation_history import Step, read_history
from soterone.chain.standing import Standing, read_standing
from soterone.client.errors import Unreachable, Untrustworthy
from soterone.client.verification import Replacement
from soterone.crypto.accounts import account
from soterone.domain.ids import Account, QueryId
from soterone.rest.network import NetworkDescription

Answer = TypeVar("Answer")


class Ledger:
    """Blocking reads of the contracts, also from inside a notebook's event loop."""

    def __init__(self, rpc_url: str, network: NetworkDescription) -> None:
        addresses = {name: account(address) for name, address in network.contracts.items()}
        self._contracts = Contracts(network.chain_id, network.start_block, addresses, {})
        self._rpc_url = rpc_url
        self._ask(lambda chain: chain.check())

    def time(self) -> int:
        """Return the chain's time: the newest block's, in seconds since 1970."""
        return self._ask(lambda chain: chain.head()).timestamp

    def commitment_of(self, query_id: QueryId) -> int:
        """Return the 208 bits that the chain keeps of a query."""
        return self._ask(lambda chain: chain.commitment_of(query_id))

    def status_of(self, query_id: QueryId) -> QueryState:
        """Return status, generation and time of a query."""
        return self._ask(lambda chain: chain.status_of(query_id))

    def replacements_of(self, query_id: QueryId) -> tuple[Replacement, ...]:
        """Return which MPC nodes of a query were replaced by which, in order."""

        async def ask(chain: ChainClient) -> tuple[Replacement, ...]:
            events = await chain.events_of_query(query_id, (await chain.head()).number)
            return tuple((one.old_mpc, one.new_mpc) for one in events if isinstance(one, MPCUpdated))

        return self._ask(ask)

    def scores_of(self, nodes: list[Account]) -> tuple[int, ...]:
        """Return R' of each node as of now, 1e9 fixed point."""
        return self._ask(lambda chain: chain.scores_of(nodes))

    def standing_of(self, account: Account, block_number: int | None = None) -> Standing:
        """Return what the contracts' views say of an account at a block, or at the newest."""
        return self._ask(lambda chain: read_standing(chain, account, block_number))

    def history_of(self, node: Account, limit: int = 100) -> tuple[Step, ...]:
        """Return the last steps of a node's reputation, newest first, read from the contracts' events and compared
        with what the contract holds."""
        return self._ask(lambda chain: read_history(chain, node, limit))

    def _ask(self, question: Callable[[ChainClient], Awaitable[Answer]]) -> Answer:
        async def ask() -> Answer:
            async with await ChainClient.connect(self._rpc_url, self._contracts) as chain:
                return await question(chain)

        try:
            with start_blocking_portal() as portal:
                return portal.call(ask)
        except (ChainUnreachableError, UnknownBlockError) as error:
            raise Unreachable(str(error)) from error
        except ChainError as error:
            raise Untrustworthy(str(error)) from error
