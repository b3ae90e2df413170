// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PanelDraw} from "../libraries/PanelDraw.sol";

/// @title Draws of panels over arrays, so that one call compares many with the Python mirror.
contract PanelDrawHarness {
    struct Case {
        bytes32 seed;
        uint256 seats;
        uint256 size;
        uint256 set;
    }

    /// @notice Each case's panel with the seats in `set` recused, and the one outside `set`.
    function play(
        Case[] calldata cases
    ) external pure returns (uint256[] memory panels, uint256[] memory outside) {
        panels = new uint256[](cases.length);
        outside = new uint256[](cases.length);
        for (uint256 i = 0; i < cases.length; ++i) {
            Case calldata one = cases[i];
            panels[i] = PanelDraw.draw(one.seed, one.seats, one.size, one.set);
            outside[i] = PanelDraw.drawOutside(one.seed, one.seats, one.size, one.set);
        }
    }
}
