// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {ERC165} from "@openzeppelin/contracts/utils/introspection/ERC165.sol";
import {IErc8004Identity} from "./interfaces/IErc8004Identity.sol";
import {IErc8004Reputation} from "./interfaces/IErc8004Reputation.sol";
import {IReputationLedger} from "./interfaces/IReputationLedger.sol";

/// @title The scores of nodes, as tools read them that speak ERC-8004.
/// @notice It holds nothing, changes nothing and has no administrator: every answer is the ReputationLedger's of this
/// moment. No feedback is ever given here.
contract Erc8004Reputation is IErc8004Reputation, ERC165 {
    using Strings for string;

    string private constant TAG1 = "starred";
    string private constant TAG2 = "soterone";
    /// @dev The ledger's 1e9 is a hundred.
    uint8 private constant DECIMALS = 7;
    uint64 private constant INDEX = 1;

    /// @notice Where agents are identified.
    IErc8004Identity public immutable IDENTITY;
    /// @notice Where scores are kept; the only client.
    IReputationLedger public immutable LEDGER;

    /// @param identity of the same network.
    /// @param ledger whose scores these are.
    constructor(IErc8004Identity identity, IReputationLedger ledger) {
        if (address(identity) == address(0) || address(ledger) == address(0)) revert Erc8004ReputationZeroAddress();
        IDENTITY = identity;
        LEDGER = ledger;
    }

    /// @inheritdoc IErc8004Reputation
    function getIdentityRegistry() external view returns (address identityRegistry) {
        return address(IDENTITY);
    }

    /// @inheritdoc IErc8004Reputation
    function getSummary(
        uint256 agentId,
        address[] calldata clientAddresses,
        string calldata tag1,
        string calldata tag2
    ) external view returns (uint64 count, int128 summaryValue, uint8 summaryValueDecimals) {
        if (clientAddresses.length == 0) revert Erc8004ReputationNoClients();
        if (!_fits(agentId, clientAddresses, tag1, tag2)) return (0, 0, 0);
        return (1, _score(agentId), DECIMALS);
    }

    /// @inheritdoc IErc8004Reputation
    function readFeedback(
        uint256 agentId,
        address clientAddress,
        uint64 feedbackIndex
    )
        external
        view
        returns (int128 value, uint8 valueDecimals, string memory tag1, string memory tag2, bool isRevoked)
    {
        if (feedbackIndex != INDEX || getLastIndex(agentId, clientAddress) != INDEX) {
            revert Erc8004ReputationNoFeedback(agentId, clientAddress, feedbackIndex);
        }
        return (_score(agentId), DECIMALS, TAG1, TAG2, false);
    }

    /// @inheritdoc IErc8004Reputation
    function readAllFeedback(
        uint256 agentId,
        address[] calldata clientAddresses,
        string calldata tag1,
        string calldata tag2,
        bool
    )
        external
        view
        returns (
            address[] memory clients,
            uint64[] memory feedbackIndexes,
            int128[] memory values,
            uint8[] memory valueDecimals,
            string[] memory tag1s,
            string[] memory tag2s,
            bool[] memory revokedStatuses
        )
    {
        uint256 rows = _fits(agentId, clientAddresses, tag1, tag2) ? 1 : 0;
        (clients, feedbackIndexes) = (new address[](rows), new uint64[](rows));
        (values, valueDecimals) = (new int128[](rows), new uint8[](rows));
        (tag1s, tag2s, revokedStatuses) = (new string[](rows), new string[](rows), new bool[](rows));
        if (rows == 0) return (clients, feedbackIndexes, values, valueDecimals, tag1s, tag2s, revokedStatuses);
        (clients[0], feedbackIndexes[0]) = (address(LEDGER), INDEX);
        (values[0], valueDecimals[0]) = (_score(agentId), DECIMALS);
        (tag1s[0], tag2s[0]) = (TAG1, TAG2);
    }

    /// @inheritdoc IErc8004Reputation
    function getResponseCount(
        uint256,
        address,
        uint64,
        address[] calldata
    ) external pure returns (uint64 count) {
        return 0;
    }

    /// @inheritdoc IErc8004Reputation
    function getClients(uint256 agentId) external view returns (address[] memory clients) {
        if (!_isObserved(agentId)) return clients;
        clients = new address[](1);
        clients[0] = address(LEDGER);
    }

    /// @inheritdoc IErc8004Reputation
    function getLastIndex(uint256 agentId, address clientAddress) public view returns (uint64) {
        return clientAddress == address(LEDGER) && _isObserved(agentId) ? INDEX : 0;
    }

    /// @notice ERC-165.
    /// @param interfaceId of the interface in question.
    /// @return whether all of it is answered.
    function supportsInterface(bytes4 interfaceId) public view override returns (bool) {
        return interfaceId == type(IErc8004Reputation).interfaceId || super.supportsInterface(interfaceId);
    }

    /// @dev Whether the one feedback on this agent is what is asked for; no clients and empty tags ask for any.
    function _fits(
        uint256 agentId,
        address[] calldata clients,
        string calldata tag1,
        string calldata tag2
    ) private view returns (bool) {
        if (bytes(tag1).length != 0 && !TAG1.equal(tag1)) return false;
        if (bytes(tag2).length != 0 && !TAG2.equal(tag2)) return false;
        bool asked = clients.length == 0;
        for (uint256 i = 0; i < clients.length && !asked; ++i) asked = clients[i] == address(LEDGER);
        return asked && _isObserved(agentId);
    }

    function _isObserved(uint256 agentId) private view returns (bool) {
        return agentId <= type(uint160).max && LEDGER.recordOf(address(uint160(agentId))).lastEpoch != 0;
    }

    function _score(uint256 agentId) private view returns (int128) {
        return int128(uint128(LEDGER.scoreOf(address(uint160(agentId)))));
    }
}
