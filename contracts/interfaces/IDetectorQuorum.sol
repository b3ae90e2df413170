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

    /// @dev An account answers for all that it did: which of its incarnations it was does not count.
    struct Accusation {
        address node;
        address operator;
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

    /// @notice A node judges from the next epoch that is opened on.
    /// @param detector its account.
    /// @param operator who has this one seat.
    event DetectorEnlisted(address indexed detector, address indexed operator);
    /// @notice A node judges no more, not even by votes that it has cast.
    /// @param detector its account.
    event DetectorRemoved(address indexed detector);
    /// @notice Other terms hold, for epochs not yet open.
    /// @param terms all of them.
    event TermsChanged(Terms terms);
    /// @notice An epoch has its terms and seats.
    /// @param epoch its number.
    /// @param roster the code in which they stand.
    /// @param seedBlock whose hash will seed its panels.
    event EpochOpened(uint64 indexed epoch, address roster, uint256 seedBlock);
    /// @notice An epoch's panels can be drawn.
    /// @param epoch its number.
    /// @param seed the low 80 bits of the block's hash.
    event PanelSeeded(uint64 indexed epoch, uint80 seed);
    /// @notice Votes were cast, and nobody knows which.
    /// @param commitment the hash of subject and leaves.
    /// @param subject what is judged: the hash of node, operator and epoch, for an appeal that of claim and epoch.
    /// @param epoch of the votes.
    /// @param leaves in the order of the panel; zero: no vote.
    event VotesCommitted(bytes32 indexed commitment, bytes32 indexed subject, uint64 epoch, bytes32[] leaves);
    /// @notice Enough of a panel accused a node of the same, which has cost it reputation.
    /// @param claimId the commitment that the votes open.
    /// @param node the accused.
    /// @param claim what is to be supplied again at every further step.
    event ClaimUpheld(bytes32 indexed claimId, address indexed node, Claim claim);
    /// @notice With a claim about a profile: what the node has instead.
    /// @param claimId the claim.
    /// @param node the accused.
    /// @param measured the lower median of what its signers measured.
    event ProfileMeasured(bytes32 indexed claimId, address indexed node, Measurement measured);
    /// @notice The accused objects.
    /// @param claimId the claim.
    /// @param node the accused.
    /// @param counterEvidenceHash of what it says.
    /// @param epoch whose seed, which nobody knows yet, draws the panel that judges.
    event ClaimAppealed(bytes32 indexed claimId, address indexed node, bytes32 counterEvidenceHash, uint64 epoch);
    /// @notice Another panel found the claim wrong: what it cost is given back.
    /// @param claimId the claim.
    /// @param node the accused.
    /// @param commitment that the votes open.
    event ClaimReversed(bytes32 indexed claimId, address indexed node, bytes32 commitment);
    /// @notice The claim stands for good.
    /// @param claimId the claim.
    /// @param node the accused.
    event ClaimFinal(bytes32 indexed claimId, address indexed node);
    /// @notice No claim keeps a node suspended any more.
    /// @param node its account.
    event NodeReadmitted(address indexed node);

    /// @notice A contract that the quorum needs is missing.
    error DetectorQuorumZeroAddress();
    /// @notice Epoch or delay has no length.
    error DetectorQuorumZeroPeriod();
    /// @notice Only the governor may.
    error DetectorQuorumNotGovernor(address sender);
    /// @notice The governor lets changes through sooner than the quorum was promised.
    error DetectorQuorumDelayTooShort(uint256 delaySeconds, uint256 minimumSeconds);
    /// @notice Terms under which no panel could judge, a minority would decide, or a suspension ended before its appeal.
    error DetectorQuorumBadTerms(Terms terms);
    /// @notice More seats than a set can hold.
    error DetectorQuorumTooManySeats(uint256 seats);
    /// @notice Too few seats for a panel, a substitute and the panel of an appeal.
    error DetectorQuorumTooFewSeats(uint256 seats, uint256 needed);
    /// @notice Detectors are named in ascending order.
    error DetectorQuorumUnsorted(address detector);
    /// @notice The node has a seat.
    error DetectorQuorumAlreadySeated(address detector);
    /// @notice The node has no seat.
    error DetectorQuorumNotSeated(address detector);
    /// @notice An operator has one seat.
    error DetectorQuorumOperatorSeated(address operator);
    /// @notice The epoch is open already.
    error DetectorQuorumEpochOpen(uint64 epoch);
    /// @notice Nobody opened the epoch.
    error DetectorQuorumEpochNotOpen(uint64 epoch);
    /// @notice The epoch has its seed already.
    error DetectorQuorumEpochSeeded(uint64 epoch);
    /// @notice The epoch has no seed, so it has no panels.
    error DetectorQuorumEpochNotSeeded(uint64 epoch);
    /// @notice The block that seeds the epoch is not there yet.
    error DetectorQuorumSeedNotMined(uint64 epoch, uint256 seedBlock);
    /// @notice Nobody seeded the epoch while the chain knew the block's hash: it has no panels, and gets none.
    error DetectorQuorumSeedLost(uint64 epoch, uint256 seedBlock);
    /// @notice The account never registered.
    error DetectorQuorumUnknownNode(address node);
    /// @notice One hash a member of the panel.
    error DetectorQuorumWrongPanelSize(uint256 given, uint256 size);
    /// @notice These very votes are on record.
    error DetectorQuorumAlreadyCommitted(bytes32 commitment);
    /// @notice These votes, of this node or claim and epoch, by these detectors, were never committed.
    error DetectorQuorumNotCommitted(bytes32 commitment);
    /// @notice The claim is in another status than this needs.
    error DetectorQuorumWrongStatus(bytes32 claimId, Status status);
    /// @notice It is another epoch than this needs.
    error DetectorQuorumWrongEpoch(uint64 epoch, uint64 present);
    /// @notice No claim of this kind may be as severe, or it has no severity.
    error DetectorQuorumBadSeverity(uint8 kind, uint8 severity);
    /// @notice The node answers for this kind of fault in this epoch already.
    error DetectorQuorumAlreadyClaimed(address node, uint64 epoch, uint8 kind);
    /// @notice Too few of the panel agree.
    error DetectorQuorumTooFewVotes(uint256 votes, uint256 threshold);
    /// @notice Lengths that do not go with the signers.
    error DetectorQuorumBadBallot();
    /// @notice Not 65 bytes, a high s, or no signature at all.
    error DetectorQuorumBadSignature();
    /// @notice What was supplied of the claim is not what it was.
    error DetectorQuorumBadClaim(bytes32 claimId);
    /// @notice It is too late to appeal.
    error DetectorQuorumAppealClosed(bytes32 claimId, uint64 lastEpoch);
    /// @notice The claim can still be appealed or reversed.
    error DetectorQuorumAppealOpen(bytes32 claimId, uint64 lastEpoch);
    /// @notice No claim suspends the node.
    error DetectorQuorumNotSuspended(address node);
    /// @notice The suspension is not served yet.
    error DetectorQuorumSuspensionLasts(address node, uint64 lastEpoch);

    /// @notice The governor: removes and enlists detectors, both in ascending order. Whoever is enlisted must be an active
    /// node with role 4 whose operator has no other seat. Epochs that are open keep their seats, but a vote of a removed
    /// detector counts no more.
    /// @param removed who loses its seat.
    /// @param enlisted who gets one.
    function rotate(address[] calldata removed, address[] calldata enlisted) external;

    /// @notice The governor: other terms, for epochs not yet open.
    /// @param terms all of them.
    function setTerms(Terms calldata terms) external;

    /// @notice Anybody, once an epoch: fixes its terms, its seats and the block whose hash will seed its panels.
    function openEpoch() external;

    /// @notice Anybody, once that block is mined, while the chain knows its hash.
    /// @param epoch that was opened.
    function seedEpoch(uint64 epoch) external;

    /// @notice Anybody, any number of times: puts on record that votes on a node were cast in the present epoch. That of a
    /// member that is no active detector now is dropped. A commitment that opens to nothing harms nobody.
    /// @param node the accused.
    /// @param signatureHashes keccak256 of each panel member's 65-byte signature, in the panel's order, zero where there is
    /// none.
    /// @return commitment keccak256 of keccak256(abi.encode(node, operator, epoch)) and of each leaf, a word
    /// each; a leaf is keccak256(abi.encode(member, signatureHash)), or zero. A claim upheld by these votes has it for its
    /// id, so that the same evidence never carries two.
    function commitVotes(address node, bytes32[] calldata signatureHashes) external returns (bytes32 commitment);

    /// @notice As `commitVotes`, in the epoch of the appeal, by its panel; the subject is keccak256(abi.encode(claimId,
    /// epoch)).
    /// @param claimId the claim.
    /// @param claim as ClaimUpheld had it.
    /// @param signatureHashes as for `commitVotes`.
    /// @return commitment that `reverse` opens.
    function commitReversal(
        bytes32 claimId,
        Claim calldata claim,
        bytes32[] calldata signatureHashes
    ) external returns (bytes32 commitment);

    /// @notice Anybody, in the epoch after the accusation's: `threshold` votes that were committed uphold a claim, which
    /// costs the node reputation at once, 3 also suspends it. One claim a node, epoch and kind. A node that has left or
    /// registered again since is no less accountable. The ledger's pause stops it.
    /// EIP-712: Vote(address node,address operator,uint64 epoch,uint8 kind,uint8 severity,bytes32
    /// evidenceHash,uint32 cores,uint32 memoryMib,uint32 speed); the last three are zero unless the kind is 2.
    /// @param accusation what was voted.
    /// @param ballot who signed, and what is revealed of the commitment.
    /// @return claimId the commitment that the ballot opens.
    function uphold(Accusation calldata accusation, Ballot calldata ballot) external returns (bytes32 claimId);

    /// @notice The accused or its operator, once a claim, within its time; relayed by anybody. Never paused.
    /// EIP-712: Appeal(bytes32 claimId,bytes32 counterEvidenceHash,uint64 deadline).
    /// @param claimId the claim.
    /// @param claim as ClaimUpheld had it.
    /// @param counterEvidenceHash of what the accused says.
    /// @param deadline that was signed.
    /// @param signature of either (EIP-712, EOA or ERC-1271); empty when the sender is one of them.
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
    /// @param claimId the claim.
    /// @param claim as ClaimUpheld had it.
    /// @param ballot who signed, and what is revealed of the commitment.
    function reverse(bytes32 claimId, Claim calldata claim, Ballot calldata ballot) external;

    /// @notice Anybody, when a claim can neither be appealed nor reversed any more.
    /// @param claimId the claim.
    /// @param claim as ClaimUpheld had it.
    function finalise(bytes32 claimId, Claim calldata claim) external;

    /// @notice Anybody, after the last epoch of a node's suspension. Never paused.
    /// @param node its account.
    function readmit(address node) external;

    /// @notice Who judges a node. Never the node itself nor another of its operator's.
    /// @param node its account.
    /// @param epoch that is seeded.
    /// @return the panel, in ascending order.
    function panelOf(address node, uint64 epoch) external view returns (address[] memory);

    /// @notice Who judges an appeal: nobody of the claim's panel, nor of the accused's operator.
    /// @param claimId the claim.
    /// @param claim as ClaimUpheld had it.
    /// @return the panel, in ascending order.
    function appealPanelOf(bytes32 claimId, Claim calldata claim) external view returns (address[] memory);

    /// @notice How a claim stands.
    /// @param claimId the claim.
    /// @return status None: nothing was committed.
    /// @return epoch of the votes, or the one in which the appeal's panel votes once there is an appeal.
    function claimOf(bytes32 claimId) external view returns (Status status, uint64 epoch);

    /// @notice What holds for epochs not yet open.
    /// @return terms of the panels.
    /// @return detectors who has a seat, in ascending order.
    /// @return operators of each.
    function roster()
        external
        view
        returns (Terms memory terms, address[] memory detectors, address[] memory operators);

    /// @notice How an epoch stands.
    /// @param epoch its number.
    /// @return rosterCode where its terms and seats stand; zero while it is not open.
    /// @return seed of its panels; zero while it is not seeded.
    function epochOf(uint64 epoch) external view returns (address rosterCode, uint80 seed);

    /// @notice How long claims keep a node suspended.
    /// @param node its account.
    /// @return lastEpoch of the suspension.
    /// @return claims that stand behind it.
    function suspensionOf(address node) external view returns (uint64 lastEpoch, uint32 claims);

    /// @notice The epoch of this block.
    /// @return block time / EPOCH_SECONDS.
    function presentEpoch() external view returns (uint64);
}
