// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SplitPause} from "./access/SplitPause.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {IQueryLedger} from "./interfaces/IQueryLedger.sol";
import {QueryCommitment} from "./libraries/QueryCommitment.sol";
import {QueryRules} from "./libraries/QueryRules.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title The lifecycle of every query in one storage slot each.
/// @notice Dispatched leads to completed or failed, each of those once to cleaned up, and nothing leads back. A pause
/// stops dispatch alone.
contract QueryLedger is IQueryLedger, EIP712, SplitPause {
    using QueryCommitment for Opening;

    /// @dev One slot.
    struct Query {
        uint208 commitment;
        QueryStatus status;
        uint8 generation;
        uint32 time;
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

    mapping(bytes32 queryId => Query) private _queries;

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
        QueryStatus status = _queries[queryId].status;
        if (status != QueryStatus.None) revert QueryLedgerWrongStatus(queryId, status);
        Signatures.checkDeadline(order.deadline);
        QueryRules.checkOrder(order);
        Signatures.check(order.customer, _hashTypedDataV4(QueryCommitment.orderStructHash(order)), signature);
        QueryRules.checkMembers(REGISTRY, order.owners, order.mpcs);

        _queries[queryId] = Query(
            QueryCommitment.ofOrder(order),
            QueryStatus.Dispatched,
            0,
            uint32(block.timestamp)
        );
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

    /// @inheritdoc IQueryLedger
    function replaceMpc(
        bytes32 queryId,
        Opening calldata opening,
        Replacement calldata replacement,
        bytes calldata reporterSignature
    ) external onlyRole(COORDINATOR_ROLE) {
        Query memory query = _opened(queryId, opening);
        QueryRules.checkReplacement(REGISTRY, queryId, query.generation, opening, replacement);
        _checkLossReport(queryId, query.generation, replacement, reporterSignature);

        query.generation += 1;
        query.commitment = opening.afterReplacement(replacement.oldMpc, replacement.newMpc);
        _queries[queryId] = query;
        emit MPCUpdated(
            queryId,
            replacement.oldMpc,
            replacement.newMpc,
            query.generation,
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
        Query memory query = _running(queryId);
        if (query.commitment != commitment) revert QueryLedgerBadOpening(queryId, query.commitment, commitment);
        uint256 shares = 0;
        for (uint256 rank = 0; rank < 3; ++rank) if (shareHashes[rank] != 0) ++shares;
        if (shares < 2) revert QueryLedgerTooFewShares(queryId, shares);

        bytes32 resultHash = keccak256(abi.encodePacked(shareHashes));
        query.commitment = QueryCommitment.withResult(commitment, resultHash);
        _end(queryId, query, QueryStatus.Completed);
        emit QueryCompleted(queryId, query.generation, resultHash);
    }

    /// @inheritdoc IQueryLedger
    function fail(bytes32 queryId, Opening calldata opening, uint8 reason, address node) external {
        if (reason == 0 || reason > LAST_REASON || reason == REASON_ABANDONED) revert QueryLedgerBadReason(reason);
        if (reason != REASON_CANCELLED || msg.sender != opening.roster.customer) _checkRole(COORDINATOR_ROLE);
        Query memory query = _opened(queryId, opening);
        if (node != address(0)) QueryRules.checkParticipant(queryId, opening.roster, node);
        _fail(queryId, query, reason, node);
    }

    /// @inheritdoc IQueryLedger
    function cancel(
        bytes32 queryId,
        Opening calldata opening,
        uint64 deadline,
        bytes calldata signature
    ) external {
        Query memory query = _opened(queryId, opening);
        Signatures.checkDeadline(deadline);
        bytes32 structHash = keccak256(abi.encode(CANCELLATION_TYPEHASH, queryId, deadline));
        Signatures.check(opening.roster.customer, _hashTypedDataV4(structHash), signature);
        _fail(queryId, query, REASON_CANCELLED, address(0));
    }

    /// @inheritdoc IQueryLedger
    function cleanup(bytes32 queryId) external onlyRole(COORDINATOR_ROLE) {
        QueryStatus status = _queries[queryId].status;
        if (status == QueryStatus.Completed) {
            _queries[queryId].status = QueryStatus.CompletedCleaned;
        } else if (status == QueryStatus.Failed) {
            _queries[queryId].status = QueryStatus.FailedCleaned;
        } else {
            revert QueryLedgerWrongStatus(queryId, status);
        }
        emit QueryCleanup(queryId);
    }

    /// @inheritdoc IQueryLedger
    function expire(bytes32 queryId, Opening calldata opening) external {
        Query memory query = _opened(queryId, opening);
        Terms calldata terms = opening.terms;
        uint256 earliest = uint256(query.time) +
            terms.maxRunSeconds +
            terms.resultRetrySeconds +
            terms.cleanupGraceSeconds;
        if (block.timestamp < earliest) revert QueryLedgerTooEarly(queryId, earliest);
        _fail(queryId, query, REASON_ABANDONED, address(0));
    }

    /// @inheritdoc IQueryLedger
    function verifyParticipants(
        bytes32 queryId,
        ParticipantsOpening calldata opening
    ) external view returns (QueryStatus status, uint8 generation, uint32 time) {
        Query memory query = _queries[queryId];
        status = query.status;
        if (status == QueryStatus.None) revert QueryLedgerWrongStatus(queryId, status);
        bool completed = status == QueryStatus.Completed || status == QueryStatus.CompletedCleaned;
        uint208 supplied = QueryCommitment.ofParticipants(opening, completed);
        if (query.commitment != supplied) revert QueryLedgerBadOpening(queryId, query.commitment, supplied);
        return (status, query.generation, query.time);
    }

    /// @inheritdoc IQueryLedger
    function statusOf(bytes32 queryId) external view returns (QueryStatus status, uint8 generation, uint32 time) {
        Query memory query = _queries[queryId];
        return (query.status, query.generation, query.time);
    }

    /// @inheritdoc IQueryLedger
    function commitmentOf(bytes32 queryId) external view returns (uint208) {
        return _queries[queryId].commitment;
    }

    /// @inheritdoc IQueryLedger
    function queryIdOf(address customer, bytes32 salt) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), customer, salt));
    }

    function _running(bytes32 queryId) private view returns (Query memory query) {
        query = _queries[queryId];
        if (query.status != QueryStatus.Dispatched) revert QueryLedgerWrongStatus(queryId, query.status);
    }

    function _opened(bytes32 queryId, Opening calldata opening) private view returns (Query memory query) {
        query = _running(queryId);
        uint208 supplied = opening.commitment();
        if (query.commitment != supplied) revert QueryLedgerBadOpening(queryId, query.commitment, supplied);
    }

    function _checkLossReport(
        bytes32 queryId,
        uint8 generation,
        Replacement calldata replacement,
        bytes calldata signature
    ) private view {
        Signatures.checkDeadline(replacement.deadline);
        bytes32 structHash = keccak256(
            abi.encode(LOSS_REPORT_TYPEHASH, queryId, generation, replacement.oldMpc, replacement.deadline)
        );
        Signatures.check(replacement.reporter, _hashTypedDataV4(structHash), signature);
    }

    function _fail(bytes32 queryId, Query memory query, uint8 reason, address node) private {
        _end(queryId, query, QueryStatus.Failed);
        emit QueryFailed(queryId, reason, node);
    }

    function _end(bytes32 queryId, Query memory query, QueryStatus status) private {
        query.status = status;
        query.time = uint32(block.timestamp);
        _queries[queryId] = query;
    }
}
