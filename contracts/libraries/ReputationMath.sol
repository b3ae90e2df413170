// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Beta reputation with forgetting (Jøsang & Ismail, "The Beta Reputation System", 2002), in integers.
/// @notice Evidence, scores and credibilities are 1e9 fixed point, decay factors 1e18; every division rounds down.
/// `soterone/domain/reputation.py` computes the same, bit for bit.
/// A record is one word: `good40 bad40 lastEpoch32 bornEpoch32 score32 goodThisEpoch32 badThisEpoch32 incarnation8
/// flags8`, from the most significant bit down; the zero word means that nothing was ever observed.
/// @dev No field outgrows its width and no sum 2^256, so the arithmetic is unchecked.
library ReputationMath {
    uint256 internal constant ONE = 1e9;
    uint256 internal constant DECAY_ONE = 1e18;
    uint256 internal constant EVIDENCE_CAP = 200e9;
    uint256 internal constant EPOCH_CAP = 4e9;
    uint256 internal constant PRIOR_WEIGHT = 8e9;
    uint256 internal constant PRIOR_SCORE = 3e8;
    uint256 internal constant PRIOR_EVIDENCE = 24e8;
    uint256 internal constant TENURE_EPOCHS = 60;
    /// @dev 1 − a.
    uint256 private constant TENURE_GAIN = 7e8;
    uint256 internal constant INITIAL_CREDIBILITY = 3e8;
    uint256 internal constant PERCENT = 1e7;
    /// @dev 2^(−1/30) and 2^(−1/90).
    uint256 private constant GOOD_AFTER_ONE = 977159968434245955;
    uint256 private constant BAD_AFTER_ONE = 992327946262943481;
    /// @dev From this age on not one unit is left of the largest evidence.
    uint256 internal constant FORGOTTEN_EPOCHS = 4096;

    uint256 private constant MASK_40 = 0xffffffffff;
    uint256 private constant MASK_32 = 0xffffffff;
    uint256 private constant GOOD_SHIFT = 216;
    uint256 private constant BAD_SHIFT = 176;
    uint256 private constant LAST_EPOCH_SHIFT = 144;
    uint256 private constant BORN_EPOCH_SHIFT = 112;
    uint256 private constant SCORE_SHIFT = 80;
    uint256 private constant GOOD_THIS_EPOCH_SHIFT = 48;
    uint256 private constant BAD_THIS_EPOCH_SHIFT = 16;
    uint256 private constant INCARNATION_SHIFT = 8;
    /// @dev Birth, incarnation and flags, which outlive an epoch.
    uint256 private constant LASTING = 0xffffffff000000000000000000000000ffff;
    /// @dev All but good evidence, birth and incarnation.
    uint256 private constant RENEWED = 0xffffffffffffffffff00000000ffffffffffffffffffffffff00ff;
    /// @dev Good and bad evidence, in all and of this epoch.
    uint256 private constant EVIDENCE = (uint256(type(uint80).max) << 176) | (uint256(type(uint64).max) << 16);
    /// @dev All but evidence and score.
    uint256 private constant CONTEXT = 0xffffffffffffffff00000000ffffffffffffffffffff;

    function goodOf(uint256 record) internal pure returns (uint256) {
        return record >> GOOD_SHIFT;
    }

    function badOf(uint256 record) internal pure returns (uint256) {
        return (record >> BAD_SHIFT) & MASK_40;
    }

    function lastEpochOf(uint256 record) internal pure returns (uint256) {
        return (record >> LAST_EPOCH_SHIFT) & MASK_32;
    }

    function bornEpochOf(uint256 record) internal pure returns (uint256) {
        return (record >> BORN_EPOCH_SHIFT) & MASK_32;
    }

    function scoreOf(uint256 record) internal pure returns (uint256) {
        return (record >> SCORE_SHIFT) & MASK_32;
    }

    function goodThisEpochOf(uint256 record) internal pure returns (uint256) {
        return (record >> GOOD_THIS_EPOCH_SHIFT) & MASK_32;
    }

    function badThisEpochOf(uint256 record) internal pure returns (uint256) {
        return (record >> BAD_THIS_EPOCH_SHIFT) & MASK_32;
    }

    function incarnationOf(uint256 record) internal pure returns (uint8) {
        return uint8(record >> INCARNATION_SHIFT);
    }

    function flagsOf(uint256 record) internal pure returns (uint8) {
        return uint8(record);
    }

    /// @notice The record of a node that is observed for the first time.
    function newborn(uint256 epoch, uint8 incarnation) internal pure returns (uint256) {
        return
            (epoch << LAST_EPOCH_SHIFT) |
            (epoch << BORN_EPOCH_SHIFT) |
            (PRIOR_SCORE << SCORE_SHIFT) |
            (uint256(incarnation) << INCARNATION_SHIFT);
    }

    /// @notice Brings a record to `epoch`, never before its last: evidence decays, the score follows.
    function advance(uint256 record, uint256 epoch) internal pure returns (uint256) {
        return observe(age(record, epoch), epoch, 0, 0);
    }

    /// @notice Whether `age` must come before `observe`: the record is neither of this epoch nor of the one before. True
    /// of the zero word.
    function isOld(uint256 record, uint256 epoch) internal pure returns (bool) {
        unchecked {
            return (epoch - (record >> LAST_EPOCH_SHIFT)) & MASK_32 > 1;
        }
    }

    /// @notice Brings the evidence of a record to `epoch`; its score is left behind, for `observe` to follow.
    function age(uint256 record, uint256 epoch) internal pure returns (uint256) {
        unchecked {
            uint256 elapsed = (epoch - (record >> LAST_EPOCH_SHIFT)) & MASK_32;
            if (elapsed == 0) return record;
            uint256 good = decayGood(goodOf(record), elapsed);
            uint256 bad = decayBad(badOf(record), elapsed);
            return
                (good << GOOD_SHIFT) | (bad << BAD_SHIFT) | (epoch << LAST_EPOCH_SHIFT) | (record & LASTING);
        }
    }

    /// @notice Adds evidence to a record of `epoch` or of the one before, of each kind at most 4 an epoch and 200 in all;
    /// one call never brings more than 4. The score becomes R' = min(`expectation`, `tenureCap`).
    /// @dev Written out, as every settled node pays for it. Nothing here divides by zero. Leaves score, good and bad
    /// evidence in three words of unowned memory, as the event that follows has them.
    function observe(
        uint256 record,
        uint256 epoch,
        uint256 g,
        uint256 b
    ) internal pure returns (uint256 observed) {
        assembly ("memory-safe") {
            let good := shr(GOOD_SHIFT, record)
            let bad := and(shr(BAD_SHIFT, record), MASK_40)
            switch and(sub(epoch, shr(LAST_EPOCH_SHIFT, record)), MASK_32)
            case 0 {
                let room := sub(EPOCH_CAP, and(shr(GOOD_THIS_EPOCH_SHIFT, record), MASK_32))
                if gt(g, room) {
                    g := room
                }
                room := sub(EPOCH_CAP, and(shr(BAD_THIS_EPOCH_SHIFT, record), MASK_32))
                if gt(b, room) {
                    b := room
                }
                record := and(record, CONTEXT)
            }
            default {
                good := div(mul(good, GOOD_AFTER_ONE), DECAY_ONE)
                bad := div(mul(bad, BAD_AFTER_ONE), DECAY_ONE)
                record := or(and(record, LASTING), shl(LAST_EPOCH_SHIFT, epoch))
            }
            observed := add(record, or(shl(GOOD_THIS_EPOCH_SHIFT, g), shl(BAD_THIS_EPOCH_SHIFT, b)))

            good := add(good, g)
            bad := add(bad, b)
            if gt(or(good, bad), EVIDENCE_CAP) {
                if gt(good, EVIDENCE_CAP) {
                    good := EVIDENCE_CAP
                }
                if gt(bad, EVIDENCE_CAP) {
                    bad := EVIDENCE_CAP
                }
            }
            let score := div(mul(add(good, PRIOR_EVIDENCE), ONE), add(add(good, bad), PRIOR_WEIGHT))
            let tenure := and(sub(epoch, shr(BORN_EPOCH_SHIFT, record)), MASK_32)
            if lt(tenure, TENURE_EPOCHS) {
                let cap := add(PRIOR_SCORE, div(mul(tenure, TENURE_GAIN), TENURE_EPOCHS))
                score := xor(score, mul(xor(score, cap), gt(score, cap)))
            }
            let free := mload(0x40)
            mstore(free, score)
            mstore(add(free, 0x20), good)
            mstore(add(free, 0x40), bad)
            observed := or(observed, or(or(shl(GOOD_SHIFT, good), shl(BAD_SHIFT, bad)), shl(SCORE_SHIFT, score)))
        }
    }

    /// @notice Brings a record to `epoch` and adds bad evidence beside the limit of the epoch.
    function penalise(uint256 record, uint256 epoch, uint256 b) internal pure returns (uint256) {
        unchecked {
            record = advance(record, epoch);
            uint256 bad = badOf(record) + b;
            if (bad > EVIDENCE_CAP) bad = EVIDENCE_CAP;
            return advance((record & ~(MASK_40 << BAD_SHIFT)) | (bad << BAD_SHIFT), epoch);
        }
    }

    /// @notice Brings a record to `epoch` and takes back what is left of the bad evidence that a penalty added in
    /// `addedEpoch`. In the same epoch it is undone to the last bit; later, bad evidence is within 3 units of what it were
    /// had the penalty never been. A record that only the penalty began is the zero word again.
    function takeBack(
        uint256 record,
        uint256 epoch,
        uint256 added,
        uint256 addedEpoch
    ) internal pure returns (uint256) {
        unchecked {
            record = advance(record, epoch);
            uint256 bad = badOf(record);
            uint256 rest = decayBad(added, epoch - addedEpoch);
            bad = bad > rest ? bad - rest : 0;
            record = advance((record & ~(MASK_40 << BAD_SHIFT)) | (bad << BAD_SHIFT), epoch);
            bool untouched = record & EVIDENCE == 0 && bornEpochOf(record) == addedEpoch;
            return untouched ? 0 : record;
        }
    }

    /// @notice Brings to `epoch` the record of an account that registered again: good evidence and tenure are gone, bad
    /// evidence stays.
    function renew(uint256 record, uint256 epoch, uint8 incarnation) internal pure returns (uint256) {
        record = advance(record, epoch) & RENEWED;
        record |= (epoch << BORN_EPOCH_SHIFT) | (uint256(incarnation) << INCARNATION_SHIFT);
        return advance(record, epoch);
    }

    /// @notice E = (r + W·a) / (r + s + W), the mean of the Beta distribution.
    function expectation(uint256 good, uint256 bad) internal pure returns (uint256) {
        unchecked {
            return ((good + PRIOR_EVIDENCE) * ONE) / (good + bad + PRIOR_WEIGHT);
        }
    }

    /// @notice a + (1 − a)·min(1, age / 60): the most that a node of this age may score.
    function tenureCap(uint256 ageEpochs) internal pure returns (uint256) {
        unchecked {
            if (ageEpochs >= TENURE_EPOCHS) return ONE;
            return PRIOR_SCORE + (TENURE_GAIN * ageEpochs) / TENURE_EPOCHS;
        }
    }

    /// @notice g = m, b = 3(1 − m), m in percent (0 to 100).
    function settleEvidence(uint256 observation) internal pure returns (uint256 good, uint256 bad) {
        unchecked {
            good = observation * PERCENT;
            bad = 3 * (100 - observation) * PERCENT;
        }
    }

    /// @notice g = c·max(0, 2f − 1)/4, b = 3c·max(0, 1 − 2f)/4, f in percent (0 to 100).
    function feedbackEvidence(uint256 rating, uint256 credibility) internal pure returns (uint256 good, uint256 bad) {
        unchecked {
            if (rating >= 50) good = (credibility * (2 * rating - 100)) / 400;
            else bad = (3 * credibility * (100 - 2 * rating)) / 400;
        }
    }

    /// @notice σ of an upheld claim of severity 1, 2 or 3: 2, 8 or 32.
    function penaltyEvidence(uint256 severity) internal pure returns (uint256) {
        unchecked {
            return ONE << (2 * severity - 1);
        }
    }

    /// @notice 1 − |f − m|, both in percent, in percent.
    function agreement(uint256 rating, uint256 observation) internal pure returns (uint256) {
        unchecked {
            return rating > observation ? 100 + observation - rating : 100 + rating - observation;
        }
    }

    /// @notice (7·c + agree) / 8, agree being the mean of `count` agreements (at least one), given as their sum.
    function updateCredibility(
        uint256 credibility,
        uint256 agreementSum,
        uint256 count
    ) internal pure returns (uint256) {
        unchecked {
            return (7 * credibility + (agreementSum * PERCENT) / count) / 8;
        }
    }

    /// @notice value · 2^(−epochs / 30): half of the good evidence is forgotten after 30 epochs.
    /// @dev decay(decay(v, a), b) and decay(v, a + b) differ by at most 2 for v up to the cap, so that updating often
    /// gains nothing. The constants are 2^(−2^i / 30), rounded to 1e18, one for each bit of the age.
    function decayGood(uint256 value, uint256 epochs) internal pure returns (uint256) {
        unchecked {
            if (epochs >= FORGOTTEN_EPOCHS) return 0;
            uint256 factor = epochs & 1 == 0 ? DECAY_ONE : GOOD_AFTER_ONE;
            if (epochs & 2 != 0) factor = (factor * 954841603910416551) / DECAY_ONE;
            if (epochs & 4 != 0) factor = (factor * 911722488558216808) / DECAY_ONE;
            if (epochs & 8 != 0) factor = (factor * 831237896142787778) / DECAY_ONE;
            if (epochs > 15) {
                if (epochs & 16 != 0) factor = (factor * 690956439983888040) / DECAY_ONE;
                if (epochs & 32 != 0) factor = (factor * 477420801955208276) / DECAY_ONE;
                if (epochs & 64 != 0) factor = (factor * 227930622139554202) / DECAY_ONE;
                if (epochs & 128 != 0) factor = (factor * 51952368508924236) / DECAY_ONE;
                if (epochs & 256 != 0) factor = (factor * 2699048593687063) / DECAY_ONE;
                if (epochs & 512 != 0) factor = (factor * 7284863311084) / DECAY_ONE;
                if (epochs & 1024 != 0) factor = (factor * 53069233) / DECAY_ONE;
                if (epochs & 2048 != 0) factor = 0;
            }
            return (value * factor) / DECAY_ONE;
        }
    }

    /// @notice value · 2^(−epochs / 90): half of the bad evidence is forgotten after 90 epochs.
    /// @dev As `decayGood`, with 2^(−2^i / 90).
    function decayBad(uint256 value, uint256 epochs) internal pure returns (uint256) {
        unchecked {
            if (epochs >= FORGOTTEN_EPOCHS) return 0;
            uint256 factor = epochs & 1 == 0 ? DECAY_ONE : BAD_AFTER_ONE;
            if (epochs & 2 != 0) factor = (factor * 984714752934431245) / DECAY_ONE;
            if (epochs & 4 != 0) factor = (factor * 969663144646717968) / DECAY_ONE;
            if (epochs & 8 != 0) factor = (factor * 940246614086161893) / DECAY_ONE;
            if (epochs > 15) {
                if (epochs & 16 != 0) factor = (factor * 884063695300491852) / DECAY_ONE;
                if (epochs & 32 != 0) factor = (factor * 781568617348360899) / DECAY_ONE;
                if (epochs & 64 != 0) factor = (factor * 610849503623828582) / DECAY_ONE;
                if (epochs & 128 != 0) factor = (factor * 373137116077477768) / DECAY_ONE;
                if (epochs & 256 != 0) factor = (factor * 139231307394617118) / DECAY_ONE;
                if (epochs & 512 != 0) factor = (factor * 19385356958814363) / DECAY_ONE;
                if (epochs & 1024 != 0) factor = (factor * 375792064420652) / DECAY_ONE;
                if (epochs & 2048 != 0) factor = (factor * 141219675682) / DECAY_ONE;
            }
            return (value * factor) / DECAY_ONE;
        }
    }
}
