// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReputationMath} from "../libraries/ReputationMath.sol";

/// @title The arithmetic of reputation over arrays, so that one call compares thousands of cases with the Python mirror.
contract ReputationMathHarness {
    enum Kind {
        Observation,
        Feedback,
        Penalty,
        Renewal,
        Advance,
        Reversal
    }

    struct Case {
        uint256 record;
        Kind kind;
        uint32 epoch;
        uint8 argument;
        uint32 credibility;
        uint40 added;
        uint32 addedEpoch;
    }

    /// @notice The record after each case; a zero record is born at the case's epoch.
    function play(Case[] calldata cases) external pure returns (uint256[] memory records) {
        records = new uint256[](cases.length);
        for (uint256 i = 0; i < cases.length; ++i) records[i] = _play(cases[i]);
    }

    /// @notice Good and bad evidence after `epochs`, two words a case.
    function decay(
        uint256[] calldata values,
        uint256[] calldata epochs
    ) external pure returns (uint256[] memory good, uint256[] memory bad) {
        good = new uint256[](values.length);
        bad = new uint256[](values.length);
        for (uint256 i = 0; i < values.length; ++i) {
            good[i] = ReputationMath.decayGood(values[i], epochs[i]);
            bad[i] = ReputationMath.decayBad(values[i], epochs[i]);
        }
    }

    /// @notice A customer's credibility after each feedback about one node, starting from the first of its own.
    function credibility(
        uint256 start,
        uint256[] calldata ratings,
        uint256[] calldata observations
    ) external pure returns (uint256[] memory after_) {
        after_ = new uint256[](ratings.length);
        for (uint256 i = 0; i < ratings.length; ++i) {
            start = ReputationMath.updateCredibility(
                start,
                ReputationMath.agreement(ratings[i], observations[i]),
                1
            );
            after_[i] = start;
        }
    }

    function _play(Case calldata one) private pure returns (uint256) {
        uint256 record = one.record == 0 ? ReputationMath.newborn(one.epoch, 0) : one.record;
        if (one.kind == Kind.Penalty) {
            return ReputationMath.penalise(record, one.epoch, ReputationMath.penaltyEvidence(one.argument));
        }
        if (one.kind == Kind.Renewal) {
            return ReputationMath.renew(record, one.epoch, one.argument);
        }
        if (one.kind == Kind.Advance) return ReputationMath.advance(record, one.epoch);
        if (one.kind == Kind.Reversal) {
            return ReputationMath.takeBack(record, one.epoch, one.added, one.addedEpoch);
        }
        (uint256 good, uint256 bad) = one.kind == Kind.Observation
            ? ReputationMath.settleEvidence(one.argument)
            : ReputationMath.feedbackEvidence(one.argument, one.credibility);
        if (ReputationMath.isOld(record, one.epoch)) record = ReputationMath.age(record, one.epoch);
        return ReputationMath.observe(record, one.epoch, good, bad);
    }
}
