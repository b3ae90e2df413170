// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DetectorQuorum} from "../DetectorQuorum.sol";
import {ReputationLedger} from "../ReputationLedger.sol";
import {Timelock} from "../Timelock.sol";
import {IDetectorQuorum} from "../interfaces/IDetectorQuorum.sol";
import {IQueryLedger} from "../interfaces/IQueryLedger.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {NetworkFixture} from "./NetworkFixture.sol";
import {Vm} from "./Suite.sol";

/// @title Sixteen detectors, panels of seven, five votes, and a node to accuse.
/// @dev Votes are hashed and signed here by the standard, not by the contracts' libraries.
abstract contract QuorumFixture is NetworkFixture {
    uint256 internal constant DAY = 1 days;
    uint256 internal constant HOUR = 1 hours;
    uint256 internal constant DELAY = 2 days;
    uint8 internal constant DETECTOR = 4;
    uint8 internal constant LIVENESS = 1;
    uint8 internal constant PROFILE = 2;
    uint8 internal constant VERSION_KIND = 4;
    uint256 internal constant FIVE = 0x1f;
    bytes32 internal constant VOTE =
        keccak256(
            "Vote(address node,address operator,uint64 epoch,uint8 kind,uint8 severity,bytes32 evidenceHash,uint32 cores,uint32 memoryMib,uint32 speed)"
        );
    bytes32 internal constant REVERSAL = keccak256("Reversal(bytes32 claimId,uint64 epoch,bytes32 evidenceHash)");
    bytes32 internal constant APPEAL =
        keccak256("Appeal(bytes32 claimId,bytes32 counterEvidenceHash,uint64 deadline)");

    /// @dev Where EIP-2935 keeps the hashes of older blocks.
    address private constant HISTORY = 0x0000F90827F1C53a10cb7A02335B175320002935;

    ReputationLedger internal reputation;
    Timelock internal governor;
    DetectorQuorum internal quorum;
    address[] internal detectors;
    address internal accused;
    /// @dev Block time and number, kept apart because the optimiser takes them for constant within a test.
    uint256 internal clock;
    uint256 internal height;
    uint256 private _operations;

    function setUp() public virtual override {
        super.setUp();
        // Refuses without a word, as on a chain that has forgotten the block: Hardhat's own refusal would pass for a hash.
        vm.etch(HISTORY, hex"5f5ffd");
        (clock, height) = (START, 100);
        ReputationLedger.Periods memory periods = ReputationLedger.Periods(
            uint32(DAY),
            uint32(14 * DAY),
            uint32(DAY),
            uint32(7 * DAY)
        );
        reputation = deployReputation(registry, ledger, periods);
        registry.grantRole(registry.SUSPENDER_ROLE(), address(reputation));
        registry.setReputationLedger(reputation);
        reputation.grantRole(reputation.COORDINATOR_ROLE(), address(this));
        reputation.grantRole(reputation.PAUSER_ROLE(), address(this));
        governor = newGovernor(DELAY);
        quorum = deployQuorum(registry, reputation, governor, DELAY, HOUR, terms());
        registry.grantRole(registry.SUSPENDER_ROLE(), address(quorum));
        reputation.grantRole(reputation.PENALTY_ROLE(), address(quorum));
        detectors = newNodes(1000, 16, DETECTOR);
        accused = mpcs[0];
        rotate(new address[](0), detectors);
    }

    function terms() internal pure returns (IDetectorQuorum.Terms memory) {
        return IDetectorQuorum.Terms(7, 5, 24, 720, 0x01333230);
    }

    function newGovernor(uint256 delay) internal returns (Timelock) {
        address[] memory me = new address[](1);
        me[0] = address(this);
        return deployTimelock(delay, me);
    }

    function pass(uint256 seconds_) internal {
        clock += seconds_;
        vm.warp(clock);
    }

    function mine(uint256 blocks) internal {
        height += blocks;
        vm.roll(height);
    }

    function govern(bytes memory change) internal {
        bytes32 salt = bytes32(++_operations);
        governor.schedule(address(quorum), 0, change, 0, salt, DELAY);
        pass(DELAY);
        governor.execute(address(quorum), 0, change, 0, salt);
    }

    function rotate(address[] memory removed, address[] memory enlisted) internal {
        govern(abi.encodeCall(quorum.rotate, (removed, enlisted)));
    }

    function remove(address detector) internal {
        address[] memory removed = new address[](1);
        removed[0] = detector;
        rotate(removed, new address[](0));
    }

    function present() internal view returns (uint64) {
        return uint64(clock / HOUR);
    }

    /// @dev A new epoch, open and seeded.
    function nextEpoch() internal returns (uint64 epoch) {
        pass(HOUR);
        epoch = present();
        quorum.openEpoch();
        mine(3);
        quorum.seedEpoch(epoch);
    }

    function accuse(uint8 kind, uint8 severity) internal view returns (IDetectorQuorum.Accusation memory) {
        return accuse(accused, kind, severity);
    }

    function accuse(
        address node,
        uint8 kind,
        uint8 severity
    ) internal view returns (IDetectorQuorum.Accusation memory) {
        address operator = registry.operatorOf(node);
        return IDetectorQuorum.Accusation(node, operator, present(), kind, severity);
    }

    /// @dev Member i of the panel measures i + 1 cores, and so on.
    function measurement(uint256 member) internal pure returns (IDetectorQuorum.Measurement memory) {
        return
            IDetectorQuorum.Measurement(uint32(member + 1), uint32(1024 * (member + 1)), uint32(1000 - 100 * member));
    }

    function voteDigest(
        address target,
        IDetectorQuorum.Accusation memory a,
        uint256 member
    ) internal view returns (bytes32) {
        IDetectorQuorum.Measurement memory m;
        if (a.kind == PROFILE) m = measurement(member);
        bytes memory head = abi.encode(VOTE, a.node, a.operator, a.epoch, a.kind, a.severity);
        bytes memory tail = abi.encode(evidence(member), m.cores, m.memoryMib, m.speed);
        return digestFor(target, keccak256(bytes.concat(head, tail)));
    }

    function reversalDigest(bytes32 claimId, uint64 epoch, uint256 member) internal view returns (bytes32) {
        return digestFor(address(quorum), keccak256(abi.encode(REVERSAL, claimId, epoch, evidence(member))));
    }

    function evidence(uint256 member) internal pure returns (bytes32) {
        return keccak256(abi.encode("evidence", member));
    }

    /// @dev The votes of those of the panel whose bit is set, on one digest each, and what to commit to; nobody else
    /// commits to anything.
    function ballotOf(
        address[] memory panel,
        bytes32[] memory digests,
        uint256 signers
    ) internal view returns (IDetectorQuorum.Ballot memory ballot, bytes32[] memory hashes) {
        hashes = new bytes32[](panel.length);
        ballot.entries = new bytes32[](panel.length);
        ballot.signers = uint16(signers);
        for (uint256 i = 0; i < panel.length; ++i) {
            if ((signers >> i) & 1 == 0) continue;
            bytes memory signature = signWith(keyOf[panel[i]], digests[i]);
            (hashes[i], ballot.entries[i]) = (keccak256(signature), evidence(i));
            ballot.signatures = bytes.concat(ballot.signatures, signature);
        }
    }

    function votesOn(
        IDetectorQuorum.Accusation memory a,
        uint256 signers
    ) internal view returns (IDetectorQuorum.Ballot memory ballot, bytes32[] memory hashes) {
        address[] memory panel = quorum.panelOf(a.node, a.epoch);
        bytes32[] memory digests = new bytes32[](panel.length);
        for (uint256 i = 0; i < panel.length; ++i) digests[i] = voteDigest(address(quorum), a, i);
        (ballot, hashes) = ballotOf(panel, digests, signers);
        if (a.kind == PROFILE) ballot.measurements = measurementsOf(signers);
    }

    function measurementsOf(uint256 signers) internal pure returns (IDetectorQuorum.Measurement[] memory list) {
        uint256 total;
        for (uint256 i = 0; i < 16; ++i) total += (signers >> i) & 1;
        list = new IDetectorQuorum.Measurement[](total);
        for (uint256 i = 16; i > 0; --i) if ((signers >> (i - 1)) & 1 != 0) list[--total] = measurement(i - 1);
    }

    /// @dev Committed in the present epoch; the next one has come.
    function committed(
        IDetectorQuorum.Accusation memory a,
        uint256 signers
    ) internal returns (IDetectorQuorum.Ballot memory ballot, bytes32 claimId) {
        bytes32[] memory hashes;
        (ballot, hashes) = votesOn(a, signers);
        claimId = quorum.commitVotes(a.node, hashes);
        pass(HOUR);
    }

    /// @dev Upheld by five votes, in an epoch of its own.
    function upheld(
        uint8 kind,
        uint8 severity
    ) internal returns (bytes32 claimId, IDetectorQuorum.Claim memory claim) {
        nextEpoch();
        return upheldNow(accuse(kind, severity));
    }

    function upheldNow(
        IDetectorQuorum.Accusation memory a
    ) internal returns (bytes32 claimId, IDetectorQuorum.Claim memory claim) {
        IDetectorQuorum.Ballot memory ballot;
        (ballot, claimId) = committed(a, FIVE);
        return (claimId, upheldClaim(a, ballot));
    }

    /// @dev Upholds, and reads the claim from the log.
    function upheldClaim(
        IDetectorQuorum.Accusation memory a,
        IDetectorQuorum.Ballot memory ballot
    ) internal returns (IDetectorQuorum.Claim memory claim) {
        vm.recordLogs();
        quorum.uphold(a, ballot);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == IDetectorQuorum.ClaimUpheld.selector) {
                claim = abi.decode(logs[i].data, (IDetectorQuorum.Claim));
            }
        }
    }

    function appealDigest(bytes32 claimId, bytes32 counterEvidence) internal view returns (bytes32) {
        return digestFor(address(quorum), keccak256(abi.encode(APPEAL, claimId, counterEvidence, soon())));
    }

    function appeal(bytes32 claimId, IDetectorQuorum.Claim memory claim) internal {
        bytes memory signature = signWith(keyOf[claim.accusation.node], appealDigest(claimId, "alibi"));
        quorum.appeal(claimId, claim, "alibi", soon(), signature);
    }

    /// @dev The votes for a reversal by those of the appeal's panel whose bit is set.
    function reversalVotes(
        bytes32 claimId,
        IDetectorQuorum.Claim memory claim,
        uint256 signers
    ) internal view returns (IDetectorQuorum.Ballot memory ballot, bytes32[] memory hashes) {
        (, uint64 epoch) = quorum.claimOf(claimId);
        address[] memory panel = quorum.appealPanelOf(claimId, claim);
        bytes32[] memory digests = new bytes32[](panel.length);
        for (uint256 i = 0; i < panel.length; ++i) digests[i] = reversalDigest(claimId, epoch, i);
        return ballotOf(panel, digests, signers);
    }

    /// @dev Appealed, voted on and committed; the epoch of the decision has come.
    function contested(
        bytes32 claimId,
        IDetectorQuorum.Claim memory claim,
        uint256 signers
    ) internal returns (IDetectorQuorum.Ballot memory ballot, bytes32 commitment) {
        appeal(claimId, claim);
        nextEpoch();
        bytes32[] memory hashes;
        (ballot, hashes) = reversalVotes(claimId, claim, signers);
        commitment = quorum.commitReversal(claimId, claim, hashes);
        pass(HOUR);
    }

    function assertClaim(bytes32 claimId, IDetectorQuorum.Status expected) internal view {
        (IDetectorQuorum.Status status, ) = quorum.claimOf(claimId);
        assertEq(uint256(status), uint256(expected), "claim status");
    }

    /// @dev Settles so many queries of the first trio, a fifth of a day apart, the accused's and mpcs[1]'s evidence alike.
    function history(uint256 queries) internal {
        for (uint256 i = 0; i < queries; ++i) {
            pass(DAY / 5);
            IQueryLedger.QueryOrder memory order = newOrder(bytes32(++_operations));
            bytes32 queryId = dispatch(order);
            (uint208 commitment, , , ) = ledger.stateOf(queryId);
            IQueryLedger.Opening memory opening = openingOf(order);
            ledger.complete(queryId, commitment, shares(3));
            opening.resultHash = keccak256(abi.encodePacked(shares(3)));
            uint8[] memory observations = new uint8[](opening.participants.length);
            for (uint256 j = 0; j < observations.length; ++j) observations[j] = i % 3 == 2 ? 40 : 100;
            reputation.settle(queryId, opening, observations);
        }
    }

    /// @dev The quorum refuses the call with an error of that name.
    function expectRefusal(bytes4 selector, bytes memory call) internal {
        expectRefusalBy(address(quorum), selector, call);
    }

    function expectRefusalBy(address target, bytes4 selector, bytes memory call) internal {
        (bool ok, bytes memory reason) = target.call(call);
        assertTrue(!ok, "refused");
        assertEq(bytes32(bytes4(reason)), bytes32(selector), "by that error");
    }

    function expectFailure(address target, bytes memory call) internal {
        (bool ok, ) = target.call(call);
        assertTrue(!ok, "refused");
    }

    function isSuspended(address node) internal view returns (bool) {
        return registry.nodeOf(node).status == INodeRegistry.NodeStatus.Suspended;
    }

    function slice(bytes memory whole, uint256 from, uint256 length) internal pure returns (bytes memory part) {
        part = new bytes(length);
        for (uint256 i = 0; i < length; ++i) part[i] = whole[from + i];
    }

    /// @dev The other signature of the same key on the same digest, with a high s.
    function flipped(bytes memory signature) internal pure returns (bytes memory) {
        (bytes32 r, uint256 s) = (bytes32(0), 0);
        assembly ("memory-safe") {
            r := mload(add(signature, 0x20))
            s := mload(add(signature, 0x40))
        }
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        return abi.encodePacked(r, order - s, signature[64] == bytes1(uint8(27)) ? uint8(28) : uint8(27));
    }
}
