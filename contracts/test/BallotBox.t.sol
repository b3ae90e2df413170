// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDetectorQuorum} from "../interfaces/IDetectorQuorum.sol";
import {BallotBox} from "../libraries/BallotBox.sol";
import {Suite} from "./Suite.sol";

/// @title The measurement that a panel upholds.
contract BallotBoxTest is Suite {
    function median(
        IDetectorQuorum.Measurement[] calldata measurements
    ) external pure returns (IDetectorQuorum.Measurement memory) {
        return BallotBox.median(measurements);
    }

    function test_theMedianOfEachValueWhateverTheOrder() public view {
        IDetectorQuorum.Measurement[] memory given = new IDetectorQuorum.Measurement[](5);
        given[0] = IDetectorQuorum.Measurement(9, 40, 500);
        given[1] = IDetectorQuorum.Measurement(1, 10, 900);
        given[2] = IDetectorQuorum.Measurement(7, 50, 800);
        given[3] = IDetectorQuorum.Measurement(5, 30, 600);
        given[4] = IDetectorQuorum.Measurement(3, 20, 600);
        IDetectorQuorum.Measurement memory middle = this.median(given);
        assertEq(middle.cores, 5, "cores");
        assertEq(middle.memoryMib, 30, "memory");
        assertEq(middle.speed, 600, "speed");
    }

    function test_ofAnEvenNumberTheLowerOfTheTwoInTheMiddle() public view {
        IDetectorQuorum.Measurement[] memory given = new IDetectorQuorum.Measurement[](4);
        given[0] = IDetectorQuorum.Measurement(8, 4, 70);
        given[1] = IDetectorQuorum.Measurement(2, 3, 90);
        given[2] = IDetectorQuorum.Measurement(6, 2, 80);
        given[3] = IDetectorQuorum.Measurement(4, 1, 60);
        IDetectorQuorum.Measurement memory middle = this.median(given);
        assertEq(middle.cores, 4, "cores");
        assertEq(middle.memoryMib, 2, "memory");
        assertEq(middle.speed, 70, "speed");
    }
}
