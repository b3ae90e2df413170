// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IQueryLedger} from "../interfaces/IQueryLedger.sol";

/// @title Which orders and which replacements are admissible.
library QueryRules {
    uint8 internal constant ROLE_OWNER = 1;
    uint8 internal constant ROLE_MPC = 2;
    uint256 internal constant TRIO = 3;
    /// @dev Owners, the trio and everybody who may yet replace: one bitmap of the ReputationLedger.
    uint256 internal constant MAX_PARTICIPANTS = 16;
    uint256 internal constant MAX_CANDIDATES = 64;
    uint256 internal constant MAX_RUN_SECONDS = 30 days;
    uint256 internal constant MAX_TIMER_SECONDS = 7 days;

    /// @dev What can be told without looking at the register.
    function checkOrder(IQueryLedger.QueryOrder calldata order) internal pure {
        if (order.specHash == 0) revert IQueryLedger.QueryLedgerZeroSpecHash();
        if (order.resultKeyHash == 0) revert IQueryLedger.QueryLedgerZeroResultKeyHash();
        if (
            order.maxRunSeconds == 0 ||
            order.maxRunSeconds > MAX_RUN_SECONDS ||
            order.resultRetrySeconds > MAX_TIMER_SECONDS ||
            order.cleanupGraceSeconds > MAX_TIMER_SECONDS
        ) {
            revert IQueryLedger.QueryLedgerBadTimers(
                order.maxRunSeconds,
                order.resultRetrySeconds,
                order.cleanupGraceSeconds
            );
        }
        uint256 participants = order.owners.length + TRIO + order.maxReplacements;
        if (participants > MAX_PARTICIPANTS) {
            revert IQueryLedger.QueryLedgerTooManyParticipants(participants, MAX_PARTICIPANTS);
        }
        if (order.owners.length == 0) revert IQueryLedger.QueryLedgerNoOwner();
        if (order.mpcs.length != TRIO) revert IQueryLedger.QueryLedgerNotThreeMpcs(order.mpcs.length);
    }

    /// @dev Distinct, active, in their roles, and the trio in three hands.
    function checkMembers(INodeRegistry registry, address[] calldata owners, address[] calldata mpcs) internal view {
        _checkAscending(owners);
        _checkAscending(mpcs);
        for (uint256 i = 0; i < mpcs.length; ++i) {
            if (_contains(owners, mpcs[i])) revert IQueryLedger.QueryLedgerOwnerIsMpc(mpcs[i]);
        }
        registry.eligibleOperators(owners, ROLE_OWNER);
        address[] memory operators = registry.eligibleOperators(mpcs, ROLE_MPC);
        if (operators[0] == operators[1] || operators[0] == operators[2]) {
            revert IQueryLedger.QueryLedgerSharedOperator(operators[0]);
        }
        if (operators[1] == operators[2]) revert IQueryLedger.QueryLedgerSharedOperator(operators[1]);
    }

    /// @dev Who is lost, who says so, who follows.
    function checkReplacement(
        INodeRegistry registry,
        bytes32 queryId,
        uint8 generation,
        IQueryLedger.Opening calldata opening,
        IQueryLedger.Replacement calldata replacement
    ) internal view {
        IQueryLedger.Roster calldata roster = opening.roster;
        uint8 limit = opening.terms.maxReplacements;
        if (generation >= limit) revert IQueryLedger.QueryLedgerNoReplacementsLeft(queryId, limit);
        if (!_contains(roster.mpcs, replacement.oldMpc)) {
            revert IQueryLedger.QueryLedgerNotMpc(queryId, replacement.oldMpc);
        }
        _checkReporter(queryId, roster, replacement);
        _checkDraw(replacement);
        _checkSuccessor(registry, queryId, roster, replacement);
    }

    function checkParticipant(bytes32 queryId, IQueryLedger.Roster calldata roster, address node) internal pure {
        if (!_isMember(roster, node) && !_contains(roster.lost, node)) {
            revert IQueryLedger.QueryLedgerNotParticipant(queryId, node);
        }
    }

    function _checkReporter(
        bytes32 queryId,
        IQueryLedger.Roster calldata roster,
        IQueryLedger.Replacement calldata replacement
    ) private pure {
        if (replacement.reporter == replacement.oldMpc || !_isMember(roster, replacement.reporter)) {
            revert IQueryLedger.QueryLedgerNotReporter(queryId, replacement.reporter);
        }
    }

    /// @dev Agents replay the draw itself; here only what makes it replayable is enforced.
    function _checkDraw(IQueryLedger.Replacement calldata replacement) private view {
        if (replacement.seedBlock == 0 || replacement.seedBlock >= block.number) {
            revert IQueryLedger.QueryLedgerBadSeedBlock(replacement.seedBlock);
        }
        if (replacement.candidates.length > MAX_CANDIDATES) {
            revert IQueryLedger.QueryLedgerTooManyCandidates(replacement.candidates.length, MAX_CANDIDATES);
        }
    }

    function _checkSuccessor(
        INodeRegistry registry,
        bytes32 queryId,
        IQueryLedger.Roster calldata roster,
        IQueryLedger.Replacement calldata replacement
    ) private view {
        address successor = replacement.newMpc;
        if (!_contains(replacement.candidates, successor)) {
            revert IQueryLedger.QueryLedgerNotCandidate(queryId, successor);
        }
        if (_isMember(roster, successor) || _contains(roster.lost, successor)) {
            revert IQueryLedger.QueryLedgerFormerMember(queryId, successor);
        }
        address operator = registry.eligibleOperator(successor, ROLE_MPC);
        for (uint256 rank = 0; rank < roster.mpcs.length; ++rank) {
            address survivor = roster.mpcs[rank];
            if (survivor != replacement.oldMpc && registry.operatorOf(survivor) == operator) {
                revert IQueryLedger.QueryLedgerSharedOperator(operator);
            }
        }
    }

    function _isMember(IQueryLedger.Roster calldata roster, address node) private pure returns (bool) {
        return _contains(roster.mpcs, node) || _contains(roster.owners, node);
    }

    function _checkAscending(address[] calldata nodes) private pure {
        for (uint256 i = 1; i < nodes.length; ++i) {
            if (nodes[i - 1] >= nodes[i]) revert IQueryLedger.QueryLedgerNotAscending(nodes[i - 1], nodes[i]);
        }
    }

    function _contains(address[] calldata nodes, address node) private pure returns (bool) {
        for (uint256 i = 0; i < nodes.length; ++i) if (nodes[i] == node) return true;
        return false;
    }
}
