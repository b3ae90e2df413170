// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {QueryLedger} from "../QueryLedger.sol";
import {IDetectorQuorum} from "../interfaces/IDetectorQuorum.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IQueryLedger} from "../interfaces/IQueryLedger.sol";
import {IReputationLedger} from "../interfaces/IReputationLedger.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {QuorumFixture} from "./QuorumFixture.sol";
import {Rehearsal} from "./Rehearsal.sol";
import {BombWallet, KeyWallet} from "./Wallets.sol";

/// @title Attacks that cross contracts, or that no suite of one contract tries.
contract AttacksTest is QuorumFixture, Rehearsal {
    uint256 private constant SECOND_KEY = 0x5ec0d;
    uint256 private constant PLENTY = 3_000_000;
    bytes32 private constant FEEDBACK =
        keccak256("Feedback(bytes32 queryId,address[] nodes,uint8[] ratings,uint64 deadline)");

    /// @dev Contracts are never upgraded in place: their successor is another verifying contract.
    function test_nothingSignedForAContractHoldsForItsSuccessor() public {
        (QueryLedger next, bytes32 queryId, IQueryLedger.Opening memory opening) = _successor();
        IQueryLedger.QueryOrder memory order = newOrder("a");
        bytes memory signature = signWith(CUSTOMER_KEY, orderDigest(order));
        expectInvalid(customer);
        next.dispatch(order, signature);
        IQueryLedger.Replacement memory r = newReplacement();
        bytes memory report = lossReport(queryId, 0, opening, r);
        expectInvalid(owners[0]);
        next.replaceMpc(queryId, opening, r, report);
        signature = _cancellation(queryId);
        expectInvalid(customer);
        next.cancel(queryId, opening, soon(), signature);
    }

    function test_nothingSignedForAChainHoldsOnAnother() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 1);
        (bytes32 queryId, IQueryLedger.Opening memory opening) = dispatched("a");
        IQueryLedger.Replacement memory r = newReplacement();
        bytes memory report = lossReport(queryId, 0, opening, r);
        bytes memory cancellation = _cancellation(queryId);
        bytes memory appeal_ = signWith(keyOf[accused], appealDigest(claimId, "alibi"));
        vm.chainId(5);
        expectInvalid(owners[0]);
        ledger.replaceMpc(queryId, opening, r, report);
        expectInvalid(customer);
        ledger.cancel(queryId, opening, soon(), cancellation);
        expectInvalid(accused);
        quorum.appeal(claimId, claim, "alibi", soon(), appeal_);
        vm.chainId(31337);
        ledger.cancel(queryId, opening, soon(), cancellation);
        quorum.appeal(claimId, claim, "alibi", soon(), appeal_);
    }

    function test_malleableAndShortSignaturesOrderAndReportNothing() public {
        IQueryLedger.QueryOrder memory order = newOrder("a");
        bytes[2] memory bad = _spoilt(signWith(CUSTOMER_KEY, orderDigest(order)));
        for (uint256 i = 0; i < 2; ++i) {
            expectInvalid(customer);
            ledger.dispatch(order, bad[i]);
        }
        (bytes32 queryId, IQueryLedger.Opening memory opening) = dispatched("a");
        IQueryLedger.Replacement memory r = newReplacement();
        bad = _spoilt(lossReport(queryId, 0, opening, r));
        for (uint256 i = 0; i < 2; ++i) {
            expectInvalid(owners[0]);
            ledger.replaceMpc(queryId, opening, r, bad[i]);
        }
        bad = _spoilt(_cancellation(queryId));
        for (uint256 i = 0; i < 2; ++i) {
            expectInvalid(customer);
            ledger.cancel(queryId, opening, soon(), bad[i]);
        }
    }

    function test_malleableAndShortSignaturesAppealNothing() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 1);
        bytes[2] memory bad = _spoilt(signWith(keyOf[accused], appealDigest(claimId, "alibi")));
        for (uint256 i = 0; i < 2; ++i) {
            expectInvalid(accused);
            quorum.appeal(claimId, claim, "alibi", soon(), bad[i]);
        }
    }

    /// @dev Nothing here trusts a forwarder or batches calls: bytes behind the arguments name no sender.
    function test_aSenderAppendedToTheCallIsNotBelieved() public {
        INodeRegistry.Unregistration memory x = INodeRegistry.Unregistration(accused, 1, soon());
        bytes memory call = bytes.concat(abi.encodeCall(registry.unregister, (x, "")), abi.encodePacked(accused));
        expectRefusalBy(address(registry), Signatures.SignatureInvalid.selector, call);
        IQueryLedger.QueryOrder memory order = newOrder("a");
        call = bytes.concat(abi.encodeCall(ledger.dispatch, (order, "")), abi.encodePacked(customer));
        expectRefusalBy(address(ledger), Signatures.SignatureInvalid.selector, call);
        bytes[] memory calls = new bytes[](1);
        calls[0] = call;
        expectFailure(address(ledger), abi.encodeWithSignature("multicall(bytes[])", calls));
    }

    /// @dev A relayer that gives too little gas changes nothing, and the next relayer may send the same.
    function test_aStarvedRelayMovesNothingAndSpoilsNothing() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = _settled("a", customer, 100);
        (IReputationLedger.Feedback memory feedback, bytes memory signature) = _praise(queryId, CUSTOMER_KEY);
        bytes memory call = abi.encodeCall(reputation.giveFeedback, (feedback, opening, signature));
        bytes32 before = keccak256(abi.encode(reputation.recordOf(accused)));
        _starve(address(reputation), call);
        assertEq(keccak256(abi.encode(reputation.recordOf(accused))), before, "nothing moved");
        assertEq(reputation.credibilityOf(customer), 3e8, "nor the customer");
        (bool ok, ) = address(reputation).call(call);
        assertTrue(ok, "sent again");
    }

    /// @dev A call that runs dry leaves its caller a sixty-fourth (EIP-150): no claim outlives its suspension that way.
    function test_aStarvedVerdictNeverSparesTheSuspension() public {
        nextEpoch();
        IDetectorQuorum.Accusation memory a = accuse(LIVENESS, 3);
        (IDetectorQuorum.Ballot memory ballot, bytes32 claimId) = committed(a, FIVE);
        bytes memory call = abi.encodeCall(quorum.uphold, (a, ballot));
        _starve(address(quorum), call);
        assertClaim(claimId, IDetectorQuorum.Status.Committed);
        assertTrue(!isSuspended(accused), "nothing moved");
        (bool ok, ) = address(quorum).call(call);
        assertTrue(ok && isSuspended(accused), "sent again");
    }

    function test_endlessDeadlinesReportCancelAndAppealNothing() public {
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheld(LIVENESS, 1);
        (bytes32 queryId, IQueryLedger.Opening memory opening) = dispatched("a");
        uint64 endless = type(uint64).max;
        bytes memory refusal = abi.encodeWithSelector(Signatures.SignatureDeadlineTooFar.selector, endless);
        IQueryLedger.Replacement memory r = newReplacement();
        r.deadline = endless;
        bytes memory signature = lossReport(queryId, 0, opening, r);
        vm.expectRevert(refusal);
        ledger.replaceMpc(queryId, opening, r, signature);
        bytes32 structHash = keccak256(abi.encode(CANCELLATION, queryId, endless));
        signature = signWith(CUSTOMER_KEY, digestFor(address(ledger), structHash));
        vm.expectRevert(refusal);
        ledger.cancel(queryId, opening, endless, signature);
        structHash = keccak256(abi.encode(APPEAL, claimId, bytes32("alibi"), endless));
        signature = signWith(keyOf[accused], digestFor(address(quorum), structHash));
        vm.expectRevert(refusal);
        quorum.appeal(claimId, claim, "alibi", endless, signature);
    }

    function test_walletsReportLossesUntilRevoked() public {
        KeyWallet wallet = _walletNode();
        (bytes32 first, IQueryLedger.Opening memory opening) = _dispatchedOf(address(wallet), "a");
        (bytes32 second, IQueryLedger.Opening memory next) = _dispatchedOf(address(wallet), "b");
        IQueryLedger.Replacement memory r = newReplacement();
        r.lostIndex = 1;
        ledger.replaceMpc(first, opening, r, lossReport(first, 0, opening, r));
        assertCommitted(first, afterReplacement(opening, r));
        bytes memory report = lossReport(second, 0, next, r);
        wallet.revoke();
        expectInvalid(address(wallet));
        ledger.replaceMpc(second, next, r, report);
    }

    function test_walletsAppealUntilRevoked() public {
        KeyWallet wallet = _walletNode();
        accused = address(wallet);
        (bytes32 first, IDetectorQuorum.Claim memory a) = upheld(LIVENESS, 2);
        appeal(first, a);
        assertClaim(first, IDetectorQuorum.Status.Appealed);
        (bytes32 second, IDetectorQuorum.Claim memory b) = upheld(LIVENESS, 2);
        bytes memory signature = signWith(SECOND_KEY, appealDigest(second, "alibi"));
        wallet.revoke();
        expectInvalid(address(wallet));
        quorum.appeal(second, b, "alibi", soon(), signature);
    }

    function test_aReturndataBombOrdersAndRatesNothing() public {
        IQueryLedger.QueryOrder memory order = newOrder("a");
        order.customer = address(new BombWallet());
        expectInvalid(order.customer);
        ledger.dispatch{gas: 10_000_000}(order, "no signature");
    }

    /// @dev Lists are hashed one by one, and the opening says where the owners end: moving the border opens nothing.
    function test_theBorderBetweenListsIsCommitted() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = dispatched("a");
        opening.ownerCount -= 1;
        (uint208 stored, , , ) = ledger.stateOf(queryId);
        vm.expectRevert(
            abi.encodeWithSelector(
                IQueryLedger.QueryLedgerBadOpening.selector,
                queryId,
                stored,
                commitmentOf(opening)
            )
        );
        ledger.fail(queryId, opening, 4, address(0));
    }

    /// @dev A second key that operates nothing cannot be told from a stranger. What it gains in a week: eight ratings of
    /// a quarter of its credibility, and never more than an epoch's four.
    function test_aSecondKeyGainsLittle() public {
        address second = vm.addr(SECOND_KEY);
        keyOf[second] = SECOND_KEY;
        uint256 expected;
        for (uint256 i = 0; i < 10; ++i) {
            (bytes32 queryId, IQueryLedger.Opening memory opening) = _settled(bytes32(i), second, 0);
            uint256 credibility = reputation.credibilityOf(second);
            uint256 before = reputation.recordOf(accused).good;
            (IReputationLedger.Feedback memory feedback, bytes memory signature) = _praise(queryId, SECOND_KEY);
            reputation.giveFeedback(feedback, opening, signature);
            uint256 gained = reputation.recordOf(accused).good - before;
            assertEq(gained, i < 8 ? credibility / 4 : 0, "a quarter of its credibility, eight times");
            expected += gained;
        }
        assertEq(reputation.recordOf(accused).good, expected, "nothing else");
        assertLe(expected, 8 * uint256(3e8) / 4, "less and less");
        assertLe(reputation.credibilityOf(second), 2e8, "as it praises what failed");
        assertLe(reputation.scoreOf(accused), 3e8, "no better than a newcomer");
    }

    /// @dev Credibility grows by agreeing and is spent by one lie that the limit of the epoch holds.
    function test_farmedCredibilityBuysOneQuarter() public {
        for (uint256 i = 0; i < 8; ++i) {
            (bytes32 queryId_, IQueryLedger.Opening memory opening_) = _settled(bytes32(i), customer, 100);
            (IReputationLedger.Feedback memory honest, bytes memory signed) = _praise(queryId_, CUSTOMER_KEY);
            reputation.giveFeedback(honest, opening_, signed);
        }
        pass(7 * DAY);
        uint256 credibility = reputation.credibilityOf(customer);
        (bytes32 queryId, IQueryLedger.Opening memory opening) = _settled("lie", customer, 0);
        uint256 before = reputation.recordOf(accused).good;
        (IReputationLedger.Feedback memory lie, bytes memory signature) = _praise(queryId, CUSTOMER_KEY);
        reputation.giveFeedback(lie, opening, signature);
        assertEq(reputation.recordOf(accused).good - before, credibility / 4, "a quarter");
        assertEq(reputation.credibilityOf(customer), (7 * credibility) / 8, "an eighth is spent");
    }

    function test_nobodyTakesTheAdministrationOver() public {
        bytes32 administrator = registry.DEFAULT_ADMIN_ROLE();
        bytes32 coordinator = ledger.COORDINATOR_ROLE();
        bytes4 stranger = IAccessControl.AccessControlUnauthorizedAccount.selector;
        vm.expectRevert(abi.encodeWithSelector(stranger, accused, administrator));
        vm.prank(accused);
        ledger.grantRole(coordinator, accused);
        vm.expectRevert(abi.encodeWithSelector(stranger, accused, administrator));
        vm.prank(accused);
        registry.beginDefaultAdminTransfer(accused);
        vm.expectRevert(abi.encodeWithSignature("AccessControlEnforcedDefaultAdminRules()"));
        registry.grantRole(administrator, accused);
        vm.expectRevert(abi.encodeWithSelector(stranger, address(this), reputation.PENALTY_ROLE()));
        reputation.penalise(accused, 1);
    }

    /// @dev Neither at once nor by mistake: giving the administration up is announced and takes the delay.
    function test_nobodyLocksTheAdministrationOut() public {
        bytes32 administrator = registry.DEFAULT_ADMIN_ROLE();
        vm.expectRevert(abi.encodeWithSignature("AccessControlEnforcedDefaultAdminDelay(uint48)", 0));
        registry.renounceRole(administrator, address(this));
        vm.expectRevert(abi.encodeWithSignature("AccessControlEnforcedDefaultAdminRules()"));
        registry.revokeRole(administrator, address(this));
        registry.beginDefaultAdminTransfer(accused);
        registry.cancelDefaultAdminTransfer();
        pass(3 * DAY);
        expectFailure(address(registry), abi.encodeCall(registry.acceptDefaultAdminTransfer, ()));
        assertEq(registry.defaultAdmin(), address(this), "still there");
    }

    function test_tooManySeatsAreRefused() public {
        address[] memory many = newNodes(20_000, 240, DETECTOR);
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumTooManySeats.selector, 256));
        vm.prank(address(governor));
        quorum.rotate(new address[](0), many);
    }

    /// @dev Seats that shrink after a claim may leave too few strangers for its appeal: nobody is drawn, it stands.
    function test_tooFewSeatsForAnAppealDecideNothing() public {
        nextEpoch();
        accused = detectors[0];
        (bytes32 claimId, IDetectorQuorum.Claim memory claim) = upheldNow(accuse(LIVENESS, 2));
        appeal(claimId, claim);
        address[] memory panel = quorum.panelOf(accused, claim.accusation.epoch);
        address[] memory removed = new address[](4);
        uint256 next;
        for (uint256 i = 1; next < 4; ++i) if (!_among(panel, detectors[i])) removed[next++] = detectors[i];
        vm.prank(address(governor));
        quorum.rotate(removed, new address[](0));
        vm.prank(address(governor));
        quorum.setTerms(IDetectorQuorum.Terms(5, 3, 24, 720, 0x01333230));
        nextEpoch();
        vm.expectRevert(abi.encodeWithSelector(IDetectorQuorum.DetectorQuorumTooFewSeats.selector, 12, 13));
        quorum.commitReversal(claimId, claim, new bytes32[](5));
        pass(2 * HOUR);
        quorum.finalise(claimId, claim);
        assertClaim(claimId, IDetectorQuorum.Status.Final);
    }

    /// @dev Finds the least gas that suffices, and tries sixty limits below it, most of them close. Whatever goes through,
    /// above or below, logs all that it logs with plenty.
    function _starve(address target, bytes memory call) private {
        (bool done, bytes32 logs) = (false, bytes32(0));
        (bool enough, bytes32 full) = rehearsed(address(this), target, PLENTY, call);
        assertTrue(enough, "with plenty");
        (uint256 low, uint256 high) = (0, PLENTY);
        while (high - low > 1) {
            uint256 middle = (low + high) / 2;
            (done, logs) = rehearsed(address(this), target, middle, call);
            assertTrue(!done || logs == full, "all or nothing");
            if (done) high = middle;
            else low = middle;
        }
        assertLe(30_000, high, "no small matter");
        for (uint256 i = 0; i < 60; ++i) {
            (done, ) = rehearsed(address(this), target, high - 1 - (high * i * i) / 3600, call);
            assertTrue(!done, "starved");
        }
    }

    /// @dev An owner that is a contract, whose signatures are its key's.
    function _walletNode() private returns (KeyWallet wallet) {
        wallet = new KeyWallet(vm.addr(SECOND_KEY));
        keyOf[address(wallet)] = SECOND_KEY;
        register(registration(address(wallet), address(wallet), OWNER, 1));
    }

    function _dispatchedOf(
        address owner,
        bytes32 salt
    ) private returns (bytes32 queryId, IQueryLedger.Opening memory opening) {
        IQueryLedger.QueryOrder memory order = newOrder(salt);
        order.owners = new address[](1);
        order.owners[0] = owner;
        return (dispatch(order), openingOf(order));
    }

    function _among(address[] memory list, address one) private pure returns (bool) {
        for (uint256 i = 0; i < list.length; ++i) if (list[i] == one) return true;
        return false;
    }

    function _successor() private returns (QueryLedger next, bytes32 queryId, IQueryLedger.Opening memory opening) {
        next = deployLedger(registry, 0);
        next.grantRole(next.COORDINATOR_ROLE(), address(this));
        IQueryLedger.QueryOrder memory order = newOrder("b");
        vm.prank(customer);
        queryId = next.dispatch(order, "");
        opening = openingOf(order);
    }

    function _cancellation(bytes32 queryId) private view returns (bytes memory) {
        bytes32 structHash = keccak256(abi.encode(CANCELLATION, queryId, soon()));
        return signWith(CUSTOMER_KEY, digestFor(address(ledger), structHash));
    }

    /// @dev The same signature with a high s, and in 64 bytes (EIP-2098).
    function _spoilt(bytes memory signature) private pure returns (bytes[2] memory bad) {
        bad[0] = flipped(signature);
        bytes memory compact = slice(signature, 0, 64);
        if (uint8(signature[64]) == 28) compact[32] = compact[32] | bytes1(0x80);
        bad[1] = compact;
    }

    function _settled(
        bytes32 salt,
        address by,
        uint8 observation
    ) private returns (bytes32 queryId, IQueryLedger.Opening memory opening) {
        IQueryLedger.QueryOrder memory order = newOrder(salt);
        order.customer = by;
        queryId = dispatch(order);
        opening = openingOf(order);
        ledger.complete(queryId, commitmentOf(opening), shares(2));
        opening.resultHash = keccak256(abi.encodePacked(shares(2)));
        uint8[] memory observations = new uint8[](6);
        for (uint256 i = 0; i < 6; ++i) observations[i] = observation;
        reputation.settle(queryId, opening, observations);
    }

    /// @dev A hundred percent for the accused.
    function _praise(
        bytes32 queryId,
        uint256 key
    ) private view returns (IReputationLedger.Feedback memory feedback, bytes memory signature) {
        (address[] memory nodes, uint8[] memory ratings) = (new address[](1), new uint8[](1));
        (nodes[0], ratings[0]) = (accused, 100);
        feedback = IReputationLedger.Feedback(queryId, nodes, ratings, soon());
        bytes32 structHash = keccak256(
            abi.encode(
                FEEDBACK,
                queryId,
                keccak256(abi.encodePacked(uint256(uint160(accused)))),
                keccak256(abi.encodePacked(uint256(100))),
                feedback.deadline
            )
        );
        signature = signWith(key, digestFor(address(reputation), structHash));
    }
}
