// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {Erc8004Identity} from "../Erc8004Identity.sol";
import {Erc8004Reputation} from "../Erc8004Reputation.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IErc8004Identity} from "../interfaces/IErc8004Identity.sol";
import {IErc8004Reputation} from "../interfaces/IErc8004Reputation.sol";
import {IReputationLedger} from "../interfaces/IReputationLedger.sol";
import {ReputationFixture} from "./ReputationFixture.sol";

/// @title What tools that speak ERC-8004 are told of nodes and their scores, and what they are not.
contract Erc8004Test is ReputationFixture {
    Erc8004Identity private _identity;
    Erc8004Reputation private _view;
    /// @dev Participant 1, which `operator` runs.
    uint256 private _agent;

    function setUp() public override {
        super.setUp();
        _identity = deployIdentity(registry);
        _view = deployReputationView(_identity, reputation);
        _agent = uint160(owners[1]);
    }

    function test_selectorsAreTheStandards() public pure {
        assertSelector(IErc8004Identity.ownerOf.selector, "ownerOf(uint256)");
        assertSelector(IErc8004Identity.tokenURI.selector, "tokenURI(uint256)");
        assertSelector(IErc8004Identity.getMetadata.selector, "getMetadata(uint256,string)");
        assertSelector(IErc8004Identity.getAgentWallet.selector, "getAgentWallet(uint256)");
        assertSelector(IErc8004Reputation.getIdentityRegistry.selector, "getIdentityRegistry()");
        assertSelector(IErc8004Reputation.getSummary.selector, "getSummary(uint256,address[],string,string)");
        assertSelector(IErc8004Reputation.readFeedback.selector, "readFeedback(uint256,address,uint64)");
        assertSelector(
            IErc8004Reputation.readAllFeedback.selector,
            "readAllFeedback(uint256,address[],string,string,bool)"
        );
        assertSelector(
            IErc8004Reputation.getResponseCount.selector,
            "getResponseCount(uint256,address,uint64,address[])"
        );
        assertSelector(IErc8004Reputation.getClients.selector, "getClients(uint256)");
        assertSelector(IErc8004Reputation.getLastIndex.selector, "getLastIndex(uint256,address)");
    }

    function test_interfacesAnnounceOnlyWhatIsAnswered() public view {
        assertTrue(_identity.supportsInterface(type(IERC165).interfaceId), "ERC-165");
        assertTrue(_identity.supportsInterface(type(IErc8004Identity).interfaceId), "identity");
        assertTrue(!_identity.supportsInterface(type(IERC721).interfaceId), "not all of ERC-721");
        assertTrue(_view.supportsInterface(type(IERC165).interfaceId), "ERC-165");
        assertTrue(_view.supportsInterface(type(IErc8004Reputation).interfaceId), "reputation");
        assertTrue(!_view.supportsInterface(type(IErc8004Identity).interfaceId), "not the identity");
        assertEq(_view.getIdentityRegistry(), address(_identity), "where agents are identified");
    }

    function test_operatorOwnsItsNode() public view {
        assertEq(_identity.ownerOf(_agent), operator, "operator");
        assertEq(_identity.getAgentWallet(_agent), owners[1], "the node's own account");
    }

    function test_metadataIsTheRegisters() public view {
        INodeRegistry.Node memory node = registry.nodeOf(owners[1]);
        assertBytes(_identity.getMetadata(_agent, "agentWallet"), abi.encodePacked(owners[1]));
        assertBytes(_identity.getMetadata(_agent, "roles"), abi.encode(1));
        assertBytes(_identity.getMetadata(_agent, "version"), abi.encode(256));
        assertBytes(_identity.getMetadata(_agent, "status"), abi.encode(INodeRegistry.NodeStatus.Active));
        assertBytes(_identity.getMetadata(_agent, "incarnation"), abi.encode(1));
        assertBytes(_identity.getMetadata(_agent, "commitment"), abi.encode(node.commitment));
        assertBytes(_identity.getMetadata(_agent, "endpoint"), "");
    }

    function test_registrationFileNamesNodeRolesAndRegistry() public {
        register(vm.addr(77), vm.addr(77), 7, 1);
        uint256 agent = uint160(vm.addr(77));
        string memory head = string.concat(
            '{"type":"https://eips.ethereum.org/EIPS/eip-8004#registration-v1","name":"SoterOne node ',
            Strings.toChecksumHexString(vm.addr(77)),
            '","description":"Serves federated learning as data owner, MPC node, detector. No endpoint of it stands on chain.",',
            '"image":"","services":[],"x402Support":false,"active":true,"registrations":[{"agentId":'
        );
        string memory file = string.concat(
            head,
            Strings.toString(agent),
            ',"agentRegistry":"eip155:',
            Strings.toString(block.chainid),
            ":",
            Strings.toChecksumHexString(address(_identity)),
            '"}],"supportedTrust":["reputation"]}'
        );
        string memory expected = string.concat("data:application/json;base64,", Base64.encode(bytes(file)));
        assertBytes(bytes(_identity.tokenURI(agent)), bytes(expected));
    }

    function test_registrationFileNamesNoOtherRole() public view {
        string memory file = string.concat(
            '{"type":"https://eips.ethereum.org/EIPS/eip-8004#registration-v1","name":"SoterOne node ',
            Strings.toChecksumHexString(mpcs[0]),
            '","description":"Serves federated learning as MPC node. No endpoint of it stands on chain.",',
            '"image":"","services":[],"x402Support":false,"active":true,"registrations":[{"agentId":',
            Strings.toString(uint160(mpcs[0]))
        );
        file = string.concat(
            file,
            ',"agentRegistry":"eip155:',
            Strings.toString(block.chainid),
            ":",
            Strings.toChecksumHexString(address(_identity)),
            '"}],"supportedTrust":["reputation"]}'
        );
        string memory expected = string.concat("data:application/json;base64,", Base64.encode(bytes(file)));
        assertBytes(bytes(_identity.tokenURI(uint160(mpcs[0]))), bytes(expected));
    }

    function test_theHighestAccountIsAnAgentToo() public {
        address last = address(type(uint160).max);
        register(last, last, 1, 1);
        assertEq(_identity.ownerOf(uint160(last)), last, "identity");
        reputation.penalise(last, 1);
        assertEq(_view.getClients(uint160(last)).length, 1, "reputation");
    }

    function test_suspendedNodeIsInactiveButThere() public {
        string memory active = _identity.tokenURI(_agent);
        reputation.penalise(owners[1], 3);
        assertEq(_identity.ownerOf(_agent), operator, "still there");
        assertBytes(_identity.getMetadata(_agent, "status"), abi.encode(INodeRegistry.NodeStatus.Suspended));
        assertTrue(keccak256(bytes(active)) != keccak256(bytes(_identity.tokenURI(_agent))), "no more active");
    }

    function test_strangersAndThoseWhoLeftDoNotExist() public {
        _expectNobody(uint160(address(0xbad)));
        _expectNobody(_agent + (1 << 160));
        unregister(owners[1], 1);
        _expectNobody(_agent);
    }

    function test_newcomerHasNoFeedback() public {
        assertEq(_view.getClients(_agent).length, 0, "nobody");
        assertEq(_view.getLastIndex(_agent, address(reputation)), 0, "none");
        assertSummary(_agent, address(reputation), "", "", 0);
        _expectNoFeedback(_agent, address(reputation), 1);
        (address[] memory clients, , , , , , ) = _view.readAllFeedback(_agent, new address[](0), "", "", true);
        assertEq(clients.length, 0, "no row");
    }

    function testFuzz_scoreIsTheLedgers(uint8 observation, uint16 epochs) public {
        settled(customer, uint8(bound(observation, 0, 100)));
        pass(uint256(epochs) * DAY);
        assertEq(_view.getClients(_agent)[0], address(reputation), "the ledger");
        assertEq(_view.getLastIndex(_agent, address(reputation)), 1, "one");
        assertSummary(_agent, address(reputation), "", "", 1);
        (int128 value, uint8 decimals, string memory tag1, string memory tag2, bool isRevoked) = _view.readFeedback(
            _agent,
            address(reputation),
            1
        );
        assertEq(uint128(value), reputation.scoreOf(owners[1]), "score");
        assertEq(decimals, 7, "of a hundred");
        assertBytes(bytes(tag1), "starred");
        assertBytes(bytes(tag2), "soterone");
        assertTrue(!isRevoked, "never revoked");
    }

    function test_summaryFollowsFiltersAndCountsOnce() public {
        settled(customer, 100);
        assertSummary(_agent, address(reputation), "starred", "soterone", 1);
        assertSummary(_agent, address(reputation), "starred", "", 1);
        assertSummary(_agent, address(reputation), "uptime", "", 0);
        assertSummary(_agent, address(reputation), "", "day", 0);
        assertSummary(_agent, customer, "", "", 0);
        address[] memory clients = new address[](3);
        (clients[0], clients[1], clients[2]) = (customer, address(reputation), address(reputation));
        (uint64 count, , ) = _view.getSummary(_agent, clients, "", "");
        assertEq(count, 1, "one feedback, however often it is asked for");
        vm.expectRevert(abi.encodeWithSelector(IErc8004Reputation.Erc8004ReputationNoClients.selector));
        _view.getSummary(_agent, new address[](0), "", "");
    }

    function test_allFeedbackIsOneRow() public {
        settled(customer, 100);
        (
            address[] memory clients,
            uint64[] memory indexes,
            int128[] memory values,
            uint8[] memory decimals,
            string[] memory tag1s,
            string[] memory tag2s,
            bool[] memory revoked
        ) = _view.readAllFeedback(_agent, new address[](0), "", "", false);
        assertEq(clients.length, 1, "one row");
        assertEq(clients[0], address(reputation), "the ledger");
        assertEq(indexes[0], 1, "index");
        assertEq(uint128(values[0]), reputation.scoreOf(owners[1]), "score");
        assertEq(decimals[0], 7, "decimals");
        assertBytes(bytes(tag1s[0]), "starred");
        assertBytes(bytes(tag2s[0]), "soterone");
        assertTrue(!revoked[0], "never revoked");
        address[] memory others = new address[](1);
        others[0] = customer;
        (clients, , , , , , ) = _view.readAllFeedback(_agent, others, "", "", false);
        assertEq(clients.length, 0, "nothing by the customer");
        (clients, , , , , , ) = _view.readAllFeedback(_agent, new address[](0), "uptime", "", false);
        assertEq(clients.length, 0, "nothing of the kind");
    }

    function test_customersAreNoClientsOfTheView() public {
        (bytes32 queryId, ) = settled(customer, 100);
        assertTrue(queryId != 0, "settled");
        _expectNoFeedback(_agent, customer, 1);
        _expectNoFeedback(_agent, address(reputation), 0);
        _expectNoFeedback(_agent, address(reputation), 2);
        _expectNoFeedback(_agent + (1 << 160), address(reputation), 1);
        assertEq(_view.getResponseCount(_agent, address(reputation), 1, new address[](0)), 0, "no answers");
    }

    function test_leavingHidesNoScore() public {
        reputation.penalise(owners[1], 2);
        unregister(owners[1], 1);
        assertSummary(_agent, address(reputation), "", "", 1);
    }

    function test_nothingIsBuiltOnNothing() public {
        vm.expectRevert(abi.encodeWithSelector(Erc8004Identity.Erc8004IdentityZeroAddress.selector));
        deployIdentity(INodeRegistry(address(0)));
        bytes memory zero = abi.encodeWithSelector(IErc8004Reputation.Erc8004ReputationZeroAddress.selector);
        vm.expectRevert(zero);
        deployReputationView(IErc8004Identity(address(0)), reputation);
        vm.expectRevert(zero);
        deployReputationView(_identity, IReputationLedger(address(0)));
    }

    function assertSummary(
        uint256 agent,
        address client,
        string memory tag1,
        string memory tag2,
        uint256 expected
    ) internal view {
        address[] memory clients = new address[](1);
        clients[0] = client;
        (uint64 count, int128 value, uint8 decimals) = _view.getSummary(agent, clients, tag1, tag2);
        assertEq(count, expected, "count");
        assertEq(uint128(value), expected * reputation.scoreOf(address(uint160(agent))), "value");
        assertEq(decimals, expected * 7, "decimals");
    }

    function assertSelector(bytes4 selector, string memory signature) internal pure {
        assertEq(bytes32(selector), bytes32(bytes4(keccak256(bytes(signature)))), signature);
    }

    function assertBytes(bytes memory left, bytes memory right) internal pure {
        assertEq(keccak256(left), keccak256(right), string(left));
    }

    function _expectNobody(uint256 agent) private {
        bytes memory nobody = abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, agent);
        vm.expectRevert(nobody);
        _identity.ownerOf(agent);
        vm.expectRevert(nobody);
        _identity.tokenURI(agent);
        vm.expectRevert(nobody);
        _identity.getMetadata(agent, "roles");
        vm.expectRevert(nobody);
        _identity.getAgentWallet(agent);
    }

    function _expectNoFeedback(uint256 agent, address client, uint64 index) private {
        vm.expectRevert(
            abi.encodeWithSelector(IErc8004Reputation.Erc8004ReputationNoFeedback.selector, agent, client, index)
        );
        _view.readFeedback(agent, client, index);
    }
}
