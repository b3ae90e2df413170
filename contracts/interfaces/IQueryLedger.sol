// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {QueryWord} from "../libraries/QuerySlot.sol";

/// @title One slot a query: `uint208 commitment | uint8 status | uint8 generation | uint32 time`; the top bit of the
/// generation's byte says that the customer is an insider.
/// @notice What the slot commits to is supplied again by callers and checked:
/// ```
/// rosterHash = keccak256 of the words customer, ownerCount, maxReplacements, ...participants
/// termsHash  = keccak256(abi.encode(specHash, resultKeyHash, maxRunSeconds, resultRetrySeconds, cleanupGraceSeconds))
/// commitment = uint208(uint256(keccak256(abi.encode(rosterHash, termsHash))))        dispatched, failed
/// completed  = uint208(uint256(keccak256(abi.encode(commitment, resultHash))))       completed
/// ```
/// participants = owners ++ mpcs ++ lost. Generation 0 is the trio that was dispatched, each replacement adds one. The successor takes the rank (index) of
/// the node it replaces; `lost` lists the replaced nodes, oldest first.
/// `time` is the block time of dispatch, and after the end the time of completion or failure (cleanup keeps it).
interface IQueryLedger {
    /// @dev Values of `status`.
    enum QueryStatus {
        None,
        Dispatched,
        Completed,
        Failed,
        CompletedCleaned,
        FailedCleaned
    }

    /// @dev What the customer signs (EIP-712). `owners` and `mpcs` strictly ascending, three mpcs,
    /// owners + 3 + maxReplacements at most 16.
    struct QueryOrder {
        address customer;
        bytes32 salt;
        bytes32 specHash;
        address[] owners;
        address[] mpcs;
        bytes32 resultKeyHash;
        uint32 maxRunSeconds;
        uint32 resultRetrySeconds;
        uint32 cleanupGraceSeconds;
        uint8 maxReplacements;
        uint64 deadline;
    }

    struct Terms {
        bytes32 specHash;
        bytes32 resultKeyHash;
        uint32 maxRunSeconds;
        uint32 resultRetrySeconds;
        uint32 cleanupGraceSeconds;
    }

    /// @dev What is behind the commitment of a query. `resultHash` is zero unless the query is completed.
    struct Opening {
        address customer;
        uint8 ownerCount;
        uint8 maxReplacements;
        address[] participants;
        bytes32 termsHash;
        bytes32 resultHash;
    }

    /// @dev The replacement of a lost MPC node. `lostIndex` and `reporterIndex` count in `Opening.participants`,
    /// `successorIndex` in `candidates`. `deadline` belongs to the LossReport(queryId, generation, lost, deadline) that
    /// the reporter, an owner or one of the other two nodes, signed.
    struct Replacement {
        uint8 lostIndex;
        uint8 reporterIndex;
        uint8 successorIndex;
        uint64 seedBlock;
        uint64 deadline;
        address[] candidates;
    }

    event QuerySubmitted(bytes32 indexed queryId, address indexed customer, bytes32 specHash);
    event QueryDispatched(
        bytes32 indexed queryId,
        address indexed customer,
        bytes32 specHash,
        address[] owners,
        address[] mpcs,
        bytes32 resultKeyHash,
        uint32 maxRunSeconds,
        uint32 resultRetrySeconds,
        uint32 cleanupGraceSeconds
    );
    /// @dev With QueryDispatched, all that the commitment holds stands in events.
    event ReplacementLimit(bytes32 indexed queryId, uint8 maxReplacements);
    event MPCUpdated(
        bytes32 indexed queryId,
        address indexed oldMpc,
        address indexed newMpc,
        uint8 generation,
        uint64 seedBlock,
        address[] candidates
    );
    event QueryCompleted(bytes32 indexed queryId, uint8 generation, bytes32 resultHash);
    event QueryFailed(bytes32 indexed queryId, uint8 reason, address node);
    event QueryCleanup(bytes32 indexed queryId);

