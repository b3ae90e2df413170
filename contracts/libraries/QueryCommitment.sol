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
                order.cleanupGraceSeconds
            )
        );
        address[] calldata mpcs = order.mpcs;
        (uint256 start, uint256 end) = _layOut(
            order.customer,
            order.owners.length,
            order.maxReplacements,
            order.owners
        );
        return _fold(_hash(start, mpcs.copyTo(end)), termsHash);
    }

    /// @dev The commitment that the opening belongs to, the result folded in when the status is a completed one.
    function ofOpening(
        IQueryLedger.Opening calldata opening,
        IQueryLedger.QueryStatus status
    ) internal pure returns (uint208 folded) {
        (uint256 start, uint256 end) = _layOutOpening(opening);
        folded = _fold(_hash(start, end), opening.termsHash);
        if (status == IQueryLedger.QueryStatus.Completed || status == IQueryLedger.QueryStatus.CompletedCleaned) {
            folded = withResult(folded, opening.resultHash);
        }
    }

    /// @dev The commitment once `newMpc` has taken the place at `index`, and the one who had it joined the lost.
    function afterReplacement(
        IQueryLedger.Opening calldata opening,
        uint256 index,
        address newMpc
    ) internal pure returns (uint208) {
        (uint256 start, uint256 end) = _layOutOpening(opening);
        assembly ("memory-safe") {
            let place := add(start, shl(5, add(index, 3)))
            mstore(end, mload(place))
            mstore(place, newMpc)
        }
        return _fold(_hash(start, end + 32), opening.termsHash);
    }

    function hash(IQueryLedger.Terms calldata terms) internal pure returns (bytes32) {
        return keccak256(abi.encode(terms));
    }

    function withResult(uint208 folded, bytes32 resultHash) internal pure returns (uint208) {
        return _fold(bytes32(uint256(folded)), resultHash);
    }

    function _layOutOpening(
        IQueryLedger.Opening calldata opening
    ) private pure returns (uint256 start, uint256 end) {
        assembly ("memory-safe") {
            start := mload(0x40)
            calldatacopy(start, opening, 96)
        }
        end = opening.participants.copyTo(start + 96);
    }

    /// @dev Puts the roster's words into unowned memory; whoever allocates before hashing loses them.
    function _layOut(
        address customer,
        uint256 ownerCount,
        uint256 maxReplacements,
        address[] calldata accounts
    ) private pure returns (uint256 start, uint256 end) {
        assembly ("memory-safe") {
            start := mload(0x40)
            mstore(start, customer)
            mstore(add(start, 32), ownerCount)
            mstore(add(start, 64), maxReplacements)
        }
        end = accounts.copyTo(start + 96);
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
