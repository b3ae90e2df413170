// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The read side of an ERC-8004 identity registry.
/// @notice ERC-8004 (Trustless Agents, draft of January 2026) asks for an ERC-721 with a registration file and metadata for
/// each agent. Here an agent is a registered node, its id the node's account as a number, its owner the node's operator.
/// What the register cannot answer is left out rather than made up: `balanceOf`, as nodes are not counted by operator;
/// transfers and approvals, as an account has its operator for life; minting, as nodes register with NodeRegistry. No
/// event of ERC-721 is logged either. Hence ERC-721 is not among the interfaces that are announced by ERC-165.
interface IErc8004Identity {
    /// @notice What the collection is called.
    function name() external view returns (string memory);

    /// @notice The collection's short name.
    function symbol() external view returns (string memory);

    /// @notice The operator of a node, active or suspended.
    /// @param tokenId the node's account as a number.
    /// @return the account that answers for the node; reverts ERC721NonexistentToken for whoever is no node, or none any more.
    function ownerOf(uint256 tokenId) external view returns (address);

    /// @notice The registration file, written by the contract itself from what the register holds: no service stands in it,
    /// as no endpoint of a node stands on chain.
    /// @param tokenId the node's account as a number.
    /// @return a `data:application/json;base64,` address; reverts ERC721NonexistentToken like `ownerOf`.
    function tokenURI(uint256 tokenId) external view returns (string memory);

    /// @notice What the register holds of a node, by key. `agentWallet`: the node's account, 20 bytes. `roles`, `version`,
    /// `status`, `incarnation`, `commitment`: ABI-encoded, as INodeRegistry.Node has them.
    /// @param agentId the node's account as a number.
    /// @param metadataKey one of these keys.
    /// @return the value, empty for any other key; reverts ERC721NonexistentToken like `ownerOf`.
    function getMetadata(uint256 agentId, string calldata metadataKey) external view returns (bytes memory);

    /// @notice The node's own account, which it proved to hold when it registered. SoterOne pays nobody: what is sent there
    /// is the node's, and no part of the protocol.
    /// @param agentId the node's account as a number.
    /// @return the account; reverts ERC721NonexistentToken like `ownerOf`.
    function getAgentWallet(uint256 agentId) external view returns (address);
}
