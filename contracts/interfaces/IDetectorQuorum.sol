// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Who judges nodes: panels drawn of enlisted detectors, their claims, and appeals against these.
/// @notice An epoch is block time / EPOCH_SECONDS. In epoch e a panel is drawn for each node, its members probe, and the
/// hashes of their signed votes are committed; in epoch e + 1, and in no other, the votes are revealed and a claim is
/// upheld. EIP-712 domain: name `SoterOne`, version `1`, chain id, this contract.
/// kinds: 1 liveness, 2 profile, 3 snapshot, 4 version, 5 dataset, 6 duty (a detector that does not reveal, or misjudges).
interface IDetectorQuorum {
    /// @dev Committed -> Upheld -> Appealed -> Reversed | Final, or Upheld -> Final. Reversed and Final never change.
    enum Status {
        None,
        Committed,
        Upheld,
        Appealed,
        Reversed,
        Final
    }

    /// @dev `threshold` votes of a panel of `panelSize` decide. An appeal is open for `appealEpochs` after the epoch in
    /// which the claim was upheld; a suspension lasts `suspensionEpochs` after it. Four bits a kind of `severities`, kind i
    /// at bit 4·i: the highest severity that such a claim may have, 0 to 3.
    struct Terms {
        uint8 panelSize;
        uint8 threshold;
        uint16 appealEpochs;
        uint16 suspensionEpochs;
        uint32 severities;
    }

    /// @dev `operator` and `incarnation` are the node's at the commitment.
    struct Accusation {
        address node;
        address operator;
        uint32 incarnation;
        uint64 epoch;
        uint8 kind;
        uint8 severity;
    }

    /// @dev What a detector measured of a profile; `speed` in thousandths of the yardstick task a second.
    struct Measurement {
        uint32 cores;
        uint32 memoryMib;
        uint32 speed;
    }

    /// @dev Bit i of `signers` stands for member i of the panel, which is in ascending order. `entries[i]` is the evidence
    /// hash of a member that signed, else its leaf of the commitment (zero: none). `signatures`: 65 bytes (r, s, v) a
    /// signer, in order. `measurements`: one a signer when the claim is about a profile, else none.
    struct Ballot {
        uint16 signers;
        bytes32[] entries;
        bytes signatures;
        Measurement[] measurements;
    }

    /// @dev As ClaimUpheld had it. `added` is the bad evidence that it brought in epoch `ledgerEpoch` of the ledger.
    struct Claim {
        Accusation accusation;
        uint16 signers;
        uint40 added;
        uint32 ledgerEpoch;
    }

    event DetectorEnlisted(address indexed detector, address indexed operator);
    event DetectorRemoved(address indexed detector);
    event TermsChanged(Terms terms);
    /// @dev `roster` is the code in which terms and seats of the epoch stand; the hash of block `seedBlock` seeds it.
    event EpochOpened(uint64 indexed epoch, address roster, uint256 seedBlock);
    event PanelSeeded(uint64 indexed epoch, uint80 seed);
    /// @dev `leaves` in the order of the panel; for an appeal `subject` is the claim.
    event VotesCommitted(bytes32 indexed commitment, bytes32 indexed subject, uint64 epoch, bytes32[] leaves);
    event ClaimUpheld(bytes32 indexed claimId, address indexed node, Claim claim);
    /// @dev For a claim about a profile: the lower median of what its signers measured.
    event ProfileMeasured(bytes32 indexed claimId, address indexed node, Measurement measured);
    /// @dev The appeal's panel is drawn from the seed of `epoch`, which nobody knows yet.
    event ClaimAppealed(bytes32 indexed claimId, address indexed node, bytes32 counterEvidenceHash, uint64 epoch);
    event ClaimReversed(bytes32 indexed claimId, address indexed node, bytes32 commitment);
    event ClaimFinal(bytes32 indexed claimId, address indexed node);
    event NodeReadmitted(address indexed node);

    error DetectorQuorumZeroAddress();
    error DetectorQuorumZeroPeriod();
    error DetectorQuorumNotGovernor(address sender);
    /// @dev The governor lets changes through sooner than the quorum was promised.
    error DetectorQuorumDelayTooShort(uint256 delaySeconds, uint256 minimumSeconds);
    error DetectorQuorumBadTerms(Terms terms);
    error DetectorQuorumTooManySeats(uint256 seats);
    error DetectorQuorumTooFewSeats(uint256 seats, uint256 needed);
    /// @dev Detectors are named in ascending order.
    error DetectorQuorumUnsorted(address detector);
    error DetectorQuorumAlreadySeated(address detector);
    error DetectorQuorumNotSeated(address detector);
    /// @dev An operator has one seat.
    error DetectorQuorumOperatorSeated(address operator);
    error DetectorQuorumEpochOpen(uint64 epoch);
    error DetectorQuorumEpochNotOpen(uint64 epoch);
    error DetectorQuorumEpochSeeded(uint64 epoch);
    error DetectorQuorumEpochNotSeeded(uint64 epoch);
    error DetectorQuorumSeedNotMined(uint64 epoch, uint256 seedBlock);
    /// @dev Nobody seeded the epoch while the chain knew the block's hash: it has no panels, and gets none.
    error DetectorQuorumSeedLost(uint64 epoch, uint256 seedBlock);
    error DetectorQuorumUnknownNode(address node);
    /// @dev One hash a member of the panel.
    error DetectorQuorumWrongPanelSize(uint256 given, uint256 size);
    error DetectorQuorumAlreadyCommitted(bytes32 commitment);
    /// @dev These votes, of this node or claim and epoch, by these detectors, were never committed.
    error DetectorQuorumNotCommitted(bytes32 commitment);
    error DetectorQuorumWrongStatus(bytes32 claimId, Status status);
    error DetectorQuorumWrongEpoch(uint64 epoch, uint64 present);
    error DetectorQuorumBadSeverity(uint8 kind, uint8 severity);
    error DetectorQuorumAlreadyClaimed(address node, uint64 epoch, uint8 kind);
    error DetectorQuorumTooFewVotes(uint256 votes, uint256 threshold);
    /// @dev Lengths that do not go with the signers.
    error DetectorQuorumBadBallot();
    /// @dev Not 65 bytes, a high s, or no signature at all.
    error DetectorQuorumBadSignature();
    error DetectorQuorumBadClaim(bytes32 claimId);
    error DetectorQuorumAppealClosed(bytes32 claimId, uint64 lastEpoch);
    error DetectorQuorumAppealOpen(bytes32 claimId, uint64 lastEpoch);
    error DetectorQuorumNotSuspended(address node);
    error DetectorQuorumSuspensionLasts(address node, uint64 lastEpoch);

