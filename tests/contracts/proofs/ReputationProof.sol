// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReputationMath} from "../../../contracts/libraries/ReputationMath.sol";
import {Proof} from "./Proof.sol";

/// @title What Halmos proves of the arithmetic of reputation, for every input and not for samples.
contract ReputationProof is Proof {
    function check_newbornHasThePriorAndNothingElse(uint32 epoch, uint8 incarnation) external pure {
        uint256 record = ReputationMath.newborn(epoch, incarnation);
        assert(ReputationMath.goodOf(record) == 0 && ReputationMath.badOf(record) == 0);
        assert(ReputationMath.lastEpochOf(record) == epoch && ReputationMath.bornEpochOf(record) == epoch);
        assert(ReputationMath.scoreOf(record) == 3e8 && ReputationMath.incarnationOf(record) == incarnation);
    }

    function check_isOldSaysWhetherAgeMustComeFirst(uint32 last, uint32 epoch) external pure {
        _assume(epoch >= last);
        uint256 record = ReputationMath.newborn(last, 1);
        assert(ReputationMath.isOld(record, epoch) == (epoch - last > 1));
    }

    /// @dev No observation brings more than the limit of an epoch.
    function check_observationsBringOneOrThreeAtMost(uint8 percentage) external pure {
        _assume(percentage <= 100);
        (uint256 good, uint256 bad) = ReputationMath.settleEvidence(percentage);
        assert(good <= 1e9 && bad <= 3e9 && 3 * good + bad == 3e9);
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
}
