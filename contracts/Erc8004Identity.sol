// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {ERC165} from "@openzeppelin/contracts/utils/introspection/ERC165.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {IErc8004Identity} from "./interfaces/IErc8004Identity.sol";

/// @title The register of nodes, as tools read it that speak ERC-8004.
/// @notice It holds nothing, changes nothing and has no administrator: every answer is the NodeRegistry's of this moment.
contract Erc8004Identity is IErc8004Identity, IERC721Errors, ERC165 {
    using Strings for *;

    /// @inheritdoc IErc8004Identity
    string public constant name = "SoterOne nodes";
    /// @inheritdoc IErc8004Identity
    string public constant symbol = "SOTER";

    /// @notice Where nodes are registered.
    INodeRegistry public immutable REGISTRY;

    /// @notice A contract that the view needs is missing.
    error Erc8004IdentityZeroAddress();

    /// @param registry whose nodes these are.
    constructor(INodeRegistry registry) {
        if (address(registry) == address(0)) revert Erc8004IdentityZeroAddress();
        REGISTRY = registry;
    }

    /// @inheritdoc IErc8004Identity
    function ownerOf(uint256 tokenId) external view returns (address) {
        return _nodeOf(tokenId).operator;
    }

    /// @inheritdoc IErc8004Identity
    function tokenURI(uint256 tokenId) external view returns (string memory) {
        string memory file = string.concat(_description(tokenId, _nodeOf(tokenId)), _registration(tokenId));
        return string.concat("data:application/json;base64,", Base64.encode(bytes(file)));
    }

    /// @inheritdoc IErc8004Identity
    function getMetadata(uint256 agentId, string calldata metadataKey) external view returns (bytes memory value) {
        INodeRegistry.Node memory node = _nodeOf(agentId);
        if (metadataKey.equal("agentWallet")) return abi.encodePacked(_account(agentId));
        if (metadataKey.equal("roles")) return abi.encode(node.roles);
        if (metadataKey.equal("version")) return abi.encode(node.version);
        if (metadataKey.equal("status")) return abi.encode(node.status);
        if (metadataKey.equal("incarnation")) return abi.encode(node.incarnation);
        if (metadataKey.equal("commitment")) return abi.encode(node.commitment);
    }

    /// @inheritdoc IErc8004Identity
    function getAgentWallet(uint256 agentId) external view returns (address) {
        _nodeOf(agentId);
        return _account(agentId);
    }

    /// @notice ERC-165: this interface, and not ERC-721, of which it answers but a part.
    /// @param interfaceId of the interface in question.
    /// @return whether all of it is answered.
    function supportsInterface(bytes4 interfaceId) public view override returns (bool) {
        return interfaceId == type(IErc8004Identity).interfaceId || super.supportsInterface(interfaceId);
    }

    function _description(uint256 agentId, INodeRegistry.Node memory node) private pure returns (string memory) {
        return
            string.concat(
                '{"type":"https://eips.ethereum.org/EIPS/eip-8004#registration-v1","name":"SoterOne node ',
                _account(agentId).toChecksumHexString(),
                '","description":"Serves federated learning as ',
                _roleNames(node.roles),
                '. No endpoint of it stands on chain.","image":"","services":[],"x402Support":false,"active":',
                node.status == INodeRegistry.NodeStatus.Active ? "true" : "false"
            );
    }

    function _registration(uint256 agentId) private view returns (string memory) {
        return
            string.concat(
                ',"registrations":[{"agentId":',
                agentId.toString(),
                ',"agentRegistry":"eip155:',
                block.chainid.toString(),
                ":",
                address(this).toChecksumHexString(),
                '"}],"supportedTrust":["reputation"]}'
            );
    }

    function _roleNames(uint8 roles) private pure returns (string memory names) {
        string[3] memory known = ["data owner", "MPC node", "detector"];
        for (uint256 i = 0; i < known.length; ++i) {
            if ((roles >> i) & 1 == 0) continue;
            names = bytes(names).length == 0 ? known[i] : string.concat(names, ", ", known[i]);
        }
    }

    function _nodeOf(uint256 agentId) private view returns (INodeRegistry.Node memory node) {
        if (agentId > type(uint160).max) revert ERC721NonexistentToken(agentId);
        node = REGISTRY.nodeOf(_account(agentId));
        if (node.status == INodeRegistry.NodeStatus.None || node.status == INodeRegistry.NodeStatus.Gone) {
            revert ERC721NonexistentToken(agentId);
        }
    }

    function _account(uint256 agentId) private pure returns (address) {
        return address(uint160(agentId));
    }
}
