// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

/// @title Drawing panels: sets of seats, bit i for seat i, which anybody recomputes from a seed.
/// @dev Floyd's sampling (Bentley & Floyd, "Programming Pearls: A Sample of Brilliance", 1987): every set of the size is as
/// likely as any other, in as many steps as it has members.
library PanelDraw {
    /// @notice `size` of `seats` (256 at most), and others in place of those of them that are `recused`; there are enough.
    /// @dev A recusal moves nobody else: who gets a judge recused gets no other panel by it.
    function draw(
        bytes32 seed,
        uint256 seats,
        uint256 size,
        uint256 recused
    ) internal pure returns (uint256 panel) {
        panel = _sample(seed, seats, size);
        uint256 hit = panel & recused;
        if (hit == 0) return panel;
        uint256 taken = panel | recused;
        panel ^= hit;
        for (uint256 step = seats; hit != 0; ++step) {
            uint256 substitute = 1 << _outside(taken, _number(seed, step) % (seats - count(taken)));
            (panel, taken) = (panel | substitute, taken | substitute);
            hit &= hit - 1;
        }
    }

    /// @notice `size` of those `seats` that are not in `excluded`; there are as many.
    function drawOutside(
        bytes32 seed,
        uint256 seats,
        uint256 size,
        uint256 excluded
    ) internal pure returns (uint256 panel) {
        uint256 sample = _sample(seed, seats - count(excluded), size);
        for (uint256 i = 0; i < seats; ++i) {
            if ((excluded >> i) & 1 != 0) continue;
            panel |= (sample & 1) << i;
            sample >>= 1;
        }
    }

    /// @notice How many there are in the set.
    function count(uint256 set) internal pure returns (uint256 members) {
        unchecked {
            for (; set != 0; set &= set - 1) ++members;
        }
    }

    function _sample(bytes32 seed, uint256 seats, uint256 size) private pure returns (uint256 set) {
        unchecked {
            for (uint256 i = seats - size; i < seats; ++i) {
                uint256 bit = 1 << (_number(seed, i) % (i + 1));
                set |= set & bit == 0 ? bit : 1 << i;
            }
        }
    }

    function _number(bytes32 seed, uint256 step) private pure returns (uint256) {
        return uint256(Hashes.efficientKeccak256(seed, bytes32(step)));
    }

    /// @dev The seat of that rank among those outside the set.
    function _outside(uint256 set, uint256 rank) private pure returns (uint256 seat) {
        for (; rank != 0 || (set >> seat) & 1 != 0; ++seat) {
            if ((set >> seat) & 1 == 0) --rank;
        }
    }
}
