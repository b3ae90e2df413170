// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Suite, Vm} from "./Suite.sol";

/// @title Calls that are made, looked at and undone, so that the same one can be tried many times over.
abstract contract Rehearsal is Suite {
    /// @dev Whether the call went through, and a hash of what it logged.
    error Rehearsed(bool done, bytes32 logs);

    /// @dev For `rehearsed` alone: it always reverts, which undoes the call.
    function rehearse(address by, address target, uint256 gasLimit, bytes calldata call) external {
        vm.recordLogs();
        vm.prank(by);
        (bool done, ) = target.call{gas: gasLimit}(call);
        revert Rehearsed(done, keccak256(abi.encode(vm.getRecordedLogs())));
    }

    function rehearsed(
        address by,
        address target,
        uint256 gasLimit,
        bytes memory call
    ) internal returns (bool done, bytes32 logs) {
        (, bytes memory answer) = address(this).call(
            abi.encodeCall(this.rehearse, (by, target, gasLimit, call))
        );
        assertEq(bytes32(bytes4(answer)), bytes32(Rehearsed.selector), "rehearsed");
        assembly ("memory-safe") {
            done := mload(add(answer, 0x24))
            logs := mload(add(answer, 0x44))
        }
    }
}
