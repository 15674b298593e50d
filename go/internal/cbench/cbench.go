// Package cbench is what the benchmarks compare with: the same requests from C.
package cbench

/*
#include <quorate.h>
#include <stdlib.h>
#include <string.h>

static quorate_bytes bytes(const char *data, size_t len)
{
    quorate_bytes out;
    out.data = (const uint8_t *)data;
    out.len = len;
    return out;
}

static quorate_node *opened(void)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;

    if (QUORATE_OPTIONS_CREATE(&options) != QUORATE_OK)
        return NULL;
    if (quorate_node_open(options, &node, NULL) == QUORATE_OK && quorate_node_start(node, NULL) != QUORATE_OK) {
        quorate_node_free(node);
        node = NULL;
    }
    quorate_options_free(options);
    return node;
}

// Sends n requests of one kind, `batch` of them at a time, and waits for each batch. Values are copied, as Go has them
// copied.
static int run(quorate_node *node, uint32_t kind, size_t n, size_t batch, size_t size)
{
    quorate_op *ops = calloc(batch, sizeof *ops);
    quorate_completion ends[256];
    quorate_call call;
    char *value = calloc(1, size + 1);
    size_t i, accepted, left, took;

    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    call.blind = QUORATE_BLIND_SUPERSEDE;
    for (i = 0; i < batch; i++) {
        ops[i].kind = kind;
        ops[i].key = bytes("key", 3);
        if (kind == QUORATE_OP_PUT)
            ops[i].value = bytes(value, size);
        ops[i].call = &call;
    }
    for (; n >= batch; n -= batch) {
        if (quorate_submit(node, ops, sizeof *ops, batch, &accepted) != QUORATE_OK)
            break;
        for (left = batch; left > 0; left -= took) {
            if (quorate_wait(node, UINT64_MAX) < 0 || quorate_reap(node, ends, sizeof *ends, 256, &took) < 0)
                break;
            for (i = 0; i < took; i++)
                if (ends[i].n_siblings > 0)
                    memcpy(value, ends[i].siblings[0].value.data, ends[i].siblings[0].value.len);
            quorate_completions_clear(ends, sizeof *ends, took);
        }
    }
    free(ops);
    free(value);
    return n < batch;
}
*/
import "C"

// Node is a node of its own that C alone drives.
type Node struct{ handle *C.quorate_node }

// Open opens a node in memory, or says that it cannot.
func Open() (Node, bool) {
	node := Node{C.opened()}
	return node, node.handle != nil
}

// Close frees it.
func (n Node) Close() { C.quorate_node_free(n.handle) }

// Run sends count requests, a put of a value of so many bytes or a get, in batches; whether all of them went well.
func (n Node) Run(isPut bool, count, batch, size int) bool {
	kind := C.uint32_t(C.QUORATE_OP_GET)
	if isPut {
		kind = C.QUORATE_OP_PUT
	}
	return C.run(n.handle, kind, C.size_t(count), C.size_t(batch), C.size_t(size)) != 0
}
