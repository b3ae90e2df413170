// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IQueryLedger} from "../interfaces/IQueryLedger.sol";
import {AddressList} from "./AddressList.sol";

/// @title Which orders and which replacements are admissible.
library QueryRules {
    using AddressList for address[];

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
    /// @return insider whether the customer is one of them, or operates one.
    function checkMembers(
        INodeRegistry registry,
        address customer,
        address[] calldata owners,
        address[] calldata mpcs
    ) internal view returns (bool insider) {
        _checkAscending(owners);
        _checkAscending(mpcs);
        for (uint256 i = 0; i < TRIO; ++i) {
            if (owners.contains(mpcs[i])) revert IQueryLedger.QueryLedgerOwnerIsMpc(mpcs[i]);
        }
        address[] memory operators = registry.eligibleOperators(mpcs, ROLE_MPC);
        _checkThreeHands(operators[0], operators[1], operators[2]);
        insider = owners.contains(customer) || mpcs.contains(customer) || _anyIs(operators, customer);
        operators = registry.eligibleOperators(owners, ROLE_OWNER);
        return insider || _anyIs(operators, customer);
    }

    /// @dev Who is lost, who says so, who follows. The opening has been checked.
    /// @return successor the one drawn from the candidates.
    /// @return insider whether the customer is the successor, or operates it.
    function checkReplacement(
        INodeRegistry registry,
        bytes32 queryId,
        uint8 generation,
        IQueryLedger.Opening calldata opening,
        IQueryLedger.Replacement calldata replacement
    ) internal view returns (address successor, bool insider) {
        uint8 limit = opening.maxReplacements;
        if (generation >= limit) revert IQueryLedger.QueryLedgerNoReplacementsLeft(queryId, limit);
        address[] calldata participants = opening.participants;
        successor = _drawn(queryId, replacement);
        if (participants.contains(successor)) revert IQueryLedger.QueryLedgerFormerMember(queryId, successor);
        (uint256 one, uint256 other) = _survivors(queryId, opening.ownerCount, replacement);
        address operator = registry.successorOperator(
            successor,
            ROLE_MPC,
            participants.known(one),
            participants.known(other)
        );
        address customer = opening.customer;
        insider = operator == customer || successor == customer;
    }

    /// @dev Where the other two of the trio stand; reverts unless the lost one is of the trio and the reporter is one of
    /// the owners or of these two. Unchecked: all numbers have eight bits.
    function _survivors(
        bytes32 queryId,
        uint256 first,
        IQueryLedger.Replacement calldata replacement
    ) private pure returns (uint256 one, uint256 other) {
        uint256 lost = replacement.lostIndex;
        uint256 reporter = replacement.reporterIndex;
        unchecked {
            uint256 end = first + TRIO;
            if (lost < first || lost >= end) revert IQueryLedger.QueryLedgerNotMpc(queryId, lost);
            if (reporter == lost || reporter >= end) revert IQueryLedger.QueryLedgerNotReporter(queryId, reporter);
            one = lost == first ? first + 1 : first;
            other = lost == first + 2 ? first + 1 : first + 2;
        }
    }

    function checkParticipant(bytes32 queryId, address[] calldata participants, address node) internal pure {
        if (!participants.contains(node)) revert IQueryLedger.QueryLedgerNotParticipant(queryId, node);
    }

    /// @dev Agents replay the draw itself; here only what makes it replayable is enforced. The present block is let
    /// through because gas estimation runs in the block that the seed may come from.
    function _drawn(
        bytes32 queryId,
        IQueryLedger.Replacement calldata replacement
    ) private view returns (address) {
        uint64 seedBlock = replacement.seedBlock;
        if (seedBlock == 0 || seedBlock > block.number) revert IQueryLedger.QueryLedgerBadSeedBlock(seedBlock);
        address[] calldata candidates = replacement.candidates;
        uint256 count = candidates.length;
        if (count > MAX_CANDIDATES) revert IQueryLedger.QueryLedgerTooManyCandidates(count, MAX_CANDIDATES);
        uint256 index = replacement.successorIndex;
        if (index >= count) revert IQueryLedger.QueryLedgerNotCandidate(queryId, index);
        return candidates[index];
    }

    function _checkThreeHands(address first, address second, address third) private pure {
        if (first == second || first == third) revert IQueryLedger.QueryLedgerSharedOperator(first);
        if (second == third) revert IQueryLedger.QueryLedgerSharedOperator(second);
    }

    function _anyIs(address[] memory accounts, address one) private pure returns (bool) {
        for (uint256 i = 0; i < accounts.length; ++i) if (accounts[i] == one) return true;
        return false;
    }

    function _checkAscending(address[] calldata nodes) private pure {
        uint256 index = nodes.firstDescent();
        if (index == nodes.length) return;
        if (index == 0) revert IQueryLedger.QueryLedgerZeroAddress();
        revert IQueryLedger.QueryLedgerNotAscending(nodes[index - 1], nodes[index]);
    }
}
