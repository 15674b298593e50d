package quorate

// #include "bridge.h"
import "C"

import (
	"context"
)

// OrderKind is what an [Order] asks for.
type OrderKind uint32

// The orders. A change is staged first; a plan says what all that is staged comes to; a commit begins to move there.
const (
	OrderLook         OrderKind = C.QUORATE_ORDER_LOOK          // say how the cluster is
	OrderPlan         OrderKind = C.QUORATE_ORDER_PLAN          // also say what that which is staged comes to
	OrderLeave        OrderKind = C.QUORATE_ORDER_LEAVE         // Name gives away what it holds and goes
	OrderRemove       OrderKind = C.QUORATE_ORDER_REMOVE        // Name is dead and never comes back
	OrderReplace      OrderKind = C.QUORATE_ORDER_REPLACE       // Name is dead and Other takes its place
	OrderWeight       OrderKind = C.QUORATE_ORDER_WEIGHT        // the weight Number for Name
	OrderZone         OrderKind = C.QUORATE_ORDER_ZONE          // the zone Other for Name
	OrderMaxPerZone   OrderKind = C.QUORATE_ORDER_MAX_PER_ZONE  // Number replicas in a zone at most
	OrderUnstage      OrderKind = C.QUORATE_ORDER_UNSTAGE       // forget what is staged
	OrderCommit       OrderKind = C.QUORATE_ORDER_COMMIT        // move to what is staged; Number is the plan's hash
	OrderRevert       OrderKind = C.QUORATE_ORDER_REVERT        // go back, while reads are on the layout before
	OrderForceKeepers OrderKind = C.QUORATE_ORDER_FORCE_KEEPERS // begin anew with the keepers that are left
)

// Order is an order to the cluster, at any member.
type Order struct {
	Kind        OrderKind
	Name, Other string
	Number      uint64
}

// Phase is what a cluster is doing.
type Phase uint32

// The phases.
const (
	PhaseOutside   Phase = C.QUORATE_PHASE_OUTSIDE   // the node is of no cluster yet
	PhaseListed    Phase = C.QUORATE_PHASE_LISTED    // the members are a list that does not change
	PhaseSettled   Phase = C.QUORATE_PHASE_SETTLED   // nothing moves
	PhaseCopying   Phase = C.QUORATE_PHASE_COPYING   // replicas are copied
	PhaseFinishing Phase = C.QUORATE_PHASE_FINISHING // all is copied, and reads go over
)

// MemberState is how a member stands to a move.
type MemberState uint32

// The states of members.
const (
	MemberStays  MemberState = C.QUORATE_MEMBER_STAYS
	MemberJoins  MemberState = C.QUORATE_MEMBER_JOINS
	MemberLeaves MemberState = C.QUORATE_MEMBER_LEAVES
)

// Cluster is how the cluster is, as the node that was asked knows it.
type Cluster struct {
	Version, Hash               uint64
	Layout, LayoutNext          uint64 // the one that reads are on, and the one it moves to, or 0
	PlanHash                    uint64 // to commit, of OrderPlan
	BytesCopied                 uint64
	ReplicasTotal, ReplicasOpen int
	Phase                       Phase
	Staged                      int // changes
	Members                     []Member
	Plan, StagedText, Keepers   string // for people; lines
	Refusal                     string // why the node is not what it wants to be
}

// Member is one machine of a cluster.
type Member struct {
	Name, Address, Zone         string
	Generation, BytesCopied     uint64
	Weight                      int
	State                       MemberState
	IsUp, IsKeeper              bool
	IsSelf, IsUnsteady          bool    // of [Node.Members]: the node itself; it came and went too often of late
	Verdict                     Verdict // of [Node.Members]
	Partitions, PartitionsNext  int
	ReplicasTotal, ReplicasOpen int
}

// Order gives an order and waits for the answer: nil is carried out, [ErrArgument] refused with the reason in its text,
// [ErrMaybe] not answered in time.
func (n *Node) Order(ctx context.Context, order Order) (Cluster, error) {
	isChange := order.Kind != OrderLook && order.Kind != OrderPlan
	result, err := n.request(ctx, noCall, isChange,
		func(handle *C.quorate_node, _ *C.quorate_call, tag C.uint64_t) C.quorate_status {
			return C.order_packed(handle, C.uint32_t(order.Kind), viewString(order.Name), viewString(order.Other),
				C.uint64_t(order.Number), tag)
		})
	if result.more == nil {
		return Cluster{}, err
	}
	return result.more.cluster, err
}

// clusterOf copies how the cluster was when an order was answered.
func clusterOf(result *C.quorate_result) Cluster {
	var from C.quorate_cluster
	if C.quorate_result_cluster(result, &from, C.sizeof_quorate_cluster) != C.QUORATE_OK {
		return Cluster{}
	}
	cluster := Cluster{
		Version: uint64(from.version), Hash: uint64(from.hash),
		Layout: uint64(from.layout), LayoutNext: uint64(from.layout_next),
		PlanHash: uint64(from.plan_hash), BytesCopied: uint64(from.bytes_copied),
		ReplicasTotal: int(from.replicas_total), ReplicasOpen: int(from.replicas_open),
		Phase: Phase(from.phase), Staged: int(from.n_staged),
		Plan: textOf(result, C.QUORATE_TEXT_PLAN), StagedText: textOf(result, C.QUORATE_TEXT_STAGED),
		Keepers: textOf(result, C.QUORATE_TEXT_KEEPERS), Refusal: textOf(result, C.QUORATE_TEXT_REFUSAL),
	}
	for at := range from.n_members {
		var member C.quorate_member
		if C.quorate_result_member(result, C.size_t(at), &member, C.sizeof_quorate_member) == C.QUORATE_OK {
			cluster.Members = append(cluster.Members, memberOf(&member))
		}
	}
	return cluster
}

func memberOf(from *C.quorate_member) Member {
	return Member{
		Name: string(shown(from.name)), Address: string(shown(from.address)), Zone: string(shown(from.zone)),
		Generation: uint64(from.generation), BytesCopied: uint64(from.bytes_copied),
		Weight: int(from.weight), State: MemberState(from.state),
		IsUp:       from.flags&C.QUORATE_MEMBER_IS_UP != 0,
		IsKeeper:   from.flags&C.QUORATE_MEMBER_IS_KEEPER != 0,
		IsSelf:     from.flags&C.QUORATE_MEMBER_IS_SELF != 0,
		IsUnsteady: from.flags&C.QUORATE_MEMBER_IS_UNSTEADY != 0,
		Verdict:    Verdict(from.verdict),
		Partitions: int(from.partitions), PartitionsNext: int(from.partitions_next),
		ReplicasTotal: int(from.replicas_total), ReplicasOpen: int(from.replicas_open),
	}
}
