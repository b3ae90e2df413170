// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

interface Assumptions {
    function assume(bool condition) external pure;
}

/// @title The base of what Halmos proves: every function `check_…` holds for all its arguments.
abstract contract Proof {
    Assumptions private constant ASSUMPTIONS =
        Assumptions(address(uint160(uint256(keccak256("hevm cheat code")))));

    function _assume(bool condition) internal pure {
        ASSUMPTIONS.assume(condition);
    }
}
