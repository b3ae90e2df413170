// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {Blockhash} from "@openzeppelin/contracts/utils/Blockhash.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {IDetectorQuorum} from "./interfaces/IDetectorQuorum.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {IReputationLedger} from "./interfaces/IReputationLedger.sol";
import {BallotBox} from "./libraries/BallotBox.sol";
import {NodeWord} from "./libraries/NodeSlot.sol";
import {PanelDraw} from "./libraries/PanelDraw.sol";
import {Roster, Seats} from "./libraries/Roster.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title Detectors drawn by lot judge nodes; what they uphold costs reputation, and what another panel reverses does not.
/// @notice It has no administrator and no pause. The governor, a timelock, changes seats and terms and nothing else; the
/// ledger's pause stops new claims, and never an appeal, a reversal or a readmission.
contract DetectorQuorum is IDetectorQuorum, EIP712 {
    using BallotBox for Ballot;

    /// @dev `value`: the number of the block that will seed the epoch, then its seed.
    struct Epoch {
        address roster;
        uint80 value;
        bool seeded;
        bool rotated;
    }

    /// @dev `commitment`: the terms of the epoch while Committed, then the hash of the claim.
    struct Entry {
        uint208 commitment;
        Status status;
        uint40 epoch;
    }

    /// @dev Of a node: kinds claimed in the last epoch in which there was a claim, and the suspensions that stand. `known`
    /// is set by the first commitment, so that a claim never pays for a new slot.
    struct Docket {
        uint64 epoch;
        uint64 suspendedUntil;
        uint32 suspensions;
        uint8 kinds;
        bool known;
    }

    struct Panel {
        address[] detectors;
        uint256 terms;
    }

    bytes32 private constant VOTE_TYPEHASH =
        keccak256(
            "Vote(address node,address operator,uint64 epoch,uint8 kind,uint8 severity,bytes32 evidenceHash,uint32 cores,uint32 memoryMib,uint32 speed)"
        );
    bytes32 private constant REVERSAL_TYPEHASH =
        keccak256("Reversal(bytes32 claimId,uint64 epoch,bytes32 evidenceHash)");
    bytes32 private constant APPEAL_TYPEHASH =
        keccak256("Appeal(bytes32 claimId,bytes32 counterEvidenceHash,uint64 deadline)");
    uint256 private constant VOTE_EVIDENCE_AT = 6;
    uint256 private constant REVERSAL_EVIDENCE_AT = 3;
    uint8 private constant DETECTOR = 4;
    uint8 private constant PROFILE = 2;
    uint8 private constant SUSPENDING_SEVERITY = 3;
    /// @dev The seed is the hash of a block that whoever opens the epoch cannot know.
    uint256 private constant SEED_DELAY_BLOCKS = 2;
    /// @dev An appeal is decided two epochs after it at the latest.
    uint256 private constant DECISION_EPOCHS = 2;
    /// @dev No bits but two for each of the kinds 1 to 6.
    uint32 private constant SEVERITIES = 0x03333330;

    /// @notice Where detectors and the accused are registered.
    INodeRegistry public immutable REGISTRY;
    /// @notice Where an upheld claim costs reputation.
    IReputationLedger public immutable LEDGER;
    /// @notice The timelock that decides on seats and terms.
    TimelockController public immutable GOVERNOR;
    /// @notice How long its decisions are public at least before they hold.
    uint256 public immutable MIN_DELAY_SECONDS;
    /// @notice An epoch's length.
    uint32 public immutable EPOCH_SECONDS;

    address private _roster;
    mapping(uint64 epoch => Epoch) private _epochs;
    mapping(bytes32 claimId => Entry) private _entries;
    mapping(address node => Docket) private _dockets;

    modifier onlyGovernor() {
        if (msg.sender != address(GOVERNOR)) revert DetectorQuorumNotGovernor(msg.sender);
        _checkDelay();
        _;
    }

    /// @param registry where detectors and the accused are registered.
    /// @param ledger where an upheld claim costs reputation.
    /// @param governor a Timelock, whose delay is never below the next.
    /// @param minDelaySeconds how long every change is public before it holds.
    /// @param epochSeconds an epoch's length, which never changes, as it numbers them.
    /// @param terms of the first panels.
    constructor(
        INodeRegistry registry,
        IReputationLedger ledger,
        TimelockController governor,
        uint256 minDelaySeconds,
        uint32 epochSeconds,
        Terms memory terms
    ) EIP712("SoterOne", "1") {
        if (address(registry) == address(0) || address(ledger) == address(0)) revert DetectorQuorumZeroAddress();
        if (minDelaySeconds == 0 || epochSeconds == 0) revert DetectorQuorumZeroPeriod();
        REGISTRY = registry;
        LEDGER = ledger;
        GOVERNOR = governor;
        MIN_DELAY_SECONDS = minDelaySeconds;
        EPOCH_SECONDS = epochSeconds;
        if (governor.getMinDelay() < minDelaySeconds) {
            revert DetectorQuorumDelayTooShort(governor.getMinDelay(), minDelaySeconds);
        }
        _checkTerms(terms);
        _roster = Roster.blank(Roster.pack(terms), 0).store();
        emit TermsChanged(terms);
    }

    /// @inheritdoc IDetectorQuorum
    function rotate(address[] calldata removed, address[] calldata enlisted) external onlyGovernor {
        address[] memory operators = REGISTRY.eligibleOperators(enlisted, DETECTOR);
        _roster = Roster.load(_roster).rotated(removed, enlisted, operators).store();
        for (uint256 i = 0; i < removed.length; ++i) emit DetectorRemoved(removed[i]);
        for (uint256 i = 0; i < enlisted.length; ++i) emit DetectorEnlisted(enlisted[i], operators[i]);
        if (removed.length == 0) return;
        uint64 epoch = presentEpoch();
        _epochs[epoch].rotated = _epochs[epoch].roster != address(0);
        _epochs[epoch - 1].rotated = _epochs[epoch - 1].roster != address(0);
    }

    /// @inheritdoc IDetectorQuorum
    function setTerms(Terms calldata terms) external onlyGovernor {
        _checkTerms(terms);
        _roster = Roster.load(_roster).withTerms(Roster.pack(terms)).store();
        emit TermsChanged(terms);
    }

    /// @inheritdoc IDetectorQuorum
    function openEpoch() external {
        uint64 epoch = presentEpoch();
        if (_epochs[epoch].roster != address(0)) revert DetectorQuorumEpochOpen(epoch);
        Seats seats = Roster.load(_roster);
        uint256 needed = 2 * seats.panelSize() + 1;
        if (seats.count() < needed) revert DetectorQuorumTooFewSeats(seats.count(), needed);
        uint256 seedBlock = block.number + SEED_DELAY_BLOCKS;
        _epochs[epoch] = Epoch(_roster, uint80(seedBlock), false, false);
        emit EpochOpened(epoch, _roster, seedBlock);
    }

    /// @inheritdoc IDetectorQuorum
    function seedEpoch(uint64 epoch) external {
        Epoch storage opened = _epochs[epoch];
        if (opened.roster == address(0)) revert DetectorQuorumEpochNotOpen(epoch);
        if (opened.seeded) revert DetectorQuorumEpochSeeded(epoch);
        uint256 seedBlock = opened.value;
        if (block.number <= seedBlock) revert DetectorQuorumSeedNotMined(epoch, seedBlock);
        bytes32 hash = Blockhash.blockHash(seedBlock);
        if (hash == 0) revert DetectorQuorumSeedLost(epoch, seedBlock);
        (opened.value, opened.seeded) = (uint80(uint256(hash)), true);
        emit PanelSeeded(epoch, uint80(uint256(hash)));
    }

    /// @inheritdoc IDetectorQuorum
    function commitVotes(address node, bytes32[] calldata signatureHashes) external returns (bytes32 commitment) {
        uint64 epoch = presentEpoch();
        NodeWord word = _wordOf(node);
        if (!word.isKnown()) revert DetectorQuorumUnknownNode(node);
        bytes32 subject = keccak256(abi.encode(node, word.operator(), epoch));
        if (!_dockets[node].known) _dockets[node].known = true;
        return _commit(subject, _panelOn(node, word.operator(), epoch), signatureHashes);
    }

    /// @inheritdoc IDetectorQuorum
    function commitReversal(
        bytes32 claimId,
        Claim calldata claim,
        bytes32[] calldata signatureHashes
    ) external returns (bytes32 commitment) {
        Entry memory entry = _entryOf(claimId, claim, Status.Appealed);
        uint64 epoch = presentEpoch();
        if (epoch != entry.epoch) revert DetectorQuorumWrongEpoch(entry.epoch, epoch);
        return _commit(_appealSubject(claimId, epoch), _panelOnAppeal(claimId, claim, epoch), signatureHashes);
    }

    /// @inheritdoc IDetectorQuorum
    function uphold(Accusation calldata accusation, Ballot calldata ballot) external returns (bytes32 claimId) {
        bytes32 subject = keccak256(abi.encode(accusation.node, accusation.operator, accusation.epoch));
        bytes memory message = abi.encode(VOTE_TYPEHASH, accusation, bytes32(0), 0, 0, 0);
        bool measured = accusation.kind == PROFILE;
        Terms memory terms;
        (claimId, terms) = _decide(subject, accusation.epoch, ballot, message, VOTE_EVIDENCE_AT, measured);
        if (accusation.severity == 0 || accusation.severity > Roster.highestSeverity(terms, accusation.kind)) {
            revert DetectorQuorumBadSeverity(accusation.kind, accusation.severity);
        }
        _enterDocket(accusation, terms.suspensionEpochs);
        (uint40 added, uint32 ledgerEpoch) = LEDGER.penalise(accusation.node, accusation.severity);
        Claim memory claim = Claim(accusation, ballot.signers, added, ledgerEpoch);
        _entries[claimId] = Entry(_commitmentOf(claim), Status.Upheld, uint40(accusation.epoch));
        emit ClaimUpheld(claimId, accusation.node, claim);
        if (measured) emit ProfileMeasured(claimId, accusation.node, BallotBox.median(ballot.measurements));
    }

    /// @inheritdoc IDetectorQuorum
    function appeal(
        bytes32 claimId,
        Claim calldata claim,
        bytes32 counterEvidenceHash,
        uint64 deadline,
        bytes calldata signature
    ) external {
        Entry memory entry = _entryOf(claimId, claim, Status.Upheld);
        uint64 last = _lastAppealEpoch(claim);
        if (presentEpoch() > last) revert DetectorQuorumAppealClosed(claimId, last);
        Signatures.checkDeadline(deadline);
        bytes32 structHash = keccak256(abi.encode(APPEAL_TYPEHASH, claimId, counterEvidenceHash, deadline));
        bytes32 digest = _hashTypedDataV4(structHash);
        address node = claim.accusation.node;
        if (!Signatures.isAuthorised(node, digest, signature)) {
            Signatures.check(claim.accusation.operator, digest, signature);
        }
        uint64 epoch = presentEpoch() + 1;
        _entries[claimId] = Entry(entry.commitment, Status.Appealed, uint40(epoch));
        emit ClaimAppealed(claimId, node, counterEvidenceHash, epoch);
    }

    /// @inheritdoc IDetectorQuorum
    function reverse(bytes32 claimId, Claim calldata claim, Ballot calldata ballot) external {
        uint64 epoch = _entryOf(claimId, claim, Status.Appealed).epoch;
        address node = claim.accusation.node;
        bytes memory message = abi.encode(REVERSAL_TYPEHASH, claimId, epoch, bytes32(0));
        bytes32 subject = _appealSubject(claimId, epoch);
        (bytes32 commitment, ) = _decide(subject, epoch, ballot, message, REVERSAL_EVIDENCE_AT, false);
        _entries[claimId].status = Status.Reversed;
        emit ClaimReversed(claimId, node, commitment);
        LEDGER.reverse(node, claim.added, claim.ledgerEpoch, _accusers(claim));
        if (claim.accusation.severity == SUSPENDING_SEVERITY) _endSuspension(node);
    }

    /// @inheritdoc IDetectorQuorum
    function finalise(bytes32 claimId, Claim calldata claim) external {
        (Status status, uint64 last) = (_entries[claimId].status, _lastAppealEpoch(claim));
        if (status == Status.Appealed) last = _entryOf(claimId, claim, Status.Appealed).epoch + 1;
        else _entryOf(claimId, claim, Status.Upheld);
        if (presentEpoch() <= last) revert DetectorQuorumAppealOpen(claimId, last);
        _entries[claimId].status = Status.Final;
        emit ClaimFinal(claimId, claim.accusation.node);
    }

    /// @inheritdoc IDetectorQuorum
    function readmit(address node) external {
        Docket storage docket = _dockets[node];
        if (docket.suspensions == 0) revert DetectorQuorumNotSuspended(node);
        if (presentEpoch() <= docket.suspendedUntil) {
            revert DetectorQuorumSuspensionLasts(node, docket.suspendedUntil);
        }
        docket.suspensions = 0;
        _lift(node);
    }

    /// @inheritdoc IDetectorQuorum
    function panelOf(address node, uint64 epoch) external view returns (address[] memory) {
        return _panelOn(node, REGISTRY.operatorOf(node), epoch).detectors;
    }

    /// @inheritdoc IDetectorQuorum
    function appealPanelOf(bytes32 claimId, Claim calldata claim) external view returns (address[] memory) {
        return _panelOnAppeal(claimId, claim, _entryOf(claimId, claim, Status.Appealed).epoch).detectors;
    }

    /// @inheritdoc IDetectorQuorum
    function claimOf(bytes32 claimId) external view returns (Status status, uint64 epoch) {
        return (_entries[claimId].status, _entries[claimId].epoch);
    }

    /// @inheritdoc IDetectorQuorum
    function roster()
        external
        view
        returns (Terms memory terms, address[] memory detectors, address[] memory operators)
    {
        Seats seats = Roster.load(_roster);
        uint256 count = seats.count();
        (detectors, operators) = (new address[](count), new address[](count));
        for (uint256 i = 0; i < count; ++i) (detectors[i], operators[i]) = (seats.nodeAt(i), seats.operatorAt(i));
        terms = Roster.unpack(seats.packedTerms());
    }

    /// @inheritdoc IDetectorQuorum
    function epochOf(uint64 epoch) external view returns (address rosterCode, uint80 seed) {
        Epoch memory opened = _epochs[epoch];
        return (opened.roster, opened.seeded ? opened.value : 0);
    }

    /// @inheritdoc IDetectorQuorum
    function suspensionOf(address node) external view returns (uint64 lastEpoch, uint32 claims) {
        return (_dockets[node].suspendedUntil, _dockets[node].suspensions);
    }

    /// @inheritdoc IDetectorQuorum
    function presentEpoch() public view returns (uint64) {
        return uint64(block.timestamp / EPOCH_SECONDS);
    }

    /// @dev Puts the votes of a panel on record, with the terms that its epoch has.
    function _commit(
        bytes32 subject,
        Panel memory panel,
        bytes32[] calldata signatureHashes
    ) private returns (bytes32 commitment) {
        uint256 size = panel.detectors.length;
        if (signatureHashes.length != size) revert DetectorQuorumWrongPanelSize(signatureHashes.length, size);
        NodeWord[] memory words = REGISTRY.wordsOf(panel.detectors);
        bytes32[] memory leaves = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) {
            if (!words[i].isEligible(DETECTOR) || signatureHashes[i] == 0) continue;
            leaves[i] = BallotBox.leafOf(panel.detectors[i], signatureHashes[i]);
        }
        commitment = BallotBox.seal(subject, leaves);
        if (_entries[commitment].status != Status.None) revert DetectorQuorumAlreadyCommitted(commitment);
        uint64 epoch = presentEpoch();
        _entries[commitment] = Entry(uint208(panel.terms), Status.Committed, uint40(epoch));
        emit VotesCommitted(commitment, subject, epoch, leaves);
    }

    /// @dev Counts a ballot in the epoch after that of its votes. A commitment names subject, epoch and signers, so that
    /// one that was made proves them; only who lost its seat since is looked for.
    /// @return commitment the one that the ballot opens.
    /// @return terms those of the votes' epoch.
    function _decide(
        bytes32 subject,
        uint64 epoch,
        Ballot calldata ballot,
        bytes memory message,
        uint256 evidenceAt,
        bool measured
    ) private view returns (bytes32 commitment, Terms memory terms) {
        if (presentEpoch() != uint256(epoch) + 1) revert DetectorQuorumWrongEpoch(epoch, presentEpoch());
        address[] memory signers;
        (commitment, signers) = ballot.count(subject, _domainSeparatorV4(), message, evidenceAt, measured);
        Entry memory entry = _entries[commitment];
        if (entry.status == Status.None) revert DetectorQuorumNotCommitted(commitment);
        if (entry.status != Status.Committed) revert DetectorQuorumWrongStatus(commitment, entry.status);
        terms = Roster.unpack(entry.commitment);
        if (signers.length < terms.threshold) revert DetectorQuorumTooFewVotes(signers.length, terms.threshold);
        if (_epochs[epoch].rotated) Roster.load(_roster).checkSeated(signers);
    }

    function _enterDocket(Accusation calldata accusation, uint256 suspensionEpochs) private {
        (address node, uint64 epoch, uint8 kind) = (accusation.node, accusation.epoch, accusation.kind);
        Docket memory docket = _dockets[node];
        if (docket.epoch != epoch) (docket.epoch, docket.kinds) = (epoch, 0);
        uint8 bit = uint8(1 << kind);
        if (docket.kinds & bit != 0) revert DetectorQuorumAlreadyClaimed(node, epoch, kind);
        docket.kinds |= bit;
        if (accusation.severity == SUSPENDING_SEVERITY) {
            uint64 until = uint64(epoch + 1 + suspensionEpochs);
            if (until > docket.suspendedUntil) docket.suspendedUntil = until;
            ++docket.suspensions;
        }
        _dockets[node] = docket;
    }

    /// @dev Another claim's suspension goes on. One that was served when its claim fell is not counted any more.
    function _endSuspension(address node) private {
        Docket storage docket = _dockets[node];
        if (docket.suspensions == 0) return;
        docket.suspensions -= 1;
        if (docket.suspensions == 0) _lift(node);
    }

    function _lift(address node) private {
        if (_wordOf(node).isSuspended()) REGISTRY.setSuspended(node, false);
        emit NodeReadmitted(node);
    }

    function _wordOf(address node) private view returns (NodeWord) {
        address[] memory nodes = new address[](1);
        nodes[0] = node;
        return REGISTRY.wordsOf(nodes)[0];
    }

    function _panelOn(address node, address operator, uint64 epoch) private view returns (Panel memory) {
        (Seats seats, bytes32 seed) = _seatsOf(epoch, bytes32(uint256(uint160(node))));
        uint256 set = PanelDraw.draw(seed, seats.count(), seats.panelSize(), seats.recused(node, operator));
        return _panel(seats, set);
    }

    function _panelOnAppeal(bytes32 claimId, Claim calldata claim, uint64 epoch) private view returns (Panel memory) {
        (Seats seats, bytes32 seed) = _seatsOf(epoch, claimId);
        uint256 excluded = seats.recused(claim.accusation.node, claim.accusation.operator);
        excluded |= seats.setOf(_firstPanel(claim).detectors);
        uint256 needed = seats.panelSize() + PanelDraw.count(excluded);
        if (seats.count() < needed) revert DetectorQuorumTooFewSeats(seats.count(), needed);
        return _panel(seats, PanelDraw.drawOutside(seed, seats.count(), seats.panelSize(), excluded));
    }

    function _panel(Seats seats, uint256 set) private pure returns (Panel memory) {
        return Panel(seats.members(set, seats.panelSize()), seats.packedTerms());
    }

    function _firstPanel(Claim calldata claim) private view returns (Panel memory) {
        return _panelOn(claim.accusation.node, claim.accusation.operator, claim.accusation.epoch);
    }

    /// @return seats of the epoch.
    /// @return seed of the panel on `subject` in it.
    function _seatsOf(uint64 epoch, bytes32 subject) private view returns (Seats seats, bytes32 seed) {
        Epoch memory opened = _epochs[epoch];
        if (!opened.seeded) revert DetectorQuorumEpochNotSeeded(epoch);
        return (
            Roster.load(opened.roster),
            Hashes.efficientKeccak256(bytes32(uint256(opened.value)), subject)
        );
    }

    function _accusers(Claim calldata claim) private view returns (address[] memory accusers) {
        address[] memory detectors = _firstPanel(claim).detectors;
        accusers = new address[](PanelDraw.count(claim.signers));
        uint256 next = 0;
        for (uint256 i = 0; i < detectors.length; ++i) {
            if ((claim.signers >> i) & 1 != 0) accusers[next++] = detectors[i];
        }
    }

    function _appealSubject(bytes32 claimId, uint64 epoch) private pure returns (bytes32) {
        return keccak256(abi.encode(claimId, epoch));
    }

    function _lastAppealEpoch(Claim calldata claim) private view returns (uint64) {
        uint64 epoch = claim.accusation.epoch;
        return uint64(epoch + 1 + Roster.unpack(Roster.load(_epochs[epoch].roster).packedTerms()).appealEpochs);
    }

    function _entryOf(
        bytes32 claimId,
        Claim calldata claim,
        Status status
    ) private view returns (Entry memory entry) {
        entry = _entries[claimId];
        if (entry.status != status) revert DetectorQuorumWrongStatus(claimId, entry.status);
        if (entry.commitment != _commitmentOf(claim)) revert DetectorQuorumBadClaim(claimId);
    }

    function _commitmentOf(Claim memory claim) private pure returns (uint208) {
        return uint208(uint256(keccak256(abi.encode(claim))));
    }

    function _checkDelay() private view {
        uint256 delay = GOVERNOR.getMinDelay();
        if (delay < MIN_DELAY_SECONDS) revert DetectorQuorumDelayTooShort(delay, MIN_DELAY_SECONDS);
    }

    /// @dev A suspension outlasts every way to reverse it, so that ending one never ends a later one.
    function _checkTerms(Terms memory terms) private pure {
        (uint256 size, uint256 threshold) = (terms.panelSize, terms.threshold);
        if (
            threshold == 0 ||
            threshold > size ||
            2 * threshold <= size ||
            size > Roster.MAX_PANEL ||
            terms.appealEpochs == 0 ||
            terms.suspensionEpochs <= uint256(terms.appealEpochs) + DECISION_EPOCHS ||
            terms.severities & ~SEVERITIES != 0
        ) revert DetectorQuorumBadTerms(terms);
    }
}
