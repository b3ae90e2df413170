// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SplitPause} from "./access/SplitPause.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title The register of nodes: two storage slots each, the full values in events.
/// @notice No endpoint, name or profile stands here, only hashes. A pause stops registrations, never exits or updates.
contract NodeRegistry is INodeRegistry, EIP712, SplitPause {
    /// @dev 248 bits, so that one read tells all that other contracts ask.
    struct Entry {
        address operator;
        uint8 roles;
        uint32 version;
        NodeStatus status;
        bool suspended;
        uint32 incarnation;
    }

    /// @notice May suspend and readmit nodes; meant for the detectors' quorum.
    bytes32 public constant SUSPENDER_ROLE = keccak256("SUSPENDER_ROLE");

    bytes32 private constant REGISTRATION_TYPEHASH =
        keccak256(
            "Registration(address node,address operator,uint8 roles,uint32 version,bytes32 tlsKeyHash,bytes32 profileHash,uint32 incarnation,uint64 deadline)"
        );
    bytes32 private constant UPDATE_TYPEHASH =
        keccak256(
            "NodeUpdate(address node,uint8 roles,uint32 version,bytes32 tlsKeyHash,bytes32 profileHash,uint32 profileVersion,uint32 incarnation,uint64 deadline)"
        );
    bytes32 private constant UNREGISTRATION_TYPEHASH =
        keccak256("Unregistration(address node,uint32 incarnation,uint64 deadline)");
    uint8 private constant ALL_ROLES = 7;

    mapping(address node => Entry) private _entries;
    mapping(address node => bytes32) private _commitments;

    constructor(
        uint48 adminDelaySeconds,
        address admin
    ) EIP712("SoterOne", "1") AccessControlDefaultAdminRules(adminDelaySeconds, admin) {}

    /// @inheritdoc INodeRegistry
    function register(
        Registration calldata r,
        bytes calldata nodeSignature,
        bytes calldata operatorSignature
    ) external whenNotPaused {
        if (r.node == address(0) || r.operator == address(0)) revert NodeRegistryZeroAddress();
        _checkValues(r.node, r.roles, r.tlsKeyHash);
        Signatures.checkDeadline(r.deadline);
        _checkNewcomer(r);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(REGISTRATION_TYPEHASH, r)));
        Signatures.check(r.node, digest, nodeSignature);
        if (r.operator != r.node) Signatures.check(r.operator, digest, operatorSignature);

        _entries[r.node] = Entry(r.operator, r.roles, r.version, NodeStatus.Active, false, r.incarnation);
        _commitments[r.node] = _commit(r.tlsKeyHash, r.profileHash, 1);
        emit NodeRegistered(r.node, r.operator, r.incarnation, r.roles, r.version, r.tlsKeyHash, r.profileHash);
    }

    /// @inheritdoc INodeRegistry
    function update(
        NodeUpdate calldata u,
        bytes calldata signature,
        bytes32 previousTlsKeyHash,
        bytes32 previousProfileHash
    ) external {
        _checkValues(u.node, u.roles, u.tlsKeyHash);
        Signatures.checkDeadline(u.deadline);
        Entry memory entry = _registered(u.node, u.incarnation);
        if (
            u.profileVersion == 0 ||
            _commitments[u.node] != _commit(previousTlsKeyHash, previousProfileHash, u.profileVersion - 1)
        ) revert NodeRegistryBadPrevious(u.node, u.profileVersion);
        Signatures.check(u.node, _hashTypedDataV4(keccak256(abi.encode(UPDATE_TYPEHASH, u))), signature);

        entry.roles = u.roles;
        entry.version = u.version;
        _entries[u.node] = entry;
        _commitments[u.node] = _commit(u.tlsKeyHash, u.profileHash, u.profileVersion);
        emit NodeUpdated(u.node, u.profileVersion, u.roles, u.version, u.tlsKeyHash, u.profileHash);
    }

    /// @inheritdoc INodeRegistry
    function unregister(Unregistration calldata x, bytes calldata signature) external {
        Signatures.checkDeadline(x.deadline);
        Entry memory entry = _registered(x.node, x.incarnation);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(UNREGISTRATION_TYPEHASH, x)));
        if (!Signatures.isAuthorised(x.node, digest, signature)) {
            Signatures.check(entry.operator, digest, signature);
        }

        entry.roles = 0;
        entry.version = 0;
        entry.status = NodeStatus.Gone;
        _entries[x.node] = entry;
        delete _commitments[x.node];
        emit NodeUnregistered(x.node, x.incarnation);
    }

    /// @inheritdoc INodeRegistry
    function setSuspended(address node, bool suspended) external onlyRole(SUSPENDER_ROLE) {
        Entry memory entry = _entries[node];
        if (entry.status == NodeStatus.None) revert NodeRegistryNotRegistered(node);
        if (entry.suspended == suspended) revert NodeRegistrySuspensionUnchanged(node, suspended);
        _entries[node].suspended = suspended;
        emit NodeSuspended(node, suspended);
    }

    /// @inheritdoc INodeRegistry
    function nodeOf(address node) external view returns (Node memory) {
        Entry memory entry = _entries[node];
        NodeStatus status = entry.status == NodeStatus.Active && entry.suspended
            ? NodeStatus.Suspended
            : entry.status;
        return Node(entry.operator, entry.roles, entry.version, status, entry.incarnation, _commitments[node]);
    }

    /// @inheritdoc INodeRegistry
    function operatorOf(address node) external view returns (address) {
        return _entries[node].operator;
    }

    /// @inheritdoc INodeRegistry
    function eligibleOperators(
        address[] calldata nodes,
        uint8 role
    ) external view returns (address[] memory operators) {
        operators = new address[](nodes.length);
        for (uint256 i = 0; i < nodes.length; ++i) operators[i] = eligibleOperator(nodes[i], role);
    }

    /// @inheritdoc INodeRegistry
    function eligibleOperatorBeside(
        address node,
        uint8 role,
        address first,
        address second
    ) external view returns (address operator) {
        operator = eligibleOperator(node, role);
        if (operator == _entries[first].operator || operator == _entries[second].operator) {
            revert NodeRegistrySharedOperator(operator);
        }
    }

    /// @inheritdoc INodeRegistry
    function eligibleOperator(address node, uint8 role) public view returns (address) {
        Entry memory entry = _entries[node];
        if (entry.status != NodeStatus.Active || entry.suspended || entry.roles & role == 0) {
            revert NodeRegistryNotEligible(node, role);
        }
        return entry.operator;
    }

    function _checkValues(address node, uint8 roles, bytes32 tlsKeyHash) private pure {
        if (roles == 0 || roles > ALL_ROLES) revert NodeRegistryBadRoles(roles);
        if (tlsKeyHash == 0) revert NodeRegistryZeroTlsKeyHash(node);
    }

    function _checkNewcomer(Registration calldata r) private view {
        Entry memory entry = _entries[r.node];
        if (entry.status == NodeStatus.Active) revert NodeRegistryAlreadyRegistered(r.node);
        if (entry.suspended) revert NodeRegistrySuspended(r.node);
        uint32 expected = entry.incarnation + 1;
        if (r.incarnation != expected) revert NodeRegistryBadIncarnation(r.node, expected, r.incarnation);
    }

    function _registered(address node, uint32 incarnation) private view returns (Entry memory entry) {
        entry = _entries[node];
        if (entry.status != NodeStatus.Active) revert NodeRegistryNotRegistered(node);
        if (entry.incarnation != incarnation) {
            revert NodeRegistryBadIncarnation(node, entry.incarnation, incarnation);
        }
    }

    function _commit(bytes32 tlsKeyHash, bytes32 profileHash, uint32 profileVersion) private pure returns (bytes32) {
        return keccak256(abi.encode(tlsKeyHash, profileHash, profileVersion));
    }
}
