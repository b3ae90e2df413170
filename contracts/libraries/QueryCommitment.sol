// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {IQueryLedger} from "../interfaces/IQueryLedger.sol";
import {AddressList} from "./AddressList.sol";

/// @title The hashes behind the slot of a query, as IQueryLedger lays them down.
/// @dev Openings are hashed as they lie in calldata: only addresses and numbers without dirty bits were ever committed,
/// so that anything else opens nothing.
library QueryCommitment {
    using AddressList for address[];

    bytes32 private constant ORDER_TYPEHASH =
        keccak256(
            "QueryOrder(address customer,bytes32 salt,bytes32 specHash,address[] owners,address[] mpcs,bytes32 resultKeyHash,uint32 maxRunSeconds,uint32 resultRetrySeconds,uint32 cleanupGraceSeconds,uint8 maxReplacements,uint64 deadline)"
        );

    /// @dev EIP-712: an array is the hash of its elements, each padded to a word.
    function orderStructHash(IQueryLedger.QueryOrder calldata order) internal pure returns (bytes32) {
        return
            keccak256(
                abi.encode(
                    ORDER_TYPEHASH,
                    order.customer,
                    order.salt,
                    order.specHash,
                    order.owners.hash(),
                    order.mpcs.hash(),
                    order.resultKeyHash,
                    order.maxRunSeconds,
                    order.resultRetrySeconds,
                    order.cleanupGraceSeconds,
                    order.maxReplacements,
                    order.deadline
                )
            );
    }

    /// @dev The lists of the order must have been checked for dirty elements.
    function ofOrder(IQueryLedger.QueryOrder calldata order) internal pure returns (uint208) {
        bytes32 termsHash = keccak256(
            abi.encode(
                order.specHash,
                order.resultKeyHash,
                order.maxRunSeconds,
                order.resultRetrySeconds,
                order.cleanupGraceSeconds,
                order.maxReplacements
            )
        );
        (uint256 start, uint256 end) = _layOut(order.customer, order.owners, order.mpcs, order.mpcs[:0]);
        return _fold(_hash(start, end), termsHash);
    }

    function commitment(IQueryLedger.Opening calldata opening) internal pure returns (uint208) {
        return _fold(_rosterHash(opening.roster), _termsHash(opening.terms));
    }

    /// @dev The commitment once `newMpc` has taken the rank of `oldMpc`, which joins the lost. `oldMpc` has a rank.
    function afterReplacement(
        IQueryLedger.Opening calldata opening,
        address oldMpc,
        address newMpc
    ) internal pure returns (uint208) {
        IQueryLedger.Roster calldata roster = opening.roster;
        (uint256 start, uint256 end) = _layOut(roster.customer, roster.owners, roster.mpcs, roster.lost);
        uint256 losses = roster.lost.length;
        uint256 firstRank = start + 32 * (3 + roster.owners.length);
        assembly ("memory-safe") {
            let rank := firstRank
            for {} iszero(eq(mload(rank), oldMpc)) {} {
                rank := add(rank, 32)
            }
            mstore(rank, newMpc)
            mstore(sub(sub(end, 32), shl(5, losses)), add(losses, 1))
            mstore(end, oldMpc)
        }
        return _fold(_hash(start, end + 32), _termsHash(opening.terms));
    }

    function ofParticipants(
        IQueryLedger.ParticipantsOpening calldata opening,
        IQueryLedger.QueryStatus status
    ) internal pure returns (uint208 folded) {
        folded = _fold(_rosterHash(opening.roster), opening.termsHash);
        if (status == IQueryLedger.QueryStatus.Completed || status == IQueryLedger.QueryStatus.CompletedCleaned) {
            folded = withResult(folded, opening.resultHash);
        }
    }

    function withResult(uint208 folded, bytes32 resultHash) internal pure returns (uint208) {
        return _fold(bytes32(uint256(folded)), resultHash);
    }

    function _rosterHash(IQueryLedger.Roster calldata roster) private pure returns (bytes32) {
        (uint256 start, uint256 end) = _layOut(roster.customer, roster.owners, roster.mpcs, roster.lost);
        return _hash(start, end);
    }

    function _termsHash(IQueryLedger.Terms calldata terms) private pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, terms, 192)
            digest := keccak256(free, 192)
        }
    }

    /// @dev Puts the roster's words into unowned memory; whoever allocates before hashing loses them.
    function _layOut(
        address customer,
        address[] calldata owners,
        address[] calldata mpcs,
        address[] calldata lost
    ) private pure returns (uint256 start, uint256 end) {
        assembly ("memory-safe") {
            start := mload(0x40)
            mstore(start, customer)
        }
        end = lost.copyTo(mpcs.copyTo(owners.copyTo(start + 32)));
    }

    function _hash(uint256 start, uint256 end) private pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            digest := keccak256(start, sub(end, start))
        }
    }

    function _fold(bytes32 left, bytes32 right) private pure returns (uint208) {
        return uint208(uint256(Hashes.efficientKeccak256(left, right)));
    }
}
