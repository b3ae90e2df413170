// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PanelDraw} from "../libraries/PanelDraw.sol";
import {Suite} from "./Suite.sol";

/// @title What holds of every draw.
contract PanelDrawTest is Suite {
    function testFuzz_aPanelHasItsSizeAndNobodyRecused(bytes32 seed, uint256 seats, uint256 size, uint256 who) public pure {
        size = bound(size, 1, 16);
        seats = bound(seats, 2 * size + 1, 255);
        uint256 recused = 1 << (who % seats);
        uint256 free = PanelDraw.draw(seed, seats, size, 0);
        uint256 panel = PanelDraw.draw(seed, seats, size, recused);
        assertEq(PanelDraw.count(panel), size, "size");
        assertEq(panel >> seats, 0, "seats only");
        assertEq(panel & recused, 0, "nobody recused");
        assertEq(free & ~recused & ~panel, 0, "nobody else moves");
        uint256 other = PanelDraw.drawOutside(seed, seats, size, panel | recused);
        assertEq(PanelDraw.count(other), size, "the other panel's size");
        assertEq(other & (panel | recused), 0, "others");
        assertEq(other >> seats, 0, "of the seats");
    }

    function test_everySeatIsDrawnAboutAsOften() public pure {
        uint256[16] memory drawn;
        for (uint256 i = 0; i < 1600; ++i) {
            uint256 panel = PanelDraw.draw(keccak256(abi.encode(i)), 16, 7, 0);
            for (uint256 seat = 0; seat < 16; ++seat) drawn[seat] += (panel >> seat) & 1;
        }
        for (uint256 seat = 0; seat < 16; ++seat) {
            assertTrue(drawn[seat] > 620 && drawn[seat] < 780, "four deviations around 700");
        }
    }
}
