// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {QueryWord} from "../libraries/QuerySlot.sol";

/// @title One slot a query: `uint208 commitment | uint8 status | uint8 generation | uint32 time`; the top bit of the
/// generation's byte says that the customer is an insider.
/// @notice What the slot commits to is supplied again by callers and checked. `rosterHash` = keccak256 of the words customer,
/// ownerCount, maxReplacements, ...participants. `termsHash` = `keccak256(abi.encode(specHash, resultKeyHash, maxRunSeconds,
/// resultRetrySeconds, cleanupGraceSeconds))`. Dispatched or failed: `commitment` =
/// `uint208(uint256(keccak256(abi.encode(rosterHash, termsHash))))`. Completed: the same of
/// `(commitment until then, resultHash)`.
/// participants = owners ++ mpcs ++ lost. Generation 0 is the trio that was dispatched, each replacement adds one. The
/// successor takes the rank (index) of the node it replaces; `lost` lists the replaced nodes, oldest first.
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

    /// @dev What `Opening.termsHash` hashes, as the order had it.
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

    /// @notice An order arrived; the same transaction dispatches it.
    /// @param queryId keccak256(abi.encode(chainId, this contract, customer, salt)).
    /// @param customer who ordered.
    /// @param specHash SHA-256 of the canonical JSON of the spec.
    event QuerySubmitted(bytes32 indexed queryId, address indexed customer, bytes32 specHash);
    /// @notice The participants are to work from now on.
    /// @param queryId the query.
    /// @param customer who ordered.
    /// @param specHash SHA-256 of the canonical JSON of the spec.
    /// @param owners whose data are used, ascending.
    /// @param mpcs the three nodes that compute, ascending: a node's index is its rank.
    /// @param resultKeyHash keccak256 of the public key that the result is sealed to.
    /// @param maxRunSeconds how long it may run.
    /// @param resultRetrySeconds how long a holder of the result retries to deliver it.
    /// @param cleanupGraceSeconds how long after that participants clean up without being told.
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
    /// @notice With QueryDispatched, all that the commitment holds stands in events.
    /// @param queryId the query.
    /// @param maxReplacements how many lost MPC nodes may be replaced.
    event ReplacementLimit(bytes32 indexed queryId, uint8 maxReplacements);
    /// @notice A lost MPC node has a successor, with whom the next generation begins.
    /// @param queryId the query.
    /// @param oldMpc who was lost.
    /// @param newMpc who follows, in the same rank.
    /// @param generation that begins.
    /// @param seedBlock whose hash seeded the draw.
    /// @param candidates among whom the successor was drawn, in their order.
    event MPCUpdated(
        bytes32 indexed queryId,
        address indexed oldMpc,
        address indexed newMpc,
        uint8 generation,
        uint64 seedBlock,
        address[] candidates
    );
    /// @notice The result is delivered.
    /// @param queryId the query.
    /// @param generation whose result it is.
    /// @param resultHash keccak256 of the three share hashes in rank order, zero where absent.
    event QueryCompleted(bytes32 indexed queryId, uint8 generation, bytes32 resultHash);
    /// @notice There will be no result.
    /// @param queryId the query.
    /// @param reason 1 owner lost, 2 no successor, 3 too few common rows, 4 engine error, 5 policy refused, 6 cancelled,
    /// 7 timed out, 8 abandoned, 9 quarantined, 10 bad data.
    /// @param node the participant that the reason is about, or zero.
    event QueryFailed(bytes32 indexed queryId, uint8 reason, address node);
    /// @notice The participants are to destroy what they hold.
    /// @param queryId the query.
    event QueryCleanup(bytes32 indexed queryId);

    /// @notice An account that must be named is zero.
    error QueryLedgerZeroAddress();
    /// @notice The query is in another status than this needs; 0: there is no such query.
    error QueryLedgerWrongStatus(bytes32 queryId, QueryStatus status);
    /// @notice What was supplied of the query is not what its slot commits to.
    error QueryLedgerBadOpening(bytes32 queryId, uint208 stored, uint208 supplied);
    /// @notice The terms are not those of the opening.
    error QueryLedgerBadTerms(bytes32 queryId, bytes32 termsHash, bytes32 supplied);
    /// @notice Owners, the trio and those who may yet replace are more than a settlement can hold.
    error QueryLedgerTooManyParticipants(uint256 participants, uint256 maximum);
    /// @notice A query needs data.
    error QueryLedgerNoOwner();
    /// @notice The protocol computes among three.
    error QueryLedgerNotThreeMpcs(uint256 mpcs);
    /// @notice The list is not ascending; duplicates count as unsorted.
    error QueryLedgerNotAscending(address previous, address next);
    /// @notice One node has both parts.
    error QueryLedgerOwnerIsMpc(address node);
    /// @notice Two of the trio are in the same hands.
    error QueryLedgerSharedOperator(address operator);
    /// @notice No time to run, or more than 30 days; or more than 7 days of retries or of grace.
    error QueryLedgerBadTimers(uint32 maxRunSeconds, uint32 resultRetrySeconds, uint32 cleanupGraceSeconds);
    /// @notice The order says nothing of what is to be computed.
    error QueryLedgerZeroSpecHash();
    /// @notice The order says nothing of whom the result is for.
    error QueryLedgerZeroResultKeyHash();
    /// @notice Whoever stands at this index is none of the trio.
    error QueryLedgerNotMpc(bytes32 queryId, uint256 index);
    /// @notice The node took no part.
    error QueryLedgerNotParticipant(bytes32 queryId, address node);
    /// @notice The node is, or was, in this query.
    error QueryLedgerFormerMember(bytes32 queryId, address node);
    /// @notice All the replacements that the order allows are used up.
    error QueryLedgerNoReplacementsLeft(bytes32 queryId, uint8 maximum);
    /// @notice Whoever stands at this index may not report the loss.
    error QueryLedgerNotReporter(bytes32 queryId, uint256 index);
    /// @notice There is no candidate of this index.
    error QueryLedgerNotCandidate(bytes32 queryId, uint256 index);
    /// @notice More candidates than agents are asked to look at.
    error QueryLedgerTooManyCandidates(uint256 candidates, uint256 maximum);
    /// @notice The seed comes from no block that there was.
    error QueryLedgerBadSeedBlock(uint64 seedBlock);
    /// @notice One share opens no result.
    error QueryLedgerTooFewShares(bytes32 queryId, uint256 shares);
    /// @notice There is no such reason, or it is not one to be given.
    error QueryLedgerBadReason(uint8 reason);
    /// @notice Only the customer may.
    error QueryLedgerNotCustomer(bytes32 queryId, address account);
    /// @notice It is not time yet.
    error QueryLedgerTooEarly(bytes32 queryId, uint256 earliest);

    /// @notice Records and announces a query. Anybody may relay it. All nodes must be active in the NodeRegistry with their
    /// role, the mpcs have three different operators. Paused with new work.
    /// @param order what the customer wants.
    /// @param signature the customer's over the order (EIP-712, EOA or ERC-1271); empty when the customer sends it.
    /// @return queryId keccak256(abi.encode(chainId, this contract, customer, salt)).
    function dispatch(QueryOrder calldata order, bytes calldata signature) external returns (bytes32 queryId);

    /// @notice COORDINATOR_ROLE, with the loss signed by a survivor or an owner. The successor is active, an MPC node,
    /// among the candidates, never in this query before, of another operator than the two survivors.
    /// @param queryId the query.
    /// @param opening what is behind the query's commitment.
    /// @param replacement who is lost, who says so and who follows.
    /// @param reporterSignature the reporter's over the LossReport (EIP-712, EOA or ERC-1271).
    function replaceMpc(
        bytes32 queryId,
        Opening calldata opening,
        Replacement calldata replacement,
        bytes calldata reporterSignature
    ) external;

    /// @notice COORDINATOR_ROLE. resultHash = keccak256(abi.encodePacked(shareHashes)), rank order, zero where absent,
    /// at least two present.
    /// @param queryId the query.
    /// @param commitment the commitment that the shares belong to: order and trio of this very generation.
    /// @param shareHashes of the sealed shares, by rank.
    function complete(bytes32 queryId, uint208 commitment, bytes32[3] calldata shareHashes) external;

    /// @notice COORDINATOR_ROLE with any reason but 8, or the customer with reason 6.
    /// @param queryId the query.
    /// @param opening what is behind the query's commitment.
    /// @param reason as QueryFailed lists them.
    /// @param node the participant (owner, mpc or lost) that the reason is about, or zero.
    function fail(bytes32 queryId, Opening calldata opening, uint8 reason, address node) external;

    /// @notice Ends a query with reason 6 by the customer's signed Cancellation(bytes32 queryId,uint64 deadline),
    /// relayed by anybody.
    /// @param queryId the query.
    /// @param opening what is behind the query's commitment.
    /// @param deadline that was signed.
    /// @param signature the customer's (EIP-712, EOA or ERC-1271); empty when the customer sends it.
    function cancel(
        bytes32 queryId,
        Opening calldata opening,
        uint64 deadline,
        bytes calldata signature
    ) external;

    /// @notice COORDINATOR_ROLE, once, after completion or failure: tells every participant to destroy what it holds.
    /// @param queryId the query.
    function cleanup(bytes32 queryId) external;

    /// @notice Anybody, after dispatch + maxRun + resultRetry + cleanupGrace seconds: QueryFailed with reason 8.
    /// @param queryId the query.
    /// @param opening what is behind the query's commitment.
    /// @param terms what is behind the opening's termsHash.
    function expire(bytes32 queryId, Opening calldata opening, Terms calldata terms) external;

    /// @notice Checks that the opening is the query's, at any status but None; else reverts QueryLedgerBadOpening.
    /// There are 16 participants at most.
    /// @dev Contracts that count their gas take `stateOf` and compare for themselves.
    /// @param queryId the query.
    /// @param opening what is behind the query's commitment.
    /// @return status as it is now.
    /// @return generation the present one, or the last.
    /// @return time of dispatch, after the end that of the end.
    function verifyParticipants(
        bytes32 queryId,
        Opening calldata opening
    ) external view returns (QueryStatus status, uint8 generation, uint32 time);

    /// @notice The slot as it stands, for contracts that count their gas; QuerySlot reads it.
    /// @param queryId the query.
    /// @return one word, zero when there is no such query.
    function queryWord(bytes32 queryId) external view returns (QueryWord);

    /// @notice The slot's fields, for contracts that check an Opening by QueryCommitment.ofOpening.
    /// @param queryId the query.
    /// @return commitment to order and participants, after completion to the result, too.
    /// @return status as it is now.
    /// @return insider whether the customer was a participant, or operated one when that one joined the query.
    /// @return time of dispatch, after the end that of the end.
    function stateOf(
        bytes32 queryId
    ) external view returns (uint208 commitment, QueryStatus status, bool insider, uint32 time);

    /// @notice How a query stands.
    /// @param queryId the query.
    /// @return status 0 none, 1 dispatched, 2 completed, 3 failed, 4 completed and cleaned, 5 failed and cleaned.
    /// @return generation the present one, or the last.
    /// @return time of dispatch, after the end that of the end.
    function statusOf(bytes32 queryId) external view returns (QueryStatus status, uint8 generation, uint32 time);

    /// @notice The id that an order gets here.
    /// @param customer who orders.
    /// @param salt of the customer's choice, each used once.
    /// @return keccak256(abi.encode(chainId, this contract, customer, salt)).
    function queryIdOf(address customer, bytes32 salt) external view returns (bytes32);
}
