// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {DetectorQuorum} from "../DetectorQuorum.sol";
import {Erc8004Identity} from "../Erc8004Identity.sol";
import {Erc8004Reputation} from "../Erc8004Reputation.sol";
import {NodeRegistry} from "../NodeRegistry.sol";
import {QueryLedger} from "../QueryLedger.sol";
import {ReputationLedger} from "../ReputationLedger.sol";
import {Timelock} from "../Timelock.sol";
import {IDetectorQuorum} from "../interfaces/IDetectorQuorum.sol";
import {IErc8004Identity} from "../interfaces/IErc8004Identity.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IQueryLedger} from "../interfaces/IQueryLedger.sol";
import {IReputationLedger} from "../interfaces/IReputationLedger.sol";
import {Suite} from "./Suite.sol";

/// @title Deploys the contracts from their compiled artifacts.
/// @dev `new` would put the code of a contract into every suite, and the compiler would go through it once a suite.
abstract contract Deployment is Suite {
    function deployRegistry(uint48 adminDelay) internal returns (NodeRegistry) {
        return NodeRegistry(_create("NodeRegistry.sol:NodeRegistry", abi.encode(adminDelay, address(this))));
    }

    function deployLedger(INodeRegistry registry, uint48 adminDelay) internal returns (QueryLedger) {
        return QueryLedger(_create("QueryLedger.sol:QueryLedger", abi.encode(registry, adminDelay, address(this))));
    }

    function deployReputation(
        INodeRegistry registry,
        IQueryLedger ledger,
        ReputationLedger.Periods memory periods
    ) internal returns (ReputationLedger) {
        bytes memory arguments = abi.encode(registry, ledger, periods, 0, address(this));
        return ReputationLedger(_create("ReputationLedger.sol:ReputationLedger", arguments));
    }

    function deployTimelock(uint256 delay, address[] memory members) internal returns (Timelock) {
        return Timelock(payable(_create("Timelock.sol:Timelock", abi.encode(delay, members, members))));
    }

    function deployQuorum(
        INodeRegistry registry,
        IReputationLedger reputation,
        TimelockController governor,
        uint256 minDelay,
        uint256 epoch,
        IDetectorQuorum.Terms memory terms
    ) internal returns (DetectorQuorum) {
        bytes memory arguments = abi.encode(registry, reputation, governor, minDelay, epoch, terms);
        return DetectorQuorum(_create("DetectorQuorum.sol:DetectorQuorum", arguments));
    }

    function deployIdentity(INodeRegistry registry) internal returns (Erc8004Identity) {
        return Erc8004Identity(_create("Erc8004Identity.sol:Erc8004Identity", abi.encode(registry)));
    }

    function deployReputationView(
        IErc8004Identity identity,
        IReputationLedger reputation
    ) internal returns (Erc8004Reputation) {
        bytes memory arguments = abi.encode(identity, reputation);
        return Erc8004Reputation(_create("Erc8004Reputation.sol:Erc8004Reputation", arguments));
    }

    function _create(string memory artifact, bytes memory arguments) private returns (address made) {
        bytes memory code = bytes.concat(vm.getCode(artifact), arguments);
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
            if iszero(made) {
                let reason := mload(0x40)
                returndatacopy(reason, 0, returndatasize())
                revert(reason, returndatasize())
            }
        }
    }
}
