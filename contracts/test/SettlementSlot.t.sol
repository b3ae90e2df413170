// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SettlementSlot} from "../libraries/SettlementSlot.sol";
import {Suite} from "./Suite.sol";

/// @title The word of a settled query, bit by bit; a seal that fits too much or nothing only costs gas elsewhere.
contract SettlementSlotTest is Suite {
    uint208 private constant COMMITMENT = 0x1234567890abcdef;
    uint256 private constant SETTLED_AT = START + 1;

    function test_theSealHashesCommitmentTimeAndCustomer() public pure {
        uint256 outsider = uint256(keccak256(abi.encode(uint256(COMMITMENT), SETTLED_AT * 2)));
        uint256 insider = uint256(keccak256(abi.encode(uint256(COMMITMENT), SETTLED_AT * 2 + 1)));
        assertEq(SettlementSlot.sealOf(COMMITMENT, false, SETTLED_AT), outsider >> 160, "outsider");
        assertEq(SettlementSlot.sealOf(COMMITMENT, true, SETTLED_AT), insider >> 160, "insider");
    }

    function test_onlyWhatWasSealedFits() public pure {
        uint256 settlement = SettlementSlot.pack(SettlementSlot.sealOf(COMMITMENT, false, SETTLED_AT), SETTLED_AT, 77);
        assertTrue(SettlementSlot.isSealedBy(settlement, COMMITMENT, false), "sealed");
        assertTrue(!SettlementSlot.isSealedBy(settlement, COMMITMENT, true), "another customer");
        assertTrue(!SettlementSlot.isSealedBy(settlement, COMMITMENT + 1, false), "another commitment");
        assertTrue(!SettlementSlot.isSealedBy(settlement + (1 << 128), COMMITMENT, false), "another time");
        uint256 open = SettlementSlot.pack(SettlementSlot.UNSEALED, SETTLED_AT, 77);
        assertTrue(!SettlementSlot.isSealedBy(open, COMMITMENT, false), "unsealed");
    }

    function test_theWordIsSealTimeAndObservations() public pure {
        uint256 settlement = SettlementSlot.pack(0xabcdef, SETTLED_AT, 77);
        assertEq(settlement >> 160, 0xabcdef, "seal");
        assertEq(uint32(settlement >> 128), SETTLED_AT, "time");
        assertEq(uint128(settlement), 77, "observations");
        assertEq(SettlementSlot.settledAtOf(settlement), SETTLED_AT, "time read");
    }

    function test_sixteenParticipantsAreReadAndNoMore() public pure {
        uint256 observations = SettlementSlot.NO_OBSERVATIONS;
        for (uint256 i = 0; i < 16; ++i) observations = SettlementSlot.noted(observations, 100 - i, 7 * i);
        (uint256 settlement, bool before) = SettlementSlot.markRated(SettlementSlot.pack(1, SETTLED_AT, observations), 2);
        assertTrue(!before, "rated for the first time");
        (, before) = SettlementSlot.markRated(settlement, 2);
        assertTrue(before, "rated again");
        (uint64 settledAt, uint8[] memory read, uint16 rated) = SettlementSlot.unpack(settlement);
        assertEq(settledAt, SETTLED_AT, "time");
        assertEq(read.length, 16, "participants");
        for (uint256 i = 0; i < 16; ++i) assertEq(read[i], 100 - i, "observation");
        assertEq(rated, 4, "rated");
    }

    function test_fewerParticipantsEndWhereNobodyStands() public pure {
        uint256 observations = SettlementSlot.noted(SettlementSlot.NO_OBSERVATIONS, 0, 0);
        (, uint8[] memory read, uint16 rated) = SettlementSlot.unpack(SettlementSlot.pack(1, SETTLED_AT, observations));
        assertEq(read.length, 1, "participants");
        assertEq(read[0], 0, "observation");
        assertEq(rated, 0, "rated");
    }

    function test_nothingIsSettledInTheZeroWord() public pure {
        (uint64 settledAt, uint8[] memory read, uint16 rated) = SettlementSlot.unpack(0);
        assertEq(settledAt + read.length + rated, 0, "nothing");
    }
}
