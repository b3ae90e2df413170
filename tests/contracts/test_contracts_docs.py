"""The reference of the contracts is what their Natspec says, and nothing of ours goes unsaid."""

import pytest

from scripts.contracts_docs import main
from scripts.natspec import NatspecError, compile_contracts, undocumented

SILENT = """
pragma solidity 0.8.37;
contract Silent {
    error Refused(uint256 amount);
    event Moved(address indexed to);
    /// @notice Moves.
    function move(address to) external returns (bool) { emit Moved(to); return true; }
}
"""
SPOKEN = """
pragma solidity 0.8.37;
/// @title One that speaks.
contract Spoken {
    /// @notice Too much.
    error Refused(uint256 amount);
    /// @notice It moved.
    /// @param to where.
    event Moved(address indexed to);
    /// @notice How far.
    uint256 public distance;
    /// @notice Moves.
    /// @param to where.
    /// @return whether it did.
    function move(address to) external returns (bool) { emit Moved(to); return true; }
}
"""


def test_the_committed_reference_is_the_contracts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_what_says_nothing_is_named() -> None:
    assert undocumented(compile_contracts({"contracts/Silent.sol": SILENT})) == [
        "contracts/Silent.sol: Silent has no @title",
        "contracts/Silent.sol: error Refused has no @notice",
        "contracts/Silent.sol: event Moved has no @notice",
        "contracts/Silent.sol: event Moved has no @param to",
        "contracts/Silent.sol: function move has no @param to",
        "contracts/Silent.sol: function move has no @return for bool",
    ]


def test_what_says_all_is_let_through() -> None:
    assert undocumented(compile_contracts({"contracts/Spoken.sol": SPOKEN})) == []


def test_what_does_not_compile_is_refused() -> None:
    with pytest.raises(NatspecError, match="ParserError"):
        compile_contracts({"contracts/Broken.sol": "pragma solidity 0.8.37; contract Broken {"})
