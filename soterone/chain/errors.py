"""What can go wrong between this machine and the chain, each with a sentence that says what to do."""

from collections.abc import Mapping
from typing import Any

from soterone.domain.ids import Account


class ChainError(Exception):
    """Root of everything that this package raises."""


class ChainUnreachableError(ChainError):
    """No usable answer came from the chain's RPC; trying again later may help."""

    def __init__(self, endpoint: str, cause: str) -> None:
        super().__init__(
            f"The chain's RPC at {endpoint} gives no answer ({cause}). Check that it runs and is reachable."
        )
        self.endpoint, self.cause = endpoint, cause


class RpcError(ChainError):
    """The RPC answered with an error that is no contract's refusal."""

    def __init__(self, method: str, code: int, message: str) -> None:
        super().__init__(f"The chain's RPC refused {method}: {message} (code {code}).")
        self.method, self.code, self.message = method, code, message


class WrongChainError(ChainError):
    """The RPC serves another chain than the deployment stands on."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(
            f"The RPC serves chain {found}, but the deployment stands on chain {expected}. "
            "Give an RPC of that chain, or the deployment file of this one."
        )
        self.expected, self.found = expected, found


class ContractMissingError(ChainError):
    """At a contract's address stands no code, or other code than the deployment records."""

    def __init__(self, contract: str, address: Account, *, present: bool) -> None:
        what = "other code than the deployment records" if present else "no code"
        super().__init__(
            f"{contract} is expected at {address}, but {what} stands there. "
            "Use the deployment file that was written for this chain, or deploy again."
        )
        self.contract, self.address, self.present = contract, address, present


class RevertedError(ChainError):
    """A contract refused a call. `name` and `arguments` are those of its typed error (`Error` for a plain reason,
    `Panic` for a failed assertion, an empty name when the data say nothing)."""

    def __init__(self, name: str, arguments: Mapping[str, Any], sentence: str) -> None:
        super().__init__(sentence)
        self.name, self.arguments, self.sentence = name, dict(arguments), sentence


class UnknownBlockError(ChainError):
    """The RPC does not know a block: it is not there yet, or a reorganisation took it away."""

    def __init__(self, block: int | str) -> None:
        super().__init__(
            f"The chain's RPC does not know block {block}. Try again when it has it, or use another."
        )
        self.block = block


class OmittedLogsError(ChainError):
    """The RPC does not give all logs of a block: its header announces more."""

    def __init__(self, block_number: int) -> None:
        super().__init__(
            f"The chain's RPC leaves out logs of block {block_number} that the block's header announces. It is asked "
            "again until it has them; use another RPC when that lasts."
        )
        self.block_number = block_number


class CursorMovedError(ChainError):
    """Another follower moved the cursor meanwhile: nothing was written."""

    def __init__(self) -> None:
        super().__init__(
            "Another follower advanced the same cursor; this one starts again from where it stands."
        )
