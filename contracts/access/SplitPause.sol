// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

/// @title Roles under a delayed administrator, and a pause that whoever pulls it cannot lift.
/// @notice A pause stops new work only; contracts must leave every exit open.
abstract contract SplitPause is AccessControlDefaultAdminRules, Pausable {
    /// @notice May stop new work, and cannot start it again.
    bytes32 public constant PAUSER_ROLE = keccak256("PAUSER_ROLE");
    /// @notice May start again what was stopped, and cannot stop it.
    bytes32 public constant UNPAUSER_ROLE = keccak256("UNPAUSER_ROLE");

    /// @notice One account never holds both roles.
    error SplitPauseBothRoles(address account);

    /// @notice PAUSER_ROLE only.
    function pause() external onlyRole(PAUSER_ROLE) {
        _pause();
    }

    /// @notice UNPAUSER_ROLE only.
    function unpause() external onlyRole(UNPAUSER_ROLE) {
        _unpause();
    }

    function _grantRole(bytes32 role, address account) internal virtual override returns (bool) {
        if (
            (role == PAUSER_ROLE && hasRole(UNPAUSER_ROLE, account)) ||
            (role == UNPAUSER_ROLE && hasRole(PAUSER_ROLE, account))
        ) revert SplitPauseBothRoles(account);
        return super._grantRole(role, account);
    }
}
