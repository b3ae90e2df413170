// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IQueryLedger} from "../interfaces/IQueryLedger.sol";
import {IReputationLedger} from "../interfaces/IReputationLedger.sol";
import {ReputationMath} from "../libraries/ReputationMath.sol";
import {QuorumFixture} from "./QuorumFixture.sol";
import {Suite, Vm} from "./Suite.sol";

/// @title Plays queries to their ends, settles, rates, penalises, suspends and lets back, and keeps its own books from the
/// logs and their times alone.
contract ReplayPlayer is QuorumFixture {
    struct Book {
        IQueryLedger.Opening opening;
        uint8 status;
        uint8 generation;
    }

    struct Standing {
        uint32 score;
        uint40 good;
        uint40 bad;
    }

    struct Settlement {
        uint64 settledAt;
        uint16 rated;
        address[] nodes;
        uint8[] observations;
    }

    struct Seat {
        INodeRegistry.Node node;
        uint32 profileVersion;
        bool suspended;
    }

    struct Week {
        uint256 number;
        uint256 counted;
    }

    bytes32[] private _ids;
    mapping(bytes32 queryId => Book) private _books;
    mapping(address node => Standing) private _standings;
    mapping(bytes32 rating => uint256) private _ratings;
    mapping(address customer => uint32) private _credibilities;
    mapping(address customer => Week) private _weeks;
    mapping(bytes32 queryId => Settlement) private _settlements;
    mapping(address node => Seat) private _seats;
    /// @dev What the arithmetic makes of what was observed, rated and penalised.
    mapping(address node => uint256) private _records;
    /// @dev The last feedback, until it is known whether it counts.
    address[] private _ratedNodes;
    uint8[] private _rated;
    uint256 public doubleRatings;
    uint256 public suspensions;
    uint256 public events;
    bool private _ready;

    /// @dev The fuzzer may call it too: the first time counts.
    function setUp() public override {
        if (_ready) return;
        _ready = true;
        vm.recordLogs();
        super.setUp();
        reputation.grantRole(reputation.PENALTY_ROLE(), address(this));
        registry.grantRole(registry.SUSPENDER_ROLE(), address(this));
        _read();
        events = 0;
    }

    function dispatchOne(uint8 replacements) external {
        vm.recordLogs();
        IQueryLedger.QueryOrder memory order = newOrder(bytes32(_ids.length));
        order.maxReplacements = replacements % 4;
        _ids.push(dispatch(order));
        _read();
    }

    function replace(uint256 which, uint256 rank, uint256 reporter) external {
        if (_ids.length == 0) return;
        bytes32 id = _ids[which % _ids.length];
        IQueryLedger.Replacement memory r = newReplacement();
        r.lostIndex = uint8(3 + (rank % 3));
        r.reporterIndex = uint8(reporter % 6);
        r.successorIndex = _books[id].generation % 3;
        bytes memory report = lossReport(id, _books[id].generation, _books[id].opening, r);
        vm.recordLogs();
        try ledger.replaceMpc(id, _books[id].opening, r, report) {} catch {}
        _read();
    }

    function end(uint256 which, uint256 count, uint8 reason) external {
        if (_ids.length == 0) return;
        bytes32 id = _ids[which % _ids.length];
        vm.recordLogs();
        if (reason % 3 == 0) try ledger.fail(id, _books[id].opening, reason % 11, address(0)) {} catch {}
        else try ledger.complete(id, commitmentOf(_books[id].opening), shares(count % 4)) {} catch {}
        if (reason % 5 == 0) try ledger.cleanup(id) {} catch {}
        _read();
    }

    function settle(uint256 which, uint256 seed) external {
        if (_ids.length == 0) return;
        bytes32 id = _ids[which % _ids.length];
        uint8[] memory observations = new uint8[](_books[id].opening.participants.length);
        for (uint256 i = 0; i < observations.length; ++i) observations[i] = uint8((seed >> (8 * i)) % 101);
        vm.recordLogs();
        try reputation.settle(id, _books[id].opening, observations) {} catch {}
        _read();
    }

    function rate(uint256 which, uint256 whom, uint8 rating) external {
        if (_ids.length == 0) return;
        bytes32 id = _ids[which % _ids.length];
        address[] memory everybody = _books[id].opening.participants;
        (address[] memory nodes, uint8[] memory ratings) = (new address[](1), new uint8[](1));
        (nodes[0], ratings[0]) = (everybody[whom % everybody.length], rating % 101);
        IReputationLedger.Feedback memory feedback = IReputationLedger.Feedback(id, nodes, ratings, soon());
        IQueryLedger.Opening memory opening = _books[id].opening;
        vm.recordLogs();
        vm.prank(customer);
        try reputation.giveFeedback(feedback, opening, "") {} catch {}
        _read();
    }

    function penalise(uint256 whom, uint8 severity) external {
        vm.recordLogs();
        try reputation.penalise(mpcs[whom % 6], 1 + (severity % 3)) {} catch {}
        _read();
    }

    function letBack(uint256 whom) external {
        vm.recordLogs();
        try registry.setSuspended(mpcs[whom % 6], false) {} catch {}
        _read();
    }

    function update(uint256 whom, uint32 version) external {
        address node = mpcs[whom % 6];
        Seat storage seat = _seats[node];
        bytes32 tls = registration(node, node, MPC, 1).tlsKeyHash;
        INodeRegistry.NodeUpdate memory u = INodeRegistry.NodeUpdate(
            node,
            MPC,
            version,
            tls,
            keccak256("profile"),
            seat.profileVersion + 1,
            1,
            soon()
        );
        vm.recordLogs();
        vm.prank(node);
        registry.update(u, "", tls, keccak256("profile"));
        _read();
    }

    function comeBack(uint256 whom) external {
        address node = owners[whom % 3];
        uint32 incarnation = registry.nodeOf(node).incarnation;
        vm.recordLogs();
        unregister(node, incarnation);
        register(registration(node, node, OWNER, incarnation + 1));
        _read();
    }

    function wait(uint256 seconds_) external {
        pass(1 + (seconds_ % (5 * DAY)));
    }

    /// @dev Queries whose slot is not what the events say: status, generation, participants and result.
    function queriesAstray() external view returns (uint256 count) {
        for (uint256 i = 0; i < _ids.length; ++i) {
            Book storage book = _books[_ids[i]];
            (IQueryLedger.QueryStatus status, uint8 generation, ) = ledger.statusOf(_ids[i]);
            (uint208 stored, , , ) = ledger.stateOf(_ids[i]);
            bool same = uint8(status) == book.status && generation == book.generation;
            if (!same || stored != commitmentOf(book.opening)) ++count;
        }
    }

    /// @dev Nodes and customers whose storage is not what the last event about them says.
    function standingsAstray() external view returns (uint256 count) {
        for (uint256 i = 0; i < 9; ++i) {
            address node = i < 3 ? owners[i] : mpcs[i - 3];
            IReputationLedger.Record memory record = reputation.recordOf(node);
            Standing memory book = _standings[node];
            if (record.score != book.score || record.good != book.good || record.bad != book.bad) ++count;
        }
        if (reputation.credibilityOf(customer) != _credibilityOf(customer)) ++count;
        Week memory week = _weeks[customer];
        uint256 counted = week.number == clock / (7 * DAY) ? week.counted : 0;
        if (reputation.feedbacksThisWeek(customer) != counted) ++count;
    }

    /// @dev Nodes whose whole record, birth, incarnation and evidence of the epoch too, is not what was told of them.
    function recordsAstray() external view returns (uint256 count) {
        for (uint256 i = 0; i < 9; ++i) {
            address node = i < 3 ? owners[i] : mpcs[i - 3];
            uint256 word = _records[node];
            IReputationLedger.Record memory expected = IReputationLedger.Record(
                uint40(ReputationMath.goodOf(word)),
                uint40(ReputationMath.badOf(word)),
                uint32(ReputationMath.lastEpochOf(word)),
                uint32(ReputationMath.bornEpochOf(word)),
                uint32(ReputationMath.scoreOf(word)),
                uint32(ReputationMath.goodThisEpochOf(word)),
                uint32(ReputationMath.badThisEpochOf(word)),
                ReputationMath.incarnationOf(word),
                ReputationMath.flagsOf(word)
            );
            if (keccak256(abi.encode(expected)) != keccak256(abi.encode(reputation.recordOf(node)))) ++count;
        }
    }

    /// @dev Queries whose settlement is not what was told: when, what was observed, and who is rated.
    function settlementsAstray() external view returns (uint256 count) {
        for (uint256 i = 0; i < _ids.length; ++i) {
            Settlement memory book = _settlements[_ids[i]];
            (uint64 settledAt, uint8[] memory observations, uint16 rated) = reputation.settlementOf(_ids[i]);
            bytes32 told = keccak256(abi.encode(book.settledAt, book.observations, book.rated));
            if (keccak256(abi.encode(settledAt, observations, rated)) != told) ++count;
        }
    }

    /// @dev Nodes whose two words in the register are not what was told of them.
    function seatsAstray() external view returns (uint256 count) {
        for (uint256 i = 0; i < 9; ++i) {
            address node = i < 3 ? owners[i] : mpcs[i - 3];
            Seat memory seat = _seats[node];
            if (seat.suspended) seat.node.status = INodeRegistry.NodeStatus.Suspended;
            if (keccak256(abi.encode(seat.node)) != keccak256(abi.encode(registry.nodeOf(node)))) ++count;
        }
    }

    function _read() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        events += logs.length;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(ledger)) _readQuery(logs[i]);
            else if (logs[i].emitter == address(reputation)) _readReputation(logs[i]);
            else if (logs[i].emitter == address(registry)) _readRegistry(logs[i]);
        }
    }

    function _readQuery(Vm.Log memory log) private {
        Book storage book = _books[log.topics[1]];
        bytes32 kind = log.topics[0];
        if (kind == IQueryLedger.QueryDispatched.selector) {
            _open(book, log);
        } else if (kind == IQueryLedger.ReplacementLimit.selector) {
            book.opening.maxReplacements = abi.decode(log.data, (uint8));
        } else if (kind == IQueryLedger.MPCUpdated.selector) {
            (book.generation, , ) = abi.decode(log.data, (uint8, uint64, address[]));
            _succeed(book.opening, address(uint160(uint256(log.topics[2]))), address(uint160(uint256(log.topics[3]))));
        } else if (kind == IQueryLedger.QueryCompleted.selector) {
            (, book.opening.resultHash) = abi.decode(log.data, (uint8, bytes32));
            book.status = 2;
        } else if (kind == IQueryLedger.QueryFailed.selector) {
            book.status = 3;
        } else if (kind == IQueryLedger.QueryCleanup.selector) {
            book.status += 2;
        }
    }

    function _open(Book storage book, Vm.Log memory log) private {
        (
            bytes32 specHash,
            address[] memory owners_,
            address[] memory mpcs_,
            bytes32 resultKeyHash,
            uint32 run,
            uint32 retry,
            uint32 grace
        ) = abi.decode(log.data, (bytes32, address[], address[], bytes32, uint32, uint32, uint32));
        book.opening.customer = address(uint160(uint256(log.topics[2])));
        book.opening.ownerCount = uint8(owners_.length);
        for (uint256 i = 0; i < owners_.length; ++i) book.opening.participants.push(owners_[i]);
        for (uint256 i = 0; i < 3; ++i) book.opening.participants.push(mpcs_[i]);
        book.opening.termsHash = keccak256(abi.encode(specHash, resultKeyHash, run, retry, grace));
        book.status = 1;
    }

    function _succeed(IQueryLedger.Opening storage opening, address lost, address successor) private {
        for (uint256 i = 0; i < opening.participants.length; ++i) {
            if (opening.participants[i] == lost) opening.participants[i] = successor;
        }
        opening.participants.push(lost);
    }

    function _readReputation(Vm.Log memory log) private {
        bytes32 kind = log.topics[0];
        if (kind == IReputationLedger.ReputationUpdated.selector) {
            Standing storage book = _standings[address(uint160(uint256(log.topics[1])))];
            (book.score, book.good, book.bad) = abi.decode(log.data, (uint32, uint40, uint40));
        } else if (kind == IReputationLedger.CredibilityUpdated.selector) {
            _believe(address(uint160(uint256(log.topics[1]))), abi.decode(log.data, (uint32)));
        } else if (kind == IReputationLedger.FeedbackGiven.selector) {
            (_ratedNodes, _rated) = abi.decode(log.data, (address[], uint8[]));
            _mark(log.topics[1]);
        } else if (kind == IReputationLedger.QuerySettled.selector) {
            Settlement storage settlement = _settlements[log.topics[1]];
            settlement.settledAt = uint64(clock);
            (settlement.nodes, settlement.observations) = abi.decode(log.data, (address[], uint8[]));
            for (uint256 i = 0; i < settlement.nodes.length; ++i) {
                (uint256 good, uint256 bad) = ReputationMath.settleEvidence(settlement.observations[i]);
                _observe(settlement.nodes[i], good, bad);
            }
        } else if (kind == IReputationLedger.NodePenalised.selector) {
            address node = address(uint160(uint256(log.topics[1])));
            uint256 evidence_ = ReputationMath.penaltyEvidence(abi.decode(log.data, (uint8)));
            _records[node] = ReputationMath.penalise(_aged(node), clock / DAY, evidence_);
        }
    }

    function _mark(bytes32 queryId) private {
        Settlement storage settlement = _settlements[queryId];
        for (uint256 i = 0; i < _ratedNodes.length; ++i) {
            if (++_ratings[keccak256(abi.encode(queryId, _ratedNodes[i]))] > 1) ++doubleRatings;
            for (uint256 j = 0; j < settlement.nodes.length; ++j) {
                if (settlement.nodes[j] == _ratedNodes[i]) settlement.rated |= uint16(1 << j);
            }
        }
    }

    /// @dev A feedback that counted moves its nodes by the credibility that its customer had.
    function _believe(address by, uint32 credibility) private {
        for (uint256 i = 0; i < _ratedNodes.length; ++i) {
            (uint256 good, uint256 bad) = ReputationMath.feedbackEvidence(_rated[i], _credibilityOf(by));
            _observe(_ratedNodes[i], good, bad);
        }
        _credibilities[by] = credibility;
        Week storage week = _weeks[by];
        uint256 number = clock / (7 * DAY);
        (week.number, week.counted) = (number, week.number == number ? week.counted + 1 : 1);
    }

    function _credibilityOf(address by) private view returns (uint32) {
        return _credibilities[by] == 0 ? 3e8 : _credibilities[by];
    }

    function _observe(address node, uint256 good, uint256 bad) private {
        _records[node] = ReputationMath.observe(_aged(node), clock / DAY, good, bad);
    }

    function _aged(address node) private view returns (uint256) {
        uint256 record = _records[node];
        if (record != 0) return ReputationMath.age(record, clock / DAY);
        return ReputationMath.newborn(clock / DAY, uint8(_seats[node].node.incarnation));
    }

    function _readRegistry(Vm.Log memory log) private {
        bytes32 kind = log.topics[0];
        Seat storage seat = _seats[log.topics.length > 1 ? address(uint160(uint256(log.topics[1]))) : address(0)];
        if (kind == INodeRegistry.NodeRegistered.selector) {
            _enter(seat, log);
        } else if (kind == INodeRegistry.NodeUpdated.selector) {
            (uint32 profile, uint8 roles, uint32 version, bytes32 tls, bytes32 profileHash) = abi.decode(
                log.data,
                (uint32, uint8, uint32, bytes32, bytes32)
            );
            (seat.node.roles, seat.node.version, seat.profileVersion) = (roles, version, profile);
            seat.node.commitment = keccak256(abi.encode(tls, profileHash, profile));
        } else if (kind == INodeRegistry.NodeUnregistered.selector) {
            (seat.node.roles, seat.node.version, seat.node.commitment) = (0, 0, 0);
            seat.node.status = INodeRegistry.NodeStatus.Gone;
        } else if (kind == INodeRegistry.NodeSuspended.selector) {
            seat.suspended = abi.decode(log.data, (bool));
            if (seat.suspended) ++suspensions;
        }
    }

    function _enter(Seat storage seat, Vm.Log memory log) private {
        (uint32 incarnation, uint8 roles, uint32 version, bytes32 tls, bytes32 profileHash) = abi.decode(
            log.data,
            (uint32, uint8, uint32, bytes32, bytes32)
        );
        seat.profileVersion = 1;
        seat.node = INodeRegistry.Node(
            address(uint160(uint256(log.topics[2]))),
            roles,
            version,
            INodeRegistry.NodeStatus.Active,
            incarnation,
            keccak256(abi.encode(tls, profileHash, uint32(1)))
        );
        address node = address(uint160(uint256(log.topics[1])));
        if (_records[node] == 0) return;
        _records[node] = ReputationMath.renew(_records[node], clock / DAY, uint8(incarnation));
    }
}

