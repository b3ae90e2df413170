// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReputationLedger} from "../ReputationLedger.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IQueryLedger} from "../interfaces/IQueryLedger.sol";
import {IReputationLedger} from "../interfaces/IReputationLedger.sol";
import {RatingSheet} from "../libraries/RatingSheet.sol";
import {ReputationFixture} from "./ReputationFixture.sol";

interface IAccessControlErrors {
    error AccessControlUnauthorizedAccount(address account, bytes32 neededRole);
}

/// @title Settlement, penalties, renewal and views.
contract ReputationLedgerTest is ReputationFixture {
    event QuerySettled(bytes32 indexed queryId, address[] nodes, uint8[] observations);
    event ReputationUpdated(address indexed node, bytes32 indexed queryId, uint32 score, uint40 good, uint40 bad);
    event NodePenalised(address indexed node, uint8 severity);

    function test_newcomerScoresThePrior() public view {
        assertEq(reputation.scoreOf(owners[0]), 3e8, "score");
        assertEq(reputation.credibilityOf(customer), 3e8, "credibility");
        assertEq(reputation.recordOf(owners[0]).lastEpoch, 0, "no record");
    }

    function test_settleAnnouncesAndRecords() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = completed(customer);
        uint8[] memory observations = all(100);
        observations[1] = 40;
        vm.expectEmit(address(reputation));
        emit QuerySettled(queryId, participants(), observations);
        vm.expectEmit(address(reputation));
        emit ReputationUpdated(owners[0], queryId, 3e8, 1e9, 0);
        vm.expectEmit(address(reputation));
        emit ReputationUpdated(owners[1], queryId, 274509803, 4e8, 18e8);
        reputation.settle(queryId, opening, observations);

        (uint64 settledAt, uint8[] memory recorded, uint16 rated) = reputation.settlementOf(queryId);
        assertEq(settledAt, START, "settled at");
        assertEq(rated, 0, "nobody is rated");
        for (uint256 i = 0; i < 5; ++i) assertEq(recorded[i], observations[i], "observation");
        IReputationLedger.Record memory record = reputation.recordOf(owners[1]);
        assertEq(record.good, 4e8, "good");
        assertEq(record.bad, 18e8, "bad");
        assertEq(record.bornEpoch, START / DAY, "born");
        assertEq(record.badThisEpoch, 18e8, "taken");
        assertEq(record.incarnation, 1, "incarnation");
    }

    function test_settleOfAFailedQuery() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = dispatch(customer);
        ledger.fail(queryId, opening, 4, mpcs[1]);
        reputation.settle(queryId, opening, all(0));
        assertEq(reputation.recordOf(mpcs[1]).bad, 3e9, "bad");
    }

    function test_settleTwiceReverts() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = settled(customer, 100);
        vm.expectRevert(
            abi.encodeWithSelector(IReputationLedger.ReputationLedgerAlreadySettled.selector, queryId)
        );
        reputation.settle(queryId, opening, all(0));
        pass(START + 2 * DAY - clock);
        vm.expectRevert(
            abi.encodeWithSelector(IReputationLedger.ReputationLedgerAlreadySettled.selector, queryId)
        );
        reputation.settleUncontested(queryId, opening);
    }

    function test_settleARunningQueryReverts() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = dispatch(customer);
        vm.expectRevert(
            abi.encodeWithSelector(
                IReputationLedger.ReputationLedgerNotEnded.selector,
                queryId,
                IQueryLedger.QueryStatus.Dispatched
            )
        );
        reputation.settle(queryId, opening, all(100));
    }

    function test_settleAnUnknownQueryReverts() public {
        (, IQueryLedger.Opening memory opening) = completed(customer);
        vm.expectRevert(
            abi.encodeWithSelector(
                IQueryLedger.QueryLedgerWrongStatus.selector,
                bytes32(uint256(99)),
                IQueryLedger.QueryStatus.None
            )
        );
        reputation.settle(bytes32(uint256(99)), opening, all(100));
    }

    function test_settleAnotherRosterReverts() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = completed(customer);
        (uint208 stored, , , ) = ledger.stateOf(queryId);
        opening.participants[0] = address(0xbad);
        (bool ok, bytes memory reason) = address(reputation).call(
            abi.encodeCall(reputation.settle, (queryId, opening, all(100)))
        );
        assertTrue(!ok, "refused");
        assertEq(bytes32(bytes4(reason)), bytes32(IQueryLedger.QueryLedgerBadOpening.selector), "bad opening");
        uint256 named;
        assembly ("memory-safe") {
            named := mload(add(reason, 68))
        }
        assertEq(named, stored, "names the stored commitment");
    }

    function test_settleNeedsTheCoordinator() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = completed(customer);
        bytes32 role = reputation.COORDINATOR_ROLE();
        vm.expectRevert(
            abi.encodeWithSelector(IAccessControlErrors.AccessControlUnauthorizedAccount.selector, customer, role)
        );
        vm.prank(customer);
        reputation.settle(queryId, opening, all(100));
    }

    function test_settleWithTooFewObservationsReverts() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = completed(customer);
        vm.expectRevert(
            abi.encodeWithSelector(IReputationLedger.ReputationLedgerLengthMismatch.selector, 5, 4)
        );
        reputation.settle(queryId, opening, new uint8[](4));
    }

    function test_settleAbovePercentReverts() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = completed(customer);
        uint8[] memory observations = all(100);
        observations[4] = 101;
        vm.expectRevert(abi.encodeWithSelector(RatingSheet.RatingSheetBadPercentage.selector, 101));
        reputation.settle(queryId, opening, observations);
    }

    function test_dirtyPercentageReverts() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = completed(customer);
        bytes memory data = abi.encodeCall(reputation.settle, (queryId, opening, all(100)));
        assembly ("memory-safe") {
            mstore(add(data, mload(data)), 0x10064)
        }
        vm.expectRevert(abi.encodeWithSelector(RatingSheet.RatingSheetBadPercentage.selector, 0x10064));
        (bool ok, ) = address(reputation).call(data);
        ok;
    }

    function test_anybodySettlesASilentCoordinatorsQuery() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = completed(customer);
        pass(START + DAY - 1 - clock);
        vm.expectRevert(
            abi.encodeWithSelector(IReputationLedger.ReputationLedgerTooEarly.selector, queryId, START + DAY)
        );
        reputation.settleUncontested(queryId, opening);
        ledger.cleanup(queryId);
        pass(START + DAY - clock);
        vm.prank(address(0xabc));
        reputation.settleUncontested(queryId, opening);
        for (uint256 i = 0; i < 5; ++i) assertEq(reputation.recordOf(participants()[i]).good, 1e9, "m = 1");
    }

    function test_uncontestedSettlementNeedsCompletion() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = dispatch(customer);
        _expectNotCompleted(queryId, IQueryLedger.QueryStatus.Dispatched);
        reputation.settleUncontested(queryId, opening);
        ledger.fail(queryId, opening, 4, address(0));
        pass(START + 2 * DAY - clock);
        _expectNotCompleted(queryId, IQueryLedger.QueryStatus.Failed);
        reputation.settleUncontested(queryId, opening);
    }

    function test_pauseStopsPenaltiesButNoExit() public {
        reputation.grantRole(reputation.PAUSER_ROLE(), address(this));
        (bytes32 queryId, IQueryLedger.Opening memory opening) = completed(customer);
        reputation.pause();
        vm.expectRevert(abi.encodeWithSignature("EnforcedPause()"));
        reputation.penalise(owners[0], 1);
        pass(START + DAY - clock);
        reputation.settleUncontested(queryId, opening);
        rate(customer, queryId, opening, owners[0], 80);
        unregister(owners[0], 1);
        register(owners[0], owners[0], 1, 2);
        assertEq(reputation.recordOf(owners[0]).incarnation, 2, "renewed while paused");
    }

    function test_epochCapHoldsBothKinds() public {
        for (uint256 i = 0; i < 6; ++i) settled(customer, i < 5 ? 100 : 0);
        assertEq(reputation.recordOf(mpcs[0]).good, 4e9, "four good");
        assertEq(reputation.recordOf(mpcs[0]).bad, 3e9, "one bad");
        settled(customer, 0);
        assertEq(reputation.recordOf(mpcs[0]).bad, 4e9, "four bad");
        pass(START + DAY - clock);
        settled(customer, 100);
        assertEq(reputation.recordOf(mpcs[0]).goodThisEpoch, 1e9, "a new epoch, a new limit");
    }

    function test_penaltiesPassTheEpochCap() public {
        uint256[3] memory sigma = [uint256(2e9), 8e9, 32e9];
        for (uint8 severity = 1; severity <= 3; ++severity) {
            uint256 before = reputation.recordOf(owners[0]).bad;
            vm.expectEmit(address(reputation));
            emit NodePenalised(owners[0], severity);
            reputation.penalise(owners[0], severity);
            assertEq(reputation.recordOf(owners[0]).bad, before + sigma[severity - 1], "sigma");
        }
        assertEq(reputation.recordOf(owners[0]).badThisEpoch, 0, "beside the limit");
        assertTrue(registry.nodeOf(owners[0]).status == INodeRegistry.NodeStatus.Suspended, "32 suspends");
        for (uint256 i = 0; i < 8; ++i) reputation.penalise(owners[0], 3);
        assertEq(reputation.recordOf(owners[0]).bad, 200e9, "the cap of all bad evidence");
    }

    function test_aPenaltyBeginsTheRecordOfANewcomer() public {
        vm.expectEmit(address(reputation));
        emit ReputationUpdated(owners[0], 0, 15e7, 0, 8e9);
        (uint40 added, uint32 epoch) = reputation.penalise(owners[0], 2);
        assertEq(added, 8e9, "added");
        assertEq(epoch, START / DAY, "epoch");
        IReputationLedger.Record memory record = reputation.recordOf(owners[0]);
        assertEq(record.bornEpoch, START / DAY, "born");
        assertEq(record.incarnation, 1, "incarnation");
        pass(90 * DAY);
        (added, ) = reputation.penalise(owners[0], 2);
        assertEq(added, 8e9, "what decayed meanwhile is not deducted");
        assertLe(reputation.recordOf(owners[0]).bad, 12e9, "half of the first is forgotten");
    }

    function test_aReversalAnnouncesWhatIsLeft() public {
        settled(customer, 100);
        (uint40 added, uint32 epoch) = reputation.penalise(owners[0], 2);
        vm.expectEmit(address(reputation));
        emit ReputationUpdated(owners[0], 0, 3e8, 1e9, 0);
        reputation.reverse(owners[0], added, epoch, new address[](0));
    }

    function test_aReversalGivesBackNoMoreThanTheCapLetIn() public {
        for (uint256 i = 0; i < 6; ++i) reputation.penalise(owners[0], 3);
        assertEq(reputation.recordOf(owners[0]).bad, 192e9, "six");
        (uint40 added, uint32 epoch) = reputation.penalise(owners[0], 3);
        assertEq(added, 8e9, "cut short");
        (uint40 nothing, ) = reputation.penalise(owners[0], 2);
        assertEq(nothing, 0, "no room");
        reputation.reverse(owners[0], nothing, epoch, new address[](0));
        assertEq(reputation.recordOf(owners[0]).bad, 200e9, "nothing to give back");
        reputation.reverse(owners[0], added, epoch, new address[](0));
        assertEq(reputation.recordOf(owners[0]).bad, 192e9, "as before");
    }

    function test_whatWasNeverObservedIsNeitherReversedNorRenewed() public {
        vm.recordLogs();
        reputation.reverse(owners[0], 8e9, uint32(START / DAY), new address[](0));
        assertEq(vm.getRecordedLogs().length, 1, "the reversal alone");
        vm.recordLogs();
        reputation.renew(owners[0]);
        assertEq(vm.getRecordedLogs().length, 0, "nothing to renew");
        assertEq(reputation.recordOf(owners[0]).lastEpoch, 0, "no record");
        settled(customer, 100);
        vm.recordLogs();
        reputation.renew(owners[0]);
        assertEq(vm.getRecordedLogs().length, 0, "of the present incarnation already");
    }

    function test_penaliseRefusals() public {
        vm.expectRevert(abi.encodeWithSelector(IReputationLedger.ReputationLedgerBadSeverity.selector, 0));
        reputation.penalise(owners[0], 0);
        vm.expectRevert(abi.encodeWithSelector(IReputationLedger.ReputationLedgerBadSeverity.selector, 4));
        reputation.penalise(owners[0], 4);
        vm.expectRevert(
            abi.encodeWithSelector(IReputationLedger.ReputationLedgerUnknownNode.selector, address(0xbad))
        );
        reputation.penalise(address(0xbad), 1);
        bytes32 role = reputation.PENALTY_ROLE();
        vm.expectRevert(
            abi.encodeWithSelector(IAccessControlErrors.AccessControlUnauthorizedAccount.selector, customer, role)
        );
        vm.prank(customer);
        reputation.penalise(owners[0], 1);
    }

    function test_suspensionThatTheRegistryRefusesReverts() public {
        registry.revokeRole(registry.SUSPENDER_ROLE(), address(reputation));
        bytes32 role = registry.SUSPENDER_ROLE();
        vm.expectRevert(
            abi.encodeWithSelector(
                IAccessControlErrors.AccessControlUnauthorizedAccount.selector,
                address(reputation),
                role
            )
        );
        reputation.penalise(owners[0], 3);
    }

    function test_reregistrationInheritsNoGoodAndLosesNoBad() public {
        for (uint256 i = 0; i < 30; ++i) {
            settled(customer, i % 5 == 4 ? 50 : 100);
            pass(2 * DAY);
        }
        uint256 before = reputation.scoreOf(owners[0]);
        uint256 bad = reputation.recordOf(owners[0]).bad;
        assertTrue(before > 5e8, "earned");
        unregister(owners[0], 1);
        register(owners[0], owners[0], 1, 2);
        IReputationLedger.Record memory record = reputation.recordOf(owners[0]);
        assertEq(record.good, 0, "no good standing");
        assertTrue(record.bad > (bad * 9) / 10, "bad stays");
        assertEq(record.bornEpoch, clock / DAY, "tenure starts anew");
        assertEq(record.incarnation, 2, "incarnation");
        assertTrue(reputation.scoreOf(owners[0]) < 3e8, "below a newcomer");
        reputation.renew(owners[0]);
        assertEq(reputation.recordOf(owners[0]).score, record.score, "renewing twice does nothing");
    }

    function test_reregistrationKeepsTheEpochLimit() public {
        for (uint256 i = 0; i < 4; ++i) settled(customer, 100);
        unregister(owners[0], 1);
        register(owners[0], owners[0], 1, 2);
        settled(customer, 100);
        assertEq(reputation.recordOf(owners[0]).good, 0, "four an epoch, whatever the incarnation");
    }

    function test_unrenewedRecordShowsNoGoodStanding() public {
        ReputationLedger other = deployReputation(registry, ledger, periods());
        other.grantRole(other.COORDINATOR_ROLE(), coordinator);
        for (uint256 i = 0; i < 20; ++i) {
            (bytes32 queryId, IQueryLedger.Opening memory opening) = completed(customer);
            other.settle(queryId, opening, all(100));
            pass(DAY);
        }
        assertTrue(other.scoreOf(owners[0]) > 5e8, "earned");
        unregister(owners[0], 1);
        register(owners[0], owners[0], 1, 2);
        assertEq(other.recordOf(owners[0]).incarnation, 1, "nobody renewed it");
        assertEq(other.scoreOf(owners[0]), 3e8, "and yet it shows nothing");
        other.renew(owners[0]);
        assertEq(other.recordOf(owners[0]).good, 0, "anybody may");
    }

    function test_reputationLedgerIsSetOnce() public {
        vm.expectRevert(
            abi.encodeWithSelector(INodeRegistry.NodeRegistryReputationLedgerSet.selector, address(reputation))
        );
        registry.setReputationLedger(reputation);
    }

    function test_scoreDecaysTowardThePrior() public {
        for (uint256 i = 0; i < 80; ++i) {
            settled(customer, 100);
            pass(DAY);
        }
        uint256 fresh = reputation.scoreOf(mpcs[0]);
        pass(30 * DAY);
        uint256 month = reputation.scoreOf(mpcs[0]);
        pass(5000 * DAY);
        uint256 aeon = reputation.scoreOf(mpcs[0]);
        assertTrue(fresh > 8e8 && month < fresh && month > 3e8, "half is forgotten");
        assertEq(aeon, 3e8, "all is forgotten");
        address[] memory nodes = participants();
        uint32[] memory scores = reputation.scoresOf(nodes);
        for (uint256 i = 0; i < 5; ++i) assertEq(scores[i], reputation.scoreOf(nodes[i]), "batch of singles");
    }

    function test_constructorRefusals() public {
        for (uint256 i = 0; i < 4; ++i) {
            ReputationLedger.Periods memory given = periods();
            if (i == 0) given.epochSeconds = 0;
            else if (i == 1) given.feedbackWindowSeconds = 0;
            else if (i == 2) given.silentSettleSeconds = 0;
            else given.weekSeconds = 0;
            vm.expectRevert(abi.encodeWithSelector(IReputationLedger.ReputationLedgerZeroPeriod.selector));
            deployReputation(registry, ledger, given);
        }
        vm.expectRevert(abi.encodeWithSelector(IReputationLedger.ReputationLedgerZeroAddress.selector));
        deployReputation(registry, IQueryLedger(address(0)), periods());
        vm.expectRevert(abi.encodeWithSelector(IReputationLedger.ReputationLedgerZeroAddress.selector));
        deployReputation(INodeRegistry(address(0)), ledger, periods());
    }

    function _expectNotCompleted(bytes32 queryId, IQueryLedger.QueryStatus status) private {
        vm.expectRevert(
            abi.encodeWithSelector(IReputationLedger.ReputationLedgerNotCompleted.selector, queryId, status)
        );
    }
}
