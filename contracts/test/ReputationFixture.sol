// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {NodeRegistry} from "../NodeRegistry.sol";
import {QueryLedger} from "../QueryLedger.sol";
import {ReputationLedger} from "../ReputationLedger.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IQueryLedger} from "../interfaces/IQueryLedger.sol";
import {IReputationLedger} from "../interfaces/IReputationLedger.sol";
import {Deployment} from "./Deployment.sol";

/// @title Three contracts, two owners, three MPC nodes and a customer, one query away from reputation.
/// @dev Participants 0 and 1 are the owners, 2 to 4 the trio. `customer` has a key, `operator` runs participant 1.
abstract contract ReputationFixture is Deployment {
    uint256 internal constant CUSTOMER_KEY = 0xc0ffee;
    uint256 internal constant OPERATOR_KEY = 0x0b0e;
    uint256 internal constant DAY = 1 days;
    uint256 internal constant WINDOW = 14 days;
    bytes32 internal constant FEEDBACK_TYPEHASH =
        keccak256("Feedback(bytes32 queryId,address[] nodes,uint8[] ratings,uint64 deadline)");

    NodeRegistry internal registry;
    QueryLedger internal ledger;
    ReputationLedger internal reputation;
    address internal customer;
    address internal operator;
    address internal coordinator;
    address[] internal owners;
    address[] internal mpcs;
    /// @dev The block time, kept apart because the optimiser takes `block.timestamp` for constant within a test.
    uint256 internal clock = START;
    uint256 private _salt;

    function setUp() public virtual {
        vm.warp(START);
        coordinator = address(this);
        customer = vm.addr(CUSTOMER_KEY);
        operator = vm.addr(OPERATOR_KEY);
        registry = deployRegistry(0);
        ledger = deployLedger(registry, 0);
        reputation = deployReputation(registry, ledger, periods());
        registry.grantRole(registry.SUSPENDER_ROLE(), address(reputation));
        registry.setReputationLedger(reputation);
        ledger.grantRole(ledger.COORDINATOR_ROLE(), coordinator);
        reputation.grantRole(reputation.COORDINATOR_ROLE(), coordinator);
        reputation.grantRole(reputation.PENALTY_ROLE(), address(this));
        owners = sortedNodes(1, 2);
        mpcs = sortedNodes(10, 3);
        register(owners[0], owners[0], 1, 1);
        register(owners[1], operator, 1, 1);
        for (uint256 i = 0; i < 3; ++i) register(mpcs[i], mpcs[i], 2, 1);
    }

    function pass(uint256 seconds_) internal {
        clock += seconds_;
        vm.warp(clock);
    }

    function periods() internal pure returns (ReputationLedger.Periods memory) {
        return ReputationLedger.Periods(uint32(DAY), uint32(WINDOW), uint32(DAY), uint32(7 * DAY));
    }

    function sortedNodes(uint256 firstKey, uint256 count) internal pure returns (address[] memory nodes) {
        nodes = new address[](count);
        for (uint256 i = 0; i < count; ++i) nodes[i] = vm.addr(firstKey + i);
        for (uint256 i = 0; i < count; ++i) {
            for (uint256 j = i + 1; j < count; ++j) {
                if (nodes[j] < nodes[i]) (nodes[i], nodes[j]) = (nodes[j], nodes[i]);
            }
        }
    }

    function register(address node, address runBy, uint8 roles, uint32 incarnation) internal {
        INodeRegistry.Registration memory r = INodeRegistry.Registration(
            node,
            runBy,
            roles,
            256,
            bytes32(uint256(1)),
            bytes32(uint256(2)),
            incarnation,
            uint64(clock + DAY)
        );
        bytes memory consent;
        if (runBy == operator) {
            bytes32 typeHash = keccak256(
                "Registration(address node,address operator,uint8 roles,uint32 version,bytes32 tlsKeyHash,bytes32 profileHash,uint32 incarnation,uint64 deadline)"
            );
            consent = signWith(OPERATOR_KEY, digestFor(address(registry), keccak256(abi.encode(typeHash, r))));
        }
        vm.prank(node);
        registry.register(r, "", consent);
    }

    function unregister(address node, uint32 incarnation) internal {
        vm.prank(node);
        registry.unregister(INodeRegistry.Unregistration(node, incarnation, uint64(clock + DAY)), "");
    }

    /// @dev Dispatched by `by`, still running.
    function dispatch(
        address by
    ) internal returns (bytes32 queryId, IQueryLedger.Opening memory opening) {
        IQueryLedger.QueryOrder memory order = IQueryLedger.QueryOrder(
            by,
            bytes32(++_salt),
            bytes32(uint256(3)),
            owners,
            mpcs,
            bytes32(uint256(4)),
            3600,
            600,
            600,
            2,
            uint64(clock + DAY)
        );
        vm.prank(by);
        queryId = ledger.dispatch(order, "");
        bytes32 termsHash = keccak256(abi.encode(order.specHash, order.resultKeyHash, 3600, 600, 600));
        opening = IQueryLedger.Opening(by, uint8(owners.length), 2, participants(), termsHash, 0);
    }

    function completed(address by) internal returns (bytes32 queryId, IQueryLedger.Opening memory opening) {
        (queryId, opening) = dispatch(by);
        (uint208 commitment, , , ) = ledger.stateOf(queryId);
        bytes32[3] memory shares = [bytes32(uint256(5)), bytes32(uint256(6)), bytes32(0)];
        ledger.complete(queryId, commitment, shares);
        opening.resultHash = keccak256(abi.encodePacked(shares));
    }

    function settled(
        address by,
        uint8 observation
    ) internal returns (bytes32 queryId, IQueryLedger.Opening memory opening) {
        (queryId, opening) = completed(by);
        reputation.settle(queryId, opening, all(observation));
    }

    function participants() internal view returns (address[] memory nodes) {
        nodes = new address[](5);
        for (uint256 i = 0; i < 2; ++i) nodes[i] = owners[i];
        for (uint256 i = 0; i < 3; ++i) nodes[2 + i] = mpcs[i];
    }

    function all(uint8 observation) internal pure returns (uint8[] memory observations) {
        observations = new uint8[](5);
        for (uint256 i = 0; i < 5; ++i) observations[i] = observation;
    }

    /// @dev A feedback about one node, good for a day.
    function one(
        bytes32 queryId,
        address node,
        uint8 rating
    ) internal view returns (IReputationLedger.Feedback memory feedback) {
        feedback = IReputationLedger.Feedback(
            queryId,
            new address[](1),
            new uint8[](1),
            uint64(clock + DAY)
        );
        feedback.nodes[0] = node;
        feedback.ratings[0] = rating;
    }

    function feedbackDigest(
        address target,
        IReputationLedger.Feedback memory feedback
    ) internal view returns (bytes32) {
        bytes32 structHash = keccak256(
            abi.encode(
                FEEDBACK_TYPEHASH,
                feedback.queryId,
                keccak256(abi.encodePacked(feedback.nodes)),
                keccak256(abi.encodePacked(feedback.ratings)),
                feedback.deadline
            )
        );
        return digestFor(target, structHash);
    }

    function rate(
        address by,
        bytes32 queryId,
        IQueryLedger.Opening memory opening,
        address node,
        uint8 rating
    ) internal {
        IReputationLedger.Feedback memory feedback = one(queryId, node, rating);
        vm.prank(by);
        reputation.giveFeedback(feedback, opening, "");
    }
}
