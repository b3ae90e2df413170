// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Short lists of accounts in calldata, read without the compiler's checks of each element.
/// @dev Whole words are compared, on both sides: one with dirty upper bits, in the list or looked for, equals no account.
library AddressList {
    /// @notice An element of the list is no address.
    error AddressListDirty();

    /// @dev The element at `index`, which the caller knows to exist and to be clean.
    function known(address[] calldata list, uint256 index) internal pure returns (address element) {
        assembly ("memory-safe") {
            element := calldataload(add(list.offset, shl(5, index)))
        }
    }

    /// @dev The index of the first element that equals `word`, which nobody needs to have checked, or the length when none
    /// does.
    function find(address[] calldata list, uint256 word) internal pure returns (uint256 index) {
        assembly ("memory-safe") {
            let cursor := list.offset
            let end := add(cursor, shl(5, list.length))
            for {} lt(cursor, end) {
                cursor := add(cursor, 32)
            } {
                if eq(calldataload(cursor), word) {
                    break
                }
            }
            index := shr(5, sub(cursor, list.offset))
        }
    }

    function contains(address[] calldata list, address account) internal pure returns (bool) {
        return find(list, uint160(account)) < list.length;
    }

    /// @dev The index of the first element that is not above its predecessor, or the length when there is none.
    /// Reverts AddressListDirty when an element is no address.
    function firstDescent(address[] calldata list) internal pure returns (uint256 index) {
        uint256 dirty;
        index = list.length;
        assembly ("memory-safe") {
            let previous := 0
            for {
                let i := 0
            } lt(i, list.length) {
                i := add(i, 1)
            } {
                let element := calldataload(add(list.offset, shl(5, i)))
                dirty := or(dirty, shr(160, element))
                if iszero(gt(element, previous)) {
                    index := i
                    break
                }
                previous := element
            }
        }
        if (dirty != 0) revert AddressListDirty();
    }

    /// @dev keccak256(abi.encodePacked(list)): how EIP-712 hashes it.
    function hash(address[] calldata list) internal pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            let size := shl(5, list.length)
            calldatacopy(free, list.offset, size)
            digest := keccak256(free, size)
        }
    }

    /// @dev Writes the elements at `cursor`, unowned memory, and returns where they end.
    function copyTo(address[] calldata list, uint256 cursor) internal pure returns (uint256 end) {
        assembly ("memory-safe") {
            let size := shl(5, list.length)
            calldatacopy(cursor, list.offset, size)
            end := add(cursor, size)
        }
    }
}
