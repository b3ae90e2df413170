// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IQueryLedger} from "./IQueryLedger.sol";

/// @title Who has behaved: R' = Q(M, F, R), from settled queries, their customers' feedback and upheld claims.
/// @notice Scores, evidence and credibilities are 1e9 fixed point; observations (m) and ratings (f) are in percent.
/// An epoch is block time / epochSeconds, a week block time / weekSeconds. EIP-712 domain: name `SoterOne`, version `1`,
/// chain id, this contract.
interface IReputationLedger {
    /// @dev What is stored of a node as of `lastEpoch`, undecayed since; `lastEpoch` 0: nothing was ever observed.
    /// `incarnation` is the registry's, modulo 256; `flags` is reserved.
    struct Record {
        uint40 good;
        uint40 bad;
        uint32 lastEpoch;
        uint32 bornEpoch;
        uint32 score;
        uint32 goodThisEpoch;
        uint32 badThisEpoch;
        uint8 incarnation;
        uint8 flags;
    }

    /// @dev What the customer signs (EIP-712). The query is the nonce: a node is rated once in it.
    struct Feedback {
        bytes32 queryId;
        address[] nodes;
        uint8[] ratings;
        uint64 deadline;
    }

    event QuerySettled(bytes32 indexed queryId, address[] nodes, uint8[] observations);
    event FeedbackGiven(bytes32 indexed queryId, address indexed customer, address[] nodes, uint8[] ratings);
    /// @dev After an upheld claim or a new registration `queryId` is zero.
    event ReputationUpdated(address indexed node, bytes32 indexed queryId, uint32 score, uint40 good, uint40 bad);
    event CredibilityUpdated(address indexed customer, uint32 credibility);
    event NodePenalised(address indexed node, uint8 severity);
    /// @dev `added` of bad evidence, which a penalty of `epoch` had brought, is gone, as far as it had not decayed.
    event PenaltyReversed(address indexed node, uint40 added, uint32 epoch);

    error ReputationLedgerZeroAddress();
    error ReputationLedgerZeroPeriod();
    error ReputationLedgerNotEnded(bytes32 queryId, IQueryLedger.QueryStatus status);
    error ReputationLedgerNotCompleted(bytes32 queryId, IQueryLedger.QueryStatus status);
    error ReputationLedgerAlreadySettled(bytes32 queryId);
    error ReputationLedgerNotSettled(bytes32 queryId);
    error ReputationLedgerTooEarly(bytes32 queryId, uint256 earliest);
    error ReputationLedgerWindowClosed(bytes32 queryId, uint256 closedAt);
    error ReputationLedgerTooManyParticipants(uint256 participants, uint256 maximum);
    error ReputationLedgerLengthMismatch(uint256 nodes, uint256 percentages);
    error ReputationLedgerNoRatings(bytes32 queryId);
    error ReputationLedgerNotParticipant(bytes32 queryId, address node);
    error ReputationLedgerAlreadyRated(bytes32 queryId, address node);
    error ReputationLedgerSelfFeedback(address customer, address node);
    error ReputationLedgerBadSeverity(uint8 severity);
    error ReputationLedgerUnknownNode(address node);

    /// @notice COORDINATOR_ROLE, once a query, after completion or failure: what the management system observed of each
    /// participant, in the order owners ++ mpcs ++ lost.
    function settle(
        bytes32 queryId,
        IQueryLedger.Opening calldata opening,
        uint8[] calldata observations
    ) external;

    /// @notice Anybody, silentSettleSeconds after the completion of a query that nobody settled: m = 1 for every
    /// participant, so that a coordinator that keeps silent blocks nobody's feedback. Never paused.
    function settleUncontested(bytes32 queryId, IQueryLedger.Opening calldata opening) external;

    /// @notice The ratings of a settled query's customer, inside feedbackWindowSeconds of the settlement, each node
    /// once, never a node that the customer is or operates. Relayed by anybody with the customer's signature (EIP-712,
    /// EOA or ERC-1271), or sent by the customer with an empty one. Eight feedbacks a customer and week count; a further
    /// one is recorded and changes no score. Never paused.
    function giveFeedback(
        Feedback calldata feedback,
        IQueryLedger.Opening calldata opening,
        bytes calldata signature
    ) external;

    /// @notice PENALTY_ROLE: an upheld claim of severity 1, 2 or 3 adds 2, 8 or 32 of bad evidence, beside the limit of
    /// the epoch; 3 also suspends an active node, for which this contract needs the registry's SUSPENDER_ROLE.
    /// @return added bad evidence that it brought, less than its due at the cap.
    /// @return epoch the present one.
    function penalise(address node, uint8 severity) external returns (uint40 added, uint32 epoch);

    /// @notice PENALTY_ROLE: an upheld claim was wrong. Takes back what is left of what `penalise` said that it had added,
    /// and penalises each accuser by severity 1. Lifts no suspension. Never paused.
    function reverse(address node, uint40 added, uint32 epoch, address[] calldata accusers) external;

    /// @notice Anybody; the registry calls it when an account registers again: the good evidence and the tenure of its
    /// former incarnation end, the bad evidence stays. Does nothing when the record is of the present incarnation.
    function renew(address node) external;

    /// @notice The score as of now: decayed, under the tenure cap; 0.3 for a newcomer. An account that registered again
    /// shows no good standing of its former incarnation, renewed or not.
    function scoreOf(address node) external view returns (uint32);

    /// @notice `scoreOf` of each node, in order.
    function scoresOf(address[] calldata nodes) external view returns (uint32[] memory);

    function recordOf(address node) external view returns (Record memory);

    /// @notice 0.3 before the customer's first feedback that counts.
    function credibilityOf(address customer) external view returns (uint32);

    /// @notice The feedbacks of a customer that counted in the present week.
    function feedbacksThisWeek(address customer) external view returns (uint256);

    /// @return settledAt block time, 0 when the query is not settled.
    /// @return observations in the order owners ++ mpcs ++ lost.
    /// @return rated bit i is set once participant i was rated.
    function settlementOf(
        bytes32 queryId
    ) external view returns (uint64 settledAt, uint8[] memory observations, uint16 rated);
}
