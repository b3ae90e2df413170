"""The nodes as the chain shows them: whose TLS key is whose, and who operates whom. Never asks the coordinator."""

from node_agent.store.node_keys import NodeKey, NodeKeys
from soterone.domain.ids import Account, hash32, hash_bytes


class ChainDirectory:
    """The `Directory` of `node_agent.sessions.ports`, over the registry's events in the store."""

    def __init__(self, keys: NodeKeys) -> None:
        self._keys = keys

    def node(self, account: Account) -> NodeKey | None:
        """Return an active node, None when it never registered, unregistered or is suspended."""
        found = self._keys.latest(account)
        return found if found and found.tls_key_hash and not found.suspended else None

    def key_hash(self, account: Account) -> bytes | None:
        """Return the 32-byte hash of an active node's TLS public key, None when it is not one."""
        found = self.node(account)
        return hash_bytes(found.tls_key_hash) if found and found.tls_key_hash else None

    def account_of(self, key_hash: bytes) -> Account | None:
        """Return the active node that shows this TLS key, None when there is none."""
        account = self._keys.account_of(hash32(key_hash))
        return account if account and self.node(account) else None

    def operator(self, account: Account) -> Account | None:
        """Return an active node's operator, None when it is not active."""
        found = self.node(account)
        return found.operator if found else None
