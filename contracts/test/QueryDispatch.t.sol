// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {QueryLedger} from "../QueryLedger.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IQueryLedger} from "../interfaces/IQueryLedger.sol";
import {AddressList} from "../libraries/AddressList.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {NetworkFixture} from "./NetworkFixture.sol";
import {KeyWallet} from "./Wallets.sol";

contract QueryDispatchTest is NetworkFixture {
    function refused(IQueryLedger.QueryOrder memory order, bytes memory reason) private {
        bytes memory signature = signWith(keyOf[order.customer], orderDigest(order));
        vm.expectRevert(reason);
        ledger.dispatch(order, signature);
    }

    function test_dispatchAnnouncesAndCommits() public {
        IQueryLedger.QueryOrder memory order = newOrder("a");
        bytes32 queryId = keccak256(abi.encode(block.chainid, address(ledger), customer, bytes32("a")));
        bytes memory signature = signWith(CUSTOMER_KEY, orderDigest(order));
        vm.expectEmit(address(ledger));
        emit IQueryLedger.QuerySubmitted(queryId, customer, order.specHash);
        vm.expectEmit(address(ledger));
        emit IQueryLedger.QueryDispatched(
            queryId, customer, order.specHash, order.owners, order.mpcs, order.resultKeyHash, 3600, 600, 500
        );
        vm.expectEmit(address(ledger));
        emit IQueryLedger.ReplacementLimit(queryId, 2);
        bytes32 answered = ledger.dispatch(order, signature);

        assertEq(answered, queryId, "id");
        assertEq(ledger.queryIdOf(customer, "a"), queryId, "id view");
        (IQueryLedger.QueryStatus status, uint8 generation, uint32 time) = ledger.statusOf(queryId);
        assertEq(uint256(status), 1, "status");
        assertEq(generation, 0, "generation");
        assertEq(time, START, "time");
        assertCommitted(queryId, openingOf(order));
    }

    function testFuzz_commitmentHoldsWhateverWasOrdered(
        bytes32 salt,
        bytes32 spec,
        bytes32 key,
        uint256 ownerCount,
        uint256 limit,
        uint256 maxRun,
        uint256 timer
    ) public {
        IQueryLedger.QueryOrder memory order = newOrder(salt);
        vm.assume(spec != 0 && key != 0);
        (order.specHash, order.resultKeyHash) = (spec, key);
        order.owners = firstOf(owners, bound(ownerCount, 1, 3));
        order.maxReplacements = uint8(bound(limit, 0, 10));
        order.maxRunSeconds = uint32(bound(maxRun, 1, 30 days));
        order.resultRetrySeconds = order.cleanupGraceSeconds = uint32(bound(timer, 0, 7 days));
        bytes32 queryId = dispatch(order);
        IQueryLedger.Opening memory opening = openingOf(order);
        assertCommitted(queryId, opening);
        (IQueryLedger.QueryStatus status, , ) = ledger.verifyParticipants(queryId, opening);
        assertEq(uint256(status), 1, "verified");
        opening.participants[0] = address(uint160(opening.participants[0]) ^ 1);
        (uint208 stored, , , ) = ledger.stateOf(queryId);
        vm.expectRevert(
            abi.encodeWithSelector(IQueryLedger.QueryLedgerBadOpening.selector, queryId, stored, commitmentOf(opening))
        );
        ledger.verifyParticipants(queryId, opening);
    }

    function test_customerMaySendInsteadOfSigning() public {
        IQueryLedger.QueryOrder memory order = newOrder("a");
        expectInvalid(customer);
        ledger.dispatch(order, "");
        vm.prank(customer);
        assertStatus(ledger.dispatch(order, ""), IQueryLedger.QueryStatus.Dispatched);
    }

    function test_walletCustomerSignsByErc1271() public {
        KeyWallet wallet = new KeyWallet(customer);
        IQueryLedger.QueryOrder memory order = newOrder("a");
        order.customer = address(wallet);
        bytes memory signature = signWith(CUSTOMER_KEY, orderDigest(order));
        assertStatus(ledger.dispatch(order, signature), IQueryLedger.QueryStatus.Dispatched);
        order.salt = "b";
        signature = signWith(CUSTOMER_KEY, orderDigest(order));
        wallet.revoke();
        expectInvalid(address(wallet));
        ledger.dispatch(order, signature);
    }

    function test_delegatedAccountStaysItsKeysToUse() public {
        address delegate = address(new KeyWallet(address(0)));
        vm.etch(customer, abi.encodePacked(hex"ef0100", delegate));
        IQueryLedger.QueryOrder memory order = newOrder("a");
        bytes memory signature = signWith(CUSTOMER_KEY, orderDigest(order));
        assertStatus(ledger.dispatch(order, signature), IQueryLedger.QueryStatus.Dispatched);
        order.salt = "b";
        signature = signWith(0xbad, orderDigest(order));
        expectInvalid(customer);
        ledger.dispatch(order, signature);
    }

    function test_anythingChangedInASignedOrderIsRefused() public {
        IQueryLedger.QueryOrder memory order = newOrder("a");
        bytes memory signature = signWith(CUSTOMER_KEY, orderDigest(order));
        for (uint256 field = 0; field < 9; ++field) {
            IQueryLedger.QueryOrder memory changed = newOrder("a");
            if (field == 0) changed.salt = "b";
            else if (field == 1) changed.specHash = "other";
            else if (field == 2) changed.owners = firstOf(owners, 2);
            else if (field == 3) changed.mpcs[2] = mpcs[3];
            else if (field == 4) changed.resultKeyHash = "other";
            else if (field == 5) changed.maxRunSeconds = 1;
            else if (field == 6) changed.resultRetrySeconds = 1;
            else if (field == 7) changed.cleanupGraceSeconds = 1;
            else changed.maxReplacements = 3;
            expectInvalid(customer);
            ledger.dispatch(changed, signature);
        }
    }

    function test_theSameQueryIdIsUsedOnce() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = dispatched("a");
        bytes memory once = abi.encodeWithSelector(
            IQueryLedger.QueryLedgerWrongStatus.selector,
            queryId,
            IQueryLedger.QueryStatus.Dispatched
        );
        refused(newOrder("a"), once);
        ledger.fail(queryId, opening, 4, address(0));
        refused(
            newOrder("a"),
            abi.encodeWithSelector(IQueryLedger.QueryLedgerWrongStatus.selector, queryId, IQueryLedger.QueryStatus.Failed)
        );
    }

    function test_nobodySquatsAnothersQueryId() public {
        IQueryLedger.QueryOrder memory order = newOrder("a");
        order.customer = vm.addr(0xbad);
        keyOf[order.customer] = 0xbad;
        bytes32 squatted = dispatch(order);
        (bytes32 queryId, ) = dispatched("a");
        assertTrue(squatted != queryId, "ids differ");
    }

    function test_replayOnOtherChainOrContractFails() public {
        IQueryLedger.QueryOrder memory order = newOrder("a");
        bytes memory signature = signWith(CUSTOMER_KEY, orderDigest(order));
        QueryLedger other = deployLedger(registry, 0);
        expectInvalid(customer);
        other.dispatch(order, signature);
        vm.chainId(5);
        expectInvalid(customer);
        ledger.dispatch(order, signature);
    }

    function test_deadlinesAreNeitherPastNorInfinite() public {
        IQueryLedger.QueryOrder memory order = newOrder("a");
        order.deadline = uint64(START - 1);
        refused(order, abi.encodeWithSelector(Signatures.SignatureExpired.selector, order.deadline));
        order.deadline = type(uint64).max;
        refused(order, abi.encodeWithSelector(Signatures.SignatureDeadlineTooFar.selector, order.deadline));
    }

    function test_listsMustAscendWithoutDuplicates() public {
        IQueryLedger.QueryOrder memory order = newOrder("a");
        order.owners[1] = order.owners[0];
        bytes4 selector = IQueryLedger.QueryLedgerNotAscending.selector;
        refused(order, abi.encodeWithSelector(selector, owners[0], owners[0]));
        order = newOrder("a");
        (order.mpcs[1], order.mpcs[2]) = (order.mpcs[2], order.mpcs[1]);
        refused(order, abi.encodeWithSelector(selector, mpcs[2], mpcs[1]));
        order = newOrder("a");
        order.owners[0] = address(0);
        refused(order, abi.encodeWithSelector(IQueryLedger.QueryLedgerZeroAddress.selector));
    }

    /// @dev The compiler would not encode such an order: the word is spoilt in the calldata.
    function test_dirtyAddressesAreRefused() public {
        bytes memory spoilt = abi.encodeCall(ledger.dispatch, (newOrder("a"), ""));
        address clean = owners[1];
        uint256 places;
        for (uint256 i = 4; i + 32 <= spoilt.length; i += 32) {
            assembly ("memory-safe") {
                let place := add(add(spoilt, 32), i)
                if eq(mload(place), clean) {
                    mstore(place, or(clean, shl(200, 1)))
                    places := add(places, 1)
                }
            }
        }
        assertEq(places, 1, "places");
        vm.prank(customer);
        (bool done, bytes memory answer) = address(ledger).call(spoilt);
        assertTrue(!done, "a dirty order");
        assertEq(bytes32(answer), bytes32(AddressList.AddressListDirty.selector), "reason");
    }

    function test_participantCountsAreBounded() public {
        IQueryLedger.QueryOrder memory order = newOrder("a");
        order.maxReplacements = 11;
        refused(order, abi.encodeWithSelector(IQueryLedger.QueryLedgerTooManyParticipants.selector, 17, 16));
        order.owners = new address[](5000);
        order.maxReplacements = 0;
        refused(order, abi.encodeWithSelector(IQueryLedger.QueryLedgerTooManyParticipants.selector, 5003, 16));
        order.owners = new address[](0);
        refused(order, abi.encodeWithSelector(IQueryLedger.QueryLedgerNoOwner.selector));
        order = newOrder("a");
        order.mpcs = firstOf(mpcs, 4);
        refused(order, abi.encodeWithSelector(IQueryLedger.QueryLedgerNotThreeMpcs.selector, 4));
        order.mpcs = firstOf(mpcs, 2);
        refused(order, abi.encodeWithSelector(IQueryLedger.QueryLedgerNotThreeMpcs.selector, 2));
    }

    function test_emptyHashesAndWildTimersAreRefused() public {
        IQueryLedger.QueryOrder memory order = newOrder("a");
        order.specHash = 0;
        refused(order, abi.encodeWithSelector(IQueryLedger.QueryLedgerZeroSpecHash.selector));
        order = newOrder("a");
        order.resultKeyHash = 0;
        refused(order, abi.encodeWithSelector(IQueryLedger.QueryLedgerZeroResultKeyHash.selector));
        bytes4 selector = IQueryLedger.QueryLedgerBadTimers.selector;
        order = newOrder("a");
        order.maxRunSeconds = 0;
        refused(order, abi.encodeWithSelector(selector, 0, 600, 500));
        order.maxRunSeconds = 30 days + 1;
        refused(order, abi.encodeWithSelector(selector, 30 days + 1, 600, 500));
        order = newOrder("a");
        order.resultRetrySeconds = 7 days + 1;
        refused(order, abi.encodeWithSelector(selector, 3600, 7 days + 1, 500));
        order = newOrder("a");
        order.cleanupGraceSeconds = type(uint32).max;
        refused(order, abi.encodeWithSelector(selector, 3600, 600, type(uint32).max));
    }

    function test_membersMustBeActiveInTheirRoles() public {
        bytes4 selector = INodeRegistry.NodeRegistryNotEligible.selector;
        IQueryLedger.QueryOrder memory order = newOrder("a");
        order.owners = new address[](1);
        order.owners[0] = mpcs[4];
        refused(order, abi.encodeWithSelector(selector, mpcs[4], OWNER));
        order.owners[0] = vm.addr(999);
        refused(order, abi.encodeWithSelector(selector, order.owners[0], OWNER));
        registry.grantRole(registry.SUSPENDER_ROLE(), address(this));
        registry.setSuspended(mpcs[1], true);
        refused(newOrder("a"), abi.encodeWithSelector(selector, mpcs[1], MPC));
        registry.setSuspended(mpcs[1], false);
        unregister(mpcs[2], 1);
        refused(newOrder("a"), abi.encodeWithSelector(selector, mpcs[2], MPC));
    }

    function test_nobodyIsOwnerAndMpcAtOnce() public {
        address both = vm.addr(0xb07);
        keyOf[both] = 0xb07;
        register(registration(both, both, 3, 1));
        IQueryLedger.QueryOrder memory order = newOrder("a");
        order.owners = new address[](1);
        order.owners[0] = order.mpcs[0] = both;
        for (uint256 i = 1; i < 3 && order.mpcs[i] < both; ++i) {
            (order.mpcs[i - 1], order.mpcs[i]) = (order.mpcs[i], both);
        }
        refused(order, abi.encodeWithSelector(IQueryLedger.QueryLedgerOwnerIsMpc.selector, both));
    }

    function test_theTrioHasThreeOperators() public {
        uint8[2][3] memory pairs = [[0, 1], [0, 2], [1, 2]];
        for (uint256 i = 0; i < 3; ++i) {
            (address first, address second) = (mpcs[pairs[i][0]], mpcs[pairs[i][1]]);
            IQueryLedger.QueryOrder memory order = newOrder("a");
            inStead(order.mpcs, second, operated(0xb10 + i, first, MPC));
            refused(order, abi.encodeWithSelector(IQueryLedger.QueryLedgerSharedOperator.selector, first));
        }
        assertStatus(dispatch(newOrder("a")), IQueryLedger.QueryStatus.Dispatched);
    }

    function test_insidersAreMarked() public {
        (bytes32 queryId, ) = dispatched("a");
        (, , bool insider, ) = ledger.stateOf(queryId);
        assertTrue(!insider, "a stranger");
        IQueryLedger.QueryOrder memory order = newOrder("b");
        order.customer = owners[1];
        (, , insider, ) = ledger.stateOf(dispatch(order));
        assertTrue(insider, "an owner");
        order = newOrder("c");
        inStead(order.mpcs, mpcs[1], operated(0xb10, customer, MPC));
        (, , insider, ) = ledger.stateOf(dispatch(order));
        assertTrue(insider, "an operator");
    }

    function test_membersAreInsidersWhoeverOperatesThem() public {
        for (uint256 i = 0; i < 2; ++i) {
            IQueryLedger.QueryOrder memory order = newOrder(bytes32(i));
            order.customer = operated(0xb10 + i, mpcs[5], i == 0 ? OWNER : MPC);
            if (i == 0) inStead(order.owners, owners[0], order.customer);
            else inStead(order.mpcs, mpcs[0], order.customer);
            (, , bool insider, ) = ledger.stateOf(dispatch(order));
            assertTrue(insider, "a member");
        }
    }

    function test_theLongestTimersAreAccepted() public {
        IQueryLedger.QueryOrder memory order = newOrder("a");
        (order.maxRunSeconds, order.resultRetrySeconds, order.cleanupGraceSeconds) = (30 days, 7 days, 7 days);
        assertStatus(dispatch(order), IQueryLedger.QueryStatus.Dispatched);
    }

    function test_zeroCustomerIsRefused() public {
        IQueryLedger.QueryOrder memory order = newOrder("a");
        order.customer = address(0);
        vm.expectRevert(abi.encodeWithSelector(IQueryLedger.QueryLedgerZeroAddress.selector));
        ledger.dispatch(order, abi.encodePacked(bytes32(0), bytes32(0), uint8(27)));
        vm.expectRevert(abi.encodeWithSelector(IQueryLedger.QueryLedgerZeroAddress.selector));
        deployLedger(INodeRegistry(address(0)), 0);
    }

    function test_pauseStopsDispatchAndNothingElse() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = dispatched("a");
        (bytes32 other, ) = dispatched("b");
        ledger.grantRole(ledger.PAUSER_ROLE(), address(this));
        ledger.pause();
        refused(newOrder("c"), abi.encodeWithSelector(Pausable.EnforcedPause.selector));
        ledger.fail(queryId, opening, 4, address(0));
        ledger.cleanup(queryId);
        ledger.complete(other, commitmentOf(opening), shares(3));
        assertStatus(other, IQueryLedger.QueryStatus.Completed);
    }
}
