// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

/// @title The one word of a settled query: `seal96 settledAt32 rated16 observations112`, from the most significant bit.
/// @notice Observation i, in percent, stands in the i-th seven bits from below, 127 where there is no participant; bit i
/// of `rated` is set once participant i was rated.
/// @dev The seal is a hash of what the QueryLedger committed to, of whether the customer is an insider, and of the time of
/// settlement. A feedback whose opening fits it need not ask the ledger again, which would be a tenth of its gas. Forging
/// one takes a second preimage of 96 bits: rosters that collide could be searched beforehand only for a time of settlement
/// known beforehand, so what anybody may settle at a moment of their choice is left unsealed.
library SettlementSlot {
    uint256 internal constant UNSEALED = 0;
    /// @dev Bits of an observation, and what stands where there is none.
    uint256 internal constant WIDTH = 7;
    uint256 internal constant NOBODY = 127;
    uint256 internal constant NO_OBSERVATIONS = 0xffffffffffffffffffffffffffff;

    uint256 private constant SEAL_AT = 160;
    uint256 private constant SETTLED_AT_AT = 128;
    uint256 private constant RATED_AT = 112;
    uint256 private constant MAX_PARTICIPANTS = 16;

    function sealOf(uint208 commitment, bool insider, uint256 settledAt) internal pure returns (uint256) {
        uint256 circumstances = (settledAt << 1) | (insider ? 1 : 0);
        return uint256(Hashes.efficientKeccak256(bytes32(uint256(commitment)), bytes32(circumstances))) >> SEAL_AT;
    }

    function isSealedBy(uint256 settlement, uint208 commitment, bool insider) internal pure returns (bool) {
        uint256 seal = settlement >> SEAL_AT;
        return seal != UNSEALED && seal == sealOf(commitment, insider, settledAtOf(settlement));
    }

    function pack(uint256 seal, uint256 settledAt, uint256 observations) internal pure returns (uint256) {
        return (seal << SEAL_AT) | (settledAt << SETTLED_AT_AT) | observations;
    }

    /// @dev The observations with one more, a percentage, `shift` bits from below.
    function noted(uint256 observations, uint256 observation, uint256 shift) internal pure returns (uint256) {
        unchecked {
            return observations - ((NOBODY - observation) << shift);
        }
    }

    /// @dev The word with `index` rated, and whether it was before.
    function markRated(uint256 settlement, uint256 index) internal pure returns (uint256, bool) {
        uint256 bit = 1 << (RATED_AT + index);
        return (settlement | bit, settlement & bit != 0);
    }

    function observationOf(uint256 settlement, uint256 index) internal pure returns (uint256) {
        unchecked {
            return (settlement >> (WIDTH * index)) & NOBODY;
        }
    }

    function settledAtOf(uint256 settlement) internal pure returns (uint256) {
        return uint32(settlement >> SETTLED_AT_AT);
    }

    function unpack(
        uint256 settlement
    ) internal pure returns (uint64 settledAt, uint8[] memory observations, uint16 rated) {
        uint256 count = 0;
        if (settlement == 0) return (0, observations, 0);
        while (count < MAX_PARTICIPANTS && observationOf(settlement, count) != NOBODY) ++count;
        observations = new uint8[](count);
        for (uint256 i = 0; i < count; ++i) observations[i] = uint8(observationOf(settlement, i));
        return (uint64(settledAtOf(settlement)), observations, uint16(settlement >> RATED_AT));
    }
}
