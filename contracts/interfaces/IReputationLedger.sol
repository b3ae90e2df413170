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

    /// @notice The management system said what it observed of a query's participants; their customer may rate them now.
    /// @param queryId the query.
    /// @param nodes owners ++ mpcs ++ lost.
    /// @param observations m of each, in percent.
    event QuerySettled(bytes32 indexed queryId, address[] nodes, uint8[] observations);
    /// @notice A customer rated nodes of its query.
    /// @param queryId the query.
    /// @param customer who rated.
    /// @param nodes who were rated.
    /// @param ratings f of each, in percent.
    event FeedbackGiven(bytes32 indexed queryId, address indexed customer, address[] nodes, uint8[] ratings);
    /// @notice A node has another record.
    /// @param node its account.
    /// @param queryId the query that moved it; zero after a claim, a reversal or a new registration.
    /// @param score R' as of this epoch, 1e9 fixed point.
    /// @param good evidence, decayed to this epoch.
    /// @param bad evidence, decayed to this epoch.
    event ReputationUpdated(address indexed node, bytes32 indexed queryId, uint32 score, uint40 good, uint40 bad);
    /// @notice A customer's ratings weigh otherwise from now on.
    /// @param customer its account.
    /// @param credibility c, 1e9 fixed point.
    event CredibilityUpdated(address indexed customer, uint32 credibility);
    /// @notice An upheld claim, or a claim that fell and that the node had signed, costs a node reputation.
    /// @param node its account.
    /// @param severity 1, 2 or 3.
    event NodePenalised(address indexed node, uint8 severity);
    /// @notice Bad evidence that a penalty had brought is gone, as far as it had not decayed.
    /// @param node its account.
    /// @param added what the penalty had brought.
    /// @param epoch in which it had.
    event PenaltyReversed(address indexed node, uint40 added, uint32 epoch);

    /// @notice A contract that the ledger needs is missing.
    error ReputationLedgerZeroAddress();
    /// @notice A period has no length.
    error ReputationLedgerZeroPeriod();
    /// @notice A query that still runs is not settled.
    error ReputationLedgerNotEnded(bytes32 queryId, IQueryLedger.QueryStatus status);
    /// @notice Only a completed query is settled without the coordinator.
    error ReputationLedgerNotCompleted(bytes32 queryId, IQueryLedger.QueryStatus status);
    /// @notice A query is settled once.
    error ReputationLedgerAlreadySettled(bytes32 queryId);
    /// @notice Nothing was observed yet that a rating could be compared with.
    error ReputationLedgerNotSettled(bytes32 queryId);
    /// @notice The coordinator still has time to settle the query itself.
    error ReputationLedgerTooEarly(bytes32 queryId, uint256 earliest);
    /// @notice The time for feedback is over.
    error ReputationLedgerWindowClosed(bytes32 queryId, uint256 closedAt);
    /// @notice More than a query can have.
    error ReputationLedgerTooManyParticipants(uint256 participants, uint256 maximum);
    /// @notice Each node has one percentage.
    error ReputationLedgerLengthMismatch(uint256 nodes, uint256 percentages);
    /// @notice The feedback says nothing.
    error ReputationLedgerNoRatings(bytes32 queryId);
    /// @notice The node took no part in the query.
    error ReputationLedgerNotParticipant(bytes32 queryId, address node);
    /// @notice A node is rated once a query.
    error ReputationLedgerAlreadyRated(bytes32 queryId, address node);
    /// @notice The customer is the node, or operates it.
    error ReputationLedgerSelfFeedback(address customer, address node);
    /// @notice There is no such severity.
    error ReputationLedgerBadSeverity(uint8 severity);
    /// @notice The account never registered and was never observed.
    error ReputationLedgerUnknownNode(address node);

    /// @notice COORDINATOR_ROLE, once a query, after completion or failure: what the management system observed of each
    /// participant, in the order owners ++ mpcs ++ lost.
    /// @param queryId the query.
    /// @param opening what is behind the query's commitment.
    /// @param observations m of each participant, in percent.
    function settle(
        bytes32 queryId,
        IQueryLedger.Opening calldata opening,
        uint8[] calldata observations
    ) external;

    /// @notice Anybody, silentSettleSeconds after the completion of a query that nobody settled: m = 1 for every
    /// participant, so that a coordinator that keeps silent blocks nobody's feedback. Never paused.
    /// @param queryId the query.
    /// @param opening what is behind the query's commitment.
    function settleUncontested(bytes32 queryId, IQueryLedger.Opening calldata opening) external;

    /// @notice The ratings of a settled query's customer, inside feedbackWindowSeconds of the settlement, each node
    /// once, never a node that the customer is or operates. Anybody may relay it. Eight feedbacks a customer and week
    /// count; a further one is recorded and changes no score. Never paused.
    /// @param feedback which nodes, and f of each in percent.
    /// @param opening what is behind the query's commitment.
    /// @param signature the customer's over the feedback (EIP-712, EOA or ERC-1271); empty when the customer sends it.
    function giveFeedback(
        Feedback calldata feedback,
        IQueryLedger.Opening calldata opening,
        bytes calldata signature
    ) external;

    /// @notice PENALTY_ROLE: an upheld claim of severity 1, 2 or 3 adds 2, 8 or 32 of bad evidence, beside the limit of
    /// the epoch; 3 also suspends an active node, for which this contract needs the registry's SUSPENDER_ROLE.
    /// @param node the accused's account.
    /// @param severity 1, 2 or 3.
    /// @return added bad evidence that it brought, less than its due at the cap.
    /// @return epoch the present one.
    function penalise(address node, uint8 severity) external returns (uint40 added, uint32 epoch);

    /// @notice PENALTY_ROLE: an upheld claim was wrong. Takes back what is left of what `penalise` said that it had added,
    /// and penalises each accuser by severity 1. Lifts no suspension. Never paused.
    /// @param node the accused's account.
    /// @param added what `penalise` returned.
    /// @param epoch what `penalise` returned.
    /// @param accusers who signed the claim.
    function reverse(address node, uint40 added, uint32 epoch, address[] calldata accusers) external;

    /// @notice Anybody; the registry calls it when an account registers again: the good evidence and the tenure of its
    /// former incarnation end, the bad evidence stays. Does nothing when the record is of the present incarnation.
    /// @param node its account.
    function renew(address node) external;

    /// @notice The score as of now: decayed, under the tenure cap; 0.3 for a newcomer. An account that registered again
    /// shows no good standing of its former incarnation, renewed or not.
    /// @param node its account.
    /// @return R', 1e9 fixed point.
    function scoreOf(address node) external view returns (uint32);

    /// @notice `scoreOf` of many nodes.
    /// @param nodes their accounts.
    /// @return R' of each, in order.
    function scoresOf(address[] calldata nodes) external view returns (uint32[] memory);

    /// @notice What is stored of a node.
    /// @param node its account.
    /// @return all zeros when nothing was ever observed of it.
    function recordOf(address node) external view returns (Record memory);

    /// @notice How much a customer's ratings weigh.
    /// @param customer its account.
    /// @return c, 1e9 fixed point; 0.3 before the first feedback that counts.
    function credibilityOf(address customer) external view returns (uint32);

    /// @notice How many feedbacks of a customer counted in the present week.
    /// @param customer its account.
    /// @return 0 to 8.
    function feedbacksThisWeek(address customer) external view returns (uint256);

    /// @notice What was observed in a query, and who is rated already.
    /// @param queryId the query.
    /// @return settledAt block time, 0 when the query is not settled.
    /// @return observations in the order owners ++ mpcs ++ lost.
    /// @return rated bit i is set once participant i was rated.
    function settlementOf(
        bytes32 queryId
    ) external view returns (uint64 settledAt, uint8[] memory observations, uint16 rated);
}