contract ReplayTest is Suite {
    ReplayPlayer private player;

    function setUp() public {
        player = new ReplayPlayer();
        player.setUp();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(player);
    }

    /// @dev Whoever has the logs has the storage, so nothing changes without an event; participants are those of the last
    /// event; a customer rates a node once a query.
    function invariant_logsTellTheStorage() public view {
        assertEq(player.queriesAstray(), 0, "queries");
        assertEq(player.standingsAstray(), 0, "nodes and customers");
        assertEq(player.recordsAstray(), 0, "records");
        assertEq(player.settlementsAstray(), 0, "settlements");
        assertEq(player.seatsAstray(), 0, "register");
        assertEq(player.doubleRatings(), 0, "rated twice");
    }

    /// @dev The player is no mere spectator: by hand it makes every kind of event.
    function test_thePlayerMakesEvents() public {
        for (uint256 i = 0; i < 3; ++i) player.dispatchOne(2);
        player.replace(0, 1, 0);
        player.end(0, 3, 1);
        player.end(0, 3, 5);
        player.end(1, 0, 3);
        player.settle(0, 0x6432);
        player.rate(0, 0, 90);
        player.rate(0, 0, 10);
        player.penalise(0, 2);
        assertEq(player.suspensions(), 1, "severity 3");
        invariant_logsTellTheStorage();
        player.letBack(0);
        player.update(1, 512);
        player.wait(1 days);
        player.settle(1, 0x11);
        player.comeBack(0);
        assertLe(38, player.events(), "events");
        invariant_logsTellTheStorage();
    }
}

