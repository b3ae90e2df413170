// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IQueryLedger} from "../interfaces/IQueryLedger.sol";
import {NetworkFixture} from "./NetworkFixture.sol";
import {Suite} from "./Suite.sol";

/// @title Plays every transition on a few queries, in any order, with openings that are right but may be late.
/// @dev After each action it looks at every query and keeps count of what must never happen.
contract QueryPlayer is NetworkFixture {
    uint256 private constant QUERIES = 4;

    struct Seen {
        uint8 status;
        uint8 generation;
        uint32 time;
    }

    bytes32[] public ids;
    uint256 public escapes;
    uint256[6] public reached;
    mapping(bytes32 id => Seen) private _seen;
    mapping(bytes32 id => IQueryLedger.Opening) private _openings;

    constructor() {
        setUp();
        ledger.grantRole(ledger.COORDINATOR_ROLE(), address(this));
        for (uint256 i = 0; i < QUERIES; ++i) {
            IQueryLedger.QueryOrder memory order = newOrder(bytes32(i));
            order.maxReplacements = uint8(i);
            bytes32 id = dispatch(order);
            _openings[id] = openingOf(order);
            ids.push(id);
        }
        look();
    }

    /// @dev The fuzzer may call it too: the first time counts.
    function setUp() public override {
        if (address(ledger) == address(0)) super.setUp();
    }

    function dispatchAgain(uint256 which) external {
        IQueryLedger.QueryOrder memory order = newOrder(bytes32(which % QUERIES));
        order.deadline = soon();
        bytes memory signature = signWith(CUSTOMER_KEY, orderDigest(order));
        try ledger.dispatch(order, signature) {
            ++escapes;
        } catch {}
    }

    function replace(uint256 which, uint256 rank, uint256 reporter) external {
        bytes32 id = ids[which % QUERIES];
        IQueryLedger.Opening memory opening = _openings[id];
        IQueryLedger.Replacement memory r = newReplacement();
        r.lostIndex = uint8(3 + (rank % 3));
        r.reporterIndex = uint8(reporter % 6);
        r.successorIndex = _seen[id].generation % 3;
        bytes memory report = lossReport(id, _seen[id].generation, opening, r);
        try ledger.replaceMpc(id, opening, r, report) {
            if (_seen[id].status != 1) ++escapes;
            _openings[id] = afterReplacement(opening, r);
        } catch {}
        look();
    }

    function complete(uint256 which, uint256 count) external {
        bytes32 id = ids[which % QUERIES];
        bytes32[3] memory hashes = shares(count % 4);
        try ledger.complete(id, commitmentOf(_openings[id]), hashes) {
            if (_seen[id].status != 1) ++escapes;
            _openings[id].resultHash = keccak256(bytes.concat(hashes[0], hashes[1], hashes[2]));
        } catch {}
        look();
    }

    function fail(uint256 which, uint8 reason) external {
        bytes32 id = ids[which % QUERIES];
        try ledger.fail(id, _openings[id], reason % 12, address(0)) {
            if (_seen[id].status != 1) ++escapes;
        } catch {}
        look();
    }

    function cleanup(uint256 which) external {
        bytes32 id = ids[which % QUERIES];
        uint8 status = _seen[id].status;
        try ledger.cleanup(id) {
            if (status != 2 && status != 3) ++escapes;
        } catch {}
        look();
    }

    function expire(uint256 which, uint256 later) external {
        vm.warp(vm.getBlockTimestamp() + (later % 2000));
        bytes32 id = ids[which % QUERIES];
        try ledger.expire(id, _openings[id], termsOf(newOrder(0))) {
            if (_seen[id].status != 1 || vm.getBlockTimestamp() < START + 4700) ++escapes;
        } catch {}
        look();
    }

    /// @dev 1 leads to 1, 2 or 3; 2 to 4; 3 to 5; generation and time never go back, and rest after the end.
    function look() private {
        for (uint256 i = 0; i < ids.length; ++i) {
            Seen memory old = _seen[ids[i]];
            (IQueryLedger.QueryStatus status, uint8 generation, uint32 time) = ledger.statusOf(ids[i]);
            Seen memory now_ = Seen(uint8(status), generation, time);
            if (!_allowed(old.status, now_.status)) ++escapes;
            if (now_.generation < old.generation || now_.time < old.time) ++escapes;
            if (old.status > 1 && (now_.generation != old.generation || now_.time != old.time)) ++escapes;
            ++reached[now_.status];
            _seen[ids[i]] = now_;
        }
    }

    function _allowed(uint8 from, uint8 to) private pure returns (bool) {
        if (from == to) return true;
        if (from == 0) return to == 1;
        if (from == 1) return to == 2 || to == 3;
        return (from == 2 && to == 4) || (from == 3 && to == 5);
    }

    function misfits() external view returns (uint256 count) {
        for (uint256 i = 0; i < ids.length; ++i) {
            (uint208 stored, , , ) = ledger.stateOf(ids[i]);
            if (stored != commitmentOf(_openings[ids[i]])) ++count;
        }
    }

    function limitsBroken() external view returns (uint256 count) {
        for (uint256 i = 0; i < ids.length; ++i) {
            if (_seen[ids[i]].generation > _openings[ids[i]].maxReplacements) ++count;
        }
    }
}

contract QueryInvariantTest is Suite {
    QueryPlayer private player;

    function setUp() public {
        player = new QueryPlayer();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(player);
    }

    /// @dev Terminal states never leave, generations never go back, the slot commits to what happened.
    function invariant_lifecycle() public view {
        assertEq(player.escapes(), 0, "illegal transitions");
        assertEq(player.misfits(), 0, "commitments that do not match");
        assertEq(player.limitsBroken(), 0, "replacements beyond the order");
    }

    /// @dev The player is no mere spectator: by hand it reaches every status and a replacement.
    function test_thePlayerReachesEveryStatus() public {
        player.replace(1, 0, 0);
        player.complete(1, 3);
        player.cleanup(1);
        player.fail(2, 4);
        player.cleanup(2);
        player.expire(3, 1999);
        player.expire(3, 1999);
        player.expire(3, 1999);
        for (uint256 status = 1; status < 6; ++status) assertTrue(player.reached(status) > 0, "unreached");
        assertEq(player.escapes() + player.misfits() + player.limitsBroken(), 0, "broken");
    }
}
