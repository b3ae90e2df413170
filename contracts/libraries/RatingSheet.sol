// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev Points at the length of the first of two columns, accounts and percentages, that lie in memory as the event data
/// `(address[], uint8[])`.
type Sheet is uint256;

using RatingSheet for Sheet global;

/// @title Who is judged, and how, copied once in bulk and logged from where it lies.
/// @dev The compiler's own copying and encoding of these arrays costs more than the arithmetic of reputation. Values are
/// copied as they stand in the calldata: before a sheet is believed, its accounts must have been compared with committed
/// ones, and its percentages checked.
library RatingSheet {
    /// @notice More than a hundred percent.
    error RatingSheetBadPercentage(uint256 percentage);

    /// @notice An empty sheet of `rows` rows: two offsets, a length and a column, a length and a column.
    function blank(uint256 rows) internal pure returns (Sheet sheet) {
        assembly ("memory-safe") {
            let start := mload(0x40)
            let column := shl(5, add(rows, 1))
            sheet := add(start, 0x40)
            mstore(start, 0x40)
            mstore(add(start, 0x20), add(column, 0x40))
            mstore(sheet, rows)
            mstore(add(sheet, column), rows)
            mstore(0x40, add(sheet, shl(1, column)))
        }
    }

    /// @notice Copies the column of accounts, as many as the sheet has rows.
    function fillAccounts(Sheet sheet, address[] calldata accounts) internal pure {
        assembly ("memory-safe") {
            calldatacopy(add(sheet, 0x20), accounts.offset, shl(5, accounts.length))
        }
    }

    /// @notice Copies the column of percentages, as many as the sheet has rows.
    function fillPercentages(Sheet sheet, uint8[] calldata values) internal pure {
        assembly ("memory-safe") {
            calldatacopy(add(sheet, shl(5, add(values.length, 2))), values.offset, shl(5, values.length))
        }
    }

    /// @notice Writes the same percentage in every row.
    function fillPercentage(Sheet sheet, uint256 value) internal pure {
        assembly ("memory-safe") {
            let rows := mload(sheet)
            let cursor := add(sheet, shl(5, add(rows, 2)))
            let end := add(cursor, shl(5, rows))
            for {} lt(cursor, end) { cursor := add(cursor, 0x20) } { mstore(cursor, value) }
        }
    }

    /// @notice Where the first row stands, how far its percentage is from its account, and where the rows end.
    function span(Sheet sheet) internal pure returns (uint256 cursor, uint256 stride, uint256 end) {
        assembly ("memory-safe") {
            let size := shl(5, mload(sheet))
            cursor := add(sheet, 0x20)
            stride := add(size, 0x20)
            end := add(cursor, size)
        }
    }

    /// @notice The row at `cursor` as it was copied; the next is 32 bytes on.
    function read(uint256 cursor, uint256 stride) internal pure returns (uint256 account, uint256 percentage) {
        assembly ("memory-safe") {
            account := mload(cursor)
            percentage := mload(add(cursor, stride))
        }
    }

    /// @notice Reverts unless every percentage is one.
    function check(Sheet sheet) internal pure {
        (uint256 cursor, uint256 stride, uint256 end) = span(sheet);
        uint256 wrong;
        assembly ("memory-safe") {
            end := add(end, stride)
            for {
                let at := add(cursor, stride)
            } lt(at, end) {
                at := add(at, 0x20)
            } {
                wrong := or(wrong, gt(mload(at), 100))
            }
        }
        if (wrong == 0) return;
        uint256 percentage;
        for (; percentage <= 100; cursor += 32) (, percentage) = read(cursor, stride);
        revert RatingSheetBadPercentage(percentage);
    }

    function count(Sheet sheet) internal pure returns (uint256 rows) {
        assembly ("memory-safe") {
            rows := mload(sheet)
        }
    }

    /// @notice keccak256(abi.encodePacked(column)) of both columns, as EIP-712 hashes arrays.
    function hashes(Sheet sheet) internal pure returns (bytes32 accounts, bytes32 percentages) {
        assembly ("memory-safe") {
            let size := shl(5, mload(sheet))
            accounts := keccak256(add(sheet, 0x20), size)
            percentages := keccak256(add(sheet, add(size, 0x40)), size)
        }
    }

    /// @notice Logs `event(bytes32 indexed, address[], uint8[])`.
    function log(Sheet sheet, bytes32 selector, bytes32 first) internal {
        assembly ("memory-safe") {
            log2(sub(sheet, 0x40), add(0x80, shl(6, mload(sheet))), selector, first)
        }
    }

    /// @notice Logs `event(bytes32 indexed, address indexed, address[], uint8[])`.
    function log(Sheet sheet, bytes32 selector, bytes32 first, address second) internal {
        assembly ("memory-safe") {
            log3(sub(sheet, 0x40), add(0x80, shl(6, mload(sheet))), selector, first, second)
        }
    }
}
