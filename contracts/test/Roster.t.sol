// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDetectorQuorum} from "../interfaces/IDetectorQuorum.sol";
import {Roster, Seats} from "../libraries/Roster.sol";
import {Suite} from "./Suite.sol";

/// @title Terms and seats at their limits.
contract RosterTest is Suite {
    function enlist(address[] calldata nodes) external pure returns (uint256) {
        address[] memory operators = nodes;
        return Roster.blank(7, 0).rotated(nodes[0:0], nodes, operators).count();
    }

    function storeBlank(uint256 size) external returns (address) {
        return Roster.blank(7, size).store();
    }

    function test_seatsAreCountedInABitEach() public view {
        address[] memory nodes = new address[](255);
        for (uint256 i = 0; i < 255; ++i) nodes[i] = address(uint160(i + 1));
        assertEq(this.enlist(nodes), 255, "all");
    }

    function test_oneSeatMoreThanBitsIsRefused() public {
        address[] memory nodes = new address[](256);
        for (uint256 i = 0; i < 256; ++i) nodes[i] = address(uint160(i + 1));
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumTooManySeats.selector, 256));
        this.enlist(nodes);
    }

    /// @dev Gas for all but the deposit of the code, which ends in no account instead of a failure.
    function test_aRosterThatTheChainRefusesIsNoRoster() public {
        assertTrue(this.storeBlank(255).code.length == 1 + 32 * 511, "with enough gas");
        vm.expectRevert(abi.encodeWithSelector(Roster.RosterNotStored.selector));
        this.storeBlank{gas: 3_200_000}(255);
    }

    function test_everyKindHasItsHighestSeverity() public pure {
        IDetectorQuorum.Terms memory terms = IDetectorQuorum.Terms(7, 5, 24, 720, 0x01333230);
        uint8[9] memory highest = [0, 3, 2, 3, 3, 3, 1, 0, 0];
        for (uint8 kind = 0; kind < 9; ++kind) {
            assertEq(Roster.highestSeverity(terms, kind), highest[kind], "severity");
        }
        assertEq(Roster.highestSeverity(terms, 255), 0, "no such kind");
    }
}
