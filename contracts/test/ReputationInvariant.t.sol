// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IQueryLedger} from "../interfaces/IQueryLedger.sol";
import {IReputationLedger} from "../interfaces/IReputationLedger.sol";
import {ReputationMath} from "../libraries/ReputationMath.sol";
import {ReputationFixture} from "./ReputationFixture.sol";
import {Suite} from "./Suite.sol";

/// @dev Does anything that the network may do, in any order.
contract ReputationHandler is ReputationFixture {
    uint256 public settlements;
    uint256 public feedbacks;
    uint256 public suspensions;
    uint256 public readmissions;
    uint256 public incarnations;
    bool private _ready;
    uint32[2] private _incarnations = [1, 1];

    function setUp() public override {
        if (_ready) return;
        _ready = true;
        super.setUp();
        registry.grantRole(registry.SUSPENDER_ROLE(), address(this));
    }

    function settle(uint256 seed, bool rated) external {
        (bytes32 queryId, IQueryLedger.Opening memory opening) = completed(customer);
        uint8[] memory observations = new uint8[](5);
        for (uint256 i = 0; i < 5; ++i) observations[i] = uint8((seed >> (8 * i)) % 101);
        reputation.settle(queryId, opening, observations);
        ++settlements;
        if (!rated) return;
        uint256 index = seed % 5;
        rate(customer, queryId, opening, participants()[index], uint8((seed >> 64) % 101));
        ++feedbacks;
    }

    function penalise(uint256 seed) external {
        uint8 severity = uint8(1 + (seed % 3));
        reputation.penalise(participants()[(seed / 3) % 5], severity);
        if (severity == 3) ++suspensions;
    }

    /// @dev Nobody dispatches to a suspended node: without a way back the play would soon be over.
    function readmit(uint256 seed) external {
        registry.setSuspended(participants()[seed % 5], false);
        ++readmissions;
    }

    function reregister(uint256 seed) external {
        uint256 index = seed % 2;
        uint32 incarnation = _incarnations[index]++;
        unregister(owners[index], incarnation);
        register(owners[index], index == 0 ? owners[0] : operator, 1, incarnation + 1);
        ++incarnations;
    }

    function wait(uint256 seed) external {
        pass(bound(seed, 1, 9 days));
    }

    function everyone() external view returns (address[] memory) {
        return participants();
    }

    function incarnationOf(uint256 owner) external view returns (uint32) {
        return _incarnations[owner];
    }

    function recordOf(address node) external view returns (IReputationLedger.Record memory) {
        return reputation.recordOf(node);
    }

    function scoreOf(address node) external view returns (uint256) {
        return reputation.scoreOf(node);
    }

    function credibility() external view returns (uint256) {
        return reputation.credibilityOf(customer);
    }

    function countedThisWeek() external view returns (uint256) {
        return reputation.feedbacksThisWeek(customer);
    }

    function present() external view returns (uint256) {
        return clock;
    }
}

/// @title What holds after every sequence of settlements, ratings, penalties, new incarnations and days.
contract ReputationInvariantTest is Suite {
    ReputationHandler private _handler;

    function setUp() external {
        _handler = new ReputationHandler();
        _handler.setUp();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    function invariant_recordsStayInBounds() external view {
        address[] memory nodes = _handler.everyone();
        for (uint256 i = 0; i < nodes.length; ++i) {
            IReputationLedger.Record memory record = _handler.recordOf(nodes[i]);
            assertLe(record.good, ReputationMath.EVIDENCE_CAP, "good");
            assertLe(record.bad, ReputationMath.EVIDENCE_CAP, "bad");
            assertLe(record.goodThisEpoch, ReputationMath.EPOCH_CAP, "good this epoch");
            assertLe(record.badThisEpoch, ReputationMath.EPOCH_CAP, "bad this epoch");
            assertLe(record.bornEpoch, record.lastEpoch, "born before the last update");
            assertLe(uint256(record.lastEpoch) * DAY_SECONDS, _handler.present(), "never ahead of time");
            assertEq(record.flags, 0, "flags");
        }
    }

    function invariant_scoresStayUnderTheTenureCap() external view {
        address[] memory nodes = _handler.everyone();
        for (uint256 i = 0; i < nodes.length; ++i) {
            IReputationLedger.Record memory record = _handler.recordOf(nodes[i]);
            if (record.lastEpoch == 0) continue;
            uint256 age = _handler.present() / DAY_SECONDS - record.bornEpoch;
            assertLe(_handler.scoreOf(nodes[i]), ReputationMath.tenureCap(age), "tenure");
        }
    }

    function invariant_recordsBelongToThePresentIncarnation() external view {
        address[] memory nodes = _handler.everyone();
        for (uint256 i = 0; i < 2; ++i) {
            IReputationLedger.Record memory record = _handler.recordOf(nodes[i]);
            if (record.lastEpoch != 0) assertEq(record.incarnation, _handler.incarnationOf(i), "incarnation");
        }
    }

    function invariant_credibilityAndWeeklyCountStayInBounds() external view {
        assertLe(_handler.credibility(), 1e9, "credibility");
        assertLe(_handler.countedThisWeek(), 8, "eight a week");
    }

    /// @dev The player is no mere spectator: by hand it does each thing that it counts, and each moves what is looked at.
    function test_thePlayerMovesRecords() external {
        address[] memory nodes = _handler.everyone();
        _handler.settle(0x6464646464, true);
        _handler.wait(1 days);
        _handler.settle(0, false);
        IReputationLedger.Record memory record = _handler.recordOf(nodes[1]);
        assertTrue(record.good > 0 && record.bad > 0, "settled");
        _handler.penalise(5);
        assertLe(record.bad + 30e9, _handler.recordOf(nodes[1]).bad, "penalised");
        _handler.readmit(1);
        _handler.reregister(1);
        assertEq(_handler.recordOf(nodes[1]).good, 0, "renewed");
        _handler.settle(1, true);
        assertEq(_handler.settlements(), 3, "settlements");
        assertEq(_handler.feedbacks(), 2, "feedbacks");
        assertEq(_handler.suspensions(), 1, "suspensions");
        assertEq(_handler.readmissions(), 1, "readmissions");
        assertEq(_handler.incarnations(), 1, "incarnations");
        assertEq(_handler.countedThisWeek(), 2, "counted");
        assertTrue(_handler.credibility() != 3e8, "credibility");
        this.invariant_recordsStayInBounds();
        this.invariant_scoresStayUnderTheTenureCap();
        this.invariant_recordsBelongToThePresentIncarnation();
        this.invariant_credibilityAndWeeklyCountStayInBounds();
    }

    uint256 private constant DAY_SECONDS = 1 days;
}
