// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDetectorQuorum} from "../interfaces/IDetectorQuorum.sol";
import {QuorumFixture} from "./QuorumFixture.sol";
import {Suite} from "./Suite.sol";

/// @title Opens and loses epochs, accuses, reveals, appeals, reverses and rotates seats, in any order and at any time.
/// @dev After each action it looks at every claim and keeps count of what must never happen.
contract QuorumPlayer is QuorumFixture {
    uint256 private constant TARGETS = 3;

    struct Case {
        bytes32 claimId;
        bytes32 commitment;
        IDetectorQuorum.Claim claim;
        IDetectorQuorum.Status seen;
        uint256 signers;
    }

    Case[] private _cases;
    bytes[] private _ballots;
    uint256 public escapes;
    uint256[6] public reached;
    uint64[] public lost;
    address private _spare;
    mapping(bytes32 charge => uint256) private _upheld;
    mapping(bytes32 claimId => bytes) private _reversals;
    mapping(bytes32 claimId => uint256) private _reversalSigners;
    bool private _ready;

    /// @dev The fuzzer may call it too: the first time counts.
    function setUp() public override {
        if (_ready) return;
        _ready = true;
        super.setUp();
        _spare = newNodes(7000, 1, DETECTOR)[0];
    }

    /// @dev A new epoch whose seed is fetched in time, or only when the chain has forgotten the block.
    function epoch(uint256 luck) external {
        pass(HOUR);
        quorum.openEpoch();
        mine(luck % 5 == 0 ? 9000 : 3);
        try quorum.seedEpoch(present()) {
            if (luck % 5 == 0) ++escapes;
        } catch (bytes memory reason) {
            if (bytes4(reason) != IDetectorQuorum.DetectorQuorumSeedLost.selector) ++escapes;
            lost.push(present());
        }
        look();
    }

    function accuseSomebody(uint256 which, uint8 kind, uint8 severity, uint8 signers) external {
        IDetectorQuorum.Accusation memory a = accuse(mpcs[which % TARGETS], 1 + (kind % 6), severity % 4);
        (, uint80 seed) = quorum.epochOf(a.epoch);
        if (seed == 0) return;
        _checkPanel(a.node, a.epoch);
        uint256 mask = which % 3 == 0 ? signers & 0x7f : 0x1f;
        (IDetectorQuorum.Ballot memory ballot, bytes32[] memory hashes) = votesOn(a, mask);
        try quorum.commitVotes(a.node, hashes) returns (bytes32 claimId) {
            Case storage added = _cases.push();
            (added.claimId, added.claim.accusation, added.signers) = (claimId, a, mask);
            added.seen = IDetectorQuorum.Status.Committed;
            _ballots.push(abi.encode(ballot));
        } catch {}
        look();
    }

    /// @dev Nobody has a panel in an epoch whose seed was lost.
    function commitInALostEpoch() external {
        (, uint80 seed) = quorum.epochOf(present());
        if (seed != 0) return;
        try quorum.commitVotes(accused, new bytes32[](7)) {
            ++escapes;
        } catch {}
    }

    function reveal(uint256 hours_) external {
        pass((hours_ % 4 == 3 ? 2 : hours_ % 3) * HOUR);
        for (uint256 i = 0; i < _cases.length; ++i) {
            if (_cases[i].seen == IDetectorQuorum.Status.Committed) _reveal(_cases[i], _ballots[i]);
        }
        look();
    }

    function appealSomething(uint256 which) external {
        if (_cases.length == 0) return;
        Case storage one = _cases[which % _cases.length];
        bytes memory signature = signWith(keyOf[one.claim.accusation.node], appealDigest(one.claimId, "alibi"));
        try quorum.appeal(one.claimId, one.claim, "alibi", soon(), signature) {
            if (one.seen != IDetectorQuorum.Status.Upheld) ++escapes;
        } catch {}
        look();
    }

    function voteOnAppeals(uint8 signers) external {
        for (uint256 i = 0; i < _cases.length; ++i) {
            Case storage one = _cases[i];
            (, uint64 due) = quorum.claimOf(one.claimId);
            (, uint80 seed) = quorum.epochOf(due);
            if (one.seen != IDetectorQuorum.Status.Appealed || due != present() || seed == 0) continue;
            uint256 mask = signers % 2 == 0 ? 0x1f : signers & 0x7f;
            (IDetectorQuorum.Ballot memory ballot, bytes32[] memory hashes) = reversalVotes(
                one.claimId,
                one.claim,
                mask
            );
            try quorum.commitReversal(one.claimId, one.claim, hashes) {
                (_reversals[one.claimId], _reversalSigners[one.claimId]) = (abi.encode(ballot), mask);
            } catch {}
        }
    }

    function reverse(uint256 hours_) external {
        pass((hours_ % 3) * HOUR);
        for (uint256 i = 0; i < _cases.length; ++i) {
            Case storage one = _cases[i];
            if (_reversalSigners[one.claimId] == 0) continue;
            try quorum.reverse(one.claimId, one.claim, _decoded(_reversals[one.claimId])) {
                if (_count(_reversalSigners[one.claimId]) < 5) ++escapes;
                if (one.seen != IDetectorQuorum.Status.Appealed) ++escapes;
            } catch {}
        }
        look();
    }

    function finalise(uint256 which, uint256 later) external {
        if (_cases.length == 0) return;
        pass((later % 30) * HOUR);
        Case storage one = _cases[which % _cases.length];
        try quorum.finalise(one.claimId, one.claim) {} catch {}
        look();
    }

    function readmit(uint256 which, uint256 later) external {
        pass((later % 800) * HOUR);
        address node = mpcs[which % TARGETS];
        (uint64 until, ) = quorum.suspensionOf(node);
        try quorum.readmit(node) {
            if (present() <= until) ++escapes;
        } catch {}
    }

    /// @dev One detector loses its seat to the one that has none.
    function swap(uint256 which) external {
        (address[] memory out, address[] memory fresh) = (new address[](1), new address[](1));
        (out[0], fresh[0]) = (detectors[which % 16], _spare);
        vm.prank(address(governor));
        quorum.rotate(out, fresh);
        (detectors[which % 16], _spare) = (fresh[0], out[0]);
    }

    /// @dev A node is suspended exactly while a suspension is counted.
    function wronglySuspended() external view returns (uint256 count) {
        for (uint256 i = 0; i < TARGETS; ++i) {
            (, uint32 claims) = quorum.suspensionOf(mpcs[i]);
            if (isSuspended(mpcs[i]) != (claims > 0)) ++count;
        }
    }

    /// @dev Nodes without a standing claim that bear more evidence than the rounding of what was reversed.
    function wronglyBurdened() external view returns (uint256 count) {
        for (uint256 i = 0; i < TARGETS; ++i) {
            (uint256 standing, uint256 reversed) = (0, 0);
            for (uint256 j = 0; j < _cases.length; ++j) {
                if (_cases[j].claim.accusation.node != mpcs[i]) continue;
                IDetectorQuorum.Status seen = _cases[j].seen;
                if (seen == IDetectorQuorum.Status.Reversed) ++reversed;
                else if (seen != IDetectorQuorum.Status.Committed) ++standing;
            }
            if (standing == 0 && reputation.recordOf(mpcs[i]).bad > 3 * reversed) ++count;
        }
    }

    /// @dev Epochs that lost their seed and have one nevertheless.
    function resurrected() external view returns (uint256 count) {
        for (uint256 i = 0; i < lost.length; ++i) {
            (, uint80 seed) = quorum.epochOf(lost[i]);
            if (seed != 0) ++count;
        }
    }

    function lostEpochs() external view returns (uint256) {
        return lost.length;
    }

    function _reveal(Case storage one, bytes storage ballot) private {
        IDetectorQuorum.Accusation memory a = one.claim.accusation;
        bytes memory call = abi.encodeCall(quorum.uphold, (a, _decoded(ballot)));
        (bool ok, bytes memory result) = address(quorum).call(call);
        if (!ok) return;
        if (_count(one.signers) < 5 || present() != a.epoch + 1 || a.severity == 0) ++escapes;
        if (abi.decode(result, (bytes32)) != one.claimId) ++escapes;
        if (++_upheld[keccak256(abi.encode(a.node, a.epoch, a.kind))] > 1) ++escapes;
        one.claim.signers = uint16(one.signers);
        one.claim.ledgerEpoch = uint32(clock / DAY);
        one.claim.added = uint40(1e9 << (2 * a.severity - 1));
        _correctAdded(one);
    }

    /// @dev At the cap less was added than the severity says: the claim that opens the entry tells.
    function _correctAdded(Case storage one) private {
        one.seen = IDetectorQuorum.Status.Upheld;
        try quorum.finalise(one.claimId, one.claim) {
            ++escapes;
        } catch (bytes memory reason) {
            if (bytes4(reason) == IDetectorQuorum.DetectorQuorumBadClaim.selector) one.claim.added = 0;
        }
    }

    /// @dev Committed leads to upheld; upheld to appealed or final; appealed to reversed or final.
    function look() private {
        for (uint256 i = 0; i < _cases.length; ++i) {
            (IDetectorQuorum.Status status, ) = quorum.claimOf(_cases[i].claimId);
            if (!_allowed(uint256(_cases[i].seen), uint256(status))) ++escapes;
            ++reached[uint256(status)];
            _cases[i].seen = status;
        }
    }

    function _allowed(uint256 from, uint256 to) private pure returns (bool) {
        if (from == to) return true;
        if (from == 1) return to == 2;
        if (from == 2) return to == 3 || to == 5;
        return from == 3 && (to == 4 || to == 5);
    }

    function _checkPanel(address node, uint64 epoch_) private {
        address[] memory panel = quorum.panelOf(node, epoch_);
        if (panel.length != 7) ++escapes;
        for (uint256 i = 0; i < panel.length; ++i) {
            if (panel[i] == node || (i > 0 && panel[i] <= panel[i - 1])) ++escapes;
        }
    }

    function _decoded(bytes memory ballot) private pure returns (IDetectorQuorum.Ballot memory) {
        return abi.decode(ballot, (IDetectorQuorum.Ballot));
    }

    function _count(uint256 set) private pure returns (uint256 members) {
        for (; set != 0; set >>= 1) members += set & 1;
    }
}

