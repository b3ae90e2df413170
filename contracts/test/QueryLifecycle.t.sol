// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IQueryLedger} from "../interfaces/IQueryLedger.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {NetworkFixture} from "./NetworkFixture.sol";

contract QueryLifecycleTest is NetworkFixture {
    bytes32 private queryId;
    IQueryLedger.Opening private opening;
    IQueryLedger.Terms private terms;

    function setUp() public override {
        super.setUp();
        (queryId, opening) = dispatched("a");
        terms = termsOf(newOrder("a"));
    }

    function expectStatus(IQueryLedger.QueryStatus status) private {
        vm.expectRevert(abi.encodeWithSelector(IQueryLedger.QueryLedgerWrongStatus.selector, queryId, status));
    }

    function expectUnauthorised(address account) private {
        bytes32 role = ledger.COORDINATOR_ROLE();
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, account, role));
    }

    function complete() private {
        ledger.complete(queryId, commitmentOf(opening), shares(3));
    }

    function cancellation(bytes32 id, uint64 deadline) private view returns (bytes memory) {
        bytes32 structHash = keccak256(abi.encode(CANCELLATION, id, deadline));
        return signWith(CUSTOMER_KEY, digestFor(address(ledger), structHash));
    }

    /// @dev No transition leaves from where the query stands, cleanup aside.
    function assertEnded(IQueryLedger.QueryStatus status) private {
        uint208 commitment = commitmentOf(opening);
        uint64 deadline = soon();
        bytes memory signature = cancellation(queryId, deadline);
        IQueryLedger.Replacement memory r = newReplacement();
        bytes memory report = lossReport(queryId, 0, opening, r);
        expectStatus(status);
        ledger.complete(queryId, commitment, shares(3));
        expectStatus(status);
        ledger.fail(queryId, opening, 4, address(0));
        expectStatus(status);
        ledger.cancel(queryId, opening, deadline, signature);
        expectStatus(status);
        ledger.expire(queryId, opening, terms);
        expectStatus(status);
        ledger.replaceMpc(queryId, opening, r, report);
    }

    function testFuzz_completionRecordsTheResult(bytes32 first, bytes32 second, bytes32 third, uint256 absent) public {
        vm.assume(first != 0 && second != 0 && third != 0);
        bytes32[3] memory hashes = [first, second, third];
        absent = bound(absent, 0, 3);
        if (absent < 3) hashes[absent] = 0;
        bytes32 resultHash = keccak256(bytes.concat(hashes[0], hashes[1], hashes[2]));
        vm.warp(START + 9);
        vm.expectEmit(address(ledger));
        emit IQueryLedger.QueryCompleted(queryId, 0, resultHash);
        ledger.complete(queryId, commitmentOf(opening), hashes);
        (IQueryLedger.QueryStatus status, , uint32 time) = ledger.statusOf(queryId);
        assertEq(uint256(status), uint256(IQueryLedger.QueryStatus.Completed), "status");
        assertEq(time, START + 9, "time");
        opening.resultHash = resultHash;
        assertCommitted(queryId, opening);
        ledger.verifyParticipants(queryId, opening);
    }

    function test_verificationOfACompletedQueryNeedsItsResult() public {
        complete();
        opening.resultHash = keccak256("another result");
        (uint208 stored, , , ) = ledger.stateOf(queryId);
        vm.expectRevert(
            abi.encodeWithSelector(IQueryLedger.QueryLedgerBadOpening.selector, queryId, stored, commitmentOf(opening))
        );
        ledger.verifyParticipants(queryId, opening);
        vm.expectRevert(
            abi.encodeWithSelector(IQueryLedger.QueryLedgerWrongStatus.selector, bytes32("b"), IQueryLedger.QueryStatus.None)
        );
        ledger.verifyParticipants("b", opening);
    }

    function test_completionNeedsTwoShares() public {
        for (uint256 count = 0; count < 2; ++count) {
            vm.expectRevert(abi.encodeWithSelector(IQueryLedger.QueryLedgerTooFewShares.selector, queryId, count));
            ledger.complete(queryId, commitmentOf(opening), shares(count));
        }
    }

    function test_completionIsForTheCommittedTrioAlone() public {
        uint208 stored = commitmentOf(opening);
        vm.expectRevert(
            abi.encodeWithSelector(IQueryLedger.QueryLedgerBadOpening.selector, queryId, stored, stored - 1)
        );
        ledger.complete(queryId, stored - 1, shares(3));
    }

    function test_onlyTheCoordinatorMoves() public {
        address stranger = vm.addr(5);
        uint208 commitment = commitmentOf(opening);
        IQueryLedger.Replacement memory r = newReplacement();
        bytes memory report = lossReport(queryId, 0, opening, r);
        vm.startPrank(stranger);
        expectUnauthorised(stranger);
        ledger.complete(queryId, commitment, shares(3));
        expectUnauthorised(stranger);
        ledger.fail(queryId, opening, 4, address(0));
        expectUnauthorised(stranger);
        ledger.cleanup(queryId);
        expectUnauthorised(stranger);
        ledger.replaceMpc(queryId, opening, r, report);
        vm.stopPrank();
    }

    function test_nothingLeavesCompletion() public {
        complete();
        assertEnded(IQueryLedger.QueryStatus.Completed);
    }

    function test_nothingLeavesFailure() public {
        ledger.fail(queryId, opening, 4, address(0));
        assertEnded(IQueryLedger.QueryStatus.Failed);
    }

    function test_cleanupHappensOnceAfterTheEnd() public {
        expectStatus(IQueryLedger.QueryStatus.Dispatched);
        ledger.cleanup(queryId);
        complete();
        vm.warp(START + 50);
        vm.expectEmit(address(ledger));
        emit IQueryLedger.QueryCleanup(queryId);
        ledger.cleanup(queryId);
        (IQueryLedger.QueryStatus status, , uint32 time) = ledger.statusOf(queryId);
        assertEq(uint256(status), uint256(IQueryLedger.QueryStatus.CompletedCleaned), "status");
        assertEq(time, START, "time of completion");
        expectStatus(IQueryLedger.QueryStatus.CompletedCleaned);
        ledger.cleanup(queryId);
        assertEnded(IQueryLedger.QueryStatus.CompletedCleaned);
    }

    function test_failedQueryIsCleanedOnce() public {
        ledger.fail(queryId, opening, 4, address(0));
        ledger.cleanup(queryId);
        assertStatus(queryId, IQueryLedger.QueryStatus.FailedCleaned);
        expectStatus(IQueryLedger.QueryStatus.FailedCleaned);
        ledger.cleanup(queryId);
        ledger.verifyParticipants(queryId, opening);
        assertEnded(IQueryLedger.QueryStatus.FailedCleaned);
    }

    function test_unknownQueryHasNoTransition() public {
        queryId = "unknown";
        expectStatus(IQueryLedger.QueryStatus.None);
        ledger.cleanup(queryId);
        assertEnded(IQueryLedger.QueryStatus.None);
    }

    function test_failureNamesAParticipantOrNobody() public {
        vm.expectRevert(
            abi.encodeWithSelector(IQueryLedger.QueryLedgerNotParticipant.selector, queryId, mpcs[5])
        );
        ledger.fail(queryId, opening, 1, mpcs[5]);
        vm.expectEmit(address(ledger));
        emit IQueryLedger.QueryFailed(queryId, 1, owners[2]);
        ledger.fail(queryId, opening, 1, owners[2]);
    }

    function test_theLastReasonIsAReason() public {
        ledger.fail(queryId, opening, 10, address(0));
        assertStatus(queryId, IQueryLedger.QueryStatus.Failed);
    }

    function testFuzz_reasonsAreBounded(uint8 reason) public {
        bool known = reason >= 1 && reason <= 10 && reason != 8;
        if (!known) vm.expectRevert(abi.encodeWithSelector(IQueryLedger.QueryLedgerBadReason.selector, reason));
        ledger.fail(queryId, opening, reason, address(0));
        assertStatus(queryId, known ? IQueryLedger.QueryStatus.Failed : IQueryLedger.QueryStatus.Dispatched);
    }

    function test_failureNeedsTheRightOpening() public {
        opening.maxReplacements = 9;
        (uint208 stored, , , ) = ledger.stateOf(queryId);
        vm.expectRevert(
            abi.encodeWithSelector(IQueryLedger.QueryLedgerBadOpening.selector, queryId, stored, commitmentOf(opening))
        );
        ledger.fail(queryId, opening, 4, address(0));
    }

    function test_customerMayOnlyCancel() public {
        expectUnauthorised(customer);
        vm.prank(customer);
        ledger.fail(queryId, opening, 4, address(0));
        vm.expectEmit(address(ledger));
        emit IQueryLedger.QueryFailed(queryId, 6, address(0));
        vm.prank(customer);
        ledger.fail(queryId, opening, 6, address(0));
    }

    function test_claimingToBeTheCustomerOpensNothing() public {
        address stranger = vm.addr(5);
        opening.customer = stranger;
        (uint208 stored, , , ) = ledger.stateOf(queryId);
        vm.expectRevert(
            abi.encodeWithSelector(IQueryLedger.QueryLedgerBadOpening.selector, queryId, stored, commitmentOf(opening))
        );
        vm.prank(stranger);
        ledger.fail(queryId, opening, 6, address(0));
    }

    function test_signedCancellationIsRelayed() public {
        uint64 deadline = soon();
        bytes memory other = cancellation("other", deadline);
        expectInvalid(customer);
        ledger.cancel(queryId, opening, deadline, other);
        expectInvalid(customer);
        ledger.cancel(queryId, opening, deadline, "");
        bytes memory signature = cancellation(queryId, deadline);
        expectInvalid(customer);
        ledger.cancel(queryId, opening, deadline + 1, signature);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureExpired.selector, uint64(START - 1)));
        ledger.cancel(queryId, opening, uint64(START - 1), signature);
        vm.expectEmit(address(ledger));
        emit IQueryLedger.QueryFailed(queryId, 6, address(0));
        vm.prank(vm.addr(5));
        ledger.cancel(queryId, opening, deadline, signature);
    }

    function test_anybodyEndsAnAbandonedQuery() public {
        uint256 earliest = START + 3600 + 600 + 500;
        vm.warp(earliest - 1);
        vm.expectRevert(abi.encodeWithSelector(IQueryLedger.QueryLedgerTooEarly.selector, queryId, earliest));
        ledger.expire(queryId, opening, terms);
        vm.warp(earliest);
        IQueryLedger.Terms memory hurried = terms;
        hurried.maxRunSeconds = 1;
        vm.expectRevert(
            abi.encodeWithSelector(
                IQueryLedger.QueryLedgerBadTerms.selector,
                queryId,
                opening.termsHash,
                keccak256(abi.encode(hurried))
            )
        );
        ledger.expire(queryId, opening, hurried);
        vm.expectEmit(address(ledger));
        emit IQueryLedger.QueryFailed(queryId, 8, address(0));
        vm.prank(vm.addr(5));
        ledger.expire(queryId, opening, terms);
    }

    /// @dev The mapping's place is found by looking; what stands there is the whole query.
    function test_aQueryTakesOneSlot() public view {
        uint256 found;
        for (uint256 place = 0; place < 32; ++place) {
            bytes32 word = vm.load(address(ledger), keccak256(abi.encode(queryId, place)));
            if (word == 0) continue;
            ++found;
            uint256 expected = uint256(commitmentOf(opening)) | (1 << 208) | (START << 224);
            assertEq(uint256(word), expected, "slot");
            bytes32 next = vm.load(address(ledger), bytes32(uint256(keccak256(abi.encode(queryId, place))) + 1));
            assertEq(next, bytes32(0), "next slot");
        }
        assertEq(found, 1, "slots");
    }
}
