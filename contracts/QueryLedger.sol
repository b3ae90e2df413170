// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SplitPause} from "./access/SplitPause.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {IQueryLedger} from "./interfaces/IQueryLedger.sol";
import {AddressList} from "./libraries/AddressList.sol";
import {QueryCommitment} from "./libraries/QueryCommitment.sol";
import {QuerySlot, QueryWord} from "./libraries/QuerySlot.sol";
import {QueryRules} from "./libraries/QueryRules.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title The lifecycle of every query in one storage slot each.
/// @notice Dispatched leads to completed or failed, each of those once to cleaned up, and nothing leads back. A pause
/// stops dispatch alone.
contract QueryLedger is IQueryLedger, EIP712, SplitPause {
    using AddressList for address[];
    using QueryCommitment for Opening;

    struct Slot {
        QueryWord word;
    }

    /// @notice The management system: it announces successors, ends and cleanups.
    bytes32 public constant COORDINATOR_ROLE = keccak256("COORDINATOR_ROLE");

    bytes32 private constant LOSS_REPORT_TYPEHASH =
        keccak256("LossReport(bytes32 queryId,uint8 generation,address lost,uint64 deadline)");
    bytes32 private constant CANCELLATION_TYPEHASH = keccak256("Cancellation(bytes32 queryId,uint64 deadline)");
    uint8 private constant REASON_CANCELLED = 6;
    uint8 private constant REASON_ABANDONED = 8;
    uint8 private constant LAST_REASON = 10;

    /// @notice Where participants must be registered.
    INodeRegistry public immutable REGISTRY;

    mapping(bytes32 queryId => Slot) private _slots;

    /// @param registry where participants must be registered.
    /// @param adminDelaySeconds how long a change of the administrator is public before it holds.
    /// @param admin the first administrator.
    constructor(
        INodeRegistry registry,
        uint48 adminDelaySeconds,
        address admin
    ) EIP712("SoterOne", "1") AccessControlDefaultAdminRules(adminDelaySeconds, admin) {
        if (address(registry) == address(0)) revert QueryLedgerZeroAddress();
        REGISTRY = registry;
    }

    /// @inheritdoc IQueryLedger
    function dispatch(
        QueryOrder calldata order,
        bytes calldata signature
    ) external whenNotPaused returns (bytes32 queryId) {
        if (order.customer == address(0)) revert QueryLedgerZeroAddress();
        queryId = queryIdOf(order.customer, order.salt);
        QueryStatus status = _slots[queryId].word.status();
        if (status != QueryStatus.None) revert QueryLedgerWrongStatus(queryId, status);
        Signatures.checkDeadline(order.deadline);
        QueryRules.checkOrder(order);
        Signatures.check(order.customer, _hashTypedDataV4(QueryCommitment.orderStructHash(order)), signature);
        bool insider = QueryRules.checkMembers(REGISTRY, order.customer, order.owners, order.mpcs);

        uint208 commitment = QueryCommitment.ofOrder(order);
        _slots[queryId].word = QuerySlot.pack(commitment, QueryStatus.Dispatched, 0, insider, block.timestamp);
        _announce(queryId, order);
    }

    /// @inheritdoc IQueryLedger
    function replaceMpc(
        bytes32 queryId,
        Opening calldata opening,
        Replacement calldata replacement,
        bytes calldata reporterSignature
    ) external onlyRole(COORDINATOR_ROLE) {
        QueryWord query = _opened(queryId, opening);
        uint8 generation = query.generation();
        (address successor, bool insider) = QueryRules.checkReplacement(
            REGISTRY,
            queryId,
            generation,
            opening,
            replacement
        );
        address lost = opening.participants.known(replacement.lostIndex);
        address reporter = opening.participants.known(replacement.reporterIndex);
        _checkLossReport(queryId, generation, lost, replacement.deadline, reporter, reporterSignature);

        query = query.replaced(opening.afterReplacement(replacement.lostIndex, successor), insider);
        _slots[queryId].word = query;
        emit MPCUpdated(
            queryId,
            lost,
            successor,
            query.generation(),
            replacement.seedBlock,
            replacement.candidates
        );
    }

    /// @inheritdoc IQueryLedger
    function complete(
        bytes32 queryId,
        uint208 commitment,
        bytes32[3] calldata shareHashes
    ) external onlyRole(COORDINATOR_ROLE) {
        QueryWord query = _running(queryId);
        _checkCommitment(queryId, query, commitment);
        uint256 shares = (shareHashes[0] == 0 ? 0 : 1) +
            (shareHashes[1] == 0 ? 0 : 1) +
            (shareHashes[2] == 0 ? 0 : 1);
        if (shares < 2) revert QueryLedgerTooFewShares(queryId, shares);

        bytes32 resultHash = keccak256(abi.encodePacked(shareHashes));
        uint208 completed = QueryCommitment.withResult(commitment, resultHash);
        _slots[queryId].word = query.ended(completed, QueryStatus.Completed, block.timestamp);
        emit QueryCompleted(queryId, query.generation(), resultHash);
    }

    /// @inheritdoc IQueryLedger
    function fail(bytes32 queryId, Opening calldata opening, uint8 reason, address node) external {
        if (reason == 0 || reason > LAST_REASON || reason == REASON_ABANDONED) revert QueryLedgerBadReason(reason);
        if (reason != REASON_CANCELLED || msg.sender != opening.customer) _checkRole(COORDINATOR_ROLE);
        QueryWord query = _opened(queryId, opening);
        if (node != address(0)) QueryRules.checkParticipant(queryId, opening.participants, node);
        _fail(queryId, query, reason, node);
    }

    /// @inheritdoc IQueryLedger
    function cancel(
        bytes32 queryId,
        Opening calldata opening,
        uint64 deadline,
        bytes calldata signature
    ) external {
        QueryWord query = _opened(queryId, opening);
        Signatures.checkDeadline(deadline);
        bytes32 structHash = keccak256(abi.encode(CANCELLATION_TYPEHASH, queryId, deadline));
        Signatures.check(opening.customer, _hashTypedDataV4(structHash), signature);
        _fail(queryId, query, REASON_CANCELLED, address(0));
    }

    /// @inheritdoc IQueryLedger
    function cleanup(bytes32 queryId) external onlyRole(COORDINATOR_ROLE) {
        Slot storage slot = _slots[queryId];
        QueryWord query = slot.word;
        if (!query.awaitsCleanup()) revert QueryLedgerWrongStatus(queryId, query.status());
        slot.word = query.cleaned();
        emit QueryCleanup(queryId);
    }

    /// @inheritdoc IQueryLedger
    function expire(bytes32 queryId, Opening calldata opening, Terms calldata terms) external {
        QueryWord query = _opened(queryId, opening);
        bytes32 supplied = QueryCommitment.hash(terms);
        if (supplied != opening.termsHash) revert QueryLedgerBadTerms(queryId, opening.termsHash, supplied);
        uint256 earliest = uint256(query.time()) +
            terms.maxRunSeconds +
            terms.resultRetrySeconds +
            terms.cleanupGraceSeconds;
        if (block.timestamp < earliest) revert QueryLedgerTooEarly(queryId, earliest);
        _fail(queryId, query, REASON_ABANDONED, address(0));
    }

    /// @inheritdoc IQueryLedger
    function verifyParticipants(
        bytes32 queryId,
        Opening calldata opening
    ) external view returns (QueryStatus status, uint8 generation, uint32 time) {
        QueryWord query = _slots[queryId].word;
        status = query.status();
        if (status == QueryStatus.None) revert QueryLedgerWrongStatus(queryId, status);
        _checkCommitment(queryId, query, opening.ofOpening(status));
        return (status, query.generation(), query.time());
    }

    /// @inheritdoc IQueryLedger
    function statusOf(bytes32 queryId) external view returns (QueryStatus status, uint8 generation, uint32 time) {
        QueryWord query = _slots[queryId].word;
        return (query.status(), query.generation(), query.time());
    }

    /// @inheritdoc IQueryLedger
    function queryWord(bytes32 queryId) external view returns (QueryWord) {
        return _slots[queryId].word;
    }

    /// @inheritdoc IQueryLedger
    function stateOf(
        bytes32 queryId
    ) external view returns (uint208 commitment, QueryStatus status, bool insider, uint32 time) {
        QueryWord query = _slots[queryId].word;
        return (query.commitment(), query.status(), query.insider(), query.time());
    }

    /// @inheritdoc IQueryLedger
    function queryIdOf(address customer, bytes32 salt) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), customer, salt));
    }

    function _announce(bytes32 queryId, QueryOrder calldata order) private {
        emit QuerySubmitted(queryId, order.customer, order.specHash);
        emit QueryDispatched(
            queryId,
            order.customer,
            order.specHash,
            order.owners,
            order.mpcs,
            order.resultKeyHash,
            order.maxRunSeconds,
            order.resultRetrySeconds,
            order.cleanupGraceSeconds
        );
        emit ReplacementLimit(queryId, order.maxReplacements);
    }

    function _running(bytes32 queryId) private view returns (QueryWord query) {
        query = _slots[queryId].word;
        if (query.status() != QueryStatus.Dispatched) revert QueryLedgerWrongStatus(queryId, query.status());
    }

    function _opened(bytes32 queryId, Opening calldata opening) private view returns (QueryWord query) {
        query = _running(queryId);
        _checkCommitment(queryId, query, opening.ofOpening(QueryStatus.Dispatched));
    }

    function _checkCommitment(bytes32 queryId, QueryWord query, uint208 supplied) private pure {
        uint208 stored = query.commitment();
        if (stored != supplied) revert QueryLedgerBadOpening(queryId, stored, supplied);
    }

    function _checkLossReport(
        bytes32 queryId,
        uint8 generation,
        address lost,
        uint64 deadline,
        address reporter,
        bytes calldata signature
    ) private view {
        Signatures.checkDeadline(deadline);
        bytes32 structHash = keccak256(abi.encode(LOSS_REPORT_TYPEHASH, queryId, generation, lost, deadline));
        Signatures.check(reporter, _hashTypedDataV4(structHash), signature);
    }

    function _fail(bytes32 queryId, QueryWord query, uint8 reason, address node) private {
        _slots[queryId].word = query.ended(query.commitment(), QueryStatus.Failed, block.timestamp);
        emit QueryFailed(queryId, reason, node);
    }
}
