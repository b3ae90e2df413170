// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDetectorQuorum} from "../interfaces/IDetectorQuorum.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IQueryLedger} from "../interfaces/IQueryLedger.sol";
import {IReputationLedger} from "../interfaces/IReputationLedger.sol";
import {AddressList} from "../libraries/AddressList.sol";
import {QuorumFixture} from "./QuorumFixture.sol";
import {Rehearsal} from "./Rehearsal.sol";

/// @title Words of calldata with bits above their type: addresses, percentages, numbers, offsets and lengths alike.
/// @dev The compiler would not encode them. Each call is made by whoever may do so without a signature, as a signature
/// would refuse most of the dirt by itself; words that hold more than an address, hashes above all, are left alone.
contract DirtyWordsTest is QuorumFixture, Rehearsal {
    uint256 private constant PLENTY = 5_000_000;

    function setUp() public override {
        super.setUp();
        reputation.grantRole(reputation.PENALTY_ROLE(), address(this));
        registry.grantRole(registry.SUSPENDER_ROLE(), address(this));
    }

    function test_ofRegistryCalls() public {
        address node = vm.addr(77);
        INodeRegistry.Registration memory r = registration(node, node, 7, 1);
        _withstands(node, address(registry), abi.encodeCall(registry.register, (r, "", "")));
        r = registration(mpcs[0], mpcs[0], 2, 1);
        INodeRegistry.NodeUpdate memory u = INodeRegistry.NodeUpdate(
            mpcs[0],
            3,
            512,
            r.tlsKeyHash,
            r.profileHash,
            2,
            1,
            soon()
        );
        bytes memory update = abi.encodeCall(registry.update, (u, "", r.tlsKeyHash, r.profileHash));
        _withstands(mpcs[0], address(registry), update);
        INodeRegistry.Unregistration memory x = INodeRegistry.Unregistration(mpcs[0], 1, soon());
        _withstands(mpcs[0], address(registry), abi.encodeCall(registry.unregister, (x, "")));
        bytes memory suspension = abi.encodeCall(registry.setSuspended, (mpcs[0], true));
        _withstands(address(this), address(registry), suspension);
    }

    function test_ofAnOrder() public {
        bytes memory call = abi.encodeCall(ledger.dispatch, (newOrder("a"), ""));
        assertLe(17, _withstands(customer, address(ledger), call), "numbers, three owners and a trio");
    }

    function test_ofAReplacement() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = dispatched("a");
        IQueryLedger.Replacement memory r = newReplacement();
        bytes memory report = lossReport(queryId, 0, opening, r);
        bytes memory call = abi.encodeCall(ledger.replaceMpc, (queryId, opening, r, report));
        assertLe(17, _withstands(address(this), address(ledger), call), "six participants, three candidates");
    }

    function test_ofEnds() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = dispatched("a");
        address me = address(this);
        bytes memory completion = abi.encodeCall(ledger.complete, (queryId, commitmentOf(opening), shares(3)));
        (bool done, ) = rehearsed(me, address(ledger), PLENTY, completion);
        assertTrue(done, "every word of a completion is a hash");
        _withstands(me, address(ledger), abi.encodeCall(ledger.fail, (queryId, opening, 4, mpcs[0])));
        _withstands(customer, address(ledger), abi.encodeCall(ledger.cancel, (queryId, opening, soon(), "")));
        pass(DAY);
        IQueryLedger.Terms memory limits = termsOf(newOrder("a"));
        _withstands(me, address(ledger), abi.encodeCall(ledger.expire, (queryId, opening, limits)));
    }

    function test_ofSettlements() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = _completed();
        uint8[] memory observations = new uint8[](6);
        for (uint256 i = 0; i < 6; ++i) observations[i] = uint8(60 + i);
        bytes memory call = abi.encodeCall(reputation.settle, (queryId, opening, observations));
        assertLe(17, _withstands(address(this), address(reputation), call), "six participants and as many numbers");
        pass(2 * DAY);
        call = abi.encodeCall(reputation.settleUncontested, (queryId, opening));
        _withstands(customer, address(reputation), call);
    }

    function test_ofFeedback() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = _completed();
        reputation.settle(queryId, opening, new uint8[](6));
        IReputationLedger.Feedback memory feedback = _feedback(queryId);
        bytes memory call = abi.encodeCall(reputation.giveFeedback, (feedback, opening, ""));
        assertLe(17, _withstands(customer, address(reputation), call), "two nodes, two ratings, six participants");
    }

    /// @dev Whoever signs dirt gets no further with it: the record would stay, while the logs named a stranger.
    function test_ofFeedbackThatItsCustomerSent() public {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = _completed();
        reputation.settle(queryId, opening, new uint8[](6));
        bytes memory call = abi.encodeCall(reputation.giveFeedback, (_feedback(queryId), opening, ""));
        uint256 place = _placeOf(call, uint160(mpcs[1]));
        bytes memory dirty = _spoilt(call, place, 1 << 160);
        vm.prank(customer);
        (bool done, bytes memory reason) = address(reputation).call(dirty);
        assertTrue(!done, "refused");
        assertEq(bytes32(reason), bytes32(AddressList.AddressListDirty.selector), "as no address");
        assertEq(reputation.credibilityOf(customer), 3e8, "nothing gained");
    }

    function test_ofPenaltiesAndReversals() public {
        (address me, address target) = (address(this), address(reputation));
        _withstands(me, target, abi.encodeCall(reputation.penalise, (accused, 3)));
        address[] memory accusers = new address[](2);
        (accusers[0], accusers[1]) = (detectors[0], detectors[1]);
        uint32 epoch = uint32(clock / DAY);
        reputation.penalise(accused, 2);
        _withstands(me, target, abi.encodeCall(reputation.reverse, (accused, 8e9, epoch, accusers)));
    }

    function test_ofClaims() public {
        nextEpoch();
        IDetectorQuorum.Accusation memory a = accuse(PROFILE, 2);
        (IDetectorQuorum.Ballot memory ballot, bytes32 claimId) = committed(a, FIVE);
        bytes memory call = abi.encodeCall(quorum.uphold, (a, ballot));
        assertLe(30, _withstands(address(this), address(quorum), call), "accusation, ballot and fifteen measurements");
        IDetectorQuorum.Claim memory claim = upheldClaim(a, ballot);
        call = abi.encodeCall(quorum.appeal, (claimId, claim, keccak256("alibi"), soon(), ""));
        _withstands(accused, address(quorum), call);
        (IDetectorQuorum.Ballot memory reversal, ) = contested(claimId, claim, FIVE);
        call = abi.encodeCall(quorum.reverse, (claimId, claim, reversal));
        _withstands(address(this), address(quorum), call);
        pass(2 * HOUR);
        _withstands(address(this), address(quorum), abi.encodeCall(quorum.finalise, (claimId, claim)));
    }

    /// @dev The votes are copied raw into the message that its detector signed: one that signed dirt makes no claim.
    function test_ofAMeasurementThatItsDetectorSigned() public {
        nextEpoch();
        IDetectorQuorum.Accusation memory a = accuse(PROFILE, 2);
        (IDetectorQuorum.Ballot memory ballot, bytes32[] memory hashes) = votesOn(a, FIVE);
        uint256 dirt = uint256(ballot.measurements[0].cores) | (1 << 32);
        bytes memory head = abi.encode(VOTE, a.node, a.operator, a.epoch, a.kind, a.severity);
        bytes memory tail = abi.encode(
            evidence(0),
            dirt,
            ballot.measurements[0].memoryMib,
            ballot.measurements[0].speed
        );
        bytes32 digest = digestFor(address(quorum), keccak256(bytes.concat(head, tail)));
        bytes memory signature = signWith(keyOf[quorum.panelOf(a.node, a.epoch)[0]], digest);
        hashes[0] = keccak256(signature);
        ballot.signatures = bytes.concat(signature, slice(ballot.signatures, 65, 260));
        // A word that stands nowhere else marks the place.
        ballot.measurements[0].cores = 0x5eed1234;
        bytes memory call = abi.encodeCall(quorum.uphold, (a, ballot));
        bytes memory dirty = _spoilt(call, _placeOf(call, 0x5eed1234), 0x5eed1234 ^ dirt);
        quorum.commitVotes(a.node, hashes);
        pass(HOUR);
        (bool done, ) = address(quorum).call(dirty);
        assertTrue(!done, "refused");
        assertEq(reputation.recordOf(accused).bad, 0, "nothing moved");
    }

    function test_ofGovernance() public {
        address[] memory removed = new address[](1);
        removed[0] = detectors[3];
        address[] memory enlisted = newNodes(7000, 2, DETECTOR);
        bytes memory call = abi.encodeCall(quorum.rotate, (removed, enlisted));
        _withstands(address(governor), address(quorum), call);
        _withstands(address(governor), address(quorum), abi.encodeCall(quorum.setTerms, (terms())));
    }

    /// @dev Spoils each word in turn: the call is refused, or the word meant nothing and the logs stay the same.
    /// @return refused how many of the words were refused.
    function _withstands(address by, address target, bytes memory call) private returns (uint256 refused) {
        (bool clean, bytes32 logs) = rehearsed(by, target, PLENTY, call);
        assertTrue(clean, "goes through when it is clean");
        for (uint256 place = 4; place + 32 <= call.length; place += 32) {
            if (_wordAt(call, place) >> 160 != 0) continue;
            (bool done, bytes32 told) = rehearsed(by, target, PLENTY, _spoilt(call, place, 1 << 160));
            (bool again, bytes32 retold) = rehearsed(by, target, PLENTY, _spoilt(call, place, 1 << 255));
            assertTrue(!done || told == logs, "a bit above an address");
            assertTrue(!again || retold == logs, "the highest bit");
            if (!done && !again) ++refused;
        }
        assertTrue(refused != 0, "something was refused");
    }

    function _completed() private returns (bytes32 queryId, IQueryLedger.Opening memory opening) {
        (queryId, opening) = dispatched("a");
        ledger.complete(queryId, commitmentOf(opening), shares(3));
        opening.resultHash = keccak256(abi.encodePacked(shares(3)));
    }

    function _feedback(bytes32 queryId) private view returns (IReputationLedger.Feedback memory) {
        (address[] memory nodes, uint8[] memory ratings) = (new address[](2), new uint8[](2));
        (nodes[0], nodes[1], ratings[0], ratings[1]) = (mpcs[1], mpcs[2], 70, 80);
        return IReputationLedger.Feedback(queryId, nodes, ratings, soon());
    }

    /// @dev Where the word stands for the first time.
    function _placeOf(bytes memory call, uint256 word) private pure returns (uint256 place) {
        for (place = 4; place + 32 <= call.length; place += 32) if (_wordAt(call, place) == word) return place;
        revert AssertionFailed("no such word", word, 0);
    }

    function _wordAt(bytes memory data, uint256 place) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(add(data, 0x20), place))
        }
    }

    function _spoilt(bytes memory call, uint256 place, uint256 dirt) private pure returns (bytes memory dirty) {
        dirty = bytes.concat(call);
        assembly ("memory-safe") {
            let at := add(add(dirty, 0x20), place)
            mstore(at, xor(mload(at), dirt))
        }
    }
}
