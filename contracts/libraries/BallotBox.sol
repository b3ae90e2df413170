// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {IDetectorQuorum} from "../interfaces/IDetectorQuorum.sol";
import {PanelDraw} from "./PanelDraw.sol";

/// @title Casting the votes of a panel, and counting them.
/// @dev A member commits to the hash of its signature: nobody else can make it, so it hides the vote from those who have
/// not voted yet, and it is hashed with the member's account, so it is worthless to whoever copies it.
library BallotBox {
    uint256 private constant SIGNATURE_BYTES = 65;

    /// @notice What a member's place in a commitment holds.
    /// @param signatureHash keccak256 of its 65-byte signature.
    function leafOf(address member, bytes32 signatureHash) internal pure returns (bytes32) {
        return Hashes.efficientKeccak256(bytes32(uint256(uint160(member))), signatureHash);
    }

    /// @notice keccak256 of the subject and the leaves, a word each.
    function seal(bytes32 subject, bytes32[] memory leaves) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(subject, leaves));
    }

    /// @notice Recovers who signed, in order. Whoever it was sits on the panel, provided that the commitment returned was
    /// made.
    /// @param message an EIP-712 struct as it is hashed: the evidence hash is word `evidenceAt`, and a measurement follows
    /// it when votes are `measured`.
    function count(
        IDetectorQuorum.Ballot calldata ballot,
        bytes32 subject,
        bytes32 domain,
        bytes memory message,
        uint256 evidenceAt,
        bool measured
    ) internal pure returns (bytes32 commitment, address[] memory signers) {
        bytes32[] memory leaves = ballot.entries;
        (uint256 mask, uint256 total) = (ballot.signers, PanelDraw.count(ballot.signers));
        bytes calldata signatures = ballot.signatures;
        IDetectorQuorum.Measurement[] calldata measurements = ballot.measurements;
        if (
            mask >> leaves.length != 0 ||
            signatures.length != total * SIGNATURE_BYTES ||
            measurements.length != (measured ? total : 0)
        ) revert IDetectorQuorum.DetectorQuorumBadBallot();
        signers = new address[](total);
        uint256 next = 0;
        for (uint256 i = 0; mask != 0; ++i) {
            if (mask & 1 != 0) {
                bytes calldata signature = signatures[next * SIGNATURE_BYTES:(next + 1) * SIGNATURE_BYTES];
                _fill(message, evidenceAt, leaves[i], measurements, next);
                signers[next] = _signer(MessageHashUtils.toTypedDataHash(domain, keccak256(message)), signature);
                leaves[i] = leafOf(signers[next++], keccak256(signature));
            }
            mask >>= 1;
        }
        commitment = seal(subject, leaves);
    }

    /// @notice The lower median of each value: with k signers fewer than k / 2 liars cannot move it past the honest.
    function median(
        IDetectorQuorum.Measurement[] calldata measurements
    ) internal pure returns (IDetectorQuorum.Measurement memory middle) {
        uint256[] memory values = new uint256[](measurements.length);
        for (uint256 i = 0; i < values.length; ++i) values[i] = measurements[i].cores;
        middle.cores = uint32(_lowerMedian(values));
        for (uint256 i = 0; i < values.length; ++i) values[i] = measurements[i].memoryMib;
        middle.memoryMib = uint32(_lowerMedian(values));
        for (uint256 i = 0; i < values.length; ++i) values[i] = measurements[i].speed;
        middle.speed = uint32(_lowerMedian(values));
    }

    /// @dev Only 65 bytes with a low s recover (EIP-2).
    function _signer(bytes32 digest, bytes calldata signature) private pure returns (address signer) {
        ECDSA.RecoverError problem;
        (signer, problem, ) = ECDSA.tryRecoverCalldata(digest, signature);
        if (problem != ECDSA.RecoverError.NoError) revert IDetectorQuorum.DetectorQuorumBadSignature();
    }

    function _fill(
        bytes memory message,
        uint256 evidenceAt,
        bytes32 evidenceHash,
        IDetectorQuorum.Measurement[] calldata measurements,
        uint256 index
    ) private pure {
        assembly ("memory-safe") {
            let at := add(add(message, 0x20), shl(5, evidenceAt))
            mstore(at, evidenceHash)
            if measurements.length {
                calldatacopy(add(at, 0x20), add(measurements.offset, mul(index, 0x60)), 0x60)
            }
        }
    }

    function _lowerMedian(uint256[] memory values) private pure returns (uint256) {
        for (uint256 i = 1; i < values.length; ++i) {
            for (uint256 j = i; j > 0 && values[j] < values[j - 1]; --j) {
                (values[j], values[j - 1]) = (values[j - 1], values[j]);
            }
        }
        return values[(values.length - 1) / 2];
    }
}
