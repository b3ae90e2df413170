// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IQueryLedger} from "../interfaces/IQueryLedger.sol";

/// @title The hashes behind the slot of a query, as IQueryLedger lays them down.
library QueryCommitment {
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
                    keccak256(abi.encodePacked(order.owners)),
                    keccak256(abi.encodePacked(order.mpcs)),
                    order.resultKeyHash,
                    order.maxRunSeconds,
                    order.resultRetrySeconds,
                    order.cleanupGraceSeconds,
                    order.maxReplacements,
                    order.deadline
                )
            );
    }

    function ofOrder(IQueryLedger.QueryOrder calldata order) internal pure returns (uint208) {
        bytes32 rosterHash = keccak256(
            abi.encode(order.customer, order.owners, order.mpcs, order.owners[:0])
        );
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
        return _fold(rosterHash, termsHash);
    }

    function commitment(IQueryLedger.Opening calldata opening) internal pure returns (uint208) {
        return _fold(_rosterHash(opening.roster), keccak256(abi.encode(opening.terms)));
    }

    /// @dev The commitment once `newMpc` has taken the rank of `oldMpc`, which joins the lost.
    function afterReplacement(
        IQueryLedger.Opening calldata opening,
        address oldMpc,
        address newMpc
    ) internal pure returns (uint208) {
        IQueryLedger.Roster calldata roster = opening.roster;
        address[] memory mpcs = roster.mpcs;
        for (uint256 rank = 0; rank < mpcs.length; ++rank) if (mpcs[rank] == oldMpc) mpcs[rank] = newMpc;
        uint256 losses = roster.lost.length;
        address[] memory lost = new address[](losses + 1);
        for (uint256 i = 0; i < losses; ++i) lost[i] = roster.lost[i];
        lost[losses] = oldMpc;
        bytes32 rosterHash = keccak256(abi.encode(roster.customer, roster.owners, mpcs, lost));
        return _fold(rosterHash, keccak256(abi.encode(opening.terms)));
    }

    function ofParticipants(
        IQueryLedger.ParticipantsOpening calldata opening,
        bool completed
    ) internal pure returns (uint208 folded) {
        folded = _fold(_rosterHash(opening.roster), opening.termsHash);
        if (completed) folded = withResult(folded, opening.resultHash);
    }

    function withResult(uint208 folded, bytes32 resultHash) internal pure returns (uint208) {
        return _fold(bytes32(uint256(folded)), resultHash);
    }

    function _rosterHash(IQueryLedger.Roster calldata roster) private pure returns (bytes32) {
        return keccak256(abi.encode(roster.customer, roster.owners, roster.mpcs, roster.lost));
    }

    function _fold(bytes32 left, bytes32 right) private pure returns (uint208) {
        return uint208(uint256(keccak256(abi.encode(left, right))));
    }
}
