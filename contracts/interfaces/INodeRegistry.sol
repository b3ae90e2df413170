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

    event NodeRegistered(
        address indexed node,
        address indexed operator,
        uint32 incarnation,
        uint8 roles,
        uint32 version,
        bytes32 tlsKeyHash,
        bytes32 profileHash
    );
    event NodeUpdated(
        address indexed node,
        uint32 profileVersion,
        uint8 roles,
        uint32 version,
        bytes32 tlsKeyHash,
        bytes32 profileHash
    );
    event NodeUnregistered(address indexed node, uint32 incarnation);
    event NodeSuspended(address indexed node, bool suspended);
    event ReputationLedgerSet(address reputationLedger);

    error NodeRegistryZeroAddress();
    error NodeRegistryReputationLedgerSet(address reputationLedger);
    error NodeRegistryZeroTlsKeyHash(address node);
    error NodeRegistryBadRoles(uint8 roles);
    error NodeRegistryBadIncarnation(address node, uint32 expected, uint32 given);
    error NodeRegistryAlreadyRegistered(address node);
    error NodeRegistryNotRegistered(address node);
    error NodeRegistrySuspended(address node);
    error NodeRegistrySuspensionUnchanged(address node, bool suspended);
    /// @dev The previous values or the profile version supplied do not open the node's commitment.
    error NodeRegistryBadPrevious(address node, uint32 profileVersion);
    error NodeRegistrySharedOperator(address operator);
    /// @dev The node is not active, or has none of the roles asked for.
    error NodeRegistryNotEligible(address node, uint8 role);

    /// @notice Registers `r.node`. `operatorSignature` signs the same struct; leave it empty when the operator is the
    /// node itself or the sender. A suspended account cannot come back by registering anew.
    function register(
        Registration calldata r,
        bytes calldata nodeSignature,
        bytes calldata operatorSignature
    ) external;

    /// @notice Changes roles, version, TLS key or profile; signed by the node (a suspended one may, too).
    /// @param previousTlsKeyHash the values that stood until now: they must open the commitment.
    function update(
        NodeUpdate calldata u,
        bytes calldata signature,
        bytes32 previousTlsKeyHash,
        bytes32 previousProfileHash
    ) external;

    /// @notice Ends the incarnation; ordered by the node or by its operator. Never paused.
    function unregister(Unregistration calldata x, bytes calldata signature) external;

    /// @notice SUSPENDER_ROLE only. A suspension outlives unregistration.
    function setSuspended(address node, bool suspended) external;

    /// @notice DEFAULT_ADMIN_ROLE, once: the ledger that renews the record of an account that registers again.
    function setReputationLedger(IReputationLedger reputationLedger) external;

    function nodeOf(address node) external view returns (Node memory);

    /// @notice The operator of a node, zero when it was never registered; it stays readable after unregistration.
    function operatorOf(address node) external view returns (address);

    /// @notice The slots of `nodes`, in order, for contracts that count their gas; NodeSlot reads them.
    function wordsOf(address[] calldata nodes) external view returns (NodeWord[] memory);

    /// @notice As `eligibleOperators` for one node, whose operator must not be that of two others, whatever their status
    /// is by now; else reverts NodeRegistrySharedOperator.
    function successorOperator(
        address node,
        uint8 role,
        address first,
        address second
    ) external view returns (address);

    /// @notice The operators of `nodes`, in order; reverts NodeRegistryNotEligible unless all are active with `role`.
    function eligibleOperators(address[] calldata nodes, uint8 role) external view returns (address[] memory);
}
