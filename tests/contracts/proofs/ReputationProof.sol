// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReputationMath} from "../../../contracts/libraries/ReputationMath.sol";
import {Proof} from "./Proof.sol";

/// @title What Halmos proves of the arithmetic of reputation, for every input and not for samples.
contract ReputationProof is Proof {
    uint256 private constant CAP = ReputationMath.EVIDENCE_CAP;
    uint256 private constant EPOCH_CAP = ReputationMath.EPOCH_CAP;

    struct Fields {
        uint40 good;
        uint40 bad;
        uint32 lastEpoch;
        uint32 bornEpoch;
        uint32 score;
        uint32 goodThisEpoch;
        uint32 badThisEpoch;
        uint8 incarnation;
        uint8 flags;
    }

    function check_newbornHasThePriorAndNothingElse(uint32 epoch, uint8 incarnation) external pure {
        uint256 record = ReputationMath.newborn(epoch, incarnation);
        assert(ReputationMath.goodOf(record) == 0 && ReputationMath.badOf(record) == 0);
        assert(ReputationMath.lastEpochOf(record) == epoch && ReputationMath.bornEpochOf(record) == epoch);
        assert(ReputationMath.scoreOf(record) == 3e8 && ReputationMath.incarnationOf(record) == incarnation);
    }

    /// @dev Whatever is observed in the same epoch, limits hold and nothing spills into another field.
    function check_observationInTheSameEpochStaysInBounds(Fields calldata f, uint64 g, uint64 b) external pure {
        uint256 record = _record(f);
        _assumeShare(_least(f.good + _least(g, EPOCH_CAP - f.goodThisEpoch), CAP), _least(f.bad + _least(b, EPOCH_CAP - f.badThisEpoch), CAP));
        uint256 observed = ReputationMath.observe(record, f.lastEpoch, g, b);
        uint256 good = ReputationMath.goodOf(observed);
        uint256 bad = ReputationMath.badOf(observed);
        assert(good <= CAP && bad <= CAP && good >= f.good && bad >= f.bad);
        assert(good - f.good <= g && bad - f.bad <= b);
        assert(ReputationMath.goodThisEpochOf(observed) <= EPOCH_CAP);
        assert(ReputationMath.badThisEpochOf(observed) <= EPOCH_CAP);
        _assertContext(observed, f, f.lastEpoch);
    }

    function check_observingNothingTwiceChangesNothing(Fields calldata f) external pure {
        _assumeShare(f.good, f.bad);
        uint256 once = ReputationMath.advance(_record(f), f.lastEpoch);
        assert(ReputationMath.advance(once, f.lastEpoch) == once);
    }

    /// @dev A division by an unknown number is out of the solver's reach: that a share is no more than the whole,
    /// x / (x + y) <= 1, is believed here for the very numbers that are divided.
    function _assumeShare(uint256 good, uint256 bad) private pure {
        _assume(ReputationMath.expectation(good, bad) <= 1e9);
    }

    function check_aPenaltyAddsAllOrReachesTheCap(Fields calldata f, uint8 severity) external pure {
        _assume(severity >= 1 && severity <= 3);
        uint256 added = ReputationMath.penaltyEvidence(severity);
        _assumeShare(f.good, f.bad);
        _assumeShare(f.good, _least(f.bad + added, CAP));
        uint256 punished = ReputationMath.penalise(_record(f), f.lastEpoch, added);
        uint256 bad = ReputationMath.badOf(punished);
        assert(bad == (f.bad + added > CAP ? CAP : f.bad + added));
        assert(ReputationMath.goodOf(punished) == f.good);
        assert(ReputationMath.badThisEpochOf(punished) == f.badThisEpoch);
        _assertContext(punished, f, f.lastEpoch);
    }

    /// @dev Taking back at once what a penalty added restores the record to the last bit.
    function check_aReversalAtOnceUndoesThePenalty(Fields calldata f, uint8 severity) external pure {
        _assume(severity >= 1 && severity <= 3);
        _assume(f.good > 0 || f.bad > 0);
        _assumeShare(f.good, f.bad);
        _assumeShare(f.good, _least(f.bad + ReputationMath.penaltyEvidence(severity), CAP));
        uint256 before = ReputationMath.advance(_record(f), f.lastEpoch);
        uint256 punished = ReputationMath.penalise(before, f.lastEpoch, ReputationMath.penaltyEvidence(severity));
        uint256 added = ReputationMath.badOf(punished) - ReputationMath.badOf(before);
        assert(ReputationMath.takeBack(punished, f.lastEpoch, added, f.lastEpoch) == before);
    }

    /// @dev An account that registers again keeps its bad evidence and what the epoch took, and no good evidence.
    function check_renewalKeepsBadAndNoGood(Fields calldata f, uint8 incarnation) external pure {
        _assumeShare(f.good, f.bad);
        _assumeShare(0, f.bad);
        uint256 renewed = ReputationMath.renew(_record(f), f.lastEpoch, incarnation);
        assert(ReputationMath.goodOf(renewed) == 0 && ReputationMath.badOf(renewed) == f.bad);
        assert(ReputationMath.bornEpochOf(renewed) == f.lastEpoch);
        assert(ReputationMath.incarnationOf(renewed) == incarnation);
        assert(ReputationMath.flagsOf(renewed) == f.flags);
        assert(ReputationMath.goodThisEpochOf(renewed) == f.goodThisEpoch);
        assert(ReputationMath.badThisEpochOf(renewed) == f.badThisEpoch);
        assert(ReputationMath.scoreOf(renewed) <= ReputationMath.PRIOR_SCORE);
    }

    function check_isOldSaysWhetherAgeMustComeFirst(uint32 last, uint32 epoch) external pure {
        _assume(epoch >= last);
        uint256 record = ReputationMath.newborn(last, 1);
        assert(ReputationMath.isOld(record, epoch) == (epoch - last > 1));
    }

    /// @dev No observation and no rating brings more than the limit of an epoch.
    function check_observationsBringOneOrThreeAtMost(uint8 percentage) external pure {
        _assume(percentage <= 100);
        (uint256 good, uint256 bad) = ReputationMath.settleEvidence(percentage);
        assert(good <= 1e9 && bad <= 3e9 && 3 * good + bad == 3e9);
    }

    /// @dev Every rating, one after another, by a customer of any credibility.
    /// @custom:halmos --loop 102
    function check_ratingsBringAQuarterOrThreeAtMost(uint32 credibility) external pure {
        _assume(credibility <= 1e9);
        for (uint256 rating = 0; rating <= 100; ++rating) {
            (uint256 good, uint256 bad) = ReputationMath.feedbackEvidence(rating, credibility);
            assert(good <= 25e7 && bad <= 75e7 && (good == 0 || bad == 0));
        }
    }

    function check_agreementIsAPercentageAndSymmetric(uint8 rating, uint8 observation) external pure {
        _assume(rating <= 100 && observation <= 100);
        uint256 agreed = ReputationMath.agreement(rating, observation);
        assert(agreed <= 100 && agreed == ReputationMath.agreement(observation, rating));
        assert((agreed == 100) == (rating == observation));
    }

    function check_credibilityStaysCredible(uint32 credibility, uint8 agreed) external pure {
        _assume(credibility <= 1e9 && agreed <= 100);
        assert(ReputationMath.updateCredibility(credibility, agreed, 1) <= 1e9);
    }

    function check_tenureNeverFalls(uint32 age) external pure {
        uint256 cap = ReputationMath.tenureCap(age);
        assert(cap >= 3e8 && cap <= 1e9 && ReputationMath.tenureCap(uint256(age) + 1) >= cap);
    }

    /// @dev Any record that the ledger may hold.
    function _record(Fields calldata f) private pure returns (uint256 record) {
        _assume(f.good <= CAP && f.bad <= CAP && f.bornEpoch <= f.lastEpoch && f.score <= 1e9);
        _assume(f.goodThisEpoch <= EPOCH_CAP && f.badThisEpoch <= EPOCH_CAP && f.lastEpoch != 0);
        record = (uint256(f.good) << 216) | (uint256(f.bad) << 176);
        record |= (uint256(f.lastEpoch) << 144) | (uint256(f.bornEpoch) << 112) | (uint256(f.score) << 80);
        record |= (uint256(f.goodThisEpoch) << 48) | (uint256(f.badThisEpoch) << 16);
        record |= (uint256(f.incarnation) << 8) | f.flags;
    }

    function _least(uint256 one, uint256 other) private pure returns (uint256) {
        return one < other ? one : other;
    }

    function _assertContext(uint256 record, Fields calldata f, uint256 epoch) private pure {
        assert(ReputationMath.lastEpochOf(record) == epoch && ReputationMath.bornEpochOf(record) == f.bornEpoch);
        assert(ReputationMath.incarnationOf(record) == f.incarnation && ReputationMath.flagsOf(record) == f.flags);
    }
}
