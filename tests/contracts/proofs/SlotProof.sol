// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDetectorQuorum} from "../../../contracts/interfaces/IDetectorQuorum.sol";
import {IQueryLedger} from "../../../contracts/interfaces/IQueryLedger.sol";
import {NodeSlot, NodeWord} from "../../../contracts/libraries/NodeSlot.sol";
import {QuerySlot, QueryWord} from "../../../contracts/libraries/QuerySlot.sol";
import {Roster} from "../../../contracts/libraries/Roster.sol";
import {SettlementSlot} from "../../../contracts/libraries/SettlementSlot.sol";
import {Proof} from "./Proof.sol";

/// @title What Halmos proves of the packed words: each field comes back as it went in, and touches no other.
contract SlotProof is Proof {
    function check_nodeFieldsComeBack(address operator, uint8 roles, uint32 version, uint32 incarnation) external pure {
        NodeWord word = NodeSlot.pack(operator, roles, version, incarnation);
        assert(word.operator() == operator && word.roles() == roles && word.version() == version);
        assert(word.incarnation() == incarnation && word.isRegistered() && !word.isSuspended());
    }

    function check_suspensionTouchesNothingElse(uint256 bits, bool suspended) external pure {
        NodeWord word = NodeWord.wrap(bits);
        NodeWord next = word.withSuspension(suspended);
        assert(next.isSuspended() == suspended && next.operator() == word.operator());
        assert(next.roles() == word.roles() && next.incarnation() == word.incarnation());
        assert(NodeWord.unwrap(next.withSuspension(word.isSuspended())) == bits);
    }

    function check_whoLeftIsNotEligible(uint256 bits, uint8 role) external pure {
        NodeWord word = NodeWord.wrap(bits);
        NodeWord gone = word.gone();
        assert(!gone.isRegistered() && !gone.isEligible(role) && gone.operator() == word.operator());
        assert(gone.incarnation() == word.incarnation() && gone.isSuspended() == word.isSuspended());
    }

    function check_eligibleIsActiveInARoleAndNotSuspended(uint256 bits, uint8 role) external pure {
        NodeWord word = NodeWord.wrap(bits);
        bool expected = word.isRegistered() && !word.isSuspended() && word.roles() & role != 0;
        assert(word.isEligible(role) == expected);
    }

    function check_queryFieldsComeBack(
        uint208 commitment,
        uint8 status,
        uint8 generation,
        bool insider,
        uint32 time
    ) external pure {
        _assume(status <= 5 && generation < 128);
        QueryWord word = QuerySlot.pack(commitment, IQueryLedger.QueryStatus(status), generation, insider, time);
        assert(word.commitment() == commitment && uint8(word.status()) == status);
        assert(word.generation() == generation && word.insider() == insider && word.time() == time);
    }

    function check_aReplacementBeginsTheNextGeneration(uint256 bits, uint208 commitment, bool insider) external pure {
        QueryWord word = QueryWord.wrap(bits);
        _assume(word.generation() < 127);
        QueryWord next = word.replaced(commitment, insider);
        assert(next.generation() == word.generation() + 1 && next.commitment() == commitment);
        assert(next.time() == word.time() && next.insider() == (word.insider() || insider));
        assert(uint8(QueryWord.unwrap(next) >> 208) == uint8(bits >> 208));
    }

    function check_cleaningFollowsTheEndAlone(uint256 bits) external pure {
        QueryWord word = QueryWord.wrap(bits);
        uint8 status = uint8(bits >> 208);
        assert(word.awaitsCleanup() == (status == 2 || status == 3));
        if (!word.awaitsCleanup()) return;
        QueryWord next = word.cleaned();
        assert(uint8(next.status()) == status + 2 && next.commitment() == word.commitment());
        assert(next.generation() == word.generation() && next.time() == word.time());
    }

    function check_observationsComeBack(uint112 observations, uint8 percentage, uint8 index) external pure {
        _assume(index < 16 && percentage <= 100);
        uint256 shift = SettlementSlot.WIDTH * index;
        uint256 vacant = observations | (SettlementSlot.NOBODY << shift);
        uint256 noted = SettlementSlot.noted(vacant, percentage, shift);
        assert(SettlementSlot.observationOf(noted, index) == percentage);
        assert(noted | (SettlementSlot.NOBODY << shift) == vacant);
    }

    function check_aSettlementKeepsItsParts(uint96 seal, uint32 settledAt, uint112 observations) external pure {
        uint256 word = SettlementSlot.pack(seal, settledAt, observations);
        assert(SettlementSlot.settledAtOf(word) == settledAt && word >> 160 == seal);
        assert(uint112(word) == observations && uint16(word >> 112) == 0);
    }

    function check_aRatingMarksItsParticipantAlone(uint256 word, uint8 index) external pure {
        _assume(index < 16);
        (uint256 marked, bool before) = SettlementSlot.markRated(word, index);
        assert(marked == word | (uint256(1) << (112 + uint256(index))));
        assert(before == (marked == word));
        (, bool again) = SettlementSlot.markRated(marked, index);
        assert(again);
    }

    function check_termsComeBack(
        uint8 panelSize,
        uint8 threshold,
        uint16 appealEpochs,
        uint16 suspensionEpochs,
        uint32 severities
    ) external pure {
        IDetectorQuorum.Terms memory terms = IDetectorQuorum.Terms(
            panelSize,
            threshold,
            appealEpochs,
            suspensionEpochs,
            severities
        );
        IDetectorQuorum.Terms memory back = Roster.unpack(Roster.pack(terms));
        assert(keccak256(abi.encode(back)) == keccak256(abi.encode(terms)));
        assert(Roster.pack(terms) < 1 << 208);
    }

    function check_aKindHasTheSeverityOfItsDigit(uint32 severities, uint8 kind) external pure {
        IDetectorQuorum.Terms memory terms = IDetectorQuorum.Terms(7, 5, 24, 720, severities);
        uint256 highest = Roster.highestSeverity(terms, kind);
        assert(highest <= 15 && (kind <= 7 || highest == 0));
    }
}