    /// @notice The governor: removes and enlists detectors, both in ascending order. Whoever is enlisted must be an active
    /// node with role 4 whose operator has no other seat. Epochs that are open keep their seats, but a vote of a removed
    /// detector counts no more.
    function rotate(address[] calldata removed, address[] calldata enlisted) external;

    /// @notice The governor: other terms, for epochs not yet open.
    function setTerms(Terms calldata terms) external;

    /// @notice Anybody, once an epoch: fixes its terms, its seats and the block whose hash will seed its panels.
    function openEpoch() external;

    /// @notice Anybody, once that block is mined, while the chain knows its hash.
    function seedEpoch(uint64 epoch) external;

    /// @notice Anybody, any number of times: puts on record that votes on a node were cast in the present epoch.
    /// `signatureHashes`: keccak256 of each panel member's 65-byte signature, in the panel's order, zero where there is
    /// none; that of a member that is no active detector now is dropped. A commitment that opens to nothing harms nobody.
    /// @return commitment keccak256 of keccak256(abi.encode(node, operator, incarnation, epoch)) and of each leaf, a word
    /// each; a leaf is keccak256(abi.encode(member, signatureHash)), or zero. A claim upheld by these votes has it for its
    /// id, so that the same evidence never carries two.
    function commitVotes(address node, bytes32[] calldata signatureHashes) external returns (bytes32 commitment);

    /// @notice As `commitVotes`, in the epoch of the appeal, by its panel; the subject is keccak256(abi.encode(claimId,
    /// epoch)).
    function commitReversal(
        bytes32 claimId,
        Claim calldata claim,
        bytes32[] calldata signatureHashes
    ) external returns (bytes32 commitment);

    /// @notice Anybody, in the epoch after the accusation's: `threshold` votes that were committed uphold a claim, which
    /// costs the node reputation at once, 3 also suspends it. One claim a node, epoch and kind. A node that has left or
    /// registered again since is no less accountable. The ledger's pause stops it.
    /// EIP-712: Vote(address node,address operator,uint32 incarnation,uint64 epoch,uint8 kind,uint8 severity,bytes32
    /// evidenceHash,uint32 cores,uint32 memoryMib,uint32 speed); the last three are zero unless the kind is 2.
    function uphold(Accusation calldata accusation, Ballot calldata ballot) external returns (bytes32 claimId);

    /// @notice The accused or its operator, once a claim, within its time; relayed by anybody with a signature (EIP-712,
    /// EOA or ERC-1271) of Appeal(bytes32 claimId,bytes32 counterEvidenceHash,uint64 deadline), or sent with an empty one.
    /// Never paused.
    function appeal(
        bytes32 claimId,
        Claim calldata claim,
        bytes32 counterEvidenceHash,
        uint64 deadline,
        bytes calldata signature
    ) external;

    /// @notice Anybody, in the epoch after the appeal's: `threshold` votes of its panel, committed in the appeal's epoch,
    /// take back what the claim added, end the suspension that it brought, and penalise those who signed it. Never paused.
    /// EIP-712: Reversal(bytes32 claimId,uint64 epoch,bytes32 evidenceHash).
    function reverse(bytes32 claimId, Claim calldata claim, Ballot calldata ballot) external;

    /// @notice Anybody, when a claim can neither be appealed nor reversed any more.
    function finalise(bytes32 claimId, Claim calldata claim) external;

    /// @notice Anybody, after the last epoch of a node's suspension. Never paused.
    function readmit(address node) external;

    /// @notice Who judges `node`, as it is operated now, in `epoch`; in ascending order. Never the node itself nor another
    /// of its operator's.
    function panelOf(address node, uint64 epoch) external view returns (address[] memory);

    /// @notice Who judges an appeal: nobody of the claim's panel, nor of the accused's operator.
    function appealPanelOf(bytes32 claimId, Claim calldata claim) external view returns (address[] memory);

    /// @notice `epoch`: of the commitment, or the one in which the appeal's panel votes once there is an appeal.
    function claimOf(bytes32 claimId) external view returns (Status status, uint64 epoch);

    /// @notice Terms and seats for epochs not yet open, in ascending order.
    function roster()
        external
        view
        returns (Terms memory terms, address[] memory detectors, address[] memory operators);

    /// @notice `seed` is zero while the epoch is not seeded.
    function epochOf(uint64 epoch) external view returns (address rosterCode, uint80 seed);

    /// @notice The last epoch of a node's suspension by standing claims, and how many of them there are.
    function suspensionOf(address node) external view returns (uint64 lastEpoch, uint32 claims);

    function presentEpoch() external view returns (uint64);
}
