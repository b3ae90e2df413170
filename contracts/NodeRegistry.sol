// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SplitPause} from "./access/SplitPause.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {IReputationLedger} from "./interfaces/IReputationLedger.sol";
import {NodeSlot, NodeWord} from "./libraries/NodeSlot.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title The register of nodes: two storage slots each, the full values in events.
/// @notice No endpoint, name or profile stands here, only hashes. A pause stops registrations, never exits or updates.
contract NodeRegistry is INodeRegistry, EIP712, SplitPause {
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

    mapping(address node => NodeWord) private _words;
    mapping(address node => bytes32) private _commitments;
    IReputationLedger private _reputationLedger;

    /// @param adminDelaySeconds how long a change of the administrator is public before it holds.
    /// @param admin the first administrator.
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

        _words[r.node] = NodeSlot.pack(r.operator, r.roles, r.version, r.incarnation);
        _commitments[r.node] = _commit(r.tlsKeyHash, r.profileHash, 1);
        emit NodeRegistered(r.node, r.operator, r.incarnation, r.roles, r.version, r.tlsKeyHash, r.profileHash);
        if (r.incarnation > 1 && address(_reputationLedger) != address(0)) _reputationLedger.renew(r.node);
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
        NodeWord word = _registered(u.node, u.incarnation);
        if (
            u.profileVersion == 0 ||
            _commitments[u.node] != _commit(previousTlsKeyHash, previousProfileHash, u.profileVersion - 1)
        ) revert NodeRegistryBadPrevious(u.node, u.profileVersion);
        Signatures.check(u.node, _hashTypedDataV4(keccak256(abi.encode(UPDATE_TYPEHASH, u))), signature);

        NodeWord next = NodeSlot.pack(word.operator(), u.roles, u.version, u.incarnation);
        _words[u.node] = next.withSuspension(word.isSuspended());
        _commitments[u.node] = _commit(u.tlsKeyHash, u.profileHash, u.profileVersion);
        emit NodeUpdated(u.node, u.profileVersion, u.roles, u.version, u.tlsKeyHash, u.profileHash);
    }

    /// @inheritdoc INodeRegistry
    function unregister(Unregistration calldata x, bytes calldata signature) external {
        Signatures.checkDeadline(x.deadline);
        NodeWord word = _registered(x.node, x.incarnation);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(UNREGISTRATION_TYPEHASH, x)));
        if (!Signatures.isAuthorised(x.node, digest, signature)) {
            Signatures.check(word.operator(), digest, signature);
        }

        _words[x.node] = word.gone();
        delete _commitments[x.node];
        emit NodeUnregistered(x.node, x.incarnation);
    }

    /// @inheritdoc INodeRegistry
    function setSuspended(address node, bool suspended) external onlyRole(SUSPENDER_ROLE) {
        NodeWord word = _words[node];
        if (!word.isKnown()) revert NodeRegistryNotRegistered(node);
        if (word.isSuspended() == suspended) revert NodeRegistrySuspensionUnchanged(node, suspended);
        _words[node] = word.withSuspension(suspended);
        emit NodeSuspended(node, suspended);
    }

    /// @inheritdoc INodeRegistry
    function setReputationLedger(IReputationLedger reputationLedger) external onlyRole(DEFAULT_ADMIN_ROLE) {
        if (address(reputationLedger) == address(0)) revert NodeRegistryZeroAddress();
        if (address(_reputationLedger) != address(0)) {
            revert NodeRegistryReputationLedgerSet(address(_reputationLedger));
        }
        _reputationLedger = reputationLedger;
        emit ReputationLedgerSet(address(reputationLedger));
    }

    /// @inheritdoc INodeRegistry
    function nodeOf(address node) external view returns (Node memory) {
        NodeWord word = _words[node];
        return
            Node(
                word.operator(),
                word.roles(),
                word.version(),
                word.status(),
                word.incarnation(),
                _commitments[node]
            );
    }

    /// @inheritdoc INodeRegistry
    function operatorOf(address node) external view returns (address) {
        return _words[node].operator();
    }

    /// @inheritdoc INodeRegistry
    function wordsOf(address[] calldata nodes) external view returns (NodeWord[] memory words) {
        words = new NodeWord[](nodes.length);
        for (uint256 i = 0; i < nodes.length; ++i) words[i] = _words[nodes[i]];
    }

    /// @inheritdoc INodeRegistry
    function eligibleOperators(
        address[] calldata nodes,
        uint8 role
    ) external view returns (address[] memory operators) {
        operators = new address[](nodes.length);
        for (uint256 i = 0; i < nodes.length; ++i) operators[i] = _eligibleOperator(nodes[i], role);
    }

    /// @inheritdoc INodeRegistry
    function successorOperator(
        address node,
        uint8 role,
        address first,
        address second
    ) external view returns (address operator) {
        operator = _eligibleOperator(node, role);
        if (operator == _words[first].operator() || operator == _words[second].operator()) {
            revert NodeRegistrySharedOperator(operator);
        }
    }

    function _eligibleOperator(address node, uint8 role) private view returns (address) {
        NodeWord word = _words[node];
        if (!word.isEligible(role)) revert NodeRegistryNotEligible(node, role);
        return word.operator();
    }

    function _checkValues(address node, uint8 roles, bytes32 tlsKeyHash) private pure {
        if (roles == 0 || roles > ALL_ROLES) revert NodeRegistryBadRoles(roles);
        if (tlsKeyHash == 0) revert NodeRegistryZeroTlsKeyHash(node);
    }

    function _checkNewcomer(Registration calldata r) private view {
        NodeWord word = _words[r.node];
        if (word.isRegistered()) revert NodeRegistryAlreadyRegistered(r.node);
        if (word.isSuspended()) revert NodeRegistrySuspended(r.node);
        if (word.isKnown() && word.operator() != r.operator) {
            revert NodeRegistryOperatorForLife(r.node, word.operator(), r.operator);
        }
        uint32 expected = word.incarnation() + 1;
        if (r.incarnation != expected) revert NodeRegistryBadIncarnation(r.node, expected, r.incarnation);
    }

    function _registered(address node, uint32 incarnation) private view returns (NodeWord word) {
        word = _words[node];
        if (!word.isRegistered()) revert NodeRegistryNotRegistered(node);
        if (word.incarnation() != incarnation) {
            revert NodeRegistryBadIncarnation(node, word.incarnation(), incarnation);
        }
    }

    function _commit(bytes32 tlsKeyHash, bytes32 profileHash, uint32 profileVersion) private pure returns (bytes32) {
        return keccak256(abi.encode(tlsKeyHash, profileHash, profileVersion));
    }
}
