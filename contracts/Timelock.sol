// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

/// @title The governor of the detectors' quorum: whatever it decides is public for a while before it holds.
/// @notice It administers itself; nobody else grants its roles.
contract Timelock is TimelockController {
    /// @param delaySeconds how long a decision is public before it holds.
    /// @param proposers who may decide, and take back what is not yet done.
    /// @param executors who may carry out what was decided; the zero account stands for everybody.
    constructor(
        uint256 delaySeconds,
        address[] memory proposers,
        address[] memory executors
    ) TimelockController(delaySeconds, proposers, executors, address(0)) {}
}
