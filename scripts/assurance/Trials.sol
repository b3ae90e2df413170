// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

interface Cheats {
    function coinbase(address account) external;
    function getCode(string calldata artifact) external view returns (bytes memory creation);
    function readFileBinary(string calldata path) external view returns (bytes memory data);
    function revertToState(uint256 state) external returns (bool success);
    function snapshotState() external returns (uint256 state);
    function stopPrank() external;
}

/// @title Asks the tests of many suites about one mutant after another, in one process.
/// @dev Foundry gives every mutant's trial an environment of its own: what a failing test leaves behind ends with it.
abstract contract Trials {
    /// @param artifact of the suite, or of the harness whose answers are compared with those of the sleeping code.
    /// @param preparation the call that comes before each test, if there is one.
    /// @param calls of its tests, or of the harness.
    struct Trial {
        string artifact;
        bool compared;
        bytes preparation;
        bytes[] calls;
    }

    Cheats private constant cheats = Cheats(address(uint160(uint256(keccak256("hevm cheat code")))));
    /// @dev Ends loops that a mutant made endless; the dearest test takes less than a tenth.
    uint256 private constant GAS = 1e9;
    bytes32 private constant ASSUMED = keccak256("FOUNDRY::ASSUME");

    error Killed(string artifact, bytes4 test, bytes reason);

    function attempt(uint256 number, string memory plan) internal {
        Trial[] memory trials = abi.decode(cheats.readFileBinary(plan), (Trial[]));
        for (uint256 i = 0; i < trials.length; ++i) {
            if (trials[i].compared) _compare(number, trials[i]);
            else _run(number, trials[i]);
        }
    }

    function _run(uint256 number, Trial memory trial) private {
        cheats.coinbase(address(uint160(number)));
        address suite = _create(trial);
        if (trial.preparation.length != 0) _test(suite, trial.artifact, trial.preparation);
        for (uint256 i = 0; i < trial.calls.length; ++i) {
            uint256 state = cheats.snapshotState();
            _test(suite, trial.artifact, trial.calls[i]);
            cheats.stopPrank();
            cheats.revertToState(state);
        }
    }

    function _test(address suite, string memory artifact, bytes memory data) private {
        (bool passed, bytes memory reason) = suite.call{gas: GAS}(data);
        if (!passed && keccak256(reason) != ASSUMED) revert Killed(artifact, bytes4(data), reason);
    }

    function _compare(uint256 number, Trial memory trial) private {
        cheats.coinbase(address(0));
        address harness = _create(trial);
        for (uint256 i = 0; i < trial.calls.length; ++i) {
            cheats.coinbase(address(0));
            (bool expectedPassed, bytes memory expected) = harness.call{gas: GAS}(trial.calls[i]);
            cheats.coinbase(address(uint160(number)));
            (bool passed, bytes memory given) = harness.call{gas: GAS}(trial.calls[i]);
            if (passed != expectedPassed || keccak256(given) != keccak256(expected)) {
                revert Killed(trial.artifact, bytes4(trial.calls[i]), given);
            }
        }
    }

    function _create(Trial memory trial) private returns (address made) {
        bytes memory code = cheats.getCode(trial.artifact);
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
        }
        if (made == address(0)) revert Killed(trial.artifact, 0, "");
    }
}
