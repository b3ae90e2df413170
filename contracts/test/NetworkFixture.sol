// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {NodeRegistry} from "../NodeRegistry.sol";
import {QueryLedger} from "../QueryLedger.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IQueryLedger} from "../interfaces/IQueryLedger.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {Deployment} from "./Deployment.sol";

/// @title A registry and a ledger with three owners, six MPC nodes and a customer, all with keys.
/// @dev The suite itself is administrator and coordinator. Hashes are computed here by the plainest means, so that the
/// ledger's own way is checked against another.
abstract contract NetworkFixture is Deployment {
    uint256 internal constant CUSTOMER_KEY = 0xc0ffee;
    uint8 internal constant OWNER = 1;
    uint8 internal constant MPC = 2;
    bytes32 internal constant REGISTRATION =
        keccak256(
            "Registration(address node,address operator,uint8 roles,uint32 version,bytes32 tlsKeyHash,bytes32 profileHash,uint32 incarnation,uint64 deadline)"
        );
    bytes32 internal constant ORDER =
        keccak256(
            "QueryOrder(address customer,bytes32 salt,bytes32 specHash,address[] owners,address[] mpcs,bytes32 resultKeyHash,uint32 maxRunSeconds,uint32 resultRetrySeconds,uint32 cleanupGraceSeconds,uint8 maxReplacements,uint64 deadline)"
        );
    bytes32 internal constant LOSS = keccak256("LossReport(bytes32 queryId,uint8 generation,address lost,uint64 deadline)");
    bytes32 internal constant CANCELLATION = keccak256("Cancellation(bytes32 queryId,uint64 deadline)");

    NodeRegistry internal registry;
    QueryLedger internal ledger;
    address internal customer;
    address[] internal owners;
    address[] internal mpcs;
    mapping(address account => uint256) internal keyOf;

    function setUp() public virtual {
        vm.warp(START);
        vm.roll(100);
        registry = deployRegistry(2 days);
        ledger = deployLedger(registry, 2 days);
        ledger.grantRole(ledger.COORDINATOR_ROLE(), address(this));
        customer = vm.addr(CUSTOMER_KEY);
        keyOf[customer] = CUSTOMER_KEY;
        owners = newNodes(100, 3, OWNER);
        mpcs = newNodes(200, 6, MPC);
    }

    /// @dev Registered nodes that operate themselves, ascending.
    function newNodes(uint256 firstKey, uint256 count, uint8 roles) internal returns (address[] memory nodes) {
        nodes = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            nodes[i] = vm.addr(firstKey + i);
            keyOf[nodes[i]] = firstKey + i;
            for (uint256 j = i; j > 0 && nodes[j] < nodes[j - 1]; --j) (nodes[j], nodes[j - 1]) = (nodes[j - 1], nodes[j]);
        }
        for (uint256 i = 0; i < count; ++i) register(registration(nodes[i], nodes[i], roles, 1));
    }

    /// @dev A node with a key of its own that another account operates.
    function operated(uint256 key, address operator, uint8 roles) internal returns (address node) {
        node = vm.addr(key);
        keyOf[node] = key;
        register(registration(node, operator, roles, 1));
    }

    /// @dev A list in ascending order with a newcomer in somebody's stead.
    function inStead(address[] memory list, address old, address newcomer) internal pure {
        uint256 at = list.length - 1;
        while (list[at] != old) --at;
        for (; at > 0 && list[at - 1] > newcomer; --at) list[at] = list[at - 1];
        for (; at < list.length - 1 && list[at + 1] < newcomer; ++at) list[at] = list[at + 1];
        list[at] = newcomer;
    }

    function registration(
        address node,
        address operator,
        uint8 roles,
        uint32 incarnation
    ) internal view returns (INodeRegistry.Registration memory) {
        bytes32 tlsKeyHash = keccak256(abi.encode("tls", node));
        return
            INodeRegistry.Registration(
                node,
                operator,
                roles,
                256,
                tlsKeyHash,
                keccak256("profile"),
                incarnation,
                soon()
            );
    }

    function register(INodeRegistry.Registration memory r) internal {
        bytes32 digest = digestFor(address(registry), keccak256(abi.encode(REGISTRATION, r)));
        bytes memory consent = r.operator == r.node ? bytes("") : signWith(keyOf[r.operator], digest);
        registry.register(r, signWith(keyOf[r.node], digest), consent);
    }

    function unregister(address node, uint32 incarnation) internal {
        vm.prank(node);
        registry.unregister(INodeRegistry.Unregistration(node, incarnation, soon()), "");
    }

    function trio() internal view returns (address[] memory) {
        return firstOf(mpcs, 3);
    }

    function firstOf(address[] memory list, uint256 count) internal pure returns (address[] memory few) {
        few = new address[](count);
        for (uint256 i = 0; i < count; ++i) few[i] = list[i];
    }

    function newOrder(bytes32 salt) internal view returns (IQueryLedger.QueryOrder memory) {
        return
            IQueryLedger.QueryOrder(
                customer,
                salt,
                keccak256("spec"),
                owners,
                trio(),
                keccak256("key"),
                3600,
                600,
                500,
                2,
                soon()
            );
    }

    function orderDigest(IQueryLedger.QueryOrder memory order) internal view returns (bytes32) {
        bytes memory head = abi.encode(
            ORDER,
            order.customer,
            order.salt,
            order.specHash,
            keccak256(abi.encodePacked(order.owners)),
            keccak256(abi.encodePacked(order.mpcs)),
            order.resultKeyHash
        );
        bytes memory tail = abi.encode(
            order.maxRunSeconds,
            order.resultRetrySeconds,
            order.cleanupGraceSeconds,
            order.maxReplacements,
            order.deadline
        );
        return digestFor(address(ledger), keccak256(bytes.concat(head, tail)));
    }

    function dispatch(IQueryLedger.QueryOrder memory order) internal returns (bytes32) {
        return ledger.dispatch(order, signWith(keyOf[order.customer], orderDigest(order)));
    }

    function dispatched(bytes32 salt) internal returns (bytes32 queryId, IQueryLedger.Opening memory opening) {
        IQueryLedger.QueryOrder memory order = newOrder(salt);
        return (dispatch(order), openingOf(order));
    }

    function termsOf(IQueryLedger.QueryOrder memory order) internal pure returns (IQueryLedger.Terms memory) {
        return
            IQueryLedger.Terms(
                order.specHash,
                order.resultKeyHash,
                order.maxRunSeconds,
                order.resultRetrySeconds,
                order.cleanupGraceSeconds
            );
    }

    function openingOf(IQueryLedger.QueryOrder memory order) internal pure returns (IQueryLedger.Opening memory) {
        address[] memory participants = new address[](order.owners.length + 3);
        for (uint256 i = 0; i < participants.length; ++i) {
            participants[i] = i < order.owners.length ? order.owners[i] : order.mpcs[i - order.owners.length];
        }
        bytes32 termsHash = keccak256(abi.encode(termsOf(order)));
        uint8 ownerCount = uint8(order.owners.length);
        return IQueryLedger.Opening(order.customer, ownerCount, order.maxReplacements, participants, termsHash, 0);
    }

    function commitmentOf(IQueryLedger.Opening memory o) internal pure returns (uint208 folded) {
        bytes memory words = abi.encode(o.customer, o.ownerCount, o.maxReplacements);
        bytes32 rosterHash = keccak256(bytes.concat(words, abi.encodePacked(o.participants)));
        folded = uint208(uint256(keccak256(abi.encode(rosterHash, o.termsHash))));
        if (o.resultHash != 0) folded = uint208(uint256(keccak256(abi.encode(uint256(folded), o.resultHash))));
    }

    /// @dev Rank 0 is lost, owner 0 reports, the last three MPC nodes are candidates, the first of them follows.
    function newReplacement() internal view returns (IQueryLedger.Replacement memory) {
        address[] memory candidates = new address[](3);
        for (uint256 i = 0; i < 3; ++i) candidates[i] = mpcs[3 + i];
        return IQueryLedger.Replacement(uint8(owners.length), 0, 0, 99, soon(), candidates);
    }

    function lossReport(
        bytes32 queryId,
        uint8 generation,
        IQueryLedger.Opening memory opening,
        IQueryLedger.Replacement memory r
    ) internal view returns (bytes memory) {
        address lost = opening.participants[r.lostIndex];
        bytes32 structHash = keccak256(abi.encode(LOSS, queryId, generation, lost, r.deadline));
        return signWith(keyOf[opening.participants[r.reporterIndex]], digestFor(address(ledger), structHash));
    }

    function afterReplacement(
        IQueryLedger.Opening memory opening,
        IQueryLedger.Replacement memory r
    ) internal pure returns (IQueryLedger.Opening memory next) {
        uint256 count = opening.participants.length;
        next = opening;
        address[] memory participants = new address[](count + 1);
        for (uint256 i = 0; i < count; ++i) participants[i] = opening.participants[i];
        participants[count] = participants[r.lostIndex];
        participants[r.lostIndex] = r.candidates[r.successorIndex];
        next.participants = participants;
    }

    function shares(uint256 count) internal pure returns (bytes32[3] memory hashes) {
        for (uint256 i = 0; i < count; ++i) hashes[i] = keccak256(abi.encode("share", i));
    }

    function soon() internal view returns (uint64) {
        return uint64(vm.getBlockTimestamp() + 1 hours);
    }

    function expectInvalid(address signer) internal {
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, signer));
    }

    function assertStatus(bytes32 queryId, IQueryLedger.QueryStatus expected) internal view {
        (IQueryLedger.QueryStatus status, , ) = ledger.statusOf(queryId);
        assertEq(uint256(status), uint256(expected), "status");
    }

    function assertCommitted(bytes32 queryId, IQueryLedger.Opening memory opening) internal view {
        (uint208 stored, , , ) = ledger.stateOf(queryId);
        assertEq(uint256(stored), uint256(commitmentOf(opening)), "commitment");
    }
}
