// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IQueryLedger} from "../interfaces/IQueryLedger.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {NetworkFixture} from "./NetworkFixture.sol";

contract QueryReplacementTest is NetworkFixture {
    bytes32 private queryId;
    IQueryLedger.Opening private opening;

    function setUp() public override {
        super.setUp();
        (queryId, opening) = dispatched("a");
    }

    function refused(IQueryLedger.Replacement memory r, bytes memory reason) private {
        (, uint8 generation, ) = ledger.statusOf(queryId);
        bytes memory report = lossReport(queryId, generation, opening, r);
        vm.expectRevert(reason);
        ledger.replaceMpc(queryId, opening, r, report);
    }

    function replaced(IQueryLedger.Replacement memory r) private {
        (, uint8 generation, ) = ledger.statusOf(queryId);
        ledger.replaceMpc(queryId, opening, r, lossReport(queryId, generation, opening, r));
        opening = afterReplacement(opening, r);
    }

    function test_successorTakesTheRank() public {
        vm.warp(START + 60);
        IQueryLedger.Replacement memory r = newReplacement();
        r.lostIndex += 1;
        r.successorIndex = 2;
        bytes memory report = lossReport(queryId, 0, opening, r);
        vm.expectEmit(address(ledger));
        emit IQueryLedger.MPCUpdated(queryId, mpcs[1], mpcs[5], 1, 99, r.candidates);
        ledger.replaceMpc(queryId, opening, r, report);
        opening = afterReplacement(opening, r);
        assertEq(opening.participants[4], mpcs[5], "rank 1");
        assertEq(opening.participants[6], mpcs[1], "lost");
        assertCommitted(queryId, opening);
        (, uint8 generation, uint32 time) = ledger.statusOf(queryId);
        assertEq(generation, 1, "generation");
        assertEq(time, START, "time of dispatch");
        (, , bool insider, ) = ledger.stateOf(queryId);
        assertTrue(!insider, "the customer is no insider");
        ledger.complete(queryId, commitmentOf(opening), shares(3));
    }

    function testFuzz_anyRankByAnyReporter(uint8 rank, uint8 reporter, uint8 successor) public {
        IQueryLedger.Replacement memory r = newReplacement();
        r.lostIndex = uint8(bound(rank, 3, 5));
        r.reporterIndex = uint8(bound(reporter, 0, 5));
        r.successorIndex = uint8(bound(successor, 0, 2));
        vm.assume(r.reporterIndex != r.lostIndex);
        replaced(r);
        assertCommitted(queryId, opening);
    }

    function test_sharesOfAnOlderGenerationCompleteNothing() public {
        uint208 older = commitmentOf(opening);
        replaced(newReplacement());
        vm.expectRevert(
            abi.encodeWithSelector(IQueryLedger.QueryLedgerBadOpening.selector, queryId, commitmentOf(opening), older)
        );
        ledger.complete(queryId, older, shares(3));
    }

    function test_replacementsAreLimited() public {
        replaced(newReplacement());
        IQueryLedger.Replacement memory r = newReplacement();
        r.successorIndex = 1;
        replaced(r);
        r.successorIndex = 2;
        refused(r, abi.encodeWithSelector(IQueryLedger.QueryLedgerNoReplacementsLeft.selector, queryId, 2));
        (, uint8 generation, ) = ledger.statusOf(queryId);
        assertEq(generation, 2, "generation");
        assertCommitted(queryId, opening);
    }

    function test_formerAndPresentMembersDoNotFollow() public {
        bytes4 selector = IQueryLedger.QueryLedgerFormerMember.selector;
        IQueryLedger.Replacement memory r = newReplacement();
        r.candidates[0] = mpcs[1];
        refused(r, abi.encodeWithSelector(selector, queryId, mpcs[1]));
        r.candidates[0] = owners[1];
        refused(r, abi.encodeWithSelector(selector, queryId, owners[1]));
        r.candidates[0] = mpcs[0];
        refused(r, abi.encodeWithSelector(selector, queryId, mpcs[0]));
        replaced(newReplacement());
        r.candidates[0] = mpcs[0];
        refused(r, abi.encodeWithSelector(selector, queryId, mpcs[0]));
    }

    function test_onlyTheTrioIsReplaced() public {
        bytes4 selector = IQueryLedger.QueryLedgerNotMpc.selector;
        IQueryLedger.Replacement memory r = newReplacement();
        r.lostIndex = 2;
        refused(r, abi.encodeWithSelector(selector, queryId, 2));
        replaced(newReplacement());
        r.successorIndex = 1;
        r.lostIndex = 6;
        refused(r, abi.encodeWithSelector(selector, queryId, 6));
    }

    function test_onlySurvivorsAndOwnersReport() public {
        bytes4 selector = IQueryLedger.QueryLedgerNotReporter.selector;
        IQueryLedger.Replacement memory r = newReplacement();
        r.reporterIndex = r.lostIndex;
        refused(r, abi.encodeWithSelector(selector, queryId, r.lostIndex));
        replaced(newReplacement());
        r.successorIndex = 1;
        r.reporterIndex = 6;
        refused(r, abi.encodeWithSelector(selector, queryId, 6));
        r.reporterIndex = 255;
        vm.expectRevert(abi.encodeWithSelector(selector, queryId, 255));
        ledger.replaceMpc(queryId, opening, r, "");
    }

    function test_theReportIsOfThisLossInThisGeneration() public {
        IQueryLedger.Replacement memory r = newReplacement();
        bytes memory later = lossReport(queryId, 1, opening, r);
        expectInvalid(owners[0]);
        ledger.replaceMpc(queryId, opening, r, later);
        bytes memory ofAnother = lossReport("other", 0, opening, r);
        expectInvalid(owners[0]);
        ledger.replaceMpc(queryId, opening, r, ofAnother);
        bytes memory report = lossReport(queryId, 0, opening, r);
        r.lostIndex += 1;
        expectInvalid(owners[0]);
        ledger.replaceMpc(queryId, opening, r, report);
        r.lostIndex -= 1;
        r.reporterIndex = 1;
        expectInvalid(owners[1]);
        ledger.replaceMpc(queryId, opening, r, report);
        r.deadline = uint64(START - 1);
        refused(r, abi.encodeWithSelector(Signatures.SignatureExpired.selector, r.deadline));
    }

    function test_successorIsActiveAndOfAnotherOperator() public {
        IQueryLedger.Replacement memory r = newReplacement();
        unregister(mpcs[3], 1);
        refused(r, abi.encodeWithSelector(INodeRegistry.NodeRegistryNotEligible.selector, mpcs[3], MPC));
        for (uint256 rank = 1; rank < 3; ++rank) {
            r.candidates[0] = operated(0xb10 + rank, mpcs[rank], MPC);
            refused(r, abi.encodeWithSelector(INodeRegistry.NodeRegistrySharedOperator.selector, mpcs[rank]));
        }
        r.candidates[0] = operated(0xb10, mpcs[0], MPC);
        replaced(r);
        assertCommitted(queryId, opening);
    }

    function test_successorIsOfAnotherOperatorWhicheverRankIsLost() public {
        for (uint8 lost = 0; lost < 3; ++lost) {
            for (uint8 rank = 0; rank < 3; ++rank) {
                IQueryLedger.Replacement memory r = newReplacement();
                r.candidates[0] = operated(0xb10 + 3 * lost + rank, mpcs[rank], MPC);
                r.lostIndex += lost;
                if (rank != lost) {
                    refused(r, abi.encodeWithSelector(INodeRegistry.NodeRegistrySharedOperator.selector, mpcs[rank]));
                } else if (lost == 2) replaced(r);
            }
        }
        assertCommitted(queryId, opening);
    }

    function test_thePresentBlockAndAllCandidatesAreLetThrough() public {
        IQueryLedger.Replacement memory r = newReplacement();
        r.seedBlock = 100;
        r.candidates = new address[](64);
        r.candidates[63] = mpcs[3];
        r.successorIndex = 63;
        replaced(r);
        assertCommitted(queryId, opening);
    }

    function test_theDrawIsReplayable() public {
        IQueryLedger.Replacement memory r = newReplacement();
        r.successorIndex = 3;
        refused(r, abi.encodeWithSelector(IQueryLedger.QueryLedgerNotCandidate.selector, queryId, 3));
        r = newReplacement();
        r.seedBlock = 0;
        refused(r, abi.encodeWithSelector(IQueryLedger.QueryLedgerBadSeedBlock.selector, uint64(0)));
        r.seedBlock = 101;
        refused(r, abi.encodeWithSelector(IQueryLedger.QueryLedgerBadSeedBlock.selector, uint64(101)));
        r = newReplacement();
        r.candidates = new address[](65);
        refused(r, abi.encodeWithSelector(IQueryLedger.QueryLedgerTooManyCandidates.selector, 65, 64));
    }

    function test_customerWhoOperatesTheSuccessorIsAnInsider() public {
        IQueryLedger.Replacement memory r = newReplacement();
        r.candidates[0] = operated(0xb10, customer, MPC);
        replaced(r);
        (, , bool insider, ) = ledger.stateOf(queryId);
        assertTrue(insider, "marked");
        (, uint8 generation, ) = ledger.statusOf(queryId);
        assertEq(generation, 1, "generation without the mark");
        ledger.complete(queryId, commitmentOf(opening), shares(2));
        (, , insider, ) = ledger.stateOf(queryId);
        assertTrue(insider, "still marked");
    }
}
