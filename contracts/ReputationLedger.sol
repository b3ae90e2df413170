// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SplitPause} from "./access/SplitPause.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {IQueryLedger} from "./interfaces/IQueryLedger.sol";
import {IReputationLedger} from "./interfaces/IReputationLedger.sol";
import {AddressList} from "./libraries/AddressList.sol";
import {QueryCommitment} from "./libraries/QueryCommitment.sol";
import {QueryWord} from "./libraries/QuerySlot.sol";
import {RatingSheet, Sheet} from "./libraries/RatingSheet.sol";
import {ReputationMath} from "./libraries/ReputationMath.sol";
import {SettlementSlot} from "./libraries/SettlementSlot.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title Reputation of nodes and credibility of customers, one storage slot a node, a customer and a query.
/// @notice A pause stops new penalties alone, never settlement, feedback, a reversal or renewal.
contract ReputationLedger is IReputationLedger, EIP712, SplitPause {
    using AddressList for address[];

    /// @dev A word of ReputationMath or SettlementSlot.
    struct Slot {
        uint256 word;
    }

    /// @notice Lengths of an epoch, of a week, of the time for feedback after settlement, and of the coordinator's time
    /// to settle a completed query before anybody may.
    struct Periods {
        uint32 epochSeconds;
        uint32 feedbackWindowSeconds;
        uint32 silentSettleSeconds;
        uint32 weekSeconds;
    }

    /// @notice The management system, which settles.
    bytes32 public constant COORDINATOR_ROLE = keccak256("COORDINATOR_ROLE");
    /// @notice The detectors' quorum, whose upheld claims cost reputation.
    bytes32 public constant PENALTY_ROLE = keccak256("PENALTY_ROLE");

    bytes32 private constant FEEDBACK_TYPEHASH =
        keccak256("Feedback(bytes32 queryId,address[] nodes,uint8[] ratings,uint64 deadline)");
    uint256 private constant MAX_PARTICIPANTS = 16;
    uint256 private constant WEEKLY_FEEDBACKS = 8;
    uint8 private constant HIGHEST_SEVERITY = 3;
    /// @dev What an accusation that fell costs each who signed it.
    uint8 private constant ACCUSER_SEVERITY = 1;
    /// @dev No credibility is as high: the sheet holds observations, not ratings.
    uint256 private constant OBSERVED = type(uint256).max;

    /// @notice Where nodes are registered.
    INodeRegistry public immutable REGISTRY;
    /// @notice Where queries end.
    IQueryLedger public immutable LEDGER;
    /// @notice The time in which evidence decays by one step.
    uint32 public immutable EPOCH_SECONDS;
    /// @notice How long after settlement a customer may rate.
    uint32 public immutable FEEDBACK_WINDOW_SECONDS;
    /// @notice How long the coordinator alone may settle a completed query.
    uint32 public immutable SILENT_SETTLE_SECONDS;
    /// @notice The time in which eight feedbacks of a customer count.
    uint32 public immutable WEEK_SECONDS;

    /// @dev By the node's address as a number: the compiler would clean an address at each use.
    mapping(uint256 node => Slot) private _records;
    /// @dev `seal96 settledAt32 rated16 observations112`: see SettlementSlot.
    mapping(bytes32 queryId => Slot) private _settlements;
    /// @dev `week64 counted8 credibility32`; zero for a customer none of whose feedbacks counted yet.
    mapping(address customer => uint256) private _standings;

    /// @param registry where nodes are registered.
    /// @param ledger where queries end.
    /// @param periods their lengths, none zero.
    /// @param adminDelaySeconds how long a change of the administrator is public before it holds.
    /// @param admin the first administrator.
    constructor(
        INodeRegistry registry,
        IQueryLedger ledger,
        Periods memory periods,
        uint48 adminDelaySeconds,
        address admin
    ) EIP712("SoterOne", "1") AccessControlDefaultAdminRules(adminDelaySeconds, admin) {
        if (address(registry) == address(0) || address(ledger) == address(0)) revert ReputationLedgerZeroAddress();
        if (
            periods.epochSeconds == 0 ||
            periods.feedbackWindowSeconds == 0 ||
            periods.silentSettleSeconds == 0 ||
            periods.weekSeconds == 0
        ) revert ReputationLedgerZeroPeriod();
        REGISTRY = registry;
        LEDGER = ledger;
        EPOCH_SECONDS = periods.epochSeconds;
        FEEDBACK_WINDOW_SECONDS = periods.feedbackWindowSeconds;
        SILENT_SETTLE_SECONDS = periods.silentSettleSeconds;
        WEEK_SECONDS = periods.weekSeconds;
    }

    /// @inheritdoc IReputationLedger
    function settle(
        bytes32 queryId,
        IQueryLedger.Opening calldata opening,
        uint8[] calldata observations
    ) external onlyRole(COORDINATOR_ROLE) {
        (IQueryLedger.QueryStatus status, bool insider, , uint208 commitment) = _opened(queryId, opening);
        if (status == IQueryLedger.QueryStatus.Dispatched) revert ReputationLedgerNotEnded(queryId, status);
        Sheet sheet = _participants(opening.participants, observations.length);
        sheet.fillPercentages(observations);
        _settle(queryId, sheet, SettlementSlot.sealOf(commitment, insider, block.timestamp));
    }

    /// @inheritdoc IReputationLedger
    function settleUncontested(bytes32 queryId, IQueryLedger.Opening calldata opening) external {
        (IQueryLedger.QueryStatus status, , uint256 time, ) = _opened(queryId, opening);
        if (
            status != IQueryLedger.QueryStatus.Completed && status != IQueryLedger.QueryStatus.CompletedCleaned
        ) revert ReputationLedgerNotCompleted(queryId, status);
        uint256 earliest = time + SILENT_SETTLE_SECONDS;
        if (block.timestamp < earliest) revert ReputationLedgerTooEarly(queryId, earliest);
        Sheet sheet = _participants(opening.participants, opening.participants.length);
        sheet.fillPercentage(100);
        _settle(queryId, sheet, SettlementSlot.UNSEALED);
    }

    /// @inheritdoc IReputationLedger
    function giveFeedback(
        Feedback calldata feedback,
        IQueryLedger.Opening calldata opening,
        bytes calldata signature
    ) external {
        Sheet sheet = _ratings(feedback);
        address customer = opening.customer;
        bytes32 queryId = feedback.queryId;
        _checkOrdered(queryId, sheet, feedback.deadline, customer, signature);
        Slot storage slot = _settlements[queryId];
        uint256 settlement = slot.word;
        _checkWindow(queryId, settlement);
        if (_isInsider(queryId, opening, settlement)) _checkStrangers(customer, sheet);
        uint256 agreements;
        (slot.word, agreements) = _withRatings(queryId, opening.participants, sheet, settlement);
        sheet.log(FeedbackGiven.selector, queryId, customer);
        _applyRatings(queryId, customer, sheet, agreements);
    }

    /// @inheritdoc IReputationLedger
    function penalise(
        address node,
        uint8 severity
    ) external whenNotPaused onlyRole(PENALTY_ROLE) returns (uint40 added, uint32 epoch) {
        if (severity == 0 || severity > HIGHEST_SEVERITY) revert ReputationLedgerBadSeverity(severity);
        (added, epoch) = (uint40(_penalise(node, severity)), uint32(_epoch()));
        if (severity == HIGHEST_SEVERITY) _suspend(node);
    }

    /// @inheritdoc IReputationLedger
    function reverse(
        address node,
        uint40 added,
        uint32 epoch,
        address[] calldata accusers
    ) external onlyRole(PENALTY_ROLE) {
        emit PenaltyReversed(node, added, epoch);
        Slot storage slot = _records[uint160(node)];
        uint256 record = slot.word;
        if (record != 0) {
            slot.word = ReputationMath.takeBack(record, _epoch(), added, epoch);
            _announce(uint160(node), 0);
        }
        for (uint256 i = 0; i < accusers.length; ++i) _penalise(accusers[i], ACCUSER_SEVERITY);
    }

    /// @inheritdoc IReputationLedger
    function renew(address node) external {
        Slot storage slot = _records[uint160(node)];
        uint256 record = slot.word;
        if (record == 0) return;
        uint8 incarnation = _incarnationOf(node);
        if (ReputationMath.incarnationOf(record) == incarnation) return;
        record = ReputationMath.renew(record, _epoch(), incarnation);
        slot.word = record;
        _announce(uint160(node), 0);
    }

    /// @inheritdoc IReputationLedger
    function scoresOf(address[] calldata nodes) external view returns (uint32[] memory scores) {
        scores = new uint32[](nodes.length);
        for (uint256 i = 0; i < nodes.length; ++i) scores[i] = scoreOf(nodes[i]);
    }

    /// @inheritdoc IReputationLedger
    function recordOf(address node) external view returns (Record memory) {
        uint256 record = _records[uint160(node)].word;
        return
            Record(
                uint40(ReputationMath.goodOf(record)),
                uint40(ReputationMath.badOf(record)),
                uint32(ReputationMath.lastEpochOf(record)),
                uint32(ReputationMath.bornEpochOf(record)),
                uint32(ReputationMath.scoreOf(record)),
                uint32(ReputationMath.goodThisEpochOf(record)),
                uint32(ReputationMath.badThisEpochOf(record)),
                ReputationMath.incarnationOf(record),
                ReputationMath.flagsOf(record)
            );
    }

    /// @inheritdoc IReputationLedger
    function credibilityOf(address customer) external view returns (uint32) {
        return uint32(_credibility(_standings[customer]));
    }

    /// @inheritdoc IReputationLedger
    function feedbacksThisWeek(address customer) external view returns (uint256) {
        return _counted(_standings[customer], block.timestamp / WEEK_SECONDS);
    }

    /// @inheritdoc IReputationLedger
    function settlementOf(
        bytes32 queryId
    ) external view returns (uint64 settledAt, uint8[] memory observations, uint16 rated) {
        return SettlementSlot.unpack(_settlements[queryId].word);
    }

    /// @inheritdoc IReputationLedger
    function scoreOf(address node) public view returns (uint32) {
        uint256 record = _records[uint160(node)].word;
        if (record == 0) return uint32(ReputationMath.PRIOR_SCORE);
        uint8 incarnation = _incarnationOf(node);
        record = ReputationMath.incarnationOf(record) == incarnation
            ? ReputationMath.advance(record, _epoch())
            : ReputationMath.renew(record, _epoch(), incarnation);
        return uint32(ReputationMath.scoreOf(record));
    }

    /// @return added bad evidence, less than the severity's at the cap.
    function _penalise(address node, uint8 severity) private returns (uint256 added) {
        Slot storage slot = _records[uint160(node)];
        uint256 record = slot.word;
        if (record == 0 && REGISTRY.operatorOf(node) == address(0)) revert ReputationLedgerUnknownNode(node);
        record = _aged(record, uint160(node), _epoch());
        uint256 before = ReputationMath.badOf(record);
        emit NodePenalised(node, severity);
        record = ReputationMath.penalise(record, _epoch(), ReputationMath.penaltyEvidence(severity));
        slot.word = record;
        _announce(uint160(node), 0);
        return ReputationMath.badOf(record) - before;
    }

    /// @dev The ledger lets no query have more than 16 participants.
    function _participants(address[] calldata nodes, uint256 percentages) private pure returns (Sheet sheet) {
        if (nodes.length != percentages) revert ReputationLedgerLengthMismatch(nodes.length, percentages);
        sheet = RatingSheet.blank(nodes.length);
        sheet.fillAccounts(nodes);
    }

    function _ratings(Feedback calldata feedback) private pure returns (Sheet sheet) {
        address[] calldata nodes = feedback.nodes;
        uint8[] calldata ratings = feedback.ratings;
        uint256 count = nodes.length;
        if (count != ratings.length) revert ReputationLedgerLengthMismatch(count, ratings.length);
        if (count == 0) revert ReputationLedgerNoRatings(feedback.queryId);
        if (count > MAX_PARTICIPANTS) revert ReputationLedgerTooManyParticipants(count, MAX_PARTICIPANTS);
        sheet = RatingSheet.blank(count);
        sheet.fillAccounts(nodes);
        sheet.fillPercentages(ratings);
        sheet.check();
    }

    function _settle(bytes32 queryId, Sheet sheet, uint256 seal) private {
        Slot storage slot = _settlements[queryId];
        if (slot.word != 0) revert ReputationLedgerAlreadySettled(queryId);
        sheet.log(QuerySettled.selector, queryId);
        slot.word = SettlementSlot.pack(seal, block.timestamp, _judge(queryId, sheet, OBSERVED));
    }

    /// @dev Reverts unless the customer signed these ratings, or sends them.
    function _checkOrdered(
        bytes32 queryId,
        Sheet sheet,
        uint64 deadline,
        address customer,
        bytes calldata signature
    ) private view {
        Signatures.checkDeadline(deadline);
        (bytes32 nodes, bytes32 ratings) = sheet.hashes();
        bytes32 structHash = keccak256(abi.encode(FEEDBACK_TYPEHASH, queryId, nodes, ratings, deadline));
        Signatures.check(customer, _hashTypedDataV4(structHash), signature);
    }

    /// @return rated the settlement with the nodes marked as rated.
    /// @return agreements the sum of their ratings' agreements with what was observed of them.
    function _withRatings(
        bytes32 queryId,
        address[] calldata participants,
        Sheet sheet,
        uint256 settlement
    ) private pure returns (uint256 rated, uint256 agreements) {
        rated = settlement;
        (uint256 cursor, uint256 stride, uint256 end) = sheet.span();
        for (; cursor < end; cursor += 32) {
            (uint256 node, uint256 rating) = RatingSheet.read(cursor, stride);
            uint256 index = participants.find(node);
            if (index == participants.length) {
                if (node > type(uint160).max) revert AddressList.AddressListDirty();
                revert ReputationLedgerNotParticipant(queryId, _account(node));
            }
            bool again;
            (rated, again) = SettlementSlot.markRated(rated, index);
            if (again) revert ReputationLedgerAlreadyRated(queryId, _account(node));
            uint256 observation = SettlementSlot.observationOf(settlement, index);
            unchecked {
                agreements += ReputationMath.agreement(rating, observation);
            }
        }
    }

    /// @dev Moves the nodes by the credibility that the customer had, then the credibility itself.
    function _applyRatings(bytes32 queryId, address customer, Sheet sheet, uint256 agreements) private {
        uint256 standing = _standings[customer];
        uint256 week = block.timestamp / WEEK_SECONDS;
        uint256 counted = _counted(standing, week);
        if (counted == WEEKLY_FEEDBACKS) return;
        uint256 credibility = _credibility(standing);
        uint256 updated = ReputationMath.updateCredibility(credibility, agreements, sheet.count());
        _standings[customer] = (week << 40) | ((counted + 1) << 32) | updated;
        _judge(queryId, sheet, credibility);
        emit CredibilityUpdated(customer, uint32(updated));
    }

    /// @dev Moves every node of the sheet, which has one at least: by what was observed when `credibility` is OBSERVED,
    /// else by the ratings of a customer of that credibility.
    /// @return packed the percentages, for SettlementSlot.
    function _judge(bytes32 queryId, Sheet sheet, uint256 credibility) private returns (uint256 packed) {
        (uint256 cursor, uint256 stride, uint256 end) = sheet.span();
        uint256 epoch = _epoch();
        packed = SettlementSlot.NO_OBSERVATIONS;
        uint256 shift = 0;
        unchecked {
            do {
                (uint256 node, uint256 percentage) = RatingSheet.read(cursor, stride);
                if (percentage > 100) revert RatingSheet.RatingSheetBadPercentage(percentage);
                packed = SettlementSlot.noted(packed, percentage, shift);
                (uint256 good, uint256 bad) = credibility == OBSERVED
                    ? ReputationMath.settleEvidence(percentage)
                    : ReputationMath.feedbackEvidence(percentage, credibility);
                Slot storage slot = _records[node];
                uint256 record = slot.word;
                if (ReputationMath.isOld(record, epoch)) record = _aged(record, node, epoch);
                slot.word = ReputationMath.observe(record, epoch, good, bad);
                _announce(node, queryId);
                shift += SettlementSlot.WIDTH;
                cursor += 32;
            } while (cursor < end);
        }
    }

    /// @dev A record as of `epoch`, a newborn's when nothing was ever observed of the node; its score is left behind.
    function _aged(uint256 record, uint256 node, uint256 epoch) private view returns (uint256) {
        return
            record == 0
                ? ReputationMath.newborn(epoch, uint8(REGISTRY.nodeOf(address(uint160(node))).incarnation))
                : ReputationMath.age(record, epoch);
    }

    /// @dev Logs ReputationUpdated with what ReputationMath left in memory right before.
    function _announce(uint256 node, bytes32 queryId) private {
        bytes32 selector = ReputationUpdated.selector;
        assembly ("memory-safe") {
            log3(mload(0x40), 0x60, selector, node, queryId)
        }
    }

    /// @dev Checks the opening against the ledger's slot, as `IQueryLedger.verifyParticipants` does, but for less gas.
    function _opened(
        bytes32 queryId,
        IQueryLedger.Opening calldata opening
    ) private view returns (IQueryLedger.QueryStatus status, bool insider, uint256 time, uint208 supplied) {
        QueryWord query = LEDGER.queryWord(queryId);
        status = query.status();
        if (status == IQueryLedger.QueryStatus.None) revert IQueryLedger.QueryLedgerWrongStatus(queryId, status);
        supplied = QueryCommitment.ofOpening(opening, status);
        uint208 stored = query.commitment();
        if (stored != supplied) revert IQueryLedger.QueryLedgerBadOpening(queryId, stored, supplied);
        (insider, time) = (query.insider(), query.time());
    }

    /// @dev Checks the opening against the seal of the settlement; where that does not fit, against the ledger, which
    /// decides.
    /// @return insider whether the customer is, or operates, a participant.
    function _isInsider(
        bytes32 queryId,
        IQueryLedger.Opening calldata opening,
        uint256 settlement
    ) private view returns (bool insider) {
        IQueryLedger.QueryStatus status = opening.resultHash == 0
            ? IQueryLedger.QueryStatus.Failed
            : IQueryLedger.QueryStatus.Completed;
        uint208 commitment = QueryCommitment.ofOpening(opening, status);
        if (SettlementSlot.isSealedBy(settlement, commitment, false)) return false;
        (, insider, , ) = _opened(queryId, opening);
    }

    /// @dev Passes over a node that is suspended already, and over no other refusal.
    function _suspend(address node) private {
        try REGISTRY.setSuspended(node, true) {} catch (bytes memory reason) {
            if (bytes4(reason) == INodeRegistry.NodeRegistrySuspensionUnchanged.selector) return;
            assembly ("memory-safe") {
                revert(add(reason, 32), mload(reason))
            }
        }
    }

    function _checkWindow(bytes32 queryId, uint256 settlement) private view {
        if (settlement == 0) revert ReputationLedgerNotSettled(queryId);
        uint256 closedAt = SettlementSlot.settledAtOf(settlement) + FEEDBACK_WINDOW_SECONDS;
        if (block.timestamp > closedAt) revert ReputationLedgerWindowClosed(queryId, closedAt);
    }

    function _checkStrangers(address customer, Sheet sheet) private view {
        (uint256 cursor, uint256 stride, uint256 end) = sheet.span();
        for (; cursor < end; cursor += 32) {
            (uint256 row, ) = RatingSheet.read(cursor, stride);
            address node = _account(row);
            if (customer == node || REGISTRY.operatorOf(node) == customer) {
                revert ReputationLedgerSelfFeedback(customer, node);
            }
        }
    }

    function _incarnationOf(address node) private view returns (uint8) {
        return uint8(REGISTRY.nodeOf(node).incarnation);
    }

    function _account(uint256 node) private pure returns (address) {
        return address(uint160(node));
    }

    function _epoch() private view returns (uint256) {
        return block.timestamp / EPOCH_SECONDS;
    }

    function _credibility(uint256 standing) private pure returns (uint256) {
        return standing == 0 ? ReputationMath.INITIAL_CREDIBILITY : standing & type(uint32).max;
    }

    function _counted(uint256 standing, uint256 week) private pure returns (uint256) {
        return standing >> 40 == week ? (standing >> 32) & type(uint8).max : 0;
    }
}
