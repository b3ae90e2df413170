// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDetectorQuorum} from "../interfaces/IDetectorQuorum.sol";
import {IReputationLedger} from "../interfaces/IReputationLedger.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {QuorumFixture} from "./QuorumFixture.sol";

/// @title Appeals, reversals, and the way back from a suspension.
contract QuorumAppealTest is QuorumFixture {
    function test_aReversalRestoresTheScoreToTheBit() public {
        history(5);
        bytes32 before = keccak256(abi.encode(reputation.recordOf(accused)));
        uint256 score = reputation.scoreOf(accused);
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 3);
        assertTrue(reputation.scoreOf(accused) < score, "it cost");
        reverse(claimId, claim);
        assertEq(keccak256(abi.encode(reputation.recordOf(accused))), before, "the record");
        assertEq(reputation.scoreOf(accused), score, "the score");
        assertClaim(claimId, IDetectorQuorum.Status.Reversed);
    }

    function test_aReversalLeavesNoTraceOfANewcomer() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 2);
        reverse(claimId, claim);
        assertEq(reputation.recordOf(accused).bornEpoch, 0, "no record, no tenure");
        assertEq(reputation.scoreOf(accused), 3e8, "the prior");
    }

    function test_aReversalAnnouncesAndChargesTheAccusers() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 2);
        address[] memory panel = quorum.panelOf(accused, claim.accusation.epoch);
        (IDetectorQuorum.Ballot memory ballot, bytes32 commitment) = contested(claimId, claim, FIVE);
        vm.expectEmit(address(quorum));
        emit IDetectorQuorum.ClaimReversed(claimId, accused, commitment);
        vm.expectEmit(address(reputation));
        emit IReputationLedger.PenaltyReversed(accused, 8e9, claim.ledgerEpoch);
        quorum.reverse(claimId, claim, ballot);
        for (uint256 i = 0; i < 7; ++i) {
            assertEq(reputation.recordOf(panel[i]).bad, i < 5 ? 2e9 : 0, "who signed pays");
        }
    }

    function test_anAppealHasJudgesOfItsOwn() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 2);
        address[] memory first = quorum.panelOf(accused, claim.accusation.epoch);
        appeal(claimId, claim);
        nextEpoch();
        address[] memory second = quorum.appealPanelOf(claimId, claim);
        assertEq(second.length, 7, "seven");
        for (uint256 i = 0; i < 49; ++i) assertTrue(first[i / 7] != second[i % 7], "others");
    }

    function test_fourVotesReverseNothing() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 2);
        (IDetectorQuorum.Ballot memory ballot, ) = contested(claimId, claim, 0x0f);
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumTooFewVotes.selector, 4, 5));
        quorum.reverse(claimId, claim, ballot);
    }

    function test_theFirstPanelCannotDecideTheAppeal() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 2);
        address[] memory first = quorum.panelOf(accused, claim.accusation.epoch);
        appeal(claimId, claim);
        uint64 epoch = nextEpoch();
        bytes32[] memory digests = new bytes32[](7);
        for (uint256 i = 0; i < 7; ++i) digests[i] = reversalDigest(claimId, epoch, i);
        (IDetectorQuorum.Ballot memory ballot, bytes32[] memory hashes) = ballotOf(first, digests, FIVE);
        quorum.commitReversal(claimId, claim, hashes);
        pass(HOUR);
        expectRefusal(
            IDetectorQuorum.DetectorQuorumNotCommitted.selector,
            abi.encodeCall(quorum.reverse, (claimId, claim, ballot))
        );
    }

    function test_reversalsAreCommittedAndRevealedInTheirEpochs() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 2);
        uint64 epoch = present() + 1;
        appeal(claimId, claim);
        vm.expectRevert(
            abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumWrongEpoch.selector, epoch, epoch - 1)
        );
        quorum.commitReversal(claimId, claim, new bytes32[](7));
        nextEpoch();
        (IDetectorQuorum.Ballot memory ballot, bytes32[] memory hashes) = reversalVotes(claimId, claim, FIVE);
        quorum.commitReversal(claimId, claim, hashes);
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumWrongEpoch.selector, epoch, epoch));
        quorum.reverse(claimId, claim, ballot);
        pass(2 * HOUR);
        vm.expectRevert(
            abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumWrongEpoch.selector, epoch, epoch + 2)
        );
        quorum.reverse(claimId, claim, ballot);
        quorum.finalise(claimId, claim);
        assertClaim(claimId, IDetectorQuorum.Status.Final);
    }

    function test_onlyTheAccusedAppeals() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 2);
        bytes memory signature = signWith(keyOf[mpcs[1]], appealDigest(claimId, "alibi"));
        expectInvalid(accused);
        quorum.appeal(claimId, claim, "alibi", soon(), signature);
        signature = signWith(keyOf[accused], appealDigest(claimId, "alibi"));
        expectInvalid(accused);
        quorum.appeal(claimId, claim, "other", soon(), signature);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureExpired.selector, 1));
        quorum.appeal(claimId, claim, "alibi", 1, signature);
        vm.expectEmit(address(quorum));
        emit IDetectorQuorum.ClaimAppealed(claimId, accused, "alibi", present() + 1);
        quorum.appeal(claimId, claim, "alibi", soon(), signature);
        expectStatus(claimId, IDetectorQuorum.Status.Appealed);
        quorum.appeal(claimId, claim, "alibi", soon(), signature);
    }

    function test_theOperatorMayAppeal() public {
        accused = operated(0xb10, mpcs[5], MPC);
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 2);
        vm.prank(mpcs[5]);
        quorum.appeal(claimId, claim, "alibi", soon(), "");
        assertClaim(claimId, IDetectorQuorum.Status.Appealed);
    }

    function test_whoLeftMayAppeal() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 3);
        unregister(accused, 1);
        reverse(claimId, claim);
        register(registration(accused, accused, MPC, 2));
    }

    function test_appealsAreOpenForTheirTime() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 2);
        uint64 last = present() + 24;
        pass(24 * HOUR);
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumAppealOpen.selector, claimId, last));
        quorum.finalise(claimId, claim);
        pass(HOUR);
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumAppealClosed.selector, claimId, last));
        vm.prank(accused);
        quorum.appeal(claimId, claim, "alibi", soon(), "");
        vm.expectEmit(address(quorum));
        emit IDetectorQuorum.ClaimFinal(claimId, accused);
        quorum.finalise(claimId, claim);
    }

    function test_theLastEpochForAnAppealCounts() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 2);
        pass(24 * HOUR);
        vm.prank(accused);
        quorum.appeal(claimId, claim, "alibi", soon(), "");
        assertClaim(claimId, IDetectorQuorum.Status.Appealed);
    }

    function test_aNodeAppealsWithoutItsOperator() public {
        accused = operated(0xb10, mpcs[5], MPC);
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 2);
        appeal(claimId, claim);
        assertClaim(claimId, IDetectorQuorum.Status.Appealed);
    }

    function test_anUndecidedAppealIsFinalAfterTheEpochOfItsDecision() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 2);
        appeal(claimId, claim);
        uint64 last = present() + 2;
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumAppealOpen.selector, claimId, last));
            quorum.finalise(claimId, claim);
            pass(HOUR);
        }
        quorum.finalise(claimId, claim);
        assertClaim(claimId, IDetectorQuorum.Status.Final);
    }

    /// @dev Fifteen seats: seven judged first, one is the accused's, seven are left.
    function test_anAppealNeedsNoSeatToSpare() public {
        accused = detectors[0];
        remove(detectors[15]);
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 2);
        appeal(claimId, claim);
        nextEpoch();
        assertEq(quorum.appealPanelOf(claimId, claim).length, 7, "all who are left");
    }

    function test_terminalStatesNeverLeave() public {
        (bytes32 first, IDetectorQuorum.Claim memory a) = upheld(LIVENESS, 2);
        (IDetectorQuorum.Ballot memory ballot, ) = contested(first, a, FIVE);
        quorum.reverse(first, a, ballot);
        _expectTerminal(first, a, ballot, IDetectorQuorum.Status.Reversed);
        (bytes32 second, IDetectorQuorum.Claim memory b) = upheld(LIVENESS, 1);
        pass(25 * HOUR);
        quorum.finalise(second, b);
        _expectTerminal(second, b, ballot, IDetectorQuorum.Status.Final);
    }

    function test_anotherClaimOpensNothing() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 2);
        claim.added = 100e9;
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumBadClaim.selector, claimId));
        quorum.appeal(claimId, claim, "alibi", soon(), "");
    }

    function test_aPauseBlocksNoAppealAndNoWayBack() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 3);
        reputation.pause();
        reverse(claimId, claim);
        assertEq(reputation.recordOf(accused).bad, 0, "taken back");
        assertTrue(!isSuspended(accused), "and readmitted");
    }

    function test_aPauseDelaysNeitherTheEndOfAClaimNorAReadmission() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 3);
        reputation.pause();
        _pauseRegistryAndQueries();
        pass(25 * HOUR);
        quorum.finalise(claimId, claim);
        assertClaim(claimId, IDetectorQuorum.Status.Final);
        pass(720 * HOUR);
        quorum.readmit(accused);
        assertTrue(!isSuspended(accused), "back");
    }

    function test_aPauseOfRegistryAndQueriesBlocksNoAppealAndNoReversal() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 3);
        _pauseRegistryAndQueries();
        reverse(claimId, claim);
        assertClaim(claimId, IDetectorQuorum.Status.Reversed);
        assertTrue(!isSuspended(accused), "and readmitted");
    }

    function test_aSuspensionEndsByReversalUnlessAnotherStands() public {
        nextEpoch();
        IDetectorQuorum.Accusation memory other = accuse(VERSION_KIND, 3);
        (IDetectorQuorum.Ballot memory second, bytes32[] memory hashes) = votesOn(other, FIVE);
        quorum.commitVotes(accused, hashes);
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheldNow(accuse(LIVENESS, 3));
        quorum.uphold(other, second);
        reverse(claimId, claim);
        assertTrue(isSuspended(accused), "the other claim holds");
        (, uint32 claims) = quorum.suspensionOf(accused);
        assertEq(claims, 1, "one is left");
        assertEq(reputation.recordOf(accused).bad, 32e9, "and its evidence");
    }

    function test_aReversalOfALesserClaimEndsNoSuspension() public {
        nextEpoch();
        IDetectorQuorum.Accusation memory grave = accuse(VERSION_KIND, 3);
        (IDetectorQuorum.Ballot memory ballot, bytes32[] memory hashes) = votesOn(grave, FIVE);
        quorum.commitVotes(accused, hashes);
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheldNow(accuse(LIVENESS, 1));
        quorum.uphold(grave, ballot);
        reverse(claimId, claim);
        assertTrue(isSuspended(accused), "still suspended");
        (, uint32 claims) = quorum.suspensionOf(accused);
        assertEq(claims, 1, "still counted");
    }

    function test_aLaterClaimShortensNoSuspension() public {
        upheld(LIVENESS, 3);
        (uint64 last, ) = quorum.suspensionOf(accused);
        vm.prank(address(governor));
        quorum.setTerms(IDetectorQuorum.Terms(7, 5, 24, 27, terms().severities));
        upheld(LIVENESS, 3);
        (uint64 later, uint32 claims) = quorum.suspensionOf(accused);
        assertEq(later, last, "the longer one");
        assertEq(claims, 2, "both stand");
    }

    function test_whoWasLetBackByOthersIsReadmittedAllTheSame() public {
        upheld(LIVENESS, 3);
        registry.grantRole(registry.SUSPENDER_ROLE(), address(this));
        registry.setSuspended(accused, false);
        pass(721 * HOUR);
        vm.expectEmit(address(quorum));
        emit IDetectorQuorum.NodeReadmitted(accused);
        quorum.readmit(accused);
    }

    function test_aSuspensionEndsByTime() public {
        upheld(LIVENESS, 3);
        (uint64 last, ) = quorum.suspensionOf(accused);
        assertEq(last, present() + 720, "thirty days of hours");
        pass(720 * HOUR);
        vm.expectRevert(
            abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumSuspensionLasts.selector, accused, last)
        );
        quorum.readmit(accused);
        pass(HOUR);
        vm.expectEmit(address(quorum));
        emit IDetectorQuorum.NodeReadmitted(accused);
        quorum.readmit(accused);
        assertTrue(!isSuspended(accused), "back");
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumNotSuspended.selector, accused));
        quorum.readmit(accused);
    }

    function test_onlyTheQuorumReverses() public {
        expectFailure(
            address(reputation),
            abi.encodeCall(reputation.reverse, (accused, 1, 1, new address[](0)))
        );
    }

    /// @dev Days may pass between claim and reversal, and evidence come in between.
    function test_aLateReversalTakesBackWhatIsLeft() public {
        history(4);
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 2);
        history(4);
        reverse(claimId, claim);
        history(1);
        uint256 bad = reputation.recordOf(accused).bad;
        uint256 spared = reputation.recordOf(mpcs[1]).bad;
        assertLe(bad > spared ? bad - spared : spared - bad, 3, "within three units");
        assertEq(reputation.recordOf(accused).good, reputation.recordOf(mpcs[1]).good, "good is untouched");
    }

    function _pauseRegistryAndQueries() private {
        registry.grantRole(registry.PAUSER_ROLE(), address(this));
        ledger.grantRole(ledger.PAUSER_ROLE(), address(this));
        registry.pause();
        ledger.pause();
    }

    function reverse(bytes32 claimId, IDetectorQuorum.Claim memory claim) private {
        (IDetectorQuorum.Ballot memory ballot, ) = contested(claimId, claim, FIVE);
        quorum.reverse(claimId, claim, ballot);
    }

    function expectStatus(bytes32 claimId, IDetectorQuorum.Status status) private {
        vm.expectRevert(
            abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumWrongStatus.selector, claimId, status)
        );
    }

    function _expectTerminal(
        bytes32 claimId,
        IDetectorQuorum.Claim memory claim,
        IDetectorQuorum.Ballot memory ballot,
        IDetectorQuorum.Status status
    ) private {
        expectStatus(claimId, status);
        quorum.appeal(claimId, claim, "alibi", soon(), "");
        expectStatus(claimId, status);
        quorum.reverse(claimId, claim, ballot);
        expectStatus(claimId, status);
        quorum.finalise(claimId, claim);
        expectStatus(claimId, status);
        quorum.commitReversal(claimId, claim, new bytes32[](7));
    }
}
