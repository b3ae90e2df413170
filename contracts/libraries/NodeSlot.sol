// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodeRegistry} from "../interfaces/INodeRegistry.sol";

/// @dev From the low bits up: `address operator | uint8 roles | uint32 version | uint32 incarnation | bool active | bool
/// suspended`. Zero: never registered.
type NodeWord is uint256;

using NodeSlot for NodeWord global;

/// @title The first word of a node, read and written whole: all that other contracts ask is in it.
library NodeSlot {
    uint256 private constant ROLES_AT = 160;
    uint256 private constant VERSION_AT = 168;
    uint256 private constant INCARNATION_AT = 200;
    uint256 private constant ACTIVE = 1 << 232;
    uint256 private constant SUSPENDED = 1 << 233;

    /// @dev An active node, not suspended.
    function pack(
        address operator_,
        uint8 roles_,
        uint32 version_,
        uint32 incarnation_
    ) internal pure returns (NodeWord) {
        uint256 head = ACTIVE | (uint256(incarnation_) << INCARNATION_AT);
        return
            NodeWord.wrap(
                head | (uint256(version_) << VERSION_AT) | (uint256(roles_) << ROLES_AT) | uint160(operator_)
            );
    }

    /// @dev What stays of a node that left: operator, incarnation and suspension.
    function gone(NodeWord word) internal pure returns (NodeWord) {
        uint256 bits = NodeWord.unwrap(word) & ~(ACTIVE | (((1 << 40) - 1) << ROLES_AT));
        return NodeWord.wrap(bits);
    }

    function withSuspension(NodeWord word, bool suspended) internal pure returns (NodeWord) {
        uint256 bits = NodeWord.unwrap(word);
        return NodeWord.wrap(suspended ? bits | SUSPENDED : bits & ~SUSPENDED);
    }

    function operator(NodeWord word) internal pure returns (address) {
        return address(uint160(NodeWord.unwrap(word)));
    }

    function roles(NodeWord word) internal pure returns (uint8) {
        return uint8(NodeWord.unwrap(word) >> ROLES_AT);
    }

    function version(NodeWord word) internal pure returns (uint32) {
        return uint32(NodeWord.unwrap(word) >> VERSION_AT);
    }

    function incarnation(NodeWord word) internal pure returns (uint32) {
        return uint32(NodeWord.unwrap(word) >> INCARNATION_AT);
    }

    function isKnown(NodeWord word) internal pure returns (bool) {
        return NodeWord.unwrap(word) != 0;
    }

    function isRegistered(NodeWord word) internal pure returns (bool) {
        return NodeWord.unwrap(word) & ACTIVE != 0;
    }

    function isSuspended(NodeWord word) internal pure returns (bool) {
        return NodeWord.unwrap(word) & SUSPENDED != 0;
    }

    /// @dev Active, not suspended, with at least one of the roles.
    function isEligible(NodeWord word, uint8 role) internal pure returns (bool) {
        return NodeWord.unwrap(word) & (ACTIVE | SUSPENDED) == ACTIVE && roles(word) & role != 0;
    }

    function status(NodeWord word) internal pure returns (INodeRegistry.NodeStatus) {
        if (!isKnown(word)) return INodeRegistry.NodeStatus.None;
        if (!isRegistered(word)) return INodeRegistry.NodeStatus.Gone;
        return isSuspended(word) ? INodeRegistry.NodeStatus.Suspended : INodeRegistry.NodeStatus.Active;
    }
}
