// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title Who ordered this: the sender itself, a key, or an ERC-1271 wallet, within a deadline that is not far off.
library Signatures {
    /// @dev A signature is no bearer instrument: deadlines further ahead are refused.
    uint256 internal constant MAX_VALIDITY_SECONDS = 30 days;

    /// @notice The signed deadline is over.
    error SignatureExpired(uint64 deadline);
    /// @notice A signature for more than 30 days ahead is refused.
    error SignatureDeadlineTooFar(uint64 deadline);
    /// @notice This account neither signed this nor sends it.
    error SignatureInvalid(address signer);

    /// @dev Reverts unless now <= deadline <= now + 30 days.
    function checkDeadline(uint64 deadline) internal view {
        if (block.timestamp > deadline) revert SignatureExpired(deadline);
        if (deadline - block.timestamp > MAX_VALIDITY_SECONDS) revert SignatureDeadlineTooFar(deadline);
    }

    /// @dev Reverts unless `signer` signed `digest`, or sends the transaction and `signature` is empty.
    function check(address signer, bytes32 digest, bytes calldata signature) internal view {
        if (!isAuthorised(signer, digest, signature)) revert SignatureInvalid(signer);
    }

    /// @dev The key comes first: it saves the look at the account's code, and an EIP-7702 delegated account, whose key
    /// stays its root authority, may use either. Only 65-byte signatures with a low s recover (EIP-2).
    function isAuthorised(address signer, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        if (signature.length == 0) return msg.sender == signer;
        (address recovered, ECDSA.RecoverError problem, ) = ECDSA.tryRecoverCalldata(digest, signature);
        if (problem == ECDSA.RecoverError.NoError && recovered == signer) return true;
        return SignatureChecker.isValidERC1271SignatureNowCalldata(signer, digest, signature);
    }
}
