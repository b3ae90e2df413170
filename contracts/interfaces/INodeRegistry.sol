// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {NodeWord} from "../libraries/NodeSlot.sol";
import {IReputationLedger} from "./IReputationLedger.sol";

/// @title Who takes part: accounts, operators, roles and the keys that peers pin.
/// @notice Every order comes from the node by EIP-712 signature (EOA or ERC-1271), relayed by anybody, or from the
/// node itself with an empty signature. Domain: name `SoterOne`, version `1`, chain id, this contract.
/// roles: 1 data owner, 2 MPC node, 4 detector (bits). version: major << 16 | minor << 8 | patch.
interface INodeRegistry {
    /// @dev Values of `Node.status`.
    enum NodeStatus {
        None,
        Active,
        Suspended,
        Gone
    }

    /// @dev `incarnation` is the nonce: the account's previous incarnation + 1, and 1 at first.
    struct Registration {
        address node;
        address operator;
        uint8 roles;
        uint32 version;
        bytes32 tlsKeyHash;
        bytes32 profileHash;
        uint32 incarnation;
        uint64 deadline;
    }

    /// @dev `profileVersion` is the nonce: the previous one + 1. A registration has profile version 1.
    struct NodeUpdate {
        address node;
        uint8 roles;
        uint32 version;
        bytes32 tlsKeyHash;
        bytes32 profileHash;
        uint32 profileVersion;
        uint32 incarnation;
        uint64 deadline;
    }

    /// @dev What the node or its operator signs. `incarnation` is the one that ends.
    struct Unregistration {
        address node;
        uint32 incarnation;
        uint64 deadline;
    }

    /// @dev `commitment` = keccak256(abi.encode(tlsKeyHash, profileHash, profileVersion)); zero when none or gone.
    struct Node {
        address operator;
        uint8 roles;
        uint32 version;
        NodeStatus status;
        uint32 incarnation;
        bytes32 commitment;
    }

    /// @notice An account takes part from now on, for the first time or again.
    /// @param node its account.
    /// @param operator the account that answers for it.
    /// @param incarnation how often the account has registered.
    /// @param roles 1 data owner, 2 MPC node, 4 detector, or sums of these.
    /// @param version of its software: major << 16 | minor << 8 | patch.
    /// @param tlsKeyHash SHA-256 of the SubjectPublicKeyInfo that peers pin.
    /// @param profileHash SHA-256 of the canonical JSON of what it declares.
    event NodeRegistered(
        address indexed node,
        address indexed operator,
        uint32 incarnation,
        uint8 roles,
        uint32 version,
        bytes32 tlsKeyHash,
        bytes32 profileHash
    );
    /// @notice A node has other roles, software, TLS key or profile.
    /// @param node its account.
    /// @param profileVersion how often its values were set in this incarnation.
    /// @param roles 1 data owner, 2 MPC node, 4 detector, or sums of these.
    /// @param version of its software: major << 16 | minor << 8 | patch.
    /// @param tlsKeyHash SHA-256 of the SubjectPublicKeyInfo that peers pin.
    /// @param profileHash SHA-256 of the canonical JSON of what it declares.
    event NodeUpdated(
        address indexed node,
        uint32 profileVersion,
        uint8 roles,
        uint32 version,
        bytes32 tlsKeyHash,
        bytes32 profileHash
    );
    /// @notice A node left. What it promised in running queries it still owes.
    /// @param node its account.
    /// @param incarnation the one that ended.
    event NodeUnregistered(address indexed node, uint32 incarnation);
    /// @notice A node may not be chosen, or may be again.
    /// @param node its account.
    /// @param suspended whether it may not.
    event NodeSuspended(address indexed node, bool suspended);
    /// @notice From now on records are renewed there, and nowhere else ever.
    /// @param reputationLedger the ledger.
    event ReputationLedgerSet(address reputationLedger);

