// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {DetectorQuorum} from "../DetectorQuorum.sol";
import {IDetectorQuorum} from "../interfaces/IDetectorQuorum.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IReputationLedger} from "../interfaces/IReputationLedger.sol";
import {QuorumFixture} from "./QuorumFixture.sol";
import {Vm} from "./Suite.sol";

/// @title Epochs, panels and claims as they should go, and who may govern them.
contract DetectorQuorumTest is QuorumFixture {
    function test_fiveOfSevenUpholdAClaim() public {
        nextEpoch();
        IDetectorQuorum.Accusation memory a = accuse(LIVENESS, 2);
        (IDetectorQuorum.Ballot memory ballot, bytes32 claimId) = committed(a, FIVE);
        vm.expectEmit(address(quorum));
        emit IDetectorQuorum.ClaimUpheld(
            claimId,
            accused,
            IDetectorQuorum.Claim(a, uint16(FIVE), 8e9, uint32(clock / DAY))
        );
        assertEq(quorum.uphold(a, ballot), claimId, "names its commitment");
        assertEq(reputation.recordOf(accused).bad, 8e9, "sigma");
        assertClaim(claimId, IDetectorQuorum.Status.Upheld);
    }

    function test_everySeverityMovesReputation() public {
        uint256[3] memory sigma = [uint256(2e9), 8e9, 32e9];
        for (uint8 severity = 1; severity <= 3; ++severity) {
            address node = mpcs[severity];
            nextEpoch();
            IDetectorQuorum.Accusation memory a = accuse(node, VERSION_KIND, severity);
            upheldNow(a);
            assertEq(reputation.recordOf(node).bad, sigma[severity - 1], "sigma");
            assertTrue(isSuspended(node) == (severity == 3), "only the highest suspends");
        }
    }

    function test_aFalseProfileCarriesTheMedianOfWhatWasMeasured() public {
        nextEpoch();
        IDetectorQuorum.Accusation memory a = accuse(PROFILE, 1);
        (IDetectorQuorum.Ballot memory ballot, bytes32 claimId) = committed(a, 0x6b);
        vm.expectEmit(address(quorum));
        emit IDetectorQuorum.ProfileMeasured(claimId, accused, IDetectorQuorum.Measurement(4, 4096, 700));
        quorum.uphold(a, ballot);
    }

    function test_aMeasurementIsSigned() public {
        nextEpoch();
        IDetectorQuorum.Accusation memory a = accuse(PROFILE, 1);
        (IDetectorQuorum.Ballot memory ballot, ) = committed(a, FIVE);
        ballot.measurements[2].cores = 1;
        expectRefusal(IDetectorQuorum.DetectorQuorumNotCommitted.selector, abi.encodeCall(quorum.uphold, (a, ballot)));
    }

    function testFuzz_panelsHaveSevenStrangers(uint256 seed) public {
        mine(bound(seed, 1, 1000));
        uint64 epoch = nextEpoch();
        address node = detectors[seed % 16];
        address[] memory panel = quorum.panelOf(node, epoch);
        assertEq(panel.length, 7, "seven");
        for (uint256 i = 0; i < 7; ++i) {
            assertTrue(panel[i] != node, "not its own judge");
            if (i > 0) assertTrue(panel[i] > panel[i - 1], "ascending, each once");
        }
        address[] memory again = quorum.panelOf(node, epoch);
        assertEq(keccak256(abi.encode(panel)), keccak256(abi.encode(again)), "recomputed");
    }

    function test_nodesAndEpochsHaveTheirOwnPanels() public {
        uint64 epoch = nextEpoch();
        bytes32 first = keccak256(abi.encode(quorum.panelOf(accused, epoch)));
        assertTrue(first != keccak256(abi.encode(quorum.panelOf(mpcs[1], epoch))), "another node");
        assertTrue(first != keccak256(abi.encode(quorum.panelOf(accused, nextEpoch()))), "another epoch");
    }

    function test_anEpochIsOpenedAndSeededOnce() public {
        uint64 epoch = nextEpoch();
        (, uint80 seed) = quorum.epochOf(epoch);
        assertTrue(seed != 0, "seeded");
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumEpochOpen.selector, epoch));
        quorum.openEpoch();
        mine(1);
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumEpochSeeded.selector, epoch));
        quorum.seedEpoch(epoch);
    }

    function test_openingSeedingAndVotingAreAnnounced() public {
        pass(HOUR);
        uint64 epoch = present();
        vm.recordLogs();
        quorum.openEpoch();
        mine(3);
        quorum.seedEpoch(epoch);
        (, bytes32[] memory hashes) = votesOn(accuse(LIVENESS, 2), FIVE);
        bytes32 commitment = quorum.commitVotes(accused, hashes);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        (address roster, uint80 seed) = quorum.epochOf(epoch);
        _assertLog(logs[0], IDetectorQuorum.EpochOpened.selector, bytes32(uint256(epoch)), abi.encode(roster, 102));
        _assertLog(logs[1], IDetectorQuorum.PanelSeeded.selector, bytes32(uint256(epoch)), abi.encode(seed));
        address[] memory panel = quorum.panelOf(accused, epoch);
        bytes32[] memory leaves = new bytes32[](7);
        for (uint256 i = 0; i < 5; ++i) leaves[i] = keccak256(abi.encode(panel[i], hashes[i]));
        _assertLog(logs[2], IDetectorQuorum.VotesCommitted.selector, commitment, abi.encode(epoch, leaves));
        assertEq(logs[2].topics[2], keccak256(abi.encode(accused, accused, epoch)), "subject");
    }

    function _assertLog(Vm.Log memory log, bytes32 selector, bytes32 first, bytes memory data) private pure {
        assertEq(log.topics[0], selector, "event");
        assertEq(log.topics[1], first, "first");
        assertEq(keccak256(log.data), keccak256(data), "data");
    }

    function test_theSeedIsNotKnownAtTheOpening() public {
        pass(HOUR);
        uint64 epoch = present();
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumEpochNotOpen.selector, epoch));
        quorum.seedEpoch(epoch);
        quorum.openEpoch();
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumSeedNotMined.selector, epoch, 102)
            );
            quorum.seedEpoch(epoch);
            if (i < 2) mine(1);
        }
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumEpochNotSeeded.selector, epoch));
        quorum.panelOf(accused, epoch);
        mine(1);
        quorum.seedEpoch(epoch);
    }

    /// @dev Whoever waits until the chain has forgotten the block gets no other seed, and the epoch no panel.
    function test_aLostSeedIsLost() public {
        pass(HOUR);
        uint64 epoch = present();
        quorum.openEpoch();
        mine(9000);
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumSeedLost.selector, epoch, 102));
        quorum.seedEpoch(epoch);
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumEpochOpen.selector, epoch));
        quorum.openEpoch();
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumEpochNotSeeded.selector, epoch));
        quorum.commitVotes(accused, new bytes32[](7));
        nextEpoch();
        assertEq(quorum.panelOf(accused, present()).length, 7, "the next epoch judges again");
    }

    function test_tooFewSeatsOpenNoEpoch() public {
        remove(detectors[0]);
        remove(detectors[1]);
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumTooFewSeats.selector, 14, 15));
        quorum.openEpoch();
    }

    function test_onlyTheTimelockGoverns() public {
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumNotGovernor.selector, address(this)));
        quorum.rotate(new address[](0), new address[](0));
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumNotGovernor.selector, address(this)));
        quorum.setTerms(terms());
    }

    function test_noChangeWithoutDelay() public {
        bytes memory change = abi.encodeCall(quorum.setTerms, (terms()));
        governor.schedule(address(quorum), 0, change, 0, "s", DELAY);
        pass(DELAY - 1);
        expectFailure(address(governor), abi.encodeCall(governor.execute, (address(quorum), 0, change, 0, "s")));
        pass(1);
        governor.execute(address(quorum), 0, change, 0, "s");
    }

    function test_aGovernorThatShortenedItsDelayIsRefused() public {
        bytes memory change = abi.encodeCall(governor.updateDelay, (1));
        governor.schedule(address(governor), 0, change, 0, "s", DELAY);
        pass(DELAY);
        governor.execute(address(governor), 0, change, 0, "s");
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumDelayTooShort.selector, 1, DELAY));
        vm.prank(address(governor));
        quorum.setTerms(terms());
    }

    function test_theTimelockHasNoOtherAdministrator() public view {
        assertTrue(!governor.hasRole(governor.DEFAULT_ADMIN_ROLE(), address(this)), "not the deployer");
        assertTrue(governor.hasRole(governor.DEFAULT_ADMIN_ROLE(), address(governor)), "itself");
    }

    function test_badTermsAreRefused() public {
        IDetectorQuorum.Terms[9] memory bad;
        for (uint256 i = 0; i < 9; ++i) bad[i] = terms();
        bad[0].threshold = 0;
        bad[1].threshold = 8;
        (bad[2].panelSize, bad[2].threshold) = (10, 5);
        (bad[3].panelSize, bad[3].threshold) = (17, 17);
        bad[4].appealEpochs = 0;
        bad[5].suspensionEpochs = 26;
        bad[6].severities = 0x40;
        bad[7].severities = 0x1;
        bad[8].severities = 0x10000000;
        for (uint256 i = 0; i < 9; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumBadTerms.selector, bad[i]));
            vm.prank(address(governor));
            quorum.setTerms(bad[i]);
        }
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumBadTerms.selector, bad[0]));
        deployQuorum(registry, reputation, governor, DELAY, HOUR, bad[0]);
    }

    function test_termsAtTheirLimitsAreTaken() public {
        IDetectorQuorum.Terms[2] memory given = [
            IDetectorQuorum.Terms(7, 7, 24, 27, 0),
            IDetectorQuorum.Terms(16, 9, 24, 27, 0x03333330)
        ];
        for (uint256 i = 0; i < 2; ++i) {
            vm.recordLogs();
            quorum = deployQuorum(registry, reputation, governor, DELAY, HOUR, given[i]);
            Vm.Log[] memory logs = vm.getRecordedLogs();
            assertEq(logs.length, 1, "announced");
            assertEq(logs[0].topics[0], IDetectorQuorum.TermsChanged.selector, "the first terms");
            assertEq(keccak256(logs[0].data), keccak256(abi.encode(given[i])), "as given");
        }
    }

    function test_termsHoldFromTheNextEpoch() public {
        nextEpoch();
        IDetectorQuorum.Accusation memory a = accuse(LIVENESS, 1);
        (IDetectorQuorum.Ballot memory ballot, ) = committed(a, FIVE);
        IDetectorQuorum.Terms memory other = IDetectorQuorum.Terms(3, 2, 1, 4, 0);
        vm.expectEmit(address(quorum));
        emit IDetectorQuorum.TermsChanged(other);
        vm.prank(address(governor));
        quorum.setTerms(other);
        quorum.uphold(a, ballot);
        assertEq(quorum.panelOf(accused, nextEpoch()).length, 3, "the new size");
        IDetectorQuorum.Terms memory now_;
        (now_, , ) = quorum.roster();
        assertEq(keccak256(abi.encode(now_)), keccak256(abi.encode(other)), "read back");
    }

    function test_rotationKeepsOrderAndAnnounces() public {
        address[] memory fresh = newNodes(5000, 3, DETECTOR);
        address[] memory removed = new address[](2);
        (removed[0], removed[1]) = (detectors[3], detectors[9]);
        vm.expectEmit(address(quorum));
        emit IDetectorQuorum.DetectorRemoved(removed[0]);
        vm.expectEmit(address(quorum));
        emit IDetectorQuorum.DetectorRemoved(removed[1]);
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectEmit(address(quorum));
            emit IDetectorQuorum.DetectorEnlisted(fresh[i], fresh[i]);
        }
        vm.prank(address(governor));
        quorum.rotate(removed, fresh);
        (, address[] memory seats, address[] memory operators) = quorum.roster();
        assertEq(seats.length, 17, "seats");
        for (uint256 i = 0; i < 17; ++i) {
            assertEq(seats[i], operators[i], "operator");
            assertTrue(seats[i] != removed[0] && seats[i] != removed[1], "gone");
            if (i > 0) assertTrue(seats[i - 1] < seats[i], "ascending");
        }
    }

    function test_rotationRefusals() public {
        address[] memory none = new address[](0);
        address[] memory two = newNodes(5000, 2, DETECTOR);
        expectRotation(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumNotSeated.selector, two[0]), two, none);
        address[] memory pair = new address[](2);
        (pair[0], pair[1]) = (detectors[4], detectors[2]);
        expectRotation(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumNotSeated.selector, pair[1]), pair, none);
        address[] memory one = new address[](1);
        one[0] = detectors[2];
        expectRotation(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumAlreadySeated.selector, one[0]), none, one);
        one[0] = mpcs[1];
        expectRotation(
            abi.encodeWithSelector(INodeRegistry.NodeRegistryNotEligible.selector, mpcs[1], DETECTOR),
            none,
            one
        );
        (two[0], two[1]) = (two[1], two[0]);
        (bool ok, ) = rotateAsGovernor(none, two);
        assertTrue(!ok, "unsorted newcomers");
    }

    function test_anOperatorHasOneSeat() public {
        address[] memory sybil = sybilsOf(detectors[5], 1);
        expectRotation(
            abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumOperatorSeated.selector, detectors[5]),
            new address[](0),
            sybil
        );
        sybil = sybilsOf(mpcs[5], 2);
        expectRotation(
            abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumOperatorSeated.selector, mpcs[5]),
            new address[](0),
            sybil
        );
    }

    function test_constructorRefusals() public {
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumZeroAddress.selector));
        deployQuorum(INodeRegistry(address(0)), reputation, governor, DELAY, 1, terms());
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumZeroAddress.selector));
        deployQuorum(registry, IReputationLedger(address(0)), governor, DELAY, 1, terms());
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumZeroPeriod.selector));
        deployQuorum(registry, reputation, governor, DELAY, 0, terms());
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumZeroPeriod.selector));
        deployQuorum(registry, reputation, governor, 0, 1, terms());
        TimelockController hasty = newGovernor(1);
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumDelayTooShort.selector, 1, DELAY));
        deployQuorum(registry, reputation, hasty, DELAY, 1, terms());
    }

    function expectRotation(bytes memory reason, address[] memory removed, address[] memory enlisted) private {
        (bool ok, bytes memory given) = rotateAsGovernor(removed, enlisted);
        assertTrue(!ok, "refused");
        assertEq(keccak256(given), keccak256(reason), "reason");
    }

    function rotateAsGovernor(address[] memory removed, address[] memory enlisted) private returns (bool, bytes memory) {
        vm.prank(address(governor));
        return address(quorum).call(abi.encodeCall(quorum.rotate, (removed, enlisted)));
    }

    /// @dev Ascending detectors that all belong to `operator`.
    function sybilsOf(address operator, uint256 count) private returns (address[] memory nodes) {
        nodes = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 key = uint256(keccak256(abi.encode(operator, i)));
            nodes[i] = vm.addr(key);
            keyOf[nodes[i]] = key;
            register(registration(nodes[i], operator, DETECTOR, 1));
        }
        if (count == 2 && nodes[0] > nodes[1]) (nodes[0], nodes[1]) = (nodes[1], nodes[0]);
    }
}
