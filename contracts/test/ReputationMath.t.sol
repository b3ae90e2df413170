// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReputationMath} from "../libraries/ReputationMath.sol";
import {Suite} from "./Suite.sol";

/// @title What holds of the arithmetic for every record and every age.
contract ReputationMathTest is Suite {
    uint256 private constant CAP = ReputationMath.EVIDENCE_CAP;

    function test_halfLives() public pure {
        assertEq(ReputationMath.decayGood(200e9, 30), 100e9 - 1, "good after 30 epochs");
        assertEq(ReputationMath.decayBad(200e9, 90), 100e9 - 1, "bad after 90 epochs");
        assertEq(ReputationMath.decayBad(200e9, 30), 158740105196, "bad after 30 epochs");
        assertEq(ReputationMath.decayGood(200e9, 4096), 0, "forgotten");
    }

    function test_aNewbornIsOfItsEpoch() public pure {
        uint256 record = ReputationMath.newborn(20_000, 3);
        assertEq(ReputationMath.lastEpochOf(record), 20_000, "last epoch");
        assertEq(ReputationMath.bornEpochOf(record), 20_000, "born");
        assertEq(ReputationMath.scoreOf(record), ReputationMath.PRIOR_SCORE, "score");
        assertEq(ReputationMath.incarnationOf(record), 3, "incarnation");
        assertEq(ReputationMath.goodOf(record) + ReputationMath.badOf(record), 0, "evidence");
    }

    function test_onlyARecordOlderThanTheEpochBeforeIsOld() public pure {
        uint256 record = ReputationMath.newborn(20_000, 1);
        assertTrue(!ReputationMath.isOld(record, 20_000), "of this epoch");
        assertTrue(!ReputationMath.isOld(record, 20_001), "of the one before");
        assertTrue(ReputationMath.isOld(record, 20_002), "older");
        assertTrue(ReputationMath.isOld(0, 20_000), "the zero word");
    }

    function test_tenureLiftsTheCapForSixtyEpochs() public pure {
        assertEq(ReputationMath.tenureCap(0), 3e8, "newcomer");
        assertEq(ReputationMath.tenureCap(30), 65e7, "halfway");
        assertEq(ReputationMath.tenureCap(59), 988333333, "nearly");
        assertEq(ReputationMath.tenureCap(60), 1e9, "there");
        assertEq(ReputationMath.tenureCap(61), 1e9, "and no further");
    }

    function test_credibilityFollowsTheMeanAgreement() public pure {
        assertEq(ReputationMath.updateCredibility(3e8, 150, 2), 35625e4, "of two");
        assertEq(ReputationMath.updateCredibility(3e8, 150, 3), 325e6, "of three");
    }

    function testFuzz_decayComposes(uint256 value, uint256 a, uint256 b) public pure {
        (value, a, b) = (bound(value, 0, CAP), bound(a, 0, 2500), bound(b, 0, 2500));
        uint256 twice = ReputationMath.decayGood(ReputationMath.decayGood(value, a), b);
        assertLe(_distance(twice, ReputationMath.decayGood(value, a + b)), 2, "good");
        twice = ReputationMath.decayBad(ReputationMath.decayBad(value, a), b);
        assertLe(_distance(twice, ReputationMath.decayBad(value, a + b)), 2, "bad");
    }

    /// @dev Whatever came before, between and after, and however late.
    function testFuzz_reversalTakesBackWhatIsLeft(uint256 bad, uint256 sigma, uint256 a, uint256 b) public pure {
        (bad, a, b) = (bound(bad, 0, 100e9), bound(a, 0, 200), bound(b, 0, 200));
        uint256 spared = ReputationMath.penalise(ReputationMath.newborn(1000, 1), 1000, bad);
        spared = ReputationMath.observe(spared, 1000, 3e9, 0);
        uint256 reversed = ReputationMath.penalise(spared, 1000, bound(sigma, 1, 32e9));
        uint256 added = ReputationMath.badOf(reversed) - ReputationMath.badOf(spared);
        assertEq(ReputationMath.takeBack(reversed, 1000, added, 1000), spared, "at once: to the bit");
        (spared, reversed) = (_later(spared, 1000 + a), _later(reversed, 1000 + a));
        reversed = ReputationMath.takeBack(reversed, 1000 + a + b, added, 1000);
        spared = ReputationMath.advance(spared, 1000 + a + b);
        assertLe(_distance(ReputationMath.badOf(reversed), ReputationMath.badOf(spared)), 3, "within three units");
        assertEq(ReputationMath.goodOf(reversed), ReputationMath.goodOf(spared), "good is untouched");
    }

    function _later(uint256 record, uint256 epoch) private pure returns (uint256) {
        return ReputationMath.observe(ReputationMath.age(record, epoch), epoch, 1e9, 3e9);
    }

    function testFuzz_decayNeverGrows(uint256 value, uint256 a) public pure {
        (value, a) = (bound(value, 0, CAP), bound(a, 0, 5000));
        assertLe(ReputationMath.decayGood(value, a), value, "good");
        assertLe(ReputationMath.decayGood(value, a), ReputationMath.decayBad(value, a), "good fades first");
    }

    function testFuzz_updatingOftenGainsNothing(uint256 bad, uint8 days_) public pure {
        uint256 start = ReputationMath.penalise(ReputationMath.newborn(1000, 1), 1000, bound(bad, 0, CAP));
        uint256 often = start;
        for (uint256 i = 1; i <= days_; ++i) often = ReputationMath.advance(often, 1000 + i);
        uint256 once = ReputationMath.advance(start, 1000 + uint256(days_));
        uint256 gained = ReputationMath.badOf(once) - ReputationMath.badOf(often);
        assertLe(gained, uint256(days_), "a unit of 1e-9 an update at most");
    }

    function testFuzz_recordStaysInBounds(uint256 seed, uint8 updates) public pure {
        uint256 epoch = 20000;
        uint256 record = ReputationMath.newborn(epoch, 7);
        for (uint256 i = 0; i < updates % 40; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            epoch += seed % 3;
            record = _step(record, epoch, seed);
            assertLe(ReputationMath.scoreOf(record), 1e9, "score");
            assertLe(ReputationMath.goodOf(record), CAP, "good");
            assertLe(ReputationMath.badOf(record), CAP, "bad");
            assertLe(ReputationMath.goodThisEpochOf(record), 4e9, "good this epoch");
            assertLe(ReputationMath.badThisEpochOf(record), 4e9, "bad this epoch");
            assertEq(ReputationMath.lastEpochOf(record), epoch, "epoch");
            assertEq(ReputationMath.incarnationOf(record), 7, "incarnation");
            assertEq(ReputationMath.flagsOf(record), 0, "flags");
        }
    }

    function testFuzz_moreGoodNeverLowersMoreBadNeverRaises(uint256 seed, uint256 g, uint256 b) public pure {
        uint256 record = _grown(seed);
        uint256 epoch = ReputationMath.lastEpochOf(record) + (seed % 4);
        (g, b) = (bound(g, 0, 4e9), bound(b, 0, 4e9));
        uint256 plain = ReputationMath.scoreOf(_observe(record, epoch, 0, 0));
        uint256 praised = ReputationMath.scoreOf(_observe(record, epoch, g, 0));
        uint256 blamed = ReputationMath.scoreOf(_observe(record, epoch, 0, b));
        assertLe(plain, praised, "more good");
        assertLe(blamed, plain, "more bad");
    }

    function testFuzz_renewalNeverRaises(uint256 seed) public pure {
        uint256 record = _grown(seed);
        uint256 renewed = ReputationMath.renew(record, ReputationMath.lastEpochOf(record), 8);
        assertLe(ReputationMath.scoreOf(renewed), ReputationMath.scoreOf(record), "score");
        assertEq(ReputationMath.badOf(renewed), ReputationMath.badOf(record), "bad");
        assertEq(ReputationMath.goodOf(renewed), 0, "good");
        assertEq(ReputationMath.incarnationOf(renewed), 8, "incarnation");
        assertEq(ReputationMath.lastEpochOf(renewed), ReputationMath.lastEpochOf(record), "epoch");
    }

    function testFuzz_scoreIsTheLesserOfExpectationAndTenure(uint256 seed) public pure {
        uint256 record = _grown(seed);
        uint256 age = ReputationMath.lastEpochOf(record) - ReputationMath.bornEpochOf(record);
        uint256 expected = ReputationMath.expectation(ReputationMath.goodOf(record), ReputationMath.badOf(record));
        uint256 cap = ReputationMath.tenureCap(age);
        assertEq(ReputationMath.scoreOf(record), expected < cap ? expected : cap, "score");
    }

    function testFuzz_credibilityStaysInBounds(uint256 credibility, uint8 rating, uint8 observed) public pure {
        credibility = bound(credibility, 0, 1e9);
        (rating, observed) = (rating % 101, observed % 101);
        uint256 agreed = ReputationMath.agreement(rating, observed);
        assertLe(agreed, 100, "agreement");
        assertLe(ReputationMath.updateCredibility(credibility, agreed, 1), 1e9, "credibility");
    }

    function _grown(uint256 seed) private pure returns (uint256 record) {
        uint256 epoch = 20000;
        record = ReputationMath.newborn(epoch, 7);
        for (uint256 i = 0; i < seed % 20; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            epoch += seed % 9;
            record = _step(record, epoch, seed >> 8);
        }
    }

    function _step(uint256 record, uint256 epoch, uint256 seed) private pure returns (uint256) {
        if (seed % 7 == 0) {
            return ReputationMath.penalise(record, epoch, ReputationMath.penaltyEvidence(1 + ((seed >> 8) % 3)));
        }
        uint256 percentage = (seed >> 16) % 101;
        (uint256 g, uint256 b) = seed % 2 == 0
            ? ReputationMath.settleEvidence(percentage)
            : ReputationMath.feedbackEvidence(percentage, (seed >> 32) % (1e9 + 1));
        return _observe(record, epoch, g, b);
    }

    /// @dev As the ledger does it.
    function _observe(uint256 record, uint256 epoch, uint256 g, uint256 b) private pure returns (uint256) {
        if (ReputationMath.isOld(record, epoch)) record = ReputationMath.age(record, epoch);
        return ReputationMath.observe(record, epoch, g, b);
    }

    function _distance(uint256 left, uint256 right) private pure returns (uint256) {
        return left > right ? left - right : right - left;
    }
}
