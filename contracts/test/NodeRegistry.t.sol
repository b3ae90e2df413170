// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {NodeRegistry} from "../NodeRegistry.sol";
import {SplitPause} from "../access/SplitPause.sol";
import {INodeRegistry} from "../interfaces/INodeRegistry.sol";
import {IReputationLedger} from "../interfaces/IReputationLedger.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {NetworkFixture} from "./NetworkFixture.sol";
import {BombWallet, KeyWallet} from "./Wallets.sol";

contract NodeRegistryTest is NetworkFixture {
    uint256 private constant NODE_KEY = 0xabc1;
    uint256 private constant OPERATOR_KEY = 0xabc2;
    uint256 private constant ORDER_OF_CURVE = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    bytes32 private constant UPDATE =
        keccak256(
            "NodeUpdate(address node,uint8 roles,uint32 version,bytes32 tlsKeyHash,bytes32 profileHash,uint32 profileVersion,uint32 incarnation,uint64 deadline)"
        );
    bytes32 private constant UNREGISTRATION = keccak256("Unregistration(address node,uint32 incarnation,uint64 deadline)");
    address private node;
    address private operator;

    function setUp() public override {
        super.setUp();
        node = vm.addr(NODE_KEY);
        operator = vm.addr(OPERATOR_KEY);
        keyOf[node] = NODE_KEY;
        keyOf[operator] = OPERATOR_KEY;
    }

    function digestOf(INodeRegistry.Registration memory r) private view returns (bytes32) {
        return digestFor(address(registry), keccak256(abi.encode(REGISTRATION, r)));
    }

    function updated(uint32 profileVersion) private view returns (INodeRegistry.NodeUpdate memory) {
        return INodeRegistry.NodeUpdate(node, 3, 512, keccak256("new"), keccak256("new profile"), profileVersion, 1, soon());
    }

    function signedUpdate(INodeRegistry.NodeUpdate memory u, bytes32 previousTls) private {
        bytes memory signature = signWith(NODE_KEY, digestFor(address(registry), keccak256(abi.encode(UPDATE, u))));
        registry.update(u, signature, previousTls, keccak256("profile"));
    }

    function testFuzz_registrationIsRecordedAndAnnounced(uint8 roles, uint32 version, bytes32 tls, bytes32 profile) public {
        roles = uint8(bound(roles, 1, 7));
        vm.assume(tls != 0);
        INodeRegistry.Registration memory r = INodeRegistry.Registration(
            node, operator, roles, version, tls, profile, 1, soon()
        );
        vm.expectEmit(address(registry));
        emit INodeRegistry.NodeRegistered(node, operator, 1, roles, version, tls, profile);
        register(r);
        INodeRegistry.Node memory found = registry.nodeOf(node);
        assertEq(found.operator, operator, "operator");
        assertEq(found.roles, roles, "roles");
        assertEq(found.version, version, "version");
        assertEq(uint256(found.status), uint256(INodeRegistry.NodeStatus.Active), "status");
        assertEq(found.incarnation, 1, "incarnation");
        assertEq(found.commitment, keccak256(abi.encode(tls, profile, 1)), "commitment");
    }

    function test_nodeMayRegisterItself() public {
        assertEq(uint256(registry.nodeOf(node).status), uint256(INodeRegistry.NodeStatus.None), "never registered");
        vm.prank(node);
        registry.register(registration(node, node, OWNER, 1), "", "");
        assertEq(registry.operatorOf(node), node, "operator");
    }

    function test_operatorMaySendInsteadOfSigning() public {
        INodeRegistry.Registration memory r = registration(node, operator, OWNER, 1);
        bytes memory signature = signWith(NODE_KEY, digestOf(r));
        expectInvalid(operator);
        registry.register(r, signature, "");
        vm.prank(operator);
        registry.register(r, signature, "");
        assertEq(registry.operatorOf(node), operator, "operator");
    }

    function test_operatorMustConsent() public {
        INodeRegistry.Registration memory r = registration(node, operator, OWNER, 1);
        bytes memory signature = signWith(NODE_KEY, digestOf(r));
        expectInvalid(operator);
        registry.register(r, signature, signature);
    }

    function test_strangerCannotRegisterANode() public {
        INodeRegistry.Registration memory r = registration(node, node, OWNER, 1);
        bytes memory signature = signWith(OPERATOR_KEY, digestOf(r));
        expectInvalid(node);
        registry.register(r, signature, "");
        expectInvalid(node);
        registry.register(r, "", "");
    }

    function test_malleatedSignaturesAreRefused() public {
        INodeRegistry.Registration memory r = registration(node, node, OWNER, 1);
        (uint8 v, bytes32 head, bytes32 s) = vm.sign(NODE_KEY, digestOf(r));
        bytes32 high = bytes32(ORDER_OF_CURVE - uint256(s));
        bytes memory highS = abi.encodePacked(head, high, v == 27 ? uint8(28) : uint8(27));
        bytes memory compact = abi.encodePacked(head, bytes32(uint256(s) | (uint256(v - 27) << 255)));
        bytes memory zero = abi.encodePacked(bytes32(0), bytes32(0), uint8(27));
        bytes[4] memory bad = [highS, compact, zero, abi.encodePacked(head, s, v, uint8(0))];
        for (uint256 i = 0; i < 4; ++i) {
            expectInvalid(node);
            registry.register(r, bad[i], "");
        }
    }

    function test_zeroAddressNeverRecovers() public {
        INodeRegistry.Registration memory r = registration(address(0), operator, OWNER, 1);
        bytes memory zero = abi.encodePacked(bytes32(0), bytes32(0), uint8(27));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryZeroAddress.selector));
        registry.register(r, zero, zero);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryZeroAddress.selector));
        registry.register(registration(node, address(0), OWNER, 1), zero, zero);
    }

    function test_walletsSignByErc1271UntilRevoked() public {
        KeyWallet wallet = new KeyWallet(node);
        INodeRegistry.Registration memory r = registration(address(wallet), address(wallet), OWNER, 1);
        bytes memory signature = signWith(NODE_KEY, digestOf(r));
        registry.register(r, signature, "");
        assertEq(registry.operatorOf(address(wallet)), address(wallet), "registered");

        KeyWallet revoked = new KeyWallet(node);
        r = registration(address(revoked), address(revoked), OWNER, 1);
        signature = signWith(NODE_KEY, digestOf(r));
        revoked.revoke();
        expectInvalid(address(revoked));
        registry.register(r, signature, "");
    }

    function test_returndataBombIsHarmless() public {
        BombWallet bomb = new BombWallet();
        INodeRegistry.Registration memory r = registration(address(bomb), address(bomb), OWNER, 1);
        expectInvalid(address(bomb));
        registry.register(r, hex"01", "");
    }

    function test_deadlinesAreNeitherPastNorInfinite() public {
        INodeRegistry.Registration memory r = registration(node, node, OWNER, 1);
        r.deadline = uint64(START - 1);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureExpired.selector, r.deadline));
        registry.register(r, "", "");
        r.deadline = uint64(START + 30 days);
        expectInvalid(node);
        registry.register(r, "", "");
        r.deadline += 1;
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureDeadlineTooFar.selector, r.deadline));
        registry.register(r, "", "");
        r.deadline = type(uint64).max;
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureDeadlineTooFar.selector, r.deadline));
        registry.register(r, "", "");
    }

    function test_replayOnOtherChainOrContractFails() public {
        INodeRegistry.Registration memory r = registration(node, node, OWNER, 1);
        bytes memory signature = signWith(NODE_KEY, digestOf(r));
        NodeRegistry other = deployRegistry(0);
        expectInvalid(node);
        other.register(r, signature, "");
        vm.chainId(5);
        expectInvalid(node);
        registry.register(r, signature, "");
    }

    function test_incarnationIsTheNonce() public {
        INodeRegistry.Registration memory r = registration(node, node, OWNER, 1);
        bytes memory signature = signWith(NODE_KEY, digestOf(r));
        registry.register(r, signature, "");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryAlreadyRegistered.selector, node));
        registry.register(r, signature, "");
        unregister(node, 1);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryBadIncarnation.selector, node, 2, 1));
        registry.register(r, signature, "");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryBadIncarnation.selector, node, 2, 3));
        registry.register(registration(node, node, OWNER, 3), "", "");
        register(registration(node, node, MPC, 2));
        assertEq(registry.nodeOf(node).incarnation, 2, "incarnation");
    }

    function test_anAccountHasItsOperatorForLife() public {
        register(registration(node, operator, OWNER, 1));
        unregister(node, 1);
        INodeRegistry.Registration memory r = registration(node, node, OWNER, 2);
        bytes4 refusal = INodeRegistry.NodeRegistryOperatorForLife.selector;
        vm.expectRevert(abi.encodeWithSelector(refusal, node, operator, node));
        registry.register(r, signWith(NODE_KEY, digestOf(r)), "");
        register(registration(node, operator, OWNER, 2));
        assertEq(registry.operatorOf(node), operator, "the same");
    }

    function test_badValuesAreRefused() public {
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryBadRoles.selector, 0));
        registry.register(registration(node, node, 0, 1), "", "");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryBadRoles.selector, 8));
        registry.register(registration(node, node, 8, 1), "", "");
        INodeRegistry.Registration memory r = registration(node, node, 1, 1);
        r.tlsKeyHash = 0;
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryZeroTlsKeyHash.selector, node));
        registry.register(r, "", "");
    }

    function test_updateOpensThePreviousCommitment() public {
        INodeRegistry.Registration memory r = registration(node, node, OWNER, 1);
        register(r);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryBadPrevious.selector, node, 2));
        signedUpdate(updated(2), keccak256("another key"));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryBadPrevious.selector, node, 3));
        signedUpdate(updated(3), r.tlsKeyHash);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryBadPrevious.selector, node, 0));
        signedUpdate(updated(0), r.tlsKeyHash);

        vm.expectEmit(address(registry));
        emit INodeRegistry.NodeUpdated(node, 2, 3, 512, keccak256("new"), keccak256("new profile"));
        signedUpdate(updated(2), r.tlsKeyHash);
        INodeRegistry.Node memory found = registry.nodeOf(node);
        assertEq(found.roles, 3, "roles");
        assertEq(found.version, 512, "version");
        assertEq(found.commitment, keccak256(abi.encode(keccak256("new"), keccak256("new profile"), 2)), "commitment");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryBadPrevious.selector, node, 2));
        signedUpdate(updated(2), r.tlsKeyHash);
    }

    function test_updateByTheOperatorOrOfAnotherIncarnationFails() public {
        INodeRegistry.Registration memory r = registration(node, operator, OWNER, 1);
        register(r);
        INodeRegistry.NodeUpdate memory u = updated(2);
        expectInvalid(node);
        vm.prank(operator);
        registry.update(u, "", r.tlsKeyHash, keccak256("profile"));
        u.incarnation = 2;
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryBadIncarnation.selector, node, 1, 2));
        registry.update(u, "", r.tlsKeyHash, keccak256("profile"));
        u.node = operator;
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryNotRegistered.selector, operator));
        registry.update(u, "", r.tlsKeyHash, keccak256("profile"));
    }

    function test_updatesAreCheckedAsRegistrationsAre() public {
        INodeRegistry.Registration memory r = registration(node, node, OWNER, 1);
        register(r);
        INodeRegistry.NodeUpdate memory u = updated(2);
        u.roles = 8;
        _expectUpdateRefused(u, r.tlsKeyHash, abi.encodeWithSelector(INodeRegistry.NodeRegistryBadRoles.selector, 8));
        u = updated(2);
        u.tlsKeyHash = 0;
        bytes memory reason = abi.encodeWithSelector(INodeRegistry.NodeRegistryZeroTlsKeyHash.selector, node);
        _expectUpdateRefused(u, r.tlsKeyHash, reason);
        u = updated(2);
        u.deadline = uint64(START - 1);
        reason = abi.encodeWithSelector(Signatures.SignatureExpired.selector, u.deadline);
        _expectUpdateRefused(u, r.tlsKeyHash, reason);
    }

    function _expectUpdateRefused(INodeRegistry.NodeUpdate memory u, bytes32 previousTls, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(node);
        registry.update(u, "", previousTls, keccak256("profile"));
    }

    function test_anExpiredUnregistrationEndsNothing() public {
        register(registration(node, node, OWNER, 1));
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureExpired.selector, uint64(START - 1)));
        vm.prank(node);
        registry.unregister(INodeRegistry.Unregistration(node, 1, uint64(START - 1)), "");
    }

    function test_theAdministratorNamesTheReputationLedger() public {
        bytes32 role = registry.DEFAULT_ADMIN_ROLE();
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, node, role));
        vm.prank(node);
        registry.setReputationLedger(IReputationLedger(address(0xabc)));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryZeroAddress.selector));
        registry.setReputationLedger(IReputationLedger(address(0)));
        vm.expectEmit(address(registry));
        emit INodeRegistry.ReputationLedgerSet(address(0xabc));
        registry.setReputationLedger(IReputationLedger(address(0xabc)));
    }

    function test_unregistrationByNodeOrOperatorOnly() public {
        register(registration(node, operator, OWNER, 1));
        INodeRegistry.Unregistration memory x = INodeRegistry.Unregistration(node, 1, soon());
        expectInvalid(operator);
        registry.unregister(x, "");
        bytes32 digest = digestFor(address(registry), keccak256(abi.encode(UNREGISTRATION, x)));
        vm.expectEmit(address(registry));
        emit INodeRegistry.NodeUnregistered(node, 1);
        registry.unregister(x, signWith(OPERATOR_KEY, digest));

        INodeRegistry.Node memory found = registry.nodeOf(node);
        assertEq(uint256(found.status), uint256(INodeRegistry.NodeStatus.Gone), "status");
        assertEq(found.commitment, bytes32(0), "commitment");
        assertEq(found.roles, 0, "roles");
        assertEq(found.operator, operator, "operator");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryNotRegistered.selector, node));
        registry.unregister(x, signWith(NODE_KEY, digest));
    }

    function test_oldUnregistrationCannotEndANewIncarnation() public {
        register(registration(node, node, OWNER, 1));
        INodeRegistry.Unregistration memory x = INodeRegistry.Unregistration(node, 1, soon());
        bytes memory signature = signWith(
            NODE_KEY,
            digestFor(address(registry), keccak256(abi.encode(UNREGISTRATION, x)))
        );
        registry.unregister(x, signature);
        register(registration(node, node, OWNER, 2));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryBadIncarnation.selector, node, 2, 1));
        registry.unregister(x, signature);
    }

    function test_suspensionOutlivesUnregistration() public {
        registry.grantRole(registry.SUSPENDER_ROLE(), address(this));
        register(registration(node, node, OWNER, 1));
        vm.expectEmit(address(registry));
        emit INodeRegistry.NodeSuspended(node, true);
        registry.setSuspended(node, true);
        assertEq(uint256(registry.nodeOf(node).status), uint256(INodeRegistry.NodeStatus.Suspended), "status");
        signedUpdate(updated(2), registration(node, node, OWNER, 1).tlsKeyHash);
        assertEq(uint256(registry.nodeOf(node).status), uint256(INodeRegistry.NodeStatus.Suspended), "updated");
        unregister(node, 1);
        assertEq(uint256(registry.nodeOf(node).status), uint256(INodeRegistry.NodeStatus.Gone), "gone");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistrySuspended.selector, node));
        registry.register(registration(node, node, OWNER, 2), "", "");
        registry.setSuspended(node, false);
        register(registration(node, node, OWNER, 2));
        assertEq(uint256(registry.nodeOf(node).status), uint256(INodeRegistry.NodeStatus.Active), "back");
    }

    function test_suspensionIsGuarded() public {
        bytes32 role = registry.SUSPENDER_ROLE();
        vm.expectRevert(
            abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, address(this), role)
        );
        registry.setSuspended(owners[0], true);
        registry.grantRole(role, address(this));
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryNotRegistered.selector, node));
        registry.setSuspended(node, true);
        vm.expectRevert(
            abi.encodeWithSelector(INodeRegistry.NodeRegistrySuspensionUnchanged.selector, owners[0], false)
        );
        registry.setSuspended(owners[0], false);
    }

    function test_eligibilityNeedsActivityAndRole() public {
        registry.grantRole(registry.SUSPENDER_ROLE(), address(this));
        assertEq(registry.eligibleOperators(owners, OWNER)[2], owners[2], "operator");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryNotEligible.selector, owners[0], MPC));
        registry.eligibleOperators(owners, MPC);
        registry.setSuspended(owners[1], true);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryNotEligible.selector, owners[1], OWNER));
        registry.eligibleOperators(owners, OWNER);
        unregister(owners[0], 1);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeRegistryNotEligible.selector, owners[0], OWNER));
        registry.eligibleOperators(owners, OWNER);
    }

    function test_pauseStopsNewcomersAndNoExit() public {
        address pauser = vm.addr(7);
        register(registration(node, node, OWNER, 1));
        registry.grantRole(registry.PAUSER_ROLE(), pauser);
        vm.prank(pauser);
        registry.pause();
        vm.expectRevert(abi.encodeWithSelector(Pausable.EnforcedPause.selector));
        registry.register(registration(operator, operator, OWNER, 1), "", "");
        signedUpdate(updated(2), registration(node, node, OWNER, 1).tlsKeyHash);
        unregister(node, 1);
        assertEq(uint256(registry.nodeOf(node).status), uint256(INodeRegistry.NodeStatus.Gone), "gone");
    }

    function test_nobodyElsePauses() public {
        bytes32 role = registry.PAUSER_ROLE();
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, node, role));
        vm.prank(node);
        registry.pause();
        assertTrue(!registry.paused(), "open");
    }

    function test_whoPausesCannotUnpause() public {
        address pauser = vm.addr(7);
        bytes32 pausing = registry.PAUSER_ROLE();
        bytes32 lifting = registry.UNPAUSER_ROLE();
        registry.grantRole(pausing, pauser);
        vm.expectRevert(abi.encodeWithSelector(SplitPause.SplitPauseBothRoles.selector, pauser));
        registry.grantRole(lifting, pauser);
        registry.grantRole(lifting, operator);
        vm.expectRevert(abi.encodeWithSelector(SplitPause.SplitPauseBothRoles.selector, operator));
        registry.grantRole(pausing, operator);
        vm.prank(pauser);
        registry.pause();
        vm.expectRevert(abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, pauser, lifting));
        vm.prank(pauser);
        registry.unpause();
        vm.prank(operator);
        registry.unpause();
        assertTrue(!registry.paused(), "lifted");
    }

    function test_administratorChangesOnlyAfterTheDelay() public {
        registry.beginDefaultAdminTransfer(operator);
        (, uint48 schedule) = registry.pendingDefaultAdmin();
        assertEq(schedule, START + 2 days, "schedule");
        vm.expectRevert(abi.encodeWithSignature("AccessControlEnforcedDefaultAdminDelay(uint48)", schedule));
        vm.prank(operator);
        registry.acceptDefaultAdminTransfer();
        vm.warp(schedule + 1);
        vm.prank(operator);
        registry.acceptDefaultAdminTransfer();
        assertEq(registry.defaultAdmin(), operator, "administrator");
    }
}
