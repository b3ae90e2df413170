// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDetectorQuorum} from "../interfaces/IDetectorQuorum.sol";
import {PanelDraw} from "./PanelDraw.sol";

/// @dev Words in memory: the terms, then node and operator of each seat, in ascending order of the nodes.
type Seats is uint256;

using Roster for Seats global;

/// @title Terms and seats of the detectors, kept as the code of an account, which is read whole for one cold access.
/// @dev A roster never changes: an epoch that points at one keeps its terms and its seats whatever is decided since. The
/// code starts with STOP, so that it can be called and does nothing.
library Roster {
    uint256 internal constant MAX_SEATS = 255;
    uint256 internal constant MAX_PANEL = 16;

    /// @dev Returns the rest of the creation code, a STOP and the words.
    bytes11 private constant CREATION = 0x600B5981380380925939F3;

    /// @notice The chain refused the code that was to hold terms and seats.
    error RosterNotStored();

    /// @notice Room for `size` seats, with these terms.
    function blank(uint256 terms_, uint256 size) internal pure returns (Seats roster) {
        uint256[] memory words = new uint256[](1 + 2 * size);
        words[0] = terms_;
        assembly ("memory-safe") {
            roster := words
        }
    }

    /// @notice The seats without `removed` and with `enlisted`, both in ascending order; an operator has one seat.
    function rotated(
        Seats roster,
        address[] calldata removed,
        address[] calldata enlisted,
        address[] memory operators
    ) internal pure returns (Seats next) {
        next = blank(roster.packedTerms(), roster.count() + enlisted.length);
        (uint256 size, uint256 gone, uint256 fresh) = (0, 0, 0);
        for (uint256 seat = 0; seat < roster.count(); ++seat) {
            address node = roster.nodeAt(seat);
            if (gone < removed.length && removed[gone] == node) {
                ++gone;
                continue;
            }
            for (; fresh < enlisted.length && enlisted[fresh] < node; ++fresh) {
                _put(next, size++, enlisted[fresh], operators[fresh]);
            }
            _put(next, size++, node, roster.operatorAt(seat));
        }
        for (; fresh < enlisted.length; ++fresh) _put(next, size++, enlisted[fresh], operators[fresh]);
        if (gone < removed.length) revert IDetectorQuorum.DetectorQuorumNotSeated(removed[gone]);
        _cut(next, size);
        _check(next, operators);
    }

    /// @notice The same seats under other terms.
    function withTerms(Seats roster, uint256 terms_) internal pure returns (Seats) {
        _words(roster)[0] = terms_;
        return roster;
    }

    function load(address code) internal view returns (Seats roster) {
        assembly ("memory-safe") {
            roster := mload(0x40)
            let size := sub(extcodesize(code), 1)
            mstore(roster, shr(5, size))
            extcodecopy(code, add(roster, 0x20), 1, size)
            mstore(0x40, add(add(roster, 0x20), size))
        }
    }

    function store(Seats roster) internal returns (address code) {
        bytes memory creation = abi.encodePacked(CREATION, uint8(0), _words(roster));
        assembly ("memory-safe") {
            code := create(0, add(creation, 0x20), mload(creation))
        }
        if (code == address(0)) revert RosterNotStored();
    }

    function count(Seats roster) internal pure returns (uint256) {
        return _words(roster).length / 2;
    }

    function nodeAt(Seats roster, uint256 seat) internal pure returns (address) {
        return address(uint160(_words(roster)[1 + 2 * seat]));
    }

    function operatorAt(Seats roster, uint256 seat) internal pure returns (address) {
        return address(uint160(_words(roster)[2 + 2 * seat]));
    }

    /// @notice The seat that may not judge a node, its own or its operator's, as a set of PanelDraw: one or none.
    function recused(Seats roster, address node, address operator) internal pure returns (uint256 set) {
        assembly ("memory-safe") {
            let cursor := add(roster, 0x40)
            for { let bit := 1 let end := add(cursor, shl(5, sub(mload(roster), 1))) } lt(cursor, end) { cursor := add(cursor, 0x40) } {
                set := or(set, mul(bit, or(eq(mload(cursor), node), eq(mload(add(cursor, 0x20)), operator))))
                bit := shl(1, bit)
            }
        }
    }

    /// @notice Reverts unless each of the nodes has a seat.
    function checkSeated(Seats roster, address[] memory nodes) internal pure {
        for (uint256 i = 0; i < nodes.length; ++i) {
            if (roster.recused(nodes[i], address(0)) == 0) {
                revert IDetectorQuorum.DetectorQuorumNotSeated(nodes[i]);
            }
        }
    }

    /// @notice The seats of those of these nodes that have one, as a set of PanelDraw.
    function setOf(Seats roster, address[] memory nodes) internal pure returns (uint256 set) {
        for (uint256 i = 0; i < nodes.length; ++i) set |= roster.recused(nodes[i], address(0));
    }

    /// @notice The members of a set of PanelDraw, in ascending order.
    function members(Seats roster, uint256 set, uint256 size) internal pure returns (address[] memory nodes) {
        nodes = new address[](size);
        uint256 next = 0;
        for (uint256 seat = 0; next < size; ++seat) {
            if ((set >> seat) & 1 != 0) nodes[next++] = roster.nodeAt(seat);
        }
    }

    /// @notice `panelSize8 threshold8 appealEpochs16 suspensionEpochs16 severities32`, from the low bits up.
    function pack(IDetectorQuorum.Terms memory terms_) internal pure returns (uint256) {
        uint256 windows = (uint256(terms_.appealEpochs) << 16) | (uint256(terms_.suspensionEpochs) << 32);
        uint256 votes = terms_.panelSize | (uint256(terms_.threshold) << 8);
        return votes | windows | (uint256(terms_.severities) << 48);
    }

    function unpack(uint256 word) internal pure returns (IDetectorQuorum.Terms memory) {
        return
            IDetectorQuorum.Terms(
                uint8(word),
                uint8(word >> 8),
                uint16(word >> 16),
                uint16(word >> 32),
                uint32(word >> 48)
            );
    }

    function packedTerms(Seats roster) internal pure returns (uint256) {
        return _words(roster)[0];
    }

    function panelSize(Seats roster) internal pure returns (uint256) {
        return uint8(packedTerms(roster));
    }

    /// @notice The highest severity that a claim of this kind may have; 0 for kinds that there are not.
    function highestSeverity(IDetectorQuorum.Terms memory terms, uint8 kind) internal pure returns (uint256) {
        return kind > 7 ? 0 : (terms.severities >> (4 * kind)) & 15;
    }

    function _put(Seats roster, uint256 seat, address node, address operator) private pure {
        _words(roster)[1 + 2 * seat] = uint160(node);
        _words(roster)[2 + 2 * seat] = uint160(operator);
    }

    function _cut(Seats roster, uint256 size) private pure {
        assembly ("memory-safe") {
            mstore(roster, add(1, shl(1, size)))
        }
    }

    function _check(Seats roster, address[] memory newOperators) private pure {
        uint256 size = roster.count();
        if (size > MAX_SEATS) revert IDetectorQuorum.DetectorQuorumTooManySeats(size);
        for (uint256 i = 1; i < size; ++i) {
            (address before, address node) = (roster.nodeAt(i - 1), roster.nodeAt(i));
            if (node == before) revert IDetectorQuorum.DetectorQuorumAlreadySeated(node);
            if (node < before) revert IDetectorQuorum.DetectorQuorumUnsorted(node);
        }
        for (uint256 i = 0; i < newOperators.length; ++i) {
            if (PanelDraw.count(roster.recused(address(0), newOperators[i])) > 1) {
                revert IDetectorQuorum.DetectorQuorumOperatorSeated(newOperators[i]);
            }
        }
    }

    function _words(Seats roster) private pure returns (uint256[] memory words) {
        assembly ("memory-safe") {
            words := roster
        }
    }
}
