// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DetectorQuorum} from "../DetectorQuorum.sol";
import {IDetectorQuorum} from "../interfaces/IDetectorQuorum.sol";
import {QuorumFixture} from "./QuorumFixture.sol";

/// @title What must not make a claim.
contract QuorumAttacksTest is QuorumFixture {
    IDetectorQuorum.Accusation private _a;

    function setUp() public override {
        super.setUp();
        nextEpoch();
        _a = accuse(LIVENESS, 2);
    }

    function test_oneVoteTooFew() public {
        (IDetectorQuorum.Ballot memory ballot, ) = committed(_a, 0x0f);
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumTooFewVotes.selector, 4, 5));
        quorum.uphold(_a, ballot);
    }

    /// @dev Whichever two of the seven they are: alone they are too few, and without them the five others are enough.
    function test_twoColludersNeitherCondemnNorProtect() public {
        for (uint256 first = 0; first < 6; ++first) {
            for (uint256 second = first + 1; second < 7; ++second) {
                _plot((1 << first) | (1 << second));
                nextEpoch();
            }
        }
        assertEq(reputation.recordOf(mpcs[1]).bad, 0, "never condemned by them");
    }

    function _plot(uint256 colluders) private {
        IDetectorQuorum.Accusation memory plot = accuse(mpcs[1], LIVENESS, 3);
        IDetectorQuorum.Accusation memory just = accuse(LIVENESS, 1);
        (IDetectorQuorum.Ballot memory frame, bytes32[] memory framed) = votesOn(plot, colluders);
        quorum.commitVotes(mpcs[1], framed);
        (IDetectorQuorum.Ballot memory ballot, bytes32 claimId) = committed(just, 0x7f ^ colluders);
        expectRefusal(IDetectorQuorum.DetectorQuorumTooFewVotes.selector, abi.encodeCall(quorum.uphold, (plot, frame)));
        quorum.uphold(just, ballot);
        assertClaim(claimId, IDetectorQuorum.Status.Upheld);
    }

    function test_aVoteCopiedAfterTheRevealIsWorthless() public {
        (IDetectorQuorum.Ballot memory honest, ) = committed(_a, 0x0f);
        (IDetectorQuorum.Ballot memory late, ) = votesOn(_a, FIVE);
        late.entries = honest.entries;
        late.entries[4] = evidence(4);
        _expectRefused(_a, late, IDetectorQuorum.DetectorQuorumNotCommitted.selector);
        nextEpoch();
        (, bytes32[] memory hashes) = votesOn(_a, FIVE);
        quorum.commitVotes(accused, hashes);
        vm.warp(clock - HOUR);
        _expectRefused(_a, late, IDetectorQuorum.DetectorQuorumNotCommitted.selector);
    }

    function test_aCopiedCommitmentIsWorthless() public {
        (, bytes32[] memory hashes) = votesOn(_a, 0x0f);
        hashes[4] = hashes[0];
        quorum.commitVotes(accused, hashes);
        (IDetectorQuorum.Ballot memory ballot, ) = votesOn(_a, FIVE);
        pass(HOUR);
        _expectRefused(_a, ballot, IDetectorQuorum.DetectorQuorumNotCommitted.selector);
    }

    function test_theSameBallotCarriesOneClaim() public {
        (IDetectorQuorum.Ballot memory ballot, bytes32 claimId) = committed(_a, FIVE);
        quorum.uphold(_a, ballot);
        vm.expectRevert(
            abi.encodeWithSelector(
                IDetectorQuorum.DetectorQuorumWrongStatus.selector,
                claimId,
                IDetectorQuorum.Status.Upheld
            )
        );
        quorum.uphold(_a, ballot);
        IDetectorQuorum.Accusation memory other = _a;
        other.kind = VERSION_KIND;
        _expectRefused(other, ballot, IDetectorQuorum.DetectorQuorumNotCommitted.selector);
        other = _a;
        other.node = mpcs[1];
        _expectRefused(other, ballot, IDetectorQuorum.DetectorQuorumNotCommitted.selector);
        other = _a;
        other.severity = 3;
        _expectRefused(other, ballot, IDetectorQuorum.DetectorQuorumNotCommitted.selector);
    }

    function test_oneClaimANodeEpochAndKind() public {
        (IDetectorQuorum.Ballot memory first, bytes32[] memory firstHashes) = votesOn(_a, FIVE);
        (IDetectorQuorum.Ballot memory second, bytes32[] memory secondHashes) = votesOn(_a, 0x7c);
        quorum.commitVotes(accused, firstHashes);
        quorum.commitVotes(accused, secondHashes);
        pass(HOUR);
        quorum.uphold(_a, first);
        vm.expectRevert(
            abi.encodeWithSelector(
                IDetectorQuorum.DetectorQuorumAlreadyClaimed.selector,
                accused,
                _a.epoch,
                LIVENESS
            )
        );
        quorum.uphold(_a, second);
    }

    function test_twoKindsInOneEpoch() public {
        IDetectorQuorum.Accusation memory other = accuse(VERSION_KIND, 1);
        (IDetectorQuorum.Ballot memory second, bytes32[] memory hashes) = votesOn(other, FIVE);
        quorum.commitVotes(accused, hashes);
        (IDetectorQuorum.Ballot memory first, ) = committed(_a, FIVE);
        quorum.uphold(_a, first);
        quorum.uphold(other, second);
        assertEq(reputation.recordOf(accused).bad, 10e9, "both");
    }

    function test_votesAreRevealedInTheNextEpochOnly() public {
        (IDetectorQuorum.Ballot memory ballot, bytes32[] memory hashes) = votesOn(_a, FIVE);
        quorum.commitVotes(accused, hashes);
        vm.expectRevert(
            abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumWrongEpoch.selector, _a.epoch, _a.epoch)
        );
        quorum.uphold(_a, ballot);
        pass(2 * HOUR);
        vm.expectRevert(
            abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumWrongEpoch.selector, _a.epoch, _a.epoch + 2)
        );
        quorum.uphold(_a, ballot);
    }

    function test_aRemovedDetectorsPendingVoteCountsNoMore() public {
        address[] memory panel = quorum.panelOf(accused, _a.epoch);
        (IDetectorQuorum.Ballot memory ballot, ) = committed(_a, FIVE);
        _removeNow(panel[1]);
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumNotSeated.selector, panel[1]));
        quorum.uphold(_a, ballot);
    }

    function test_aDetectorRemovedInTheEpochOfItsVoteCountsNoMore() public {
        address[] memory panel = quorum.panelOf(accused, _a.epoch);
        (IDetectorQuorum.Ballot memory ballot, bytes32[] memory hashes) = votesOn(_a, FIVE);
        quorum.commitVotes(accused, hashes);
        _removeNow(panel[1]);
        pass(HOUR);
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumNotSeated.selector, panel[1]));
        quorum.uphold(_a, ballot);
    }

    function test_othersVotesOutliveARemoval() public {
        address[] memory panel = quorum.panelOf(accused, _a.epoch);
        (IDetectorQuorum.Ballot memory ballot, bytes32 claimId) = committed(_a, FIVE);
        _removeNow(panel[6]);
        quorum.uphold(_a, ballot);
        assertClaim(claimId, IDetectorQuorum.Status.Upheld);
    }

    function test_theOldSetIsWorthNothingAfterRotation() public {
        address[] memory panel = quorum.panelOf(accused, _a.epoch);
        (IDetectorQuorum.Ballot memory ballot, ) = committed(_a, FIVE);
        address[] memory fresh = newNodes(5000, 16, DETECTOR);
        vm.prank(address(governor));
        quorum.rotate(detectors, fresh);
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumNotSeated.selector, panel[0]));
        quorum.uphold(_a, ballot);
    }

    function test_whoLeftOrWasSuspendedCastsNoVote() public {
        address[] memory panel = quorum.panelOf(accused, _a.epoch);
        unregister(panel[0], 1);
        registry.grantRole(registry.SUSPENDER_ROLE(), address(this));
        registry.setSuspended(panel[1], true);
        (IDetectorQuorum.Ballot memory ballot, ) = committed(_a, 0x7f);
        _expectRefused(_a, ballot, IDetectorQuorum.DetectorQuorumNotCommitted.selector);
    }

    function test_unsortedAndDuplicateSignersAreRefused() public {
        (IDetectorQuorum.Ballot memory ballot, ) = committed(_a, FIVE);
        bytes memory sorted = ballot.signatures;
        ballot.signatures = bytes.concat(slice(sorted, 65, 65), slice(sorted, 0, 65), slice(sorted, 130, 195));
        _expectRefused(_a, ballot, IDetectorQuorum.DetectorQuorumNotCommitted.selector);
        ballot.signatures = bytes.concat(slice(sorted, 0, 65), slice(sorted, 0, 260));
        _expectRefused(_a, ballot, IDetectorQuorum.DetectorQuorumNotCommitted.selector);
    }

    function test_malleableAndShortSignaturesAreRefused() public {
        (IDetectorQuorum.Ballot memory ballot, ) = committed(_a, FIVE);
        bytes memory good = ballot.signatures;
        ballot.signatures = bytes.concat(flipped(slice(good, 0, 65)), slice(good, 65, 260));
        _expectRefused(_a, ballot, IDetectorQuorum.DetectorQuorumBadSignature.selector);
        ballot.signatures = bytes.concat(slice(good, 0, 64), slice(good, 65, 260));
        _expectRefused(_a, ballot, IDetectorQuorum.DetectorQuorumBadBallot.selector);
        ballot.signatures = bytes.concat(new bytes(65), slice(good, 65, 260));
        _expectRefused(_a, ballot, IDetectorQuorum.DetectorQuorumBadSignature.selector);
    }

    function test_ballotsThatDoNotFitAreRefused() public {
        (IDetectorQuorum.Ballot memory ballot, ) = committed(_a, FIVE);
        ballot.signers = 0x8f;
        _expectRefused(_a, ballot, IDetectorQuorum.DetectorQuorumBadBallot.selector);
        ballot.signers = uint16(FIVE);
        ballot.measurements = new IDetectorQuorum.Measurement[](5);
        _expectRefused(_a, ballot, IDetectorQuorum.DetectorQuorumBadBallot.selector);
        ballot.measurements = new IDetectorQuorum.Measurement[](0);
        ballot.entries = new bytes32[](4);
        _expectRefused(_a, ballot, IDetectorQuorum.DetectorQuorumBadBallot.selector);
    }

    function test_commitmentsNeedTheWholePanelAndAKnownNode() public {
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumWrongPanelSize.selector, 6, 7));
        quorum.commitVotes(accused, new bytes32[](6));
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumUnknownNode.selector, address(0xbad)));
        quorum.commitVotes(address(0xbad), new bytes32[](7));
        bytes32 commitment = quorum.commitVotes(accused, new bytes32[](7));
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumAlreadyCommitted.selector, commitment));
        quorum.commitVotes(accused, new bytes32[](7));
    }

    function test_replayOnAnotherChainOrContract() public {
        (IDetectorQuorum.Ballot memory ballot, ) = committed(_a, FIVE);
        vm.chainId(1);
        _expectRefused(_a, ballot, IDetectorQuorum.DetectorQuorumNotCommitted.selector);
        vm.chainId(31337);
        DetectorQuorum twin = deployQuorum(registry, reputation, governor, DELAY, HOUR, terms());
        expectRefusalBy(
            address(twin),
            IDetectorQuorum.DetectorQuorumNotCommitted.selector,
            abi.encodeCall(quorum.uphold, (_a, ballot))
        );
    }

    function test_replayInAnotherEpochIsRefused() public {
        (IDetectorQuorum.Ballot memory ballot, bytes32[] memory hashes) = votesOn(_a, FIVE);
        nextEpoch();
        quorum.commitVotes(accused, hashes);
        pass(HOUR);
        IDetectorQuorum.Accusation memory later = _a;
        later.epoch = _a.epoch + 1;
        _expectRefused(later, ballot, IDetectorQuorum.DetectorQuorumNotCommitted.selector);
    }

    function test_leavingDoesNotEscape() public {
        (IDetectorQuorum.Ballot memory ballot, ) = committed(_a, FIVE);
        unregister(accused, 1);
        register(registration(accused, accused, MPC, 2));
        quorum.uphold(_a, ballot);
        assertEq(reputation.recordOf(accused).bad, 8e9, "the account answers");
    }

    function test_leavingBeforeTheCommitmentDoesNotEscape() public {
        (IDetectorQuorum.Ballot memory ballot, bytes32[] memory hashes) = votesOn(_a, FIVE);
        unregister(accused, 1);
        register(registration(accused, accused, MPC, 2));
        quorum.commitVotes(accused, hashes);
        pass(HOUR);
        quorum.uphold(_a, ballot);
        assertEq(reputation.recordOf(accused).bad, 8e9, "the account answers");
    }

    /// @dev Votes name no incarnation, so that they hold in each: the docket lets one claim of an epoch and kind through.
    function test_votesCountOnceHoweverOftenTheAccusedRegisters() public {
        (IDetectorQuorum.Ballot memory first, bytes32[] memory hashes) = votesOn(_a, FIVE);
        quorum.commitVotes(accused, hashes);
        unregister(accused, 1);
        register(registration(accused, accused, MPC, 2));
        (IDetectorQuorum.Ballot memory second, ) = committed(_a, 0x7c);
        quorum.uphold(_a, first);
        _expectRefused(_a, second, IDetectorQuorum.DetectorQuorumAlreadyClaimed.selector);
    }

    /// @dev Whoever gets a judge recused by taking its operator changes no other seat of the panel.
    function test_anOperatorChangesOnlyItsOwnSeat() public {
        address newcomer = vm.addr(0xb10);
        address[] memory before = quorum.panelOf(newcomer, _a.epoch);
        address judge = before[2];
        operated(0xb10, judge, MPC);
        address[] memory panel = quorum.panelOf(newcomer, _a.epoch);
        uint256 same;
        for (uint256 i = 0; i < 7; ++i) {
            assertTrue(panel[i] != judge, "recused");
            for (uint256 j = 0; j < 7; ++j) if (panel[i] == before[j]) ++same;
        }
        assertEq(same, 6, "the others stay");
    }

    function test_severityAboveItsKindsIsRefused() public {
        IDetectorQuorum.Accusation[4] memory bad = [
            accuse(LIVENESS, 0),
            accuse(6, 2),
            accuse(200, 1),
            accuse(PROFILE, 3)
        ];
        for (uint256 i = 0; i < 4; ++i) {
            nextEpoch();
            bad[i].epoch = present();
            (IDetectorQuorum.Ballot memory ballot, ) = committed(bad[i], FIVE);
            vm.expectRevert(
                abi.encodeWithSelector(
                    IDetectorQuorum.DetectorQuorumBadSeverity.selector,
                    bad[i].kind,
                    bad[i].severity
                )
            );
            quorum.uphold(bad[i], ballot);
        }
    }

    function test_theLedgersPauseStopsNewClaims() public {
        (IDetectorQuorum.Ballot memory ballot, ) = committed(_a, FIVE);
        reputation.pause();
        vm.expectRevert(abi.encodeWithSignature("EnforcedPause()"));
        quorum.uphold(_a, ballot);
    }

    /// @dev Votes are counted in one epoch: whoever pauses for so long protects the node from them.
    function test_aPauseThroughTheEpochLosesItsVotes() public {
        (IDetectorQuorum.Ballot memory ballot, ) = committed(_a, FIVE);
        reputation.grantRole(reputation.UNPAUSER_ROLE(), mpcs[5]);
        reputation.pause();
        vm.expectRevert(abi.encodeWithSignature("EnforcedPause()"));
        quorum.uphold(_a, ballot);
        pass(HOUR);
        vm.prank(mpcs[5]);
        reputation.unpause();
        vm.expectRevert(
            abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumWrongEpoch.selector, _a.epoch, _a.epoch + 2)
        );
        quorum.uphold(_a, ballot);
        assertEq(reputation.recordOf(accused).bad, 0, "nothing moved");
        nextEpoch();
        upheldNow(accuse(LIVENESS, 2));
        assertEq(reputation.recordOf(accused).bad, 8e9, "until it is accused again");
    }

    /// @dev Fewer than k votes are no claim: nobody has to appeal, and they take no place from one that has enough.
    function test_aFrivolousClaimOfTooFewMovesNothing() public {
        (IDetectorQuorum.Ballot memory few, bytes32[] memory hashes) = votesOn(_a, 0x0f);
        bytes32 frivolous = quorum.commitVotes(accused, hashes);
        (IDetectorQuorum.Ballot memory enough, bytes32 claimId) = committed(_a, FIVE);
        _expectRefused(_a, few, IDetectorQuorum.DetectorQuorumTooFewVotes.selector);
        assertEq(reputation.recordOf(accused).lastEpoch, 0, "no record");
        IDetectorQuorum.Claim memory claim = IDetectorQuorum.Claim(_a, 0x0f, 0, 0);
        bytes4 status = IDetectorQuorum.DetectorQuorumWrongStatus.selector;
        expectRefusal(status, abi.encodeCall(quorum.finalise, (frivolous, claim)));
        quorum.uphold(_a, enough);
        assertClaim(claimId, IDetectorQuorum.Status.Upheld);
        assertClaim(frivolous, IDetectorQuorum.Status.Committed);
    }

    function _removeNow(address detector) private {
        address[] memory removed = new address[](1);
        removed[0] = detector;
        vm.prank(address(governor));
        quorum.rotate(removed, new address[](0));
    }

    function _expectRefused(
        IDetectorQuorum.Accusation memory a,
        IDetectorQuorum.Ballot memory ballot,
        bytes4 selector
    ) private {
        expectRefusal(selector, abi.encodeCall(quorum.uphold, (a, ballot)));
    }
}