contract QuorumInvariantTest is Suite {
    QuorumPlayer private player;

    function setUp() public {
        player = new QuorumPlayer();
        player.setUp();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(player);
    }

    /// @dev No verdict without five votes in their epoch, no second seed, no state left that cannot be left.
    function invariant_verdicts() public view {
        assertEq(player.escapes(), 0, "what must never happen");
        assertEq(player.resurrected(), 0, "a lost seed found");
        assertEq(player.wronglySuspended(), 0, "suspended without a claim, or free with one");
        assertEq(player.wronglyBurdened(), 0, "evidence without a claim");
    }

    /// @dev The player is no mere spectator: by hand it loses a seed and reaches every status.
    function test_thePlayerReachesEveryStatus() public {
        player.epoch(0);
        player.commitInALostEpoch();
        assertEq(player.lostEpochs(), 1, "the seed is lost");
        _verdict(3);
        player.appealSomething(0);
        player.epoch(1);
        player.voteOnAppeals(0);
        player.reverse(1);
        _verdict(2);
        player.finalise(1, 29);
        for (uint256 status = 1; status < 6; ++status) assertTrue(player.reached(status) > 0, "unreached");
        invariant_verdicts();
    }

    function _verdict(uint8 severity) private {
        player.epoch(1);
        player.accuseSomebody(1, 0, severity, 0x1f);
        player.reveal(1);
    }
}
