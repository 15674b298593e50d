package quorate

// #include "bridge.h"
import "C"

import "runtime"

// Verdict is what a node thinks of a member.
type Verdict uint32

// The verdicts.
const (
	VerdictNone    Verdict = C.QUORATE_VERDICT_NONE    // nobody probes it, or not yet
	VerdictAlive   Verdict = C.QUORATE_VERDICT_ALIVE   // it answers
	VerdictSuspect Verdict = C.QUORATE_VERDICT_SUSPECT // it did not answer somebody
	VerdictDown    Verdict = C.QUORATE_VERDICT_DOWN    // it did not answer for long
	VerdictLeft    Verdict = C.QUORATE_VERDICT_LEFT    // it said that it goes
)

// Members are those of the cluster as a node knew them at one moment. It does not change, and outlives the node.
type Members struct {
	List   []Member // by their names
	handle *C.quorate_members
}

// Members takes a snapshot of the members. It asks none of them.
func (n *Node) Members() (*Members, error) {
	members := &Members{}
	err := n.with(func(handle *C.quorate_node) C.quorate_status {
		return C.quorate_members_snapshot(handle, &members.handle)
	})
	if err != nil {
		return nil, err
	}
	runtime.AddCleanup(members, func(handle *C.quorate_members) { C.quorate_members_free(handle) }, members.handle)
	var count C.size_t
	status := C.quorate_members_list(members.handle, nil, C.sizeof_quorate_member, 0, &count)
	if status == C.QUORATE_AGAIN {
		all := make([]C.quorate_member, count)
		status = C.quorate_members_list(members.handle, &all[0], C.sizeof_quorate_member, count, &count)
		for at := range all {
			members.List = append(members.List, memberOf(&all[at]))
		}
	}
	return members, failure(status)
}

// Owners are the members that hold a key, in preference order, and its partition, as [WatchOptions] have it.
func (m *Members) Owners(key []byte, keyspace uint16) (owners []*Member, partition uint32, err error) {
	defer runtime.KeepAlive(m)
	places := make([]C.uint32_t, len(m.List)+1)
	var count C.size_t
	var at C.uint32_t
	status := C.quorate_key_owners(m.handle, C.uint32_t(keyspace), view(key), &at, &places[0], C.size_t(len(places)), &count)
	for _, place := range places[:count] {
		owners = append(owners, &m.List[place])
	}
	return owners, uint32(at), failure(status)
}

// Stats are all counters of a node by their names, as quorate status shows them.
func (n *Node) Stats() (map[string]uint64, error) {
	values := make([]C.uint64_t, C.quorate_stat_count())
	var count C.size_t
	err := n.with(func(handle *C.quorate_node) C.quorate_status {
		return C.quorate_stats(handle, &values[0], C.size_t(len(values)), &count)
	})
	named := make(map[string]uint64, count)
	for at, value := range values[:count] {
		// What this node does not count is the greatest of all.
		if value != ^C.uint64_t(0) {
			named[C.GoString(C.quorate_stat_name(C.size_t(at)))] = uint64(value)
		}
	}
	return named, err
}