    /// @notice An account that must be named is zero.
    error NodeRegistryZeroAddress();
    /// @notice The ledger stands already, and is never changed.
    error NodeRegistryReputationLedgerSet(address reputationLedger);
    /// @notice A node without a TLS key cannot be reached by peers.
    error NodeRegistryZeroTlsKeyHash(address node);
    /// @notice No role, or one that there is not.
    error NodeRegistryBadRoles(uint8 roles);
    /// @notice The signed incarnation is not the one that is due.
    error NodeRegistryBadIncarnation(address node, uint32 expected, uint32 given);
    /// @notice An account has the operator of its first registration for life: another operator takes another account.
    error NodeRegistryOperatorForLife(address node, address operator, address given);
    /// @notice The account takes part already: let it update, or unregister first.
    error NodeRegistryAlreadyRegistered(address node);
    /// @notice The account takes no part.
    error NodeRegistryNotRegistered(address node);
    /// @notice A suspended account does not come back by registering anew.
    error NodeRegistrySuspended(address node);
    /// @notice The node is suspended, or is not, already.
    error NodeRegistrySuspensionUnchanged(address node, bool suspended);
    /// @notice The previous values or the profile version supplied do not open the node's commitment.
    error NodeRegistryBadPrevious(address node, uint32 profileVersion);
    /// @notice The successor is run by the operator of another of the trio.
    error NodeRegistrySharedOperator(address operator);
    /// @notice The node is not active, or has none of the roles asked for.
    error NodeRegistryNotEligible(address node, uint8 role);

    /// @notice Registers `r.node`, again with the operator that it had. A suspended account cannot come back by registering
    /// anew. Paused with new work.
    /// @param r what is registered.
    /// @param nodeSignature the node's over `r`; empty when the node is the sender.
    /// @param operatorSignature the operator's over `r`; empty when the operator is the node itself or the sender.
    function register(
        Registration calldata r,
        bytes calldata nodeSignature,
        bytes calldata operatorSignature
    ) external;

    /// @notice Changes roles, version, TLS key or profile; signed by the node (a suspended one may, too).
    /// @param u the values that hold from now on.
    /// @param signature the node's over `u`; empty when the node is the sender.
    /// @param previousTlsKeyHash the value that stood until now: with the next it must open the commitment.
    /// @param previousProfileHash the value that stood until now.
    function update(
        NodeUpdate calldata u,
        bytes calldata signature,
        bytes32 previousTlsKeyHash,
        bytes32 previousProfileHash
    ) external;

    /// @notice Ends the incarnation; ordered by the node or by its operator. Never paused.
    /// @param x which incarnation of which node.
    /// @param signature of either over `x`; empty when the sender is one of them.
    function unregister(Unregistration calldata x, bytes calldata signature) external;

    /// @notice SUSPENDER_ROLE only. A suspension outlives unregistration.
    /// @param node its account.
    /// @param suspended whether it may not be chosen from now on.
    function setSuspended(address node, bool suspended) external;

    /// @notice DEFAULT_ADMIN_ROLE, once: the ledger that renews the record of an account that registers again.
    /// @param reputationLedger the ledger.
    function setReputationLedger(IReputationLedger reputationLedger) external;

    /// @notice What the register holds of a node.
    /// @param node its account.
    /// @return status None and zeros for an account that never registered; one that left keeps operator and incarnation.
    function nodeOf(address node) external view returns (Node memory);

    /// @notice Who answers for a node; readable after unregistration, too.
    /// @param node its account.
    /// @return the operator, zero when the account never registered.
    function operatorOf(address node) external view returns (address);

    /// @notice The slots of nodes, for contracts that count their gas; NodeSlot reads them.
    /// @param nodes their accounts.
    /// @return a word each, in order.
    function wordsOf(address[] calldata nodes) external view returns (NodeWord[] memory);

    /// @notice As `eligibleOperators` for one node, whose operator must not be that of two others, whatever their status
    /// is by now; else reverts NodeRegistrySharedOperator.
    /// @param node who is to follow.
    /// @param role that it must have, as a bit.
    /// @param first one of the two others.
    /// @param second the other one.
    /// @return the node's operator.
    function successorOperator(
        address node,
        uint8 role,
        address first,
        address second
    ) external view returns (address);

    /// @notice Reverts NodeRegistryNotEligible unless all of the nodes are active and have the role.
    /// @param nodes their accounts.
    /// @param role that they must have, as a bit.
    /// @return their operators, in order.
    function eligibleOperators(address[] calldata nodes, uint8 role) external view returns (address[] memory);
}