/// @title A settlement of many nodes is the same as what the arithmetic makes of each alone.
contract BatchTest is QuorumFixture {
    function testFuzz_aBatchIsItsSingles(uint256 seed) public {
        uint256[6] memory expected;
        for (uint256 round = 0; round < 3; ++round) {
            pass((seed % 4) * DAY + HOUR);
            IQueryLedger.QueryOrder memory order = newOrder(bytes32(round));
            bytes32 id = dispatch(order);
            IQueryLedger.Opening memory opening = openingOf(order);
            ledger.fail(id, opening, 4, address(0));
            uint8[] memory observations = new uint8[](6);
            for (uint256 i = 0; i < 6; ++i) {
                observations[i] = uint8((seed >> (8 * i)) % 101);
                expected[i] = _single(expected[i], observations[i]);
            }
            reputation.settle(id, opening, observations);
            for (uint256 i = 0; i < 6; ++i) _assertRecord(opening.participants[i], expected[i]);
            seed = uint256(keccak256(abi.encode(seed)));
        }
    }

    function _single(uint256 record, uint256 observation) private view returns (uint256) {
        uint256 epoch = clock / DAY;
        (uint256 good, uint256 bad) = ReputationMath.settleEvidence(observation);
        record = record == 0 ? ReputationMath.newborn(epoch, 1) : ReputationMath.age(record, epoch);
        return ReputationMath.observe(record, epoch, good, bad);
    }

    function _assertRecord(address node, uint256 word) private view {
        IReputationLedger.Record memory record = reputation.recordOf(node);
        assertEq(record.good, ReputationMath.goodOf(word), "good");
        assertEq(record.bad, ReputationMath.badOf(word), "bad");
        assertEq(record.score, ReputationMath.scoreOf(word), "score");
        assertEq(record.goodThisEpoch, ReputationMath.goodThisEpochOf(word), "good this epoch");
        assertEq(record.badThisEpoch, ReputationMath.badThisEpochOf(word), "bad this epoch");
    }
}
