// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IQueryLedger} from "../interfaces/IQueryLedger.sol";

/// @dev From the low bits up: `uint208 commitment | uint8 status | uint7 generation | bool insider | uint32 time`.
type QueryWord is uint256;

using QuerySlot for QueryWord global;

/// @title The one word of a query, read and written whole.
library QuerySlot {
    uint256 private constant STATUS_AT = 208;
    uint256 private constant GENERATION_AT = 216;
    uint256 private constant INSIDER_AT = 223;
    uint256 private constant TIME_AT = 224;

    function pack(
        uint208 folded,
        IQueryLedger.QueryStatus status_,
        uint8 generation_,
        bool insider_,
        uint256 time_
    ) internal pure returns (QueryWord) {
        uint256 head = (uint256(uint32(time_)) << TIME_AT) | (uint256(generation_) << GENERATION_AT);
        if (insider_) head |= 1 << INSIDER_AT;
        return QueryWord.wrap(head | (uint256(status_) << STATUS_AT) | uint256(folded));
    }

    /// @dev The word of the next generation, which is no later than the 127th.
    function replaced(QueryWord word, uint208 folded, bool insider_) internal pure returns (QueryWord) {
        uint256 bits = QueryWord.unwrap(word) & ~uint256(type(uint208).max);
        if (insider_) bits |= 1 << INSIDER_AT;
        unchecked {
            return QueryWord.wrap((bits + (1 << GENERATION_AT)) | folded);
        }
    }

    /// @dev The word after the query's end: generation and insider as they were.
    function ended(
        QueryWord word,
        uint208 folded,
        IQueryLedger.QueryStatus status_,
        uint256 time_
    ) internal pure returns (QueryWord) {
        return pack(folded, status_, generation(word), insider(word), time_);
    }

    /// @dev Whether the status is Completed (2) or Failed (3).
    function awaitsCleanup(QueryWord word) internal pure returns (bool) {
        return (QueryWord.unwrap(word) >> STATUS_AT) & 0xfe == 2;
    }

    /// @dev Completed (2) becomes CompletedCleaned (4), Failed (3) FailedCleaned (5); the caller has checked.
    function cleaned(QueryWord word) internal pure returns (QueryWord) {
        unchecked {
            return QueryWord.wrap(QueryWord.unwrap(word) + (2 << STATUS_AT));
        }
    }

    function commitment(QueryWord word) internal pure returns (uint208) {
        return uint208(QueryWord.unwrap(word));
    }

    function status(QueryWord word) internal pure returns (IQueryLedger.QueryStatus) {
        return IQueryLedger.QueryStatus(uint8(QueryWord.unwrap(word) >> STATUS_AT));
    }

    function generation(QueryWord word) internal pure returns (uint8) {
        return uint8(QueryWord.unwrap(word) >> GENERATION_AT) & 0x7f;
    }

    function insider(QueryWord word) internal pure returns (bool) {
        return (QueryWord.unwrap(word) >> INSIDER_AT) & 1 == 1;
    }

    function time(QueryWord word) internal pure returns (uint32) {
        return uint32(QueryWord.unwrap(word) >> TIME_AT);
    }
}
