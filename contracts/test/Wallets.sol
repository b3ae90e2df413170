// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title A contract wallet that one key signs for until it is revoked.
contract KeyWallet is IERC1271 {
    address public signer;

    constructor(address first) {
        signer = first;
    }

    function revoke() external {
        signer = address(0);
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (address recovered, , ) = ECDSA.tryRecover(hash, signature);
        bool valid = recovered == signer && recovered != address(0);
        return valid ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

/// @title A wallet that answers with a megabyte.
contract BombWallet {
    fallback() external {
        assembly ("memory-safe") {
            return(0, 1000000)
        }
    }
}
