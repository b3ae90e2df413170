// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReputationLedger} from "../ReputationLedger.sol";
import {IQueryLedger} from "../interfaces/IQueryLedger.sol";
import {IReputationLedger} from "../interfaces/IReputationLedger.sol";
import {RatingSheet} from "../libraries/RatingSheet.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {ReputationFixture} from "./ReputationFixture.sol";

/// @dev An ERC-1271 wallet that accepts what its owner signed, until the owner is revoked.
contract Wallet {
    address public owner;

    constructor(address initial) {
        owner = initial;
    }

    function revoke() external {
        owner = address(1);
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        (bytes32 r, bytes32 s, uint8 v) = (bytes32(signature[:32]), bytes32(signature[32:64]), uint8(signature[64]));
        return ecrecover(digest, v, r, s) == owner ? this.isValidSignature.selector : bytes4(0);
    }
}

/// @title The customer's word: who may give it, when, how often, and what it moves.
contract FeedbackTest is ReputationFixture {
    event FeedbackGiven(bytes32 indexed queryId, address indexed customer, address[] nodes, uint8[] ratings);
    event ReputationUpdated(address indexed node, bytes32 indexed queryId, uint32 score, uint40 good, uint40 bad);
    event CredibilityUpdated(address indexed customer, uint32 credibility);

    /// @dev In storage, where the optimiser cannot read it anew after it was changed.
    uint256 private _chain = block.chainid;
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    function test_relayedFeedbackMovesNodeThenCredibility() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = settled(customer, 100);
        IReputationLedger.Feedback memory feedback = one(queryId, owners[1], 90);
        vm.expectEmit(address(reputation));
        emit FeedbackGiven(queryId, customer, feedback.nodes, feedback.ratings);
        vm.expectEmit(address(reputation));
        emit ReputationUpdated(owners[1], queryId, 3e8, 1e9 + 6e7, 0);
        vm.expectEmit(address(reputation));
        emit CredibilityUpdated(customer, 375e6);
        vm.prank(address(0xabc));
        reputation.giveFeedback(feedback, opening, _signed(feedback));
        (, , uint16 rated) = reputation.settlementOf(queryId);
        assertEq(rated, 2, "participant 1 is rated");
        assertEq(reputation.credibilityOf(customer), 375e6, "credibility");
        assertEq(reputation.feedbacksThisWeek(customer), 1, "counted");
    }

    function test_badRatingWeighsThreefold() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = settled(customer, 100);
        rate(customer, queryId, opening, mpcs[0], 0);
        assertEq(reputation.recordOf(mpcs[0]).bad, 225e6, "0.75 * 0.3");
        assertEq(reputation.credibilityOf(customer), 2625e5, "disagreement costs credibility");
    }

    function test_feedbackBeforeSettlementReverts() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = completed(customer);
        vm.expectRevert(abi.encodeWithSelector(IReputationLedger.ReputationLedgerNotSettled.selector, queryId));
        vm.prank(customer);
        reputation.giveFeedback(one(queryId, owners[0], 90), opening, "");
    }

    function test_feedbackAfterTheWindowReverts() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = settled(customer, 100);
        pass(START + WINDOW - clock);
        rate(customer, queryId, opening, owners[0], 90);
        pass(START + WINDOW + 1 - clock);
        vm.expectRevert(
            abi.encodeWithSelector(
                IReputationLedger.ReputationLedgerWindowClosed.selector,
                queryId,
                START + WINDOW
            )
        );
        vm.prank(customer);
        reputation.giveFeedback(one(queryId, owners[1], 90), opening, "");
    }

    function test_ratingTwiceReverts() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = settled(customer, 100);
        rate(customer, queryId, opening, mpcs[2], 90);
        _expectAlreadyRated(queryId, mpcs[2]);
        vm.prank(customer);
        reputation.giveFeedback(one(queryId, mpcs[2], 10), opening, "");
        IReputationLedger.Feedback memory twice = IReputationLedger.Feedback(
            queryId,
            new address[](2),
            new uint8[](2),
            uint64(block.timestamp)
        );
        (twice.nodes[0], twice.nodes[1]) = (mpcs[0], mpcs[0]);
        _expectAlreadyRated(queryId, mpcs[0]);
        vm.prank(customer);
        reputation.giveFeedback(twice, opening, "");
    }

    function test_ratingAStrangerReverts() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = settled(customer, 100);
        address[2] memory strangers = [address(0xbad), address(type(uint160).max)];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(
                abi.encodeWithSelector(
                    IReputationLedger.ReputationLedgerNotParticipant.selector,
                    queryId,
                    strangers[i]
                )
            );
            vm.prank(customer);
            reputation.giveFeedback(one(queryId, strangers[i], 90), opening, "");
        }
    }

    function test_operatorAndNodeCannotPraiseThemselves() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = settled(operator, 100);
        _expectSelfFeedback(operator, owners[1]);
        vm.prank(operator);
        reputation.giveFeedback(one(queryId, owners[1], 100), opening, "");
        rate(operator, queryId, opening, owners[0], 90);

        (queryId, opening) = settled(mpcs[0], 100);
        _expectSelfFeedback(mpcs[0], mpcs[0]);
        vm.prank(mpcs[0]);
        reputation.giveFeedback(one(queryId, mpcs[0], 100), opening, "");
    }

    function test_onlyTheCustomerSpeaks() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = settled(customer, 100);
        IReputationLedger.Feedback memory feedback = one(queryId, owners[0], 90);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, customer));
        vm.prank(operator);
        reputation.giveFeedback(feedback, opening, "");
        bytes memory foreign = signWith(OPERATOR_KEY, feedbackDigest(address(reputation), feedback));
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, customer));
        reputation.giveFeedback(feedback, opening, foreign);
        bytes memory signature = _signed(feedback);
        feedback.ratings[0] = 91;
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, customer));
        reputation.giveFeedback(feedback, opening, signature);
    }

    function test_customerOfAnotherQueryCannotBorrowIt() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = settled(customer, 100);
        opening.customer = operator;
        IReputationLedger.Feedback memory feedback = one(queryId, owners[0], 90);
        vm.prank(operator);
        (bool ok, bytes memory reason) = address(reputation).call(
            abi.encodeCall(reputation.giveFeedback, (feedback, opening, ""))
        );
        assertTrue(!ok, "refused");
        assertEq(bytes32(bytes4(reason)), bytes32(IQueryLedger.QueryLedgerBadOpening.selector), "opening");
    }

    function test_replayAcrossContractAndChainReverts() public {
        ReputationLedger other = deployReputation(registry, ledger, periods());
        other.grantRole(other.COORDINATOR_ROLE(), coordinator);
        (bytes32 queryId, IQueryLedger.Opening memory opening) = settled(customer, 100);
        other.settle(queryId, opening, all(100));
        IReputationLedger.Feedback memory feedback = one(queryId, owners[0], 90);
        bytes memory signature = _signed(feedback);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, customer));
        other.giveFeedback(feedback, opening, signature);
        vm.chainId(_chain + 1);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, customer));
        reputation.giveFeedback(feedback, opening, signature);
        vm.chainId(_chain);
        reputation.giveFeedback(feedback, opening, signature);
        _expectAlreadyRated(queryId, owners[0]);
        reputation.giveFeedback(feedback, opening, signature);
    }

    function test_malleableAndShortSignaturesRevert() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = settled(customer, 100);
        IReputationLedger.Feedback memory feedback = one(queryId, owners[0], 90);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(CUSTOMER_KEY, feedbackDigest(address(reputation), feedback));
        bytes memory high = abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, customer));
        reputation.giveFeedback(feedback, opening, high);
        bytes memory compact = abi.encodePacked(r, bytes32(uint256(s) | (uint256(v - 27) << 255)));
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, customer));
        reputation.giveFeedback(feedback, opening, compact);
    }

    function test_expiredAndEndlessDeadlinesRevert() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = settled(customer, 100);
        IReputationLedger.Feedback memory feedback = one(queryId, owners[0], 90);
        feedback.deadline = uint64(START - 1);
        bytes memory signature = _signed(feedback);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureExpired.selector, feedback.deadline));
        reputation.giveFeedback(feedback, opening, signature);
        feedback.deadline = type(uint64).max;
        signature = _signed(feedback);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureDeadlineTooFar.selector, feedback.deadline));
        reputation.giveFeedback(feedback, opening, signature);
    }

    function test_walletSpeaksUntilItsSignerIsRevoked() public {
        Wallet wallet = new Wallet(customer);
        (bytes32 queryId, IQueryLedger.Opening memory opening) = settled(address(wallet), 100);
        IReputationLedger.Feedback memory feedback = one(queryId, owners[0], 90);
        bytes memory first = _signed(feedback);
        IReputationLedger.Feedback memory later = one(queryId, owners[1], 90);
        bytes memory second = _signed(later);
        reputation.giveFeedback(feedback, opening, first);
        wallet.revoke();
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, address(wallet)));
        reputation.giveFeedback(later, opening, second);
    }

    function test_malformedFeedbackReverts() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = settled(customer, 100);
        IReputationLedger.Feedback memory feedback = one(queryId, owners[0], 101);
        vm.expectRevert(abi.encodeWithSelector(RatingSheet.RatingSheetBadPercentage.selector, 101));
        vm.prank(customer);
        reputation.giveFeedback(feedback, opening, "");
        feedback.ratings = new uint8[](2);
        vm.expectRevert(
            abi.encodeWithSelector(IReputationLedger.ReputationLedgerLengthMismatch.selector, 1, 2)
        );
        vm.prank(customer);
        reputation.giveFeedback(feedback, opening, "");
        (feedback.nodes, feedback.ratings) = (new address[](0), new uint8[](0));
        vm.expectRevert(abi.encodeWithSelector(IReputationLedger.ReputationLedgerNoRatings.selector, queryId));
        vm.prank(customer);
        reputation.giveFeedback(feedback, opening, "");
        (feedback.nodes, feedback.ratings) = (new address[](16), new uint8[](16));
        vm.expectRevert(
            abi.encodeWithSelector(IReputationLedger.ReputationLedgerNotParticipant.selector, queryId, address(0))
        );
        vm.prank(customer);
        reputation.giveFeedback(feedback, opening, "");
        (feedback.nodes, feedback.ratings) = (new address[](17), new uint8[](17));
        vm.expectRevert(
            abi.encodeWithSelector(IReputationLedger.ReputationLedgerTooManyParticipants.selector, 17, 16)
        );
        vm.prank(customer);
        reputation.giveFeedback(feedback, opening, "");
    }

    function test_eightFeedbacksAWeekCount() public {
        uint256 monday = (START / (7 * DAY) + 1) * 7 * DAY;
        pass(monday - clock);
        for (uint256 i = 0; i < 8; ++i) {
            (bytes32 queryId, IQueryLedger.Opening memory opening) = settled(customer, 100);
            rate(customer, queryId, opening, mpcs[0], 100);
        }
        uint256 credibility = reputation.credibilityOf(customer);
        (bytes32 ninth, IQueryLedger.Opening memory last) = settled(customer, 100);
        uint256 good = reputation.recordOf(mpcs[0]).good;
        vm.recordLogs();
        rate(customer, ninth, last, mpcs[0], 0);
        assertEq(vm.getRecordedLogs().length, 1, "recorded, and nothing moves");
        assertEq(reputation.recordOf(mpcs[0]).good, good, "score");
        assertEq(reputation.credibilityOf(customer), credibility, "credibility");
        pass(7 * DAY);
        rate(customer, ninth, last, mpcs[1], 100);
        assertTrue(reputation.credibilityOf(customer) > credibility, "a new week");
        assertEq(reputation.feedbacksThisWeek(customer), 1, "counts anew");
    }

    function test_aRatingThatCountsNothingIsStillAPercentage() public {
        bytes32 queryId;
        IQueryLedger.Opening memory opening;
        for (uint256 i = 0; i < 9; ++i) {
            (queryId, opening) = settled(customer, 100);
            if (i < 8) rate(customer, queryId, opening, mpcs[0], 100);
        }
        assertEq(reputation.feedbacksThisWeek(customer), 8, "the ninth moves nothing");
        IReputationLedger.Feedback memory feedback = IReputationLedger.Feedback(
            queryId,
            new address[](2),
            new uint8[](2),
            uint64(clock + DAY)
        );
        (feedback.nodes[0], feedback.nodes[1]) = (mpcs[0], mpcs[1]);
        (feedback.ratings[0], feedback.ratings[1]) = (100, 101);
        vm.expectRevert(abi.encodeWithSelector(RatingSheet.RatingSheetBadPercentage.selector, 101));
        vm.prank(customer);
        reputation.giveFeedback(feedback, opening, "");
        feedback.ratings[1] = 100;
        vm.prank(customer);
        reputation.giveFeedback(feedback, opening, "");
    }

    function test_feedbackOnUncontestedAndFailedQueries() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = completed(customer);
        pass(DAY);
        reputation.settleUncontested(queryId, opening);
        rate(customer, queryId, opening, owners[0], 90);
        opening.participants[0] = address(0xbad);
        _expectBadOpening(queryId, opening, one(queryId, address(0xbad), 90));

        (queryId, opening) = dispatch(customer);
        ledger.fail(queryId, opening, 4, address(0));
        reputation.settle(queryId, opening, all(70));
        rate(customer, queryId, opening, owners[0], 70);
        opening.resultHash = bytes32(uint256(1));
        rate(customer, queryId, opening, owners[1], 70);
        opening.participants[0] = address(0xbad);
        _expectBadOpening(queryId, opening, one(queryId, address(0xbad), 90));
    }

    function test_operatorCannotPraiseItselfOnAnUncontestedQuery() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = completed(operator);
        pass(DAY);
        reputation.settleUncontested(queryId, opening);
        _expectSelfFeedback(operator, owners[1]);
        vm.prank(operator);
        reputation.giveFeedback(one(queryId, owners[1], 100), opening, "");
    }

    function test_feedbackObeysTheEpochCap() public {
        for (uint256 i = 0; i < 3; ++i) settled(customer, 100);
        (bytes32 queryId, IQueryLedger.Opening memory opening) = settled(customer, 100);
        rate(customer, queryId, opening, mpcs[0], 100);
        assertEq(reputation.recordOf(mpcs[0]).good, 4e9, "four an epoch");
    }

    function _signed(IReputationLedger.Feedback memory feedback) private view returns (bytes memory) {
        return signWith(CUSTOMER_KEY, feedbackDigest(address(reputation), feedback));
    }

    function _expectBadOpening(
        bytes32 queryId,
        IQueryLedger.Opening memory opening,
        IReputationLedger.Feedback memory feedback
    ) private {
        feedback.queryId = queryId;
        vm.prank(customer);
        (bool ok, bytes memory reason) = address(reputation).call(
            abi.encodeCall(reputation.giveFeedback, (feedback, opening, ""))
        );
        assertTrue(!ok, "refused");
        assertEq(bytes32(bytes4(reason)), bytes32(IQueryLedger.QueryLedgerBadOpening.selector), "opening");
    }

    function _expectAlreadyRated(bytes32 queryId, address node) private {
        vm.expectRevert(
            abi.encodeWithSelector(IReputationLedger.ReputationLedgerAlreadyRated.selector, queryId, node)
        );
    }

    function _expectSelfFeedback(address by, address node) private {
        vm.expectRevert(
            abi.encodeWithSelector(IReputationLedger.ReputationLedgerSelfFeedback.selector, by, node)
        );
    }
}
