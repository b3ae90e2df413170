// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The read side of an ERC-8004 reputation registry.
/// @notice ERC-8004 (Trustless Agents, draft of January 2026) keeps what each client said of an agent. Here the ReputationLedger
/// is the only client: it has one feedback on each node of which anything was ever observed, the present score. `tag1`
/// is `starred`, the standard's tag for a quality from 0 to 100, and `tag2` is `soterone`.
/// What a customer rated is no feedback of its own here: it is part of the score, weighted by the customer's credibility,
/// and stands singly in the ledger's FeedbackGiven events alone. Nothing can be given, revoked or answered here: who was
/// accused appeals to the DetectorQuorum, and a reversal changes the score. No event of the standard is logged.
interface IErc8004Reputation {
    /// @notice Nobody is asked: the standard wants at least one client named.
    error Erc8004ReputationNoClients();
    /// @notice This client has no feedback of this index on this agent: only the ledger has one, of index 1, on a node of
    /// which something was observed.
    error Erc8004ReputationNoFeedback(uint256 agentId, address clientAddress, uint64 feedbackIndex);
    /// @notice A contract that the view needs is missing.
    error Erc8004ReputationZeroAddress();

    /// @notice Where agents are identified.
    /// @return identityRegistry an IErc8004Identity.
    function getIdentityRegistry() external view returns (address identityRegistry);

    /// @notice The score, when the ledger is among the clients that are asked and the tags fit.
    /// @param agentId the node's account as a number; a node that left keeps what it had.
    /// @param clientAddresses whose feedback counts; not empty.
    /// @param tag1 `starred` or empty.
    /// @param tag2 `soterone` or empty.
    /// @return count 1, or 0 when there is nothing: a newcomer's 0.3 is where everybody starts and nobody's feedback.
    /// @return summaryValue the score as of now, 0 to 1e9.
    /// @return summaryValueDecimals 7: a score is from 0 to 100.
    function getSummary(
        uint256 agentId,
        address[] calldata clientAddresses,
        string calldata tag1,
        string calldata tag2
    ) external view returns (uint64 count, int128 summaryValue, uint8 summaryValueDecimals);

    /// @notice One feedback; reverts Erc8004ReputationNoFeedback where there is none.
    /// @param agentId the node's account as a number.
    /// @param clientAddress the ledger.
    /// @param feedbackIndex 1.
    /// @return value the score as of now, 0 to 1e9: it decays, so that it is another tomorrow.
    /// @return valueDecimals 7: a score is from 0 to 100.
    /// @return tag1 `starred`.
    /// @return tag2 `soterone`.
    /// @return isRevoked false: what was wrong has left the score.
    function readFeedback(
        uint256 agentId,
        address clientAddress,
        uint64 feedbackIndex
    )
        external
        view
        returns (int128 value, uint8 valueDecimals, string memory tag1, string memory tag2, bool isRevoked);

    /// @notice All feedback on an agent, in columns: one row, or none.
    /// @param agentId the node's account as a number.
    /// @param clientAddresses whose feedback is wanted; empty for everybody's.
    /// @param tag1 `starred` or empty.
    /// @param tag2 `soterone` or empty.
    /// @param includeRevoked makes no difference, as nothing is revoked.
    /// @return clients who gave it.
    /// @return feedbackIndexes its index among those of its client.
    /// @return values the scores as of now, 0 to 1e9.
    /// @return valueDecimals 7: a score is from 0 to 100.
    /// @return tag1s `starred`.
    /// @return tag2s `soterone`.
    /// @return revokedStatuses false.
    function readAllFeedback(
        uint256 agentId,
        address[] calldata clientAddresses,
        string calldata tag1,
        string calldata tag2,
        bool includeRevoked
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
        );

    /// @notice How many answers were appended to feedback.
    /// @param agentId the node's account as a number.
    /// @param clientAddress makes no difference.
    /// @param feedbackIndex makes no difference.
    /// @param responders makes no difference.
    /// @return count 0: nobody can append any.
    function getResponseCount(
        uint256 agentId,
        address clientAddress,
        uint64 feedbackIndex,
        address[] calldata responders
    ) external view returns (uint64 count);

    /// @notice Who has given feedback on an agent.
    /// @param agentId the node's account as a number.
    /// @return the ledger, or nobody when nothing was ever observed of the node.
    function getClients(uint256 agentId) external view returns (address[] memory);

    /// @notice The index of a client's last feedback on an agent.
    /// @param agentId the node's account as a number.
    /// @param clientAddress whose feedback.
    /// @return 1 for the ledger where it has a record of the node, else 0.
    function getLastIndex(uint256 agentId, address clientAddress) external view returns (uint64);
}