    error QueryLedgerZeroAddress();
    error QueryLedgerWrongStatus(bytes32 queryId, QueryStatus status);
    error QueryLedgerBadOpening(bytes32 queryId, uint208 stored, uint208 supplied);
    error QueryLedgerBadTerms(bytes32 queryId, bytes32 termsHash, bytes32 supplied);
    error QueryLedgerTooManyParticipants(uint256 participants, uint256 maximum);
    error QueryLedgerNoOwner();
    error QueryLedgerNotThreeMpcs(uint256 mpcs);
    /// @dev Duplicates count as unsorted.
    error QueryLedgerNotAscending(address previous, address next);
    error QueryLedgerOwnerIsMpc(address node);
    error QueryLedgerSharedOperator(address operator);
    error QueryLedgerBadTimers(uint32 maxRunSeconds, uint32 resultRetrySeconds, uint32 cleanupGraceSeconds);
    error QueryLedgerZeroSpecHash();
    error QueryLedgerZeroResultKeyHash();
    error QueryLedgerNotMpc(bytes32 queryId, uint256 index);
    error QueryLedgerNotParticipant(bytes32 queryId, address node);
    error QueryLedgerFormerMember(bytes32 queryId, address node);
    error QueryLedgerNoReplacementsLeft(bytes32 queryId, uint8 maximum);
    error QueryLedgerNotReporter(bytes32 queryId, uint256 index);
    error QueryLedgerNotCandidate(bytes32 queryId, uint256 index);
    error QueryLedgerTooManyCandidates(uint256 candidates, uint256 maximum);
    error QueryLedgerBadSeedBlock(uint64 seedBlock);
    error QueryLedgerTooFewShares(bytes32 queryId, uint256 shares);
    error QueryLedgerBadReason(uint8 reason);
    error QueryLedgerNotCustomer(bytes32 queryId, address account);
    error QueryLedgerTooEarly(bytes32 queryId, uint256 earliest);

    /// @notice Records and announces a query. Anybody may relay; `signature` is the customer's over the order (EIP-712,
    /// EOA or ERC-1271), or empty when the customer sends it. All nodes must be active in the NodeRegistry with their
    /// role, the mpcs have three different operators.
    function dispatch(QueryOrder calldata order, bytes calldata signature) external returns (bytes32 queryId);

    /// @notice COORDINATOR_ROLE, with the loss signed by a survivor or an owner. The successor is active, an MPC node,
    /// among the candidates, never in this query before, of another operator than the two survivors.
    function replaceMpc(
        bytes32 queryId,
        Opening calldata opening,
        Replacement calldata replacement,
        bytes calldata reporterSignature
    ) external;

    /// @notice COORDINATOR_ROLE. resultHash = keccak256(abi.encodePacked(shareHashes)), rank order, zero where absent,
    /// at least two present.
    /// @param commitment the commitment that the shares belong to: order and trio of this very generation.
    function complete(bytes32 queryId, uint208 commitment, bytes32[3] calldata shareHashes) external;

    /// @notice COORDINATOR_ROLE with any reason but 8, or the customer with reason 6.
    /// @param node the participant (owner, mpc or lost) that the reason is about, or zero.
    function fail(bytes32 queryId, Opening calldata opening, uint8 reason, address node) external;

    /// @notice Ends a query with reason 6 by the customer's signed Cancellation(bytes32 queryId,uint64 deadline),
    /// relayed by anybody; an empty signature means that the customer sends it.
    function cancel(
        bytes32 queryId,
        Opening calldata opening,
        uint64 deadline,
        bytes calldata signature
    ) external;

    /// @notice COORDINATOR_ROLE, once, after completion or failure: tells every participant to destroy what it holds.
    function cleanup(bytes32 queryId) external;

    /// @notice Anybody, after dispatch + maxRun + resultRetry + cleanupGrace seconds: QueryFailed with reason 8.
    function expire(bytes32 queryId, Opening calldata opening, Terms calldata terms) external;

    /// @notice Checks that the opening is the query's, at any status but None; else reverts QueryLedgerBadOpening.
    /// There are 16 participants at most.
    /// @dev Contracts that count their gas take `stateOf` and compare for themselves.
    function verifyParticipants(
        bytes32 queryId,
        Opening calldata opening
    ) external view returns (QueryStatus status, uint8 generation, uint32 time);

    /// @notice The slot as it stands, for contracts that count their gas; QuerySlot reads it.
    function queryWord(bytes32 queryId) external view returns (QueryWord);

    /// @notice For contracts that check an Opening by QueryCommitment.ofOpening. `insider`: whether the
    /// customer was a participant, or operated one when that one joined the query.
    function stateOf(
        bytes32 queryId
    ) external view returns (uint208 commitment, QueryStatus status, bool insider, uint32 time);

    function statusOf(bytes32 queryId) external view returns (QueryStatus status, uint8 generation, uint32 time);

    function queryIdOf(address customer, bytes32 salt) external view returns (bytes32);
}
