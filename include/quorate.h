/*
 * quorate: an always-writable, replicated key-value store that a program links.
 *
 * Life of a node: quorate_options_new, quorate_node_open, then quorate_node_start (mode thread) or a loop
 * of yours around quorate_node_step (mode host and packet); requests; quorate_node_stop; the last quorate_reap;
 * quorate_node_free. An accepted request has exactly one completion, a refused one has none; a change feed
 * (quorate_watch) has one for each page, marked QUORATE_N_MORE, and exactly one last.
 *
 * Thread classes: A: any thread, any time, also in a forked child. B: any thread, in parallel, on a live
 * node. C: one thread at a time of a node reaps, one drives its loop (a step, the deadline, what begins with
 * quorate_net_), one is at its disk; a second one gets E_BUSY, nothing happened, and it may call again. D: no other
 * call in flight. E: one thread at a time on that object.
 *
 * After fork every call of class B to E but the _free functions returns E_FORKED in the child.
 *
 * From a hook, a function of the host that the library calls (merge, log, clock, progress, drop), every call with a node or
 * with options that has a status returns E_REENTRANT, whatever its comment says: it would wait for the loop, and the loop
 * waits for the hook. quorate_node_free and quorate_options_free do nothing there.
 *
 * Generated from src/ffi by scripts/header.sh; edit there.
 */
#ifndef QUORATE_H
#define QUORATE_H

#include <stddef.h>
#include <stdint.h>

#ifndef QUORATE_API
# if defined(__GNUC__)
#  define QUORATE_API __attribute__((visibility("default")))
# else
#  define QUORATE_API
# endif
#endif
#if defined(__GNUC__)
# define QUORATE_NODISCARD __attribute__((warn_unused_result))
#else
# define QUORATE_NODISCARD
#endif

#define QUORATE_VERSION_MAJOR 0
#define QUORATE_VERSION_MINOR 1
#define QUORATE_VERSION_PATCH 0
#define QUORATE_VERSION_NUMBER 1000
#define QUORATE_API_LEVEL_HEADER 1
#ifndef QUORATE_API_LEVEL
# define QUORATE_API_LEVEL QUORATE_API_LEVEL_HEADER
#endif

/* How calls and requests end */
/* ok */
#define QUORATE_OK 0
/* nothing now */
#define QUORATE_AGAIN 1
/* a pointer is NULL that must not be */
#define QUORATE_E_NULL (-1)
/* bad argument */
#define QUORATE_E_ARG (-2)
/* the option, or what is stored, has another type */
#define QUORATE_E_TYPE (-3)
/* not known to this version of the library */
#define QUORATE_E_UNSUPPORTED (-4)
/* not allowed in this mode or phase */
#define QUORATE_E_STATE (-5)
/* called back into the node from a hook */
#define QUORATE_E_REENTRANT (-6)
/* the process was forked after a node was opened */
#define QUORATE_E_FORKED (-7)
/* a bug in quorate was caught */
#define QUORATE_E_PANIC (-8)
/* the node is unusable since a caught bug */
#define QUORATE_E_POISONED (-9)
/* the node is stopped */
#define QUORATE_E_CLOSED (-10)
/* ended as it was asked to be, before it was answered */
#define QUORATE_E_CANCELLED (-11)
/* out of memory or descriptors */
#define QUORATE_E_NOMEM (-12)
/* key or value longer than any limit allows */
#define QUORATE_E_LIMIT (-13)
/* in use: the directory by another node, or the call by another thread */
#define QUORATE_E_BUSY (-14)
/* a system call failed */
#define QUORATE_E_IO (-15)
/* the store is damaged */
#define QUORATE_E_CORRUPT (-16)
/* too few replicas answered a read before its deadline */
#define QUORATE_E_TIMEOUT (-17)
/* not enough replicas; nothing was written */
#define QUORATE_E_QUORUM (-18)
/* no live version */
#define QUORATE_E_NOTFOUND (-19)
/* the context is unreadable, foreign or too long */
#define QUORATE_E_CONTEXT (-20)
/* an address cannot be used or reached */
#define QUORATE_E_NET (-21)
/* fewer replicas than asked have the write; it will spread */
#define QUORATE_E_PARTIAL (-22)
/* the deadline passed; the write may have happened */
#define QUORATE_E_MAYBE (-23)
/* refused before any work */
#define QUORATE_E_OVERLOADED (-24)
/* nodes disagree on the layout */
#define QUORATE_E_LAYOUT (-25)
/* too many siblings for a put without full context */
#define QUORATE_E_SIBLINGS (-26)
/* a timestamp lies too far ahead */
#define QUORATE_E_CLOCK (-27)
/* no version is held by a majority; the siblings are in the result */
#define QUORATE_E_MAJORITY (-28)
/* the disk is full; nothing was written */
#define QUORATE_E_FULL (-29)
/* the store failed a sync and takes no more writes */
#define QUORATE_E_READONLY (-30)
/* the store lost records of this partition */
#define QUORATE_E_INCOMPLETE (-31)
/* the directory is not ours, or has a newer format */
#define QUORATE_E_FOREIGN (-32)
/* the key holds what the context does not cover; nothing was written */
#define QUORATE_E_CHANGED (-33)

/* What may be concluded from that */
/* may be tried again as it is */
#define QUORATE_F_RETRIABLE 1u
/* the node will not recover by itself */
#define QUORATE_F_FATAL 2u
/* a write may have happened */
#define QUORATE_F_UNCERTAIN 4u
/* the caller broke a rule of this interface */
#define QUORATE_F_MISUSE 8u

/* Options, with their defaults */
/* QUORATE_MODE_...: who drives the node */
#define QUORATE_OPT_MODE 1u
/* replicas of each key (3) */
#define QUORATE_OPT_N 2u
/* replicas that must answer a read (a majority) */
#define QUORATE_OPT_R 3u
/* replicas that must acknowledge a write (a majority) */
#define QUORATE_OPT_W 4u
/* tokens each member draws (64) */
#define QUORATE_OPT_TOKENS 5u
/* partitions, a power of two (256) */
#define QUORATE_OPT_PARTITIONS 6u
/* longest key in bytes (4096) */
#define QUORATE_OPT_KEY_MAX 7u
/* largest value in bytes (16777216) */
#define QUORATE_OPT_VALUE_MAX 8u
/* siblings at which a blind put is refused (100) */
#define QUORATE_OPT_SIBLINGS_MAX 9u
/* requests accepted and not reaped at one time, rounded up to a power of two (4096) */
#define QUORATE_OPT_WINDOW 10u
/* QUORATE_SYNC_...: when a replica acknowledges (interval) */
#define QUORATE_OPT_SYNC 11u
/* milliseconds between syncs (100) */
#define QUORATE_OPT_SYNC_INTERVAL_MS 12u
/* deadline of a request that names none (1000) */
#define QUORATE_OPT_TIMEOUT_MS 13u
/* how long to wait for one replica (500) */
#define QUORATE_OPT_REPLICA_TIMEOUT_MS 14u
/* microseconds to look again before sleeping; UINT64_MAX never sleeps (30) */
#define QUORATE_OPT_WAIT_SPIN_US 15u
/* bytes of a log segment (67108864) */
#define QUORATE_OPT_SEGMENT_BYTES 16u
/* 1 allows addresses that strangers can reach */
#define QUORATE_OPT_ALLOW_OPEN_BIND 17u
/* Redis clients at one time (10000) */
#define QUORATE_OPT_CLIENTS_MAX 18u
/* bytes of memory that the store may take before new keys are refused (no bound) */
#define QUORATE_OPT_MEMORY_MAX 19u
/* bytes of log after which a checkpoint is written (268435456) */
#define QUORATE_OPT_CHECKPOINT_BYTES 20u
/* seconds in which every record is read again once (604800) */
#define QUORATE_OPT_SCRUB_INTERVAL_S 21u
/* bytes of the newest log that compaction leaves alone (67108864) */
#define QUORATE_OPT_RETENTION_BYTES 22u
/* 0 lets the log grow: the room of overwritten values is not given back (1) */
#define QUORATE_OPT_COMPACTION 23u
/* QUORATE_PLACEMENT_...: how partitions are placed (tokens) */
#define QUORATE_OPT_PLACEMENT 24u
/* replicas of a key that may lie in one zone, with placement balanced (one less than N) */
#define QUORATE_OPT_MAX_PER_ZONE 25u
/* 1 founds a cluster that can grow, unless the directory belongs to one already (0) */
#define QUORATE_OPT_FOUND 26u
/* 1 commits the plan that joining leads to, without an operator (0) */
#define QUORATE_OPT_AUTO_COMMIT 27u
/* seconds for which old copies of moved partitions are kept (3600) */
#define QUORATE_OPT_DROP_AFTER_S 28u
/* bytes a second taken at most of partitions that move here; 0 for no limit (67108864) */
#define QUORATE_OPT_TRANSFER_BYTES 29u
/* 1 with join: hold no data, and coordinate through the members (0) */
#define QUORATE_OPT_CLIENT_ROLE 30u
/* bytes of hints kept for replicas that cannot be reached; 0 for none (a tenth of the data, 67108864 at least) */
#define QUORATE_OPT_HINT_BYTES 31u
/* seconds after which a hint is dropped that no acknowledgement counted (10800) */
#define QUORATE_OPT_HINT_AGE_S 32u
/* bytes a second at most of hints and of what is caught up from the log, less while requests turn slow; 0 for no limit (16777216) */
#define QUORATE_OPT_HINT_RATE 33u
/* seconds after which a deleted or expired key is reaped, on proof that nobody can bring back what it deletes; 0 for never (3600; with a member list 0) */
#define QUORATE_OPT_REAP_AFTER_S 34u
/* QUORATE_CARRIER_...: what the program moves in mode packet (stream) */
#define QUORATE_OPT_CARRIER 35u
/* 0 in modes host and packet: no thread of the library waits for the disk, the program calls quorate_disk_step (1) */
#define QUORATE_OPT_DISK_THREAD 36u
/* the data directory; none keeps records in memory only */
#define QUORATE_OPT_DIR 64u
/* this member's name (A) */
#define QUORATE_OPT_NAME 65u
/* the cluster's name (quorate) */
#define QUORATE_OPT_CLUSTER 66u
/* a file of 32 bytes and mode 0600: the cluster's secret */
#define QUORATE_OPT_KEY_FILE 67u
/* where to serve other members; port 0 takes a free one */
#define QUORATE_OPT_PEER_ADDR 68u
/* a Unix socket for Redis clients */
#define QUORATE_OPT_UNIX_PATH 69u
/* what fails together with this node; of one that founds or joins a cluster */
#define QUORATE_OPT_ZONE 70u
/* all members, each NAME@HOST:PORT, or NAME before quorate_node_meet; with placement balanced /ZONE may follow, behind all else =WEIGHT */
#define QUORATE_OPT_MEMBERS 96u
/* where to serve Redis clients (nowhere) */
#define QUORATE_OPT_CLIENT_ADDR 97u
/* shares of the data relative to others, each NAME=WEIGHT of a member whose entry has none (1); 0 holds nothing */
#define QUORATE_OPT_WEIGHTS 98u
/* join the cluster of the members that serve peers there, each HOST:PORT; instead of members */
#define QUORATE_OPT_JOIN 99u
/* keys of gossip datagrams, each a file as for key-file, or derived for the key that it gives: the first seals, all are accepted (derived) */
#define QUORATE_OPT_GOSSIP_KEY_FILE 100u
/* a thread of the library drives the node */
#define QUORATE_MODE_THREAD 0u
/* the host polls one descriptor and calls quorate_node_step */
#define QUORATE_MODE_HOST 1u
/* the host steps the node and moves the bytes between members: quorate_net_rx, quorate_net_tx */
#define QUORATE_MODE_PACKET 2u
/* bytes in their order, each once */
#define QUORATE_CARRIER_STREAM 0u
/* datagrams as large as the frames, which may be lost, doubled, overtaken or changed */
#define QUORATE_CARRIER_DATAGRAM 1u
/* members draw random tokens */
#define QUORATE_PLACEMENT_TOKENS 1u
/* even shares, zones kept apart, fewest moves */
#define QUORATE_PLACEMENT_BALANCED 2u
/* in memory: a killed process may lose it on this node */
#define QUORATE_SYNC_MEMORY 0u
/* handed to the kernel, on disk within the sync interval */
#define QUORATE_SYNC_INTERVAL 1u
/* on disk */
#define QUORATE_SYNC_ALWAYS 2u

/* Lines of the log */
/* something failed and needs a person */
#define QUORATE_LOG_ERROR 1u
/* something is wrong and was coped with */
#define QUORATE_LOG_WARN 2u
/* what an operator wants to know once */
#define QUORATE_LOG_INFO 3u
/* for finding faults */
#define QUORATE_LOG_DEBUG 4u
/* everything */
#define QUORATE_LOG_TRACE 5u

/* Nodes */
/* opened; nothing drives it yet */
#define QUORATE_STATE_OPEN 1u
/* serving */
#define QUORATE_STATE_RUNNING 2u
/* ending what is in flight */
#define QUORATE_STATE_STOPPING 3u
/* stopped; completions may still be reaped */
#define QUORATE_STATE_STOPPED 4u
/* unusable since a caught bug or a failed loop */
#define QUORATE_STATE_POISONED 5u
/* where other members reach the node */
#define QUORATE_ADDRESS_PEER 0u
/* where Redis clients reach it; further addresses count on */
#define QUORATE_ADDRESS_CLIENT 1u
/* 1 once a write or a sync has failed: no more writes */
#define QUORATE_FIGURE_READ_ONLY 0u
/* 1 while there is no room on the disk: deletes only */
#define QUORATE_FIGURE_DISK_FULL 1u
/* partitions that lost records nobody can name */
#define QUORATE_FIGURE_INCOMPLETE_PARTITIONS 2u
/* keys held, tombstones included */
#define QUORATE_FIGURE_RECORDS 3u
/* bytes of disk that the log takes */
#define QUORATE_FIGURE_DISK_BYTES 4u
/* bytes of records that are the newest of their key */
#define QUORATE_FIGURE_LIVE_BYTES 5u
/* bytes of memory that the store takes */
#define QUORATE_FIGURE_MEMORY_BYTES 6u
/* ranges of the log that do not hold */
#define QUORATE_FIGURE_QUARANTINED_RANGES 7u

/* Requests and completions */
/* read */
#define QUORATE_OP_GET 1u
/* write a value */
#define QUORATE_OP_PUT 2u
/* write a tombstone */
#define QUORATE_OP_DELETE 3u
/* in a completion: an order to the cluster, answered */
#define QUORATE_OP_CLUSTER 4u
/* show a page of keys */
#define QUORATE_OP_SCAN 5u
/* follow what changes */
#define QUORATE_OP_WATCH 6u
/* key, value and context stay until the completion */
#define QUORATE_OP_BORROW 1u
/* in pr, pw, dw: explicitly none */
#define QUORATE_NONE 65535u
/* every sibling */
#define QUORATE_VIEW_ALL 0u
/* the newest of those that no other supersedes */
#define QUORATE_VIEW_LATEST 1u
/* the version that a majority of the replicas holds */
#define QUORATE_VIEW_MAJORITY 2u
/* the greatest of whole numbers */
#define QUORATE_VIEW_MAX 3u
/* the least of whole numbers */
#define QUORATE_VIEW_MIN 4u
/* the sum of whole numbers; to be shown, not to be written back */
#define QUORATE_VIEW_SUM 5u
/* the lines of all, sorted, each once */
#define QUORATE_VIEW_SET_UNION 6u
/* one behind the other, the oldest first */
#define QUORATE_VIEW_CONCAT 7u
/* and the number of a function of quorate_merge_register: what it makes of them */
#define QUORATE_VIEW_HOST 16u
/* without a context nothing is superseded */
#define QUORATE_BLIND_SIBLINGS 0u
/* without a context it replaces what its coordinator holds */
#define QUORATE_BLIND_SUPERSEDE 1u
/* E_CHANGED if its coordinator holds what the context does not cover */
#define QUORATE_BLIND_REFUSE 2u
/* fallbacks may stand in for replicas that are down */
#define QUORATE_CALL_SLOPPY 1u
/* the completion needs no context */
#define QUORATE_CALL_NO_CONTEXT 2u
/* a plain value */
#define QUORATE_TYPE_BYTES 0u
/* a number in decimal, to which something was counted */
#define QUORATE_TYPE_COUNTER 1u
/* an element of a set; each is a sibling of its own */
#define QUORATE_TYPE_ELEMENT 2u
/* the view left siblings out */
#define QUORATE_N_HIDDEN 256u
/* read repair could not finish in time */
#define QUORATE_N_UNREPAIRED 512u
/* R + W <= N: it may be older than an acknowledged write */
#define QUORATE_N_WEAK 1024u
/* the one sibling was made of several by the view */
#define QUORATE_N_MERGED 2048u
/* of a feed: what changed before it cannot be told; scan */
#define QUORATE_N_GAP 4096u
/* of a feed: further completions of this tag follow */
#define QUORATE_N_MORE 8192u
/* of a scan: partitions moved since the page before */
#define QUORATE_N_LAYOUT 16384u

/* Change feeds */
/* to quorate_watch: every partition of which the node holds a copy */
#define QUORATE_PARTITION_ALL 4294967295u

/* Bytes that the program moves */
/* the stream that was asked for is connected */
#define QUORATE_NET_UP 1u
/* the stream has ended, or could not be connected */
#define QUORATE_NET_DOWN 2u
/* bytes of the stream may be given out again */
#define QUORATE_NET_WRITABLE 3u
/* no bytes of the stream until it is writable */
#define QUORATE_NET_FULL 4u
/* the next bytes of the stream, or one datagram of it */
#define QUORATE_FRAME_BYTES 1u
/* connect a stream to the address in data */
#define QUORATE_FRAME_CONNECT 2u
/* end the stream, behind its bytes; it has no name any more */
#define QUORATE_FRAME_CLOSE 3u
/* bytes that every frame holds at least */
#define QUORATE_FRAME_MIN 512u

/* The cluster */
/* say how the cluster is */
#define QUORATE_ORDER_LOOK 1u
/* also say what that which is staged comes to */
#define QUORATE_ORDER_PLAN 2u
/* stage that name gives away what it holds and goes */
#define QUORATE_ORDER_LEAVE 3u
/* stage that name is dead and never comes back */
#define QUORATE_ORDER_REMOVE 4u
/* stage that name is dead and other takes its place */
#define QUORATE_ORDER_REPLACE 5u
/* stage the weight number for name */
#define QUORATE_ORDER_WEIGHT 6u
/* stage the zone other for name */
#define QUORATE_ORDER_ZONE 7u
/* stage how many replicas a zone may have */
#define QUORATE_ORDER_MAX_PER_ZONE 8u
/* forget what is staged */
#define QUORATE_ORDER_UNSTAGE 9u
/* begin to move to what is staged */
#define QUORATE_ORDER_COMMIT 10u
/* go back, as long as reads are on the layout before */
#define QUORATE_ORDER_REVERT 11u
/* begin anew with the keepers that are left */
#define QUORATE_ORDER_FORCE_KEEPERS 12u
/* a member before and after the move */
#define QUORATE_MEMBER_STAYS 0u
/* a member after the move */
#define QUORATE_MEMBER_JOINS 1u
/* a member until the move has ended */
#define QUORATE_MEMBER_LEAVES 2u
/* the node that was asked reaches it */
#define QUORATE_MEMBER_IS_UP 1u
/* its vote decides what is committed */
#define QUORATE_MEMBER_IS_KEEPER 2u
/* why the order was not carried out */
#define QUORATE_TEXT_REASON 0u
/* the plan, for people */
#define QUORATE_TEXT_PLAN 1u
/* what is staged, a change a line */
#define QUORATE_TEXT_STAGED 2u
/* names of the keepers, one a line */
#define QUORATE_TEXT_KEEPERS 3u
/* why the node is not what it wants to be */
#define QUORATE_TEXT_REFUSAL 4u
/* the node is of no cluster yet */
#define QUORATE_PHASE_OUTSIDE 0u
/* the members are a list that does not change */
#define QUORATE_PHASE_LISTED 1u
/* nothing moves */
#define QUORATE_PHASE_SETTLED 2u
/* replicas are copied; reads are on the layout before */
#define QUORATE_PHASE_COPYING 3u
/* all is copied, and reads go over */
#define QUORATE_PHASE_FINISHING 4u

/* Members in a snapshot */
/* the node that was asked */
#define QUORATE_MEMBER_IS_SELF 4u
/* it came and went too often of late */
#define QUORATE_MEMBER_IS_UNSTEADY 8u
/* nobody probes it, or not yet */
#define QUORATE_VERDICT_NONE 0u
/* it answers */
#define QUORATE_VERDICT_ALIVE 1u
/* it did not answer somebody; it is used, after others */
#define QUORATE_VERDICT_SUSPECT 2u
/* it did not answer for long */
#define QUORATE_VERDICT_DOWN 3u
/* it said that it goes */
#define QUORATE_VERDICT_LEFT 4u

/* Contexts */
/* the second one saw all that the first one did, and more */
#define QUORATE_CONTEXT_BEFORE (-1)
/* both saw the same */
#define QUORATE_CONTEXT_EQUAL 0
/* the first one saw all that the second one did, and more */
#define QUORATE_CONTEXT_AFTER 1
/* each saw a write that the other one did not */
#define QUORATE_CONTEXT_CONCURRENT 2

#ifdef __cplusplus
extern "C" {
#endif


/**
 * The members as a node knew them at one moment. Opaque; it does not change, and any thread may look.
 */
typedef struct quorate_members quorate_members;

/**
 * A node. Opaque; shared by threads as each function says.
 */
typedef struct quorate_node quorate_node;

/**
 * Settings of a node, before it is opened. Opaque; one thread at a time.
 */
typedef struct quorate_options quorate_options;

/**
 * What a completion points into. Opaque.
 */
typedef struct quorate_result quorate_result;

/**
 * How a call ended: 0 is ok, above 0 is ok with news, below 0 is an error (QUORATE_E_...).
 */
typedef int32_t quorate_status;

/**
 * One row of quorate_status_table.
 */
typedef struct quorate_status_info {
  /**
   * The code.
   */
  quorate_status code;
  /**
   * Its QUORATE_F_... bits.
   */
  uint32_t flags;
  /**
   * Its name, static.
   */
  const char *name;
  /**
   * Its meaning, static.
   */
  const char *text;
} quorate_status_info;

/**
 * The number of an option (QUORATE_OPT_...).
 */
typedef uint32_t quorate_option;

/**
 * Bytes by value. Never NUL-terminated; data may be NULL if len is 0.
 */
typedef struct quorate_bytes {
  /**
   * The first byte.
   */
  const uint8_t *data;
  /**
   * How many bytes.
   */
  size_t len;
} quorate_bytes;

/**
 * What went wrong in a set-up call, in words. The caller owns it and sets struct_size before the call.
 */
typedef struct quorate_error {
  /**
   * sizeof(quorate_error), set by the caller.
   */
  uint32_t struct_size;
  /**
   * The code that the call returned.
   */
  quorate_status status;
  /**
   * errno of the system call that failed, or 0.
   */
  int32_t os_errno;
  /**
   * QUORATE_F_... bits of the code.
   */
  uint32_t flags;
  /**
   * UTF-8, ends with a NUL, cut if it is longer.
   */
  char text[240];
} quorate_error;

/**
 * Takes a line of a node's log, without a line end: level is QUORATE_LOG_..., target names the part of the node that
 * speaks. Both texts are UTF-8, have no NUL at their end, and are good until it returns. It must not throw, longjmp or
 * fork, and not take long: the node waits for it.
 */
typedef void (*quorate_log)(void *user,
                            uint32_t level,
                            struct quorate_bytes target,
                            struct quorate_bytes text);

/**
 * The clocks of a program that steps its nodes.
 */
typedef struct quorate_clock {
  /**
   * sizeof(quorate_clock), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Zero.
   */
  uint32_t zero;
  /**
   * Passed to the functions.
   */
  void *user;
  /**
   * Nanoseconds since an origin of the program's choice; it does not go back.
   */
  uint64_t (*monotonic_ns)(void *user);
  /**
   * Milliseconds since the Unix epoch.
   */
  uint64_t (*wall_ms)(void *user);
  /**
   * Called once with user when nothing needs it any more; may be NULL.
   */
  void (*drop)(void *user);
  /**
   * Zero.
   */
  uint64_t reserved[2];
} quorate_clock;

/**
 * Settings of one request. NULL stands for all defaults; 0 in a member for that member's default.
 */
typedef struct quorate_call {
  /**
   * sizeof(quorate_call), set by the caller.
   */
  uint32_t struct_size;
  /**
   * Number of the keyspace; 0 is the default one.
   */
  uint16_t keyspace;
  /**
   * Replicas that must answer a read.
   */
  uint16_t r;
  /**
   * Replicas that must acknowledge a write.
   */
  uint16_t w;
  /**
   * How many of a read's answers must come from primaries; QUORATE_NONE for 0.
   */
  uint16_t pr;
  /**
   * How many of a write's acknowledgements must come from primaries; QUORATE_NONE for 0.
   */
  uint16_t pw;
  /**
   * How many replicas must have the write on disk; QUORATE_NONE for 0.
   */
  uint16_t dw;
  /**
   * QUORATE_VIEW_...: how a read shows siblings.
   */
  uint16_t view;
  /**
   * QUORATE_BLIND_...: what a write without a context means.
   */
  uint16_t blind;
  /**
   * QUORATE_CALL_... bits.
   */
  uint32_t flags;
  /**
   * Nanoseconds until the deadline, an hour at most; 0 for the default.
   */
  uint64_t timeout_ns;
  /**
   * Milliseconds until the value expires; 0 for never.
   */
  uint64_t ttl_ms;
  /**
   * Zero.
   */
  uint64_t reserved[2];
} quorate_call;

/**
 * One request of a batch.
 */
typedef struct quorate_op {
  /**
   * QUORATE_OP_GET, QUORATE_OP_PUT, QUORATE_OP_DELETE, QUORATE_OP_SCAN or QUORATE_OP_WATCH.
   */
  uint32_t kind;
  /**
   * QUORATE_OP_BORROW or 0.
   */
  uint32_t flags;
  /**
   * Comes back in the completion.
   */
  uint64_t tag;
  /**
   * The key; the prefix of a scan.
   */
  struct quorate_bytes key;
  /**
   * The value of a put; the pattern of a scan.
   */
  struct quorate_bytes value;
  /**
   * The context of a put or delete, the token of a scan, the place of a feed; empty for none.
   */
  struct quorate_bytes context;
  /**
   * Settings, or NULL.
   */
  const struct quorate_call *call;
  /**
   * The partition of a feed; else zero.
   */
  uint64_t number;
  /**
   * Keys of a page of a scan or a feed, 0 for the default; else zero.
   */
  uint64_t limit;
} quorate_op;

/**
 * The event that wrote a version. All zero for none.
 */
typedef struct quorate_dot {
  /**
   * Names the data directory that issued it.
   */
  uint64_t generation;
  /**
   * Random bits of the opening that issued it.
   */
  uint64_t nonce;
  /**
   * Number of the epoch within the directory.
   */
  uint64_t epoch;
  /**
   * Which of the epoch's events on this key, from 1.
   */
  uint64_t counter;
} quorate_dot;

/**
 * One version of a key.
 */
typedef struct quorate_sibling {
  /**
   * The value; it lies inside the result.
   */
  struct quorate_bytes value;
  /**
   * When it was written, by its coordinator's hybrid clock: milliseconds shifted left by 16, and a count.
   */
  uint64_t hlc;
  /**
   * Absolute expiry in milliseconds since the Unix epoch; 0 for none.
   */
  uint64_t expires_ms;
  /**
   * The event that wrote it.
   */
  struct quorate_dot dot;
  /**
   * QUORATE_TYPE_...
   */
  uint32_t kind;
  /**
   * Zero.
   */
  uint32_t flags;
} quorate_sibling;

/**
 * The end of one accepted request. Exactly one comes for each; of a feed, one for each page, and a last one.
 */
typedef struct quorate_completion {
  /**
   * As given with the request.
   */
  uint64_t tag;
  /**
   * Owns everything that the pointers below point to; NULL if there is nothing. Given back by
   * quorate_completions_clear.
   */
  struct quorate_result *result;
  /**
   * The versions that the view shows, inside result; of a write none, but of quorate_add and quorate_put_number the
   * number.
   */
  const struct quorate_sibling *siblings;
  /**
   * Opaque causal context, inside result; empty for none. Of a scan the token of the next page, of a feed the place
   * behind what is shown.
   */
  struct quorate_bytes context;
  /**
   * The event of a write, set as soon as one was issued, even if the write was not acknowledged.
   */
  struct quorate_dot dot;
  /**
   * How many siblings.
   */
  uint32_t n_siblings;
  /**
   * How the request ended.
   */
  quorate_status status;
  /**
   * errno behind the status, or 0.
   */
  int32_t os_errno;
  /**
   * QUORATE_F_... and QUORATE_N_... bits.
   */
  uint32_t flags;
  /**
   * QUORATE_OP_GET, QUORATE_OP_PUT for any write, QUORATE_OP_SCAN, QUORATE_OP_WATCH or QUORATE_OP_CLUSTER.
   */
  uint32_t kind;
  /**
   * Replicas that had to answer.
   */
  uint16_t asked;
  /**
   * Replicas that did.
   */
  uint16_t acked;
  /**
   * Of these, on disk.
   */
  uint16_t durable;
  /**
   * Of these, fallbacks.
   */
  uint16_t fallbacks;
  /**
   * Zero.
   */
  uint32_t zero;
  /**
   * Of a change of a set: how many elements came or went.
   */
  uint64_t count;
  /**
   * Zero.
   */
  uint64_t reserved;
} quorate_completion;

/**
 * A key that changed.
 */
typedef struct quorate_change {
  /**
   * The key; it lies inside the result, as do the siblings.
   */
  struct quorate_bytes key;
  /**
   * Its values as they are now; none if it is deleted or has expired.
   */
  const struct quorate_sibling *siblings;
  /**
   * How many siblings.
   */
  uint32_t n_siblings;
  /**
   * Zero.
   */
  uint32_t flags;
  /**
   * Zero.
   */
  uint64_t reserved[2];
} quorate_change;

/**
 * Makes one value of count values of a key, at least two: of what concurrent writers left, in the order of their
 * dots. It writes the value to buffer, which has room for cap bytes, sets len to its length, and returns 0. If len is
 * over cap, it is called once more with as much room. Any other result: it cannot, and the siblings are shown.
 * It must come to the same value at every node and call, whatever was merged before; it must not throw, longjmp or
 * fork, and not take long: the loop waits for it. What it is given is good until it returns.
 */
typedef int32_t (*quorate_merge)(void *user,
                                 struct quorate_bytes key,
                                 const struct quorate_bytes *values,
                                 size_t count,
                                 uint8_t *buffer,
                                 size_t cap,
                                 size_t *len);

/**
 * An empty frame of the program's, and what the library has filled it with.
 */
typedef struct quorate_frame {
  /**
   * Where to write: the program's, before and after.
   */
  uint8_t *data;
  /**
   * How many bytes there are, QUORATE_FRAME_MIN at least.
   */
  size_t cap;
  /**
   * Receives how many were written.
   */
  size_t len;
  /**
   * Receives the name of the stream.
   */
  uint64_t peer;
  /**
   * Receives QUORATE_FRAME_...
   */
  uint32_t kind;
  /**
   * Zero.
   */
  uint32_t flags;
  /**
   * Zero.
   */
  uint64_t reserved[2];
} quorate_frame;

/**
 * An order to the cluster: to look at it, or to change it.
 */
typedef struct quorate_order {
  /**
   * sizeof(quorate_order), set by the caller.
   */
  uint32_t struct_size;
  /**
   * QUORATE_ORDER_...
   */
  uint32_t kind;
  /**
   * The member that it is about.
   */
  struct quorate_bytes name;
  /**
   * The member that replaces it, or its zone.
   */
  struct quorate_bytes other;
  /**
   * A weight; replicas in one zone, 0 for the default; the hash of a plan, 0 for whatever it is.
   */
  uint64_t number;
  /**
   * Zero.
   */
  uint64_t reserved[2];
} quorate_order;

/**
 * How the cluster is, as the node that was asked knows it.
 */
typedef struct quorate_cluster {
  /**
   * Counts everything that was ever committed, staged changes included.
   */
  uint64_t version;
  /**
   * Names that: equal on two nodes that follow the same.
   */
  uint64_t hash;
  /**
   * Version of the layout that reads are on.
   */
  uint64_t layout;
  /**
   * Version of the layout that the cluster moves to; 0 for none.
   */
  uint64_t layout_next;
  /**
   * The hash to commit, of an order to plan; 0 otherwise.
   */
  uint64_t plan_hash;
  /**
   * Bytes of records that were copied in the move.
   */
  uint64_t bytes_copied;
  /**
   * Replicas to be copied in the move.
   */
  uint32_t replicas_total;
  /**
   * Of these, how many are not whole yet, or not known to be.
   */
  uint32_t replicas_open;
  /**
   * QUORATE_PHASE_...
   */
  uint32_t phase;
  /**
   * How many members there are, those that join and leave included.
   */
  uint32_t n_members;
  /**
   * How many of them are keepers.
   */
  uint32_t n_keepers;
  /**
   * How many changes are staged.
   */
  uint32_t n_staged;
  /**
   * Zero.
   */
  uint64_t reserved[2];
} quorate_cluster;

/**
 * One member of the cluster.
 */
typedef struct quorate_member {
  /**
   * Its name; it lies inside the result or the snapshot, as do the next two.
   */
  struct quorate_bytes name;
  /**
   * Where its peers reach it.
   */
  struct quorate_bytes address;
  /**
   * Its zone; empty for none.
   */
  struct quorate_bytes zone;
  /**
   * The data directory that it is bound to; 0 if it is not.
   */
  uint64_t generation;
  /**
   * Bytes of records that it copied in the move.
   */
  uint64_t bytes_copied;
  /**
   * Its weight.
   */
  uint32_t weight;
  /**
   * QUORATE_MEMBER_STAYS, QUORATE_MEMBER_JOINS or QUORATE_MEMBER_LEAVES.
   */
  uint32_t state;
  /**
   * QUORATE_MEMBER_IS_... bits.
   */
  uint32_t flags;
  /**
   * Partitions that it holds in the layout that reads are on.
   */
  uint32_t partitions;
  /**
   * Partitions that it holds in the latest layout.
   */
  uint32_t partitions_next;
  /**
   * Replicas that it has to copy in the move.
   */
  uint32_t replicas_total;
  /**
   * Of these, how many are not whole yet, or not known to be.
   */
  uint32_t replicas_open;
  /**
   * QUORATE_VERDICT_..., in quorate_members_list; else zero.
   */
  uint32_t verdict;
  /**
   * Zero.
   */
  uint64_t reserved[2];
} quorate_member;

/**
 * The version of the library as one number: major * 1000000 + minor * 1000 + patch. Compare it with
 * QUORATE_VERSION_NUMBER at start-up.
 *
 * Returns: the number.
 * Thread class: A. Blocks: no. Since: 0.1.
 */
QUORATE_API uint32_t quorate_version_number(void);

/**
 * The version of the library as text, "quorate/MAJOR.MINOR.PATCH".
 *
 * Returns: static text, never NULL; nobody frees it.
 * Thread class: A. Blocks: no. Since: 0.1.
 */
QUORATE_API const char *quorate_version_string(void);

/**
 * The highest API level that this library knows.
 *
 * Returns: the level.
 * Thread class: A. Blocks: no. Since: 0.1.
 */
QUORATE_API uint32_t quorate_api_level_max(void);

/**
 * The name of a status code, such as "E_QUORUM".
 *
 * Arguments: any number; a detail is ignored.
 * Returns: static text, never NULL; "E_UNKNOWN" for a number that is no code. Nobody frees it.
 * Thread class: A. Blocks: no. Since: 0.1.
 */
QUORATE_API const char *quorate_status_name(quorate_status code);

/**
 * What a status code means, in a few English words.
 *
 * Arguments: any number; a detail is ignored.
 * Returns: static text, never NULL. Nobody frees it.
 * Thread class: A. Blocks: no. Since: 0.1.
 */
QUORATE_API const char *quorate_status_text(quorate_status code);

/**
 * What a caller may conclude from a status code.
 *
 * Arguments: any number; a detail is ignored.
 * Returns: QUORATE_F_... bits; 0 for a number that is no code.
 * Thread class: A. Blocks: no. Since: 0.1.
 */
QUORATE_API uint32_t quorate_status_flags(quorate_status code);

/**
 * Every status code with its flags, name and text, so that bindings can generate their lists.
 *
 * Arguments: out: receives a static array; n: receives its length. A NULL of either is ignored.
 * Returns: nothing.
 * Thread class: A. Blocks: no. Owner: the library; nobody frees the array. Since: 0.1.
 */
QUORATE_API void quorate_status_table(const struct quorate_status_info **out, size_t *n);

/**
 * Makes options with every default. QUORATE_OPTIONS_CREATE passes the level for you.
 *
 * Arguments: api_level: QUORATE_API_LEVEL of the caller; out: receives the options, or NULL.
 * Returns: OK; E_NULL; E_UNSUPPORTED for a level that this library does not know; E_FORKED; E_PANIC.
 * Thread class: E. Blocks: no. Owner: the caller, who gives them to quorate_options_free. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_options_new(uint32_t api_level,
                                   struct quorate_options **out);

/**
 * Sets an option that is a number.
 *
 * Arguments: options; option: QUORATE_OPT_...; value.
 * Returns: OK; E_NULL; E_UNSUPPORTED for an unknown option; E_TYPE if it is no number; E_ARG for a value
 * outside its range; E_FORKED; E_PANIC. Nothing is set unless it is OK.
 * Thread class: E. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_options_set_u64(struct quorate_options *options,
                                       quorate_option option,
                                       uint64_t value);

/**
 * Sets an option that is a text, or replaces a list by the parts between commas.
 *
 * Arguments: options; option: QUORATE_OPT_...; value.
 * Returns: OK; E_NULL; E_UNSUPPORTED for an unknown option; E_TYPE if it is a number; E_FORKED; E_PANIC.
 * Thread class: E. Blocks: no. Owner: the value is copied. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_options_set_bytes(struct quorate_options *options,
                                         quorate_option option,
                                         struct quorate_bytes value);

/**
 * Adds one entry to an option that is a list.
 *
 * Arguments: options; option: QUORATE_OPT_...; value: the entry.
 * Returns: OK; E_NULL; E_UNSUPPORTED for an unknown option; E_TYPE if it is no list; E_FORKED; E_PANIC.
 * Thread class: E. Blocks: no. Owner: the value is copied. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_options_add_bytes(struct quorate_options *options,
                                         quorate_option option,
                                         struct quorate_bytes value);

/**
 * Sets an option by its name, as config files and command lines spell it ("sync-interval-ms").
 *
 * Arguments: options; name: with - or _; value: a number, a word such as "always", or a text; error:
 * may be NULL, says what was expected.
 * Returns: OK; E_NULL; E_UNSUPPORTED for an unknown name; E_ARG for a value that does not fit; E_FORKED;
 * E_PANIC.
 * Thread class: E. Blocks: no. Owner: name and value are copied. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_options_parse(struct quorate_options *options,
                                     struct quorate_bytes name,
                                     struct quorate_bytes value,
                                     struct quorate_error *error);

/**
 * Sets what is called now and then while quorate_node_open reads a log, with the bytes that were read and
 * those that are to be. It runs on the thread that opens; it must not throw, longjmp or fork, and not take
 * long. A second call replaces the first.
 *
 * Arguments: options; hook: NULL for none; user: passed to both; drop: may be NULL, called once with user
 * when no options and no opening need it any more, also if this call fails.
 * Returns: OK; E_NULL; E_FORKED; E_PANIC.
 * Thread class: E. Blocks: no. Owner: user stays the caller's until drop. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_options_set_progress(struct quorate_options *options,
                                            void (*hook)(void *user, uint64_t done, uint64_t total),
                                            void *user,
                                            void (*drop)(void *user));

/**
 * Makes a copy of options.
 *
 * Arguments: options; out: receives the copy, or NULL.
 * Returns: OK; E_NULL; E_FORKED; E_PANIC.
 * Thread class: E. Blocks: no. Owner: the caller, who gives the copy to quorate_options_free. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_options_clone(const struct quorate_options *options,
                                     struct quorate_options **out);

/**
 * Frees options. NULL is allowed; so is a forked child. From a hook it does nothing: they are still to be freed.
 *
 * Arguments: options: not used afterwards.
 * Returns: nothing.
 * Thread class: E. Blocks: no. Owner: the library takes them. Since: 0.1.
 */
QUORATE_API
void quorate_options_free(struct quorate_options *options);

/**
 * Sets what is given the lines of the log of each node that is opened with these options. Without it nothing is logged;
 * nothing is ever written to stderr. Lines beyond the level cost nothing, as they are not even made.
 *
 * It is called by the thread that opens the node, then by the one that drives it, that of the library or whoever is
 * inside of quorate_node_step, a quorate_net_ function, quorate_node_stop or quorate_node_free; by one at a time for
 * each node, and never again before it has returned. A second call replaces the function for nodes opened from then on.
 *
 * Arguments: options; level: QUORATE_LOG_...: the least important lines that are wanted; log: NULL for none; user: passed
 * to both; drop: may be NULL, called once with user when no options and no node need it any more, also if this call fails.
 * Returns: OK; E_NULL; E_ARG for a level that there is not; E_REENTRANT; E_FORKED; E_PANIC.
 * Thread class: E. Blocks: no. Owner: user stays the caller's until drop. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_options_set_log(struct quorate_options *options,
                                       uint32_t level,
                                       quorate_log log,
                                       void *user,
                                       void (*drop)(void *user));

/**
 * Sets the clocks that a node asks between steps: while it is opened, when a value with a ttl is submitted, and for the
 * descriptor's timer. In a step it is told by now_ns and wall_ms, which must be of the same clocks. Without it these
 * are CLOCK_MONOTONIC and CLOCK_REALTIME. For modes host and packet.
 *
 * Monotonic time that goes back counts as standing still until it has caught up. Wall time may jump: it only stamps
 * versions and ends values with a ttl; a stamp is never before an earlier one of the node, and other members refuse
 * one too far ahead of their own clocks (E_CLOCK).
 *
 * Arguments: options; clock: copied, or NULL for the machine's clocks. Its functions may be called by any thread that
 * calls the library, by several at once; they must not throw, longjmp or fork. drop may be NULL, and is called once with
 * user when no options and no node need them any more, also if this call fails, but not if the struct cannot be read.
 * Returns: OK; E_NULL, also for a function that is NULL; E_ARG for a struct_size that cannot be; E_UNSUPPORTED for
 * members that this library does not know; E_REENTRANT; E_FORKED; E_PANIC. quorate_node_open says E_ARG in mode thread.
 * Thread class: E. Blocks: no. Owner: user stays the caller's until drop. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_options_set_clock(struct quorate_options *options,
                                         const struct quorate_clock *clock);

/**
 * Opens a node: checks its options, binds its addresses, locks and reads its directory.
 *
 * Arguments: options: copied, not consumed; out: receives the node, or NULL; error: may be NULL, says
 * what is wrong.
 * Returns: OK; E_NULL; E_ARG for options that do not fit; E_BUSY for a directory that is open in this or
 * another process; E_NET for an address in use; E_FOREIGN for a directory that is not ours; E_IO with
 * os_errno; E_NOMEM; E_REENTRANT; E_FORKED; E_PANIC. A failure leaves nothing behind.
 * Thread class: E. Blocks: yes, while the directory is read. Owner: the caller, who gives the node to
 * quorate_node_free. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_node_open(const struct quorate_options *options,
                                 struct quorate_node **out,
                                 struct quorate_error *error);

/**
 * Writes an address that the node has bound, "127.0.0.1:40123", with its real port.
 *
 * Arguments: node; which: QUORATE_ADDRESS_PEER, or QUORATE_ADDRESS_CLIENT plus the place in the list;
 * buffer, capacity: receive the text and a NUL; len: may be NULL, receives the length without the NUL.
 * Returns: OK; AGAIN if the buffer is too small, with len set; E_NULL; E_ARG if there is no such address;
 * E_FORKED; E_POISONED; E_PANIC.
 * Thread class: B. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_node_address(const struct quorate_node *node,
                                    uint32_t which,
                                    char *buffer,
                                    size_t capacity,
                                    size_t *len);

/**
 * Tells a node where another member listens, in place of the address in its list. Needed only where
 * ports are chosen by the system, once for each; call it before the node is started or stepped.
 *
 * Arguments: node; name: of the member; address: HOST:PORT.
 * Returns: OK; E_NULL; E_ARG for an unknown member or a text that is no address; E_STATE once the node
 * runs; E_BUSY if another thread drives it; E_FORKED; E_POISONED; E_PANIC.
 * Thread class: D. Blocks: while a host name is looked up. Owner: name and address are copied. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_node_meet(struct quorate_node *node,
                                 struct quorate_bytes name,
                                 struct quorate_bytes address);

/**
 * Plays a network that breaks, for tests of what a program does then: while it is on, the node hears nothing of
 * other members and says nothing to them, as if every link to them were cut. Clients are served, requests go on.
 * It is so when the loop has turned; links come back within a second of its end.
 *
 * Arguments: node; on: 1 cuts it off, 0 ends that.
 * Returns: OK; E_NULL; E_ARG for another number; E_FORKED; E_POISONED; E_PANIC.
 * Thread class: B. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_node_isolate(const struct quorate_node *node,
                                    uint32_t on);

/**
 * Starts the thread that drives a node in mode thread. Signals are blocked on it. If none can be made the node can only
 * be freed.
 *
 * Arguments: node; error: may be NULL, says what is wrong.
 * Returns: OK; E_NULL; E_STATE in another mode or phase; E_NOMEM if no thread can be made; E_BUSY;
 * E_FORKED; E_POISONED; E_PANIC.
 * Thread class: D. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_node_start(struct quorate_node *node,
                                  struct quorate_error *error);

/**
 * Stops a node: takes nothing more, ends what is in flight, brings the store to disk. Every accepted
 * request then has its completion, E_CLOSED (writes with UNCERTAIN) if it had no other; reap them.
 *
 * Arguments: node; timeout_ns: how long requests in flight may still take, in whole milliseconds, rounded
 * down; in mode packet they end at once, as nobody moves bytes meanwhile.
 * Returns: OK; E_NULL; E_STATE if it is stopped; E_IO if the store could not be brought to disk; E_BUSY
 * if another thread drives it; E_POISONED of a poisoned node; E_FORKED; E_PANIC.
 * Thread class: D, but others may submit, wait and reap beside it. Blocks: yes, for the timeout and a disk sync. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_node_stop(struct quorate_node *node,
                                 uint64_t timeout_ns);

/**
 * Where a node is in its life.
 *
 * Arguments: node.
 * Returns: QUORATE_STATE_...; 0 for NULL, and in a forked child.
 * Thread class: B. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API uint32_t quorate_node_state(const struct quorate_node *node);

/**
 * Reads a figure of the node's store. It is as of a second ago or, while nothing happens, of the last turn.
 *
 * Arguments: node; which: QUORATE_FIGURE_...; value: receives it.
 * Returns: OK; E_NULL; E_UNSUPPORTED for a figure that is not known; E_FORKED; E_POISONED; E_PANIC.
 * Thread class: B. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_node_figure(const struct quorate_node *node,
                                   uint32_t which,
                                   uint64_t *value);

/**
 * Frees a node, stopping it at once if it runs. NULL is allowed. In a forked child nothing that is
 * shared with the parent is touched; the child's copy of the memory stays with the child. From a hook it does
 * nothing: the node is still to be freed.
 *
 * Arguments: node: not used afterwards.
 * Returns: nothing.
 * Thread class: D. Blocks: yes, for a disk sync. Owner: the library takes it. Since: 0.1.
 */
QUORATE_API
void quorate_node_free(struct quorate_node *node);

/**
 * Submits a read.
 *
 * Arguments: node; key; call: settings, or NULL; tag: comes back in the completion.
 * Returns: OK, and one completion follows; E_NULL; E_ARG; E_LIMIT; E_UNSUPPORTED for settings this
 * library does not know; E_OVERLOADED if the window is full; E_CLOSED; E_FORKED; E_POISONED; E_PANIC.
 * The completion says OK, E_NOTFOUND, E_ARG, E_QUORUM, E_TIMEOUT, E_OVERLOADED, E_LAYOUT, E_MAJORITY,
 * E_INCOMPLETE, E_CANCELLED after quorate_cancel, E_CLOSED or E_POISONED.
 * Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_get(struct quorate_node *node,
                           struct quorate_bytes key,
                           const struct quorate_call *call,
                           uint64_t tag);

/**
 * Submits a write. With a context it replaces what that covers; without one the value becomes a sibling
 * (QUORATE_BLIND_SIBLINGS) unless the settings say otherwise.
 *
 * Arguments: node; key; value; context: from a read of this key, or empty; call: settings, or NULL; tag:
 * comes back in the completion.
 * Returns: OK, and one completion follows; E_NULL; E_ARG; E_LIMIT; E_UNSUPPORTED; E_OVERLOADED if the
 * window is full; E_CLOSED; E_FORKED; E_POISONED; E_PANIC.
 * The completion says OK, E_ARG, E_QUORUM, E_PARTIAL, E_MAYBE, E_OVERLOADED, E_LAYOUT, E_SIBLINGS, E_CHANGED,
 * E_CONTEXT, E_CLOCK, E_FULL, E_READONLY, E_INCOMPLETE, E_TIMEOUT (of one that has to read first: nothing was
 * written), E_CANCELLED after quorate_cancel, E_CLOSED or E_POISONED.
 * Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_put(struct quorate_node *node,
                           struct quorate_bytes key,
                           struct quorate_bytes value,
                           struct quorate_bytes context,
                           const struct quorate_call *call,
                           uint64_t tag);

/**
 * Submits a delete: a tombstone that covers what the context does.
 *
 * Arguments: node; key; context: from a read of this key, or empty; call: settings, or NULL; tag: comes
 * back in the completion.
 * Returns: as quorate_put, and so does the completion.
 * Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_delete(struct quorate_node *node,
                              struct quorate_bytes key,
                              struct quorate_bytes context,
                              const struct quorate_call *call,
                              uint64_t tag);

/**
 * Submits a batch, in order, up to the first that is refused.
 *
 * Arguments: node; ops; op_size: sizeof(quorate_op); n: how many; accepted: receives how many were
 * accepted, each of which has one completion, a feed as quorate_watch says.
 * Returns: OK if all were accepted; else the status of the first that was not, as the function for its kind says; E_ARG
 * also for a size of ops that cannot be.
 * Thread class: B. Blocks: no. Owner: everything is copied, with or without QUORATE_OP_BORROW. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_submit(struct quorate_node *node,
                              const struct quorate_op *ops,
                              size_t op_size,
                              size_t n,
                              size_t *accepted);

/**
 * Takes completions.
 *
 * Arguments: node; array; size: sizeof(quorate_completion); capacity: elements of the array; n: receives
 * how many were written.
 * Returns: OK if n > 0; AGAIN if there is none now; E_NULL; E_ARG for a size that cannot be and a capacity of 0; E_BUSY if another
 * thread reaps;
 * E_POISONED if there is none and there will be none; E_FORKED; E_PANIC.
 * Thread class: C. Blocks: no. Owner: the caller, who gives the array to quorate_completions_clear.
 * Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_reap(struct quorate_node *node,
                            struct quorate_completion *array,
                            size_t size,
                            size_t capacity,
                            size_t *n);

/**
 * Frees what completions own and empties them, so that a second call does nothing.
 *
 * Arguments: array: may be NULL; size: sizeof(quorate_completion); n: elements.
 * Returns: nothing. A size that cannot be is ignored, as is everything then.
 * Thread class: E, on the array. Blocks: no. Owner: the array stays the caller's. Since: 0.1.
 */
QUORATE_API void quorate_completions_clear(struct quorate_completion *array, size_t size, size_t n);

/**
 * A descriptor that is readable while quorate_reap would return something. Poll it level triggered;
 * never read it; the library does.
 *
 * Arguments: node.
 * Returns: the descriptor, the same for the node's life; E_NULL, E_FORKED, or E_STATE in mode packet, which
 * has none, all below 0.
 * Thread class: B. Blocks: no. Owner: the library. Since: 0.1.
 */
QUORATE_API
int quorate_completion_fd(const struct quorate_node *node);

/**
 * Waits until there is a completion.
 *
 * Arguments: node; timeout_ns: UINT64_MAX for ever. Nothing but a completion and the time ends it, also not
 * quorate_node_wake or quorate_node_stop: a thread that is to end waits for a time.
 * Returns: OK if there may be one; AGAIN if the time is over; E_NULL; E_STATE in modes host and packet;
 * E_FORKED; E_PANIC.
 * Thread class: B. Blocks: yes. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_wait(struct quorate_node *node,
                            uint64_t timeout_ns);

/**
 * Reads and waits for the answer.
 *
 * Arguments: node; key; call: settings, or NULL; out: receives the completion, empty if the call is
 * refused; size: sizeof(quorate_completion).
 * Returns: the status of the completion, as quorate_get; what quorate_get returns if it is refused;
 * E_STATE unless the node runs in mode thread.
 * Thread class: B. Blocks: until the answer, at most to the deadline. Owner: the caller, who gives out
 * to quorate_completions_clear. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_get_sync(struct quorate_node *node,
                                struct quorate_bytes key,
                                const struct quorate_call *call,
                                struct quorate_completion *out,
                                size_t size);

/**
 * Writes and waits for the answer. As quorate_put.
 *
 * Arguments: node; key; value; context: or empty; call: settings, or NULL; out: receives the completion,
 * empty if the call is refused; size: sizeof(quorate_completion).
 * Returns: the status of the completion, as quorate_put; what quorate_put returns if it is refused;
 * E_STATE unless the node runs in mode thread.
 * Thread class: B. Blocks: until the answer, at most to the deadline. Owner: the caller, who gives out
 * to quorate_completions_clear. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_put_sync(struct quorate_node *node,
                                struct quorate_bytes key,
                                struct quorate_bytes value,
                                struct quorate_bytes context,
                                const struct quorate_call *call,
                                struct quorate_completion *out,
                                size_t size);

/**
 * Deletes and waits for the answer. As quorate_delete.
 *
 * Arguments: node; key; context: or empty; call: settings, or NULL; out: receives the completion, empty
 * if the call is refused; size: sizeof(quorate_completion).
 * Returns: the status of the completion, as quorate_put; what quorate_put returns if it is refused;
 * E_STATE unless the node runs in mode thread.
 * Thread class: B. Blocks: until the answer, at most to the deadline. Owner: the caller, who gives out
 * to quorate_completions_clear. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_delete_sync(struct quorate_node *node,
                                   struct quorate_bytes key,
                                   struct quorate_bytes context,
                                   const struct quorate_call *call,
                                   struct quorate_completion *out,
                                   size_t size);

/**
 * Ends requests in flight before their deadline: each that was submitted with this tag before, and has no answer yet.
 * Its one completion comes all the same, as soon as the loop has turned. A write that was begun is not taken back:
 * it may have happened, and may still happen.
 *
 * Arguments: node; tag: as it was submitted. Of a change feed, an order or a _sync call nothing comes of it: quorate_unwatch ends the
 * one, the other goes on.
 * Returns: OK, also if no request has the tag or it was answered before; E_NULL; E_OVERLOADED if as much waits for the
 * loop as the window holds: try again when it has turned; E_CLOSED; E_FORKED; E_POISONED; E_PANIC.
 * The completion says E_CANCELLED: with QUORATE_F_UNCERTAIN the write may have happened, and acked and dot say what is
 * known of it; without, nothing was written. Or it says how the request ended, if that was known before; of a read
 * that was only waiting for repairs the answer, with QUORATE_N_UNREPAIRED.
 * Thread class: B. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_cancel(struct quorate_node *node,
                              uint64_t tag);

/**
 * Submits an increment of a number; an absent key is 0. Increments that know nothing of each other all count, and
 * one replica is enough for it (w = 1).
 *
 * Arguments: node; key; by: what is added; id: 0, or a number that names the increment: asked for again with it, the
 * same replica answers as before and counts once, whatever by is then, as long as it runs and remembers (4,096 of
 * them); call: settings, or NULL, without a ttl; tag: comes back in the completion.
 * Returns: as quorate_put. So does the completion, with E_ARG if the value is no number or the sum would leave 64
 * bits, and E_TYPE if it is a set. Its one sibling is the value after it as the replica that counted has it, in decimal.
 * Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_add(struct quorate_node *node,
                           struct quorate_bytes key,
                           int64_t by,
                           uint64_t id,
                           const struct quorate_call *call,
                           uint64_t tag);

/**
 * Submits a number that takes the place of the one that was read: what is added is the difference, so two who read
 * 10 and put 8 and 7 leave 5. Only the replica that the context names carries it out, once; where that is gone
 * or remembers no more, the completion says E_MAYBE and nothing is written. A context is good for one number: given again,
 * also with another number, the completion is that of the first, and its sibling the number that it made. Who wants
 * another number reads again.
 *
 * Arguments: node; key; number; context: from a read of this key that showed one number; call: settings, or
 * NULL, without a ttl; tag: comes back in the completion.
 * Returns: as quorate_add, and so does the completion, with E_CONTEXT if the context names no number.
 * Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_put_number(struct quorate_node *node,
                                  struct quorate_bytes key,
                                  int64_t number,
                                  struct quorate_bytes context,
                                  const struct quorate_call *call,
                                  uint64_t tag);

/**
 * Adds and waits for the answer. As quorate_add.
 *
 * Arguments: node; key; by; id: or 0; call: settings, or NULL; out: receives the completion, empty if the call is
 * refused; size: sizeof(quorate_completion).
 * Returns: the status of the completion, as quorate_add; what quorate_add returns if it is refused; E_STATE
 * unless the node runs in mode thread.
 * Thread class: B. Blocks: until the answer, at most to the deadline. Owner: the caller, who gives out
 * to quorate_completions_clear. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_add_sync(struct quorate_node *node,
                                struct quorate_bytes key,
                                int64_t by,
                                uint64_t id,
                                const struct quorate_call *call,
                                struct quorate_completion *out,
                                size_t size);

/**
 * Puts a number where another was read and waits for the answer. As quorate_put_number.
 *
 * Arguments: node; key; number; context; call: settings, or NULL; out: receives the completion, empty if the call
 * is refused; size: sizeof(quorate_completion).
 * Returns: the status of the completion, as quorate_put_number; what that returns if it is refused; E_STATE
 * unless the node runs in mode thread.
 * Thread class: B. Blocks: until the answer, at most to the deadline. Owner: the caller, who gives out
 * to quorate_completions_clear. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_put_number_sync(struct quorate_node *node,
                                       struct quorate_bytes key,
                                       int64_t number,
                                       struct quorate_bytes context,
                                       const struct quorate_call *call,
                                       struct quorate_completion *out,
                                       size_t size);

/**
 * Submits elements to be put into a set; an absent key is an empty one. What was put in stays until somebody who has
 * seen it removes it. A set has at most 10,000 elements; quorate_get shows each as a sibling of its own, of the
 * type QUORATE_TYPE_ELEMENT, in the order of their bytes.
 *
 * Arguments: node; key; members: the elements; count: how many, at least 1; call: settings, or NULL, without a
 * ttl: the set keeps the one that it has; tag: comes back in the completion.
 * Returns: as quorate_put. So does the completion, with E_ARG if the set would grow too large and E_TYPE if the newest
 * value of the key is no set. Its count says how many were not there, as far as r replicas knew.
 * Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_set_add(struct quorate_node *node,
                               struct quorate_bytes key,
                               const struct quorate_bytes *members,
                               size_t count,
                               const struct quorate_call *call,
                               uint64_t tag);

/**
 * Submits elements to be taken out of a set, as far as r replicas have them. What somebody else puts in meanwhile
 * stays. Without its last element the key is deleted.
 *
 * Arguments: as quorate_set_add.
 * Returns: as quorate_set_add, and so does the completion. Its count says how many were there; if none was, nothing
 * is written, and dot stays zero.
 * Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_set_remove(struct quorate_node *node,
                                  struct quorate_bytes key,
                                  const struct quorate_bytes *members,
                                  size_t count,
                                  const struct quorate_call *call,
                                  uint64_t tag);

/**
 * Puts elements into a set and waits for the answer. As quorate_set_add.
 *
 * Arguments: node; key; members; count; call: settings, or NULL; out: receives the completion, empty if the call is
 * refused; size: sizeof(quorate_completion).
 * Returns: the status of the completion, as quorate_set_add; what quorate_set_add returns if it is refused; E_STATE
 * unless the node runs in mode thread.
 * Thread class: B. Blocks: until the answer, at most to the deadline. Owner: the caller, who gives out
 * to quorate_completions_clear. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_set_add_sync(struct quorate_node *node,
                                    struct quorate_bytes key,
                                    const struct quorate_bytes *members,
                                    size_t count,
                                    const struct quorate_call *call,
                                    struct quorate_completion *out,
                                    size_t size);

/**
 * Takes elements out of a set and waits for the answer. As quorate_set_remove.
 *
 * Arguments: as quorate_set_add_sync.
 * Returns: the status of the completion, as quorate_set_remove; what quorate_set_remove returns if it is refused;
 * E_STATE unless the node runs in mode thread.
 * Thread class: B. Blocks: until the answer, at most to the deadline. Owner: the caller, who gives out
 * to quorate_completions_clear. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_set_remove_sync(struct quorate_node *node,
                                       struct quorate_bytes key,
                                       const struct quorate_bytes *members,
                                       size_t count,
                                       const struct quorate_call *call,
                                       struct quorate_completion *out,
                                       size_t size);

/**
 * Submits a page of a scan through all keys of a keyspace that have a value, as r replicas hold them. A key that is
 * there throughout is shown once; what comes or goes meanwhile may be shown or not. Nothing is kept between pages, and
 * any node gives the next one.
 *
 * Arguments: node; token: empty to begin, else the context of the page before; prefix: how keys begin, or empty;
 * pattern: which of these are shown, as Redis has patterns (* ? [a-z] [^a] and a backslash), at most 1,024 bytes, or
 * empty for all; limit: about how many keys are looked at for the page, at most 1,024, 0 for 10; call: settings, or
 * NULL, without a ttl, not sloppy; tag: comes back in the completion.
 * Returns: OK, and one completion follows; E_NULL; E_ARG; E_LIMIT; E_CONTEXT for a token that is none, or of another
 * keyspace; E_UNSUPPORTED; E_OVERLOADED if the window is full; E_CLOSED; E_FORKED; E_POISONED; E_PANIC.
 * The completion says OK: quorate_result_keys of its result shows the keys, which may be none before the end, and its
 * context is the token of the next page, empty if this was the last. QUORATE_N_LAYOUT says that partitions moved
 * since the page before. Else E_ARG, also for a pattern that takes too many steps; E_QUORUM, E_TIMEOUT, E_OVERLOADED,
 * E_LAYOUT, E_INCOMPLETE, E_CANCELLED, E_CLOSED or E_POISONED: the same token may be used again.
 * Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_scan(struct quorate_node *node,
                            struct quorate_bytes token,
                            struct quorate_bytes prefix,
                            struct quorate_bytes pattern,
                            uint32_t limit,
                            const struct quorate_call *call,
                            uint64_t tag);

/**
 * Asks for a page and waits for the answer. As quorate_scan.
 *
 * Arguments: node; token; prefix; pattern; limit; call: settings, or NULL; out: receives the completion, empty if the
 * call is refused; size: sizeof(quorate_completion).
 * Returns: the status of the completion, as quorate_scan; what quorate_scan returns if it is refused; E_STATE
 * unless the node runs in mode thread.
 * Thread class: B. Blocks: until the answer, at most to the deadline. Owner: the caller, who gives out
 * to quorate_completions_clear. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_scan_sync(struct quorate_node *node,
                                 struct quorate_bytes token,
                                 struct quorate_bytes prefix,
                                 struct quorate_bytes pattern,
                                 uint32_t limit,
                                 const struct quorate_call *call,
                                 struct quorate_completion *out,
                                 size_t size);

/**
 * The keys of a page.
 *
 * Arguments: result: of the completion of a scan; keys: receives the first of them, or NULL; n: receives how many.
 * Returns: OK; E_NULL; E_ARG for the result of another request; E_FORKED; E_PANIC.
 * Thread class: E, on the result. Blocks: no. Owner: the result; the keys live until quorate_completions_clear.
 * Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_result_keys(const struct quorate_result *result,
                                   const struct quorate_bytes **keys,
                                   size_t *n);

/**
 * Follows what changes in this node's copy of a partition, or in all that it holds. Every write that reaches the copy
 * is told at least once, as its key is when it is told, in the order of the last changes; what is told may be on this
 * replica alone so far. A value that expires is not told.
 *
 * Completions with the tag come until the feed ends, each with QUORATE_N_MORE but the last one, which shows no change.
 * The context of each is the place behind what it shows: given to another quorate_watch on this node, also after a
 * restart, the feed goes on from there. QUORATE_N_GAP says that what changed before it cannot be told: the feed begins
 * now, the place was of another node, the copy was not held throughout, or the follower was away or slow for longer
 * than the log keeps what changed. What it missed a scan begun after it shows. Nothing is gathered for a follower that
 * does not reap: one completion waits for it, the next is read from the log when that was reaped.
 *
 * Arguments: node; partition: a number, or QUORATE_PARTITION_ALL; place: empty to begin now, else the context of a
 * completion before; limit: keys of one completion, at most 1,000, 0 for 100; call: settings, of which the
 * keyspace counts, or NULL, without a ttl; tag: comes back in every completion, and is that of no other feed until the
 * last one was reaped.
 * Returns: OK, and completions follow; E_NULL; E_LIMIT; E_ARG for a number that is no partition's or keyspace's, or a
 * tag that a feed has; E_UNSUPPORTED; E_OVERLOADED if the window has not two places, which a feed takes until its last
 * completion was reaped; E_CLOSED; E_FORKED; E_POISONED; E_PANIC.
 * A completion says OK; quorate_result_change of its result shows each change. The last one says E_CANCELLED after
 * quorate_unwatch; E_ARG if there is no such partition, the node holds no copy of it (any more), or the place was not
 * given by this cluster for it; E_CLOSED or E_POISONED.
 * Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_watch(struct quorate_node *node,
                             uint32_t partition,
                             struct quorate_bytes place,
                             uint32_t limit,
                             const struct quorate_call *call,
                             uint64_t tag);

/**
 * Ends a feed. What was told and not reaped stays, and one last completion follows once that is reaped.
 *
 * Arguments: node; tag: of the feed.
 * Returns: OK; E_ARG if no feed has the tag, or its last completion was reaped; E_NULL; E_FORKED; E_PANIC.
 * Thread class: B. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_unwatch(struct quorate_node *node,
                               uint64_t tag);

/**
 * One change that a completion of a feed shows, in their order.
 *
 * Arguments: result: of the completion; index: from 0 on; out: receives the change, or zeroes; size:
 * sizeof(quorate_change).
 * Returns: OK; E_NULL; E_ARG if there is no such change, for the result of another request, or a size that cannot be;
 * E_FORKED; E_PANIC.
 * Thread class: E, on the result. Blocks: no. Owner: the result; key and siblings live until
 * quorate_completions_clear. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_result_change(const struct quorate_result *result,
                                     size_t index,
                                     struct quorate_change *out,
                                     size_t size);

/**
 * Registers what makes one value of a key's siblings for reads with the view QUORATE_VIEW_HOST + number. The value is
 * a view: nothing is stored until somebody writes it back with the context of the read. A second call with the same
 * number replaces the function. Call it before the node is started; in modes host and packet, between two steps.
 *
 * Arguments: node; number: 0 to 15; merge: the function; user: passed to both; drop: may be NULL, called once with
 * user when the node needs it no more, also if this call fails.
 * Returns: OK; E_NULL; E_ARG for another number; E_STATE once a thread drives the node or it has ended; E_BUSY if
 * another thread is driving it; E_REENTRANT; E_FORKED; E_POISONED; E_PANIC.
 * Thread class: D. Blocks: no. Owner: user stays the caller's until drop. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_merge_register(struct quorate_node *node,
                                      uint32_t number,
                                      quorate_merge merge,
                                      void *user,
                                      void (*drop)(void *user));

/**
 * The descriptor to poll for POLLIN, level triggered, in mode host. Do not add it with EPOLLET.
 *
 * Arguments: node.
 * Returns: the descriptor, the same for the node's life; E_NULL, E_FORKED, or E_STATE in another mode,
 * which are below 0.
 * Thread class: B. Blocks: no. Owner: the library. Since: 0.1.
 */
QUORATE_API
int quorate_node_fd(const struct quorate_node *node);

/**
 * When to call quorate_node_step at the latest, for hosts that have timers of their own.
 *
 * Arguments: node.
 * Returns: nanoseconds of CLOCK_MONOTONIC, or of the clock of quorate_options_set_clock; 0 for now, also while another thread steps; UINT64_MAX for
 * when the descriptor is readable, and for a node that cannot be stepped. In mode packet there is no
 * descriptor: it is 0 after each submission, quorate_net_rx and quorate_net_event that give work.
 * Thread class: C. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
uint64_t quorate_node_deadline(const struct quorate_node *node);

/**
 * One turn of a node in mode host or packet: reads and writes sockets, takes submitted requests, completes
 * what has ended. Never waits; in mode packet, with records in memory, it makes no system call.
 *
 * Arguments: node; now_ns: CLOCK_MONOTONIC; wall_ms: milliseconds since the Unix epoch; or what the clocks of
 * quorate_options_set_clock say; budget: sockets
 * and requests to handle at most, 0 for no bound; more: may be NULL, receives 1 if work is left, else 0.
 * Returns: OK; E_NULL; E_STATE in mode thread; E_BUSY if another thread steps, or is in quorate_stats or
 * quorate_members_snapshot: nothing happened, call it again; E_CLOSED once it is stopped; E_IO if the loop cannot go on; E_FORKED; E_POISONED; E_PANIC.
 * Thread class: C. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_node_step(struct quorate_node *node,
                                 uint64_t now_ns,
                                 uint64_t wall_ms,
                                 uint32_t budget,
                                 uint32_t *more);

/**
 * Makes the descriptor of a node readable, or the library's thread turn once. In mode packet nobody waits.
 *
 * Arguments: node; NULL and a forked child's are ignored.
 * Returns: nothing.
 * Thread class: B, and async-signal-safe. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
void quorate_node_wake(const struct quorate_node *node);

/**
 * Carries out what waits for the disk, of a node with QUORATE_OPT_DISK_THREAD 0: one write, sync, or bit of upkeep of each
 * of its logs. The library then starts no thread at all.
 *
 * After each quorate_node_step there may be something to do: either call it there until it says AGAIN, and the loop waits for
 * the disk; or call it on another thread of yours, beside the steps, which yours wakes. What a replica acknowledges once
 * it is on disk is acknowledged by the step after it. A node whose disk work nobody does takes writes until its buffers
 * are full (E_OVERLOADED). quorate_node_stop and quorate_node_free do what is left themselves.
 *
 * Arguments: node.
 * Returns: OK: something was done; step the node, and call it again; AGAIN if there is nothing to do now; E_NULL;
 * E_STATE of a node whose disk work is not the program's; E_BUSY if another thread is inside of it; E_CLOSED once the node
 * is stopped; E_FORKED; E_POISONED; E_PANIC. What becomes of the disk the log and quorate_node_figure tell.
 * Thread class: C, and beside all others but quorate_node_free. Blocks: yes, for the disk. Owner: nothing changes hands.
 * Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_disk_step(struct quorate_node *node);

/**
 * Tells a node in mode packet that another member has opened a stream to it. Its bytes follow by
 * quorate_net_rx, under the name that it is given here. With datagrams, quorate_net_rx asks for it.
 *
 * Arguments: node; now_ns, wall_ms: as for quorate_node_step; peer: receives the stream's name, which is
 * never used again, or 0.
 * Returns: OK; E_NULL; E_STATE in another mode; E_OVERLOADED if too many streams have not proved
 * themselves, or the frames that tell of their ends are not fetched; E_CLOSED if the node is stopped or cut
 * off; E_BUSY; E_FORKED; E_POISONED; E_PANIC. Unless it is OK, end the stream.
 * Thread class: C. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_net_accept(struct quorate_node *node,
                                  uint64_t now_ns,
                                  uint64_t wall_ms,
                                  uint64_t *peer);

/**
 * Gives a node in mode packet the next bytes of a stream, or datagrams. The next quorate_node_step works on
 * what follows from them.
 *
 * Arguments: node; peer: the stream's name; with datagrams 0, as each says itself where it belongs; parts,
 * n_parts: the bytes, in their order, or one datagram each; now_ns, wall_ms: as for quorate_node_step.
 * Returns: OK, also for datagrams that are nothing of ours or were changed; AGAIN for a datagram that opens a
 * stream: give it again under a name of quorate_net_accept, and send what has that name to where it came
 * from; E_NULL; E_ARG for a length that cannot be; E_STATE in another mode; E_CLOSED if there is no such stream any
 * more, and the bytes are dropped, or the node is stopped; E_BUSY as quorate_node_step; E_FORKED; E_POISONED; E_PANIC.
 * Unless it is OK, the parts behind the one that it is about are not looked at, so best give one datagram a call.
 * Thread class: C. Blocks: no. Owner: the bytes stay the caller's, who may use them again at once. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_net_rx(struct quorate_node *node,
                              uint64_t peer,
                              const struct quorate_bytes *parts,
                              size_t n_parts,
                              uint64_t now_ns,
                              uint64_t wall_ms);

/**
 * Tells a node in mode packet what has become of a stream. With datagrams nothing has to be told.
 *
 * Arguments: node; peer: the stream's name, which is over with QUORATE_NET_DOWN; event: QUORATE_NET_...;
 * os_errno: why it is down, or 0; now_ns, wall_ms: as for quorate_node_step.
 * Returns: OK; E_NULL; E_UNSUPPORTED for an event that is not known; E_STATE in another mode; E_CLOSED if
 * there is no such stream any more; E_BUSY; E_FORKED; E_POISONED; E_PANIC.
 * Thread class: C. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_net_event(struct quorate_node *node,
                                 uint64_t peer,
                                 uint32_t event,
                                 int32_t os_errno,
                                 uint64_t now_ns,
                                 uint64_t wall_ms);

/**
 * Fills empty frames with what a node in mode packet has to say: many messages in each, all for one stream.
 * A frame of datagrams is one, no larger than cap. Call it after each step until it fills less than it was
 * offered.
 *
 * Arguments: node; frames, size, capacity: the frames, sizeof(quorate_frame) and how many there are; filled:
 * receives how many were filled.
 * Returns: OK; AGAIN if there is nothing to say; E_NULL, also for a frame without data; E_ARG for a frame below
 * QUORATE_FRAME_MIN bytes or a size below that of the first release; E_UNSUPPORTED for flags, reserved or what this
 * library does not know of a frame that is not zero; E_STATE in another mode; E_CLOSED once it is stopped; E_BUSY as
 * quorate_node_step; E_FORKED; E_POISONED; E_PANIC. The first `filled` frames are filled in any case.
 * Thread class: C. Blocks: no. Owner: frames and their data stay the caller's. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_net_tx(struct quorate_node *node,
                              struct quorate_frame *frames,
                              size_t size,
                              size_t capacity,
                              size_t *filled);

/**
 * Submits an order: to look at the cluster, or to change it. A change is staged first; a plan says what all
 * that is staged comes to; a commit begins to move there. Any member can be asked.
 *
 * Arguments: node; order: what an order has no use for is empty or 0; tag: comes back in the completion.
 * Returns: OK, and one completion follows; E_NULL; E_ARG for a name that is none, a number out of range, something that
 * the order has no use for, and a size that cannot be;
 * E_UNSUPPORTED for an order this library does not know; E_OVERLOADED if the window is full; E_CLOSED;
 * E_FORKED; E_POISONED; E_PANIC.
 * The completion says OK: what was ordered is committed; E_ARG: it is refused, and QUORATE_TEXT_REASON of its
 * result says why; E_QUORUM: too few keepers can be reached, nothing was changed; E_MAYBE: they did not answer
 * in time, it may still be carried out; E_LAYOUT. Its result tells how the cluster is then. Or E_CLOSED or E_POISONED,
 * without a result: it may still be carried out with QUORATE_F_UNCERTAIN.
 * Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_cluster_order(struct quorate_node *node,
                                     const struct quorate_order *order,
                                     uint64_t tag);

/**
 * Gives an order and waits for the answer. As quorate_cluster_order.
 *
 * Arguments: node; order; out: receives the completion, empty if the call is refused; size:
 * sizeof(quorate_completion).
 * Returns: the status of the completion; what quorate_cluster_order returns if it is refused; E_STATE unless
 * the node runs in mode thread.
 * Thread class: B. Blocks: until the answer, about ten seconds at most. Owner: the caller, who gives out to
 * quorate_completions_clear. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_cluster_order_sync(struct quorate_node *node,
                                          const struct quorate_order *order,
                                          struct quorate_completion *out,
                                          size_t size);

/**
 * How the cluster was when an order was answered.
 *
 * Arguments: result: of the completion of an order; out: receives it, or zeroes; size: sizeof(quorate_cluster).
 * Returns: OK; E_NULL; E_ARG for the result of another request, or a size that cannot be; E_FORKED; E_PANIC.
 * Thread class: E, on the result. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_result_cluster(const struct quorate_result *result,
                                      struct quorate_cluster *out,
                                      size_t size);

/**
 * One member of the cluster, in the order of their names.
 *
 * Arguments: result: of the completion of an order; index: from 0 on, below n_members; out: receives the
 * member, or zeroes; size: sizeof(quorate_member).
 * Returns: OK; E_NULL; E_ARG if there is no such member, for the result of another request, or a size that
 * cannot be; E_FORKED; E_PANIC.
 * Thread class: E, on the result. Blocks: no. Owner: the result; its texts live until
 * quorate_completions_clear. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_result_member(const struct quorate_result *result,
                                     size_t index,
                                     struct quorate_member *out,
                                     size_t size);

/**
 * A text of the answer to an order, lines ending with a line feed.
 *
 * Arguments: result: of the completion of an order; which: QUORATE_TEXT_...; out: receives the text, UTF-8,
 * empty if there is none.
 * Returns: OK; E_NULL; E_ARG for the result of another request; E_UNSUPPORTED for a text that this library
 * does not know; E_FORKED; E_PANIC.
 * Thread class: E, on the result. Blocks: no. Owner: the result; the text lives until
 * quorate_completions_clear. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_result_text(const struct quorate_result *result,
                                   uint32_t which,
                                   struct quorate_bytes *out);

/**
 * Takes a snapshot of the members: who they are, whether this node reaches them, what it thinks of them, and what
 * each holds. It does not ask the others.
 *
 * Arguments: node; out: receives the snapshot, or NULL.
 * Returns: OK; E_NULL; E_BUSY in modes host and packet if another thread drives the node; E_CLOSED; E_FORKED;
 * E_POISONED; E_PANIC.
 * Thread class: B. Blocks: in mode thread, for a turn of the loop. Owner: the caller, who gives it to
 * quorate_members_free; it outlives the node. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_members_snapshot(const struct quorate_node *node,
                                        struct quorate_members **out);

/**
 * Writes the members of a snapshot, in the order of their names.
 *
 * Arguments: members; array; size: sizeof(quorate_member); capacity: elements of the array, which may be NULL for 0;
 * n: receives how many members there are.
 * Returns: OK; AGAIN if there are more than capacity, and the first ones are written; E_NULL; E_ARG for a size that
 * cannot be; E_FORKED; E_PANIC.
 * Thread class: B, on the snapshot. Blocks: no. Owner: the snapshot; the texts live until quorate_members_free.
 * Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_members_list(const struct quorate_members *members,
                                    struct quorate_member *array,
                                    size_t size,
                                    size_t capacity,
                                    size_t *n);

/**
 * Says who holds a key, in preference order, by the layout that reads were on when the snapshot was taken. For a
 * program that sends work to where its data is: any member takes a request, and one of these answers it soonest.
 *
 * Arguments: members; keyspace: 0 is the default one; key; partition: may be NULL, receives the partition of the
 * key, as quorate_watch takes it; owners: receives places in quorate_members_list, the first owner first;
 * capacity: elements of owners, which may be NULL for 0; n: receives how many owners there are: 0 if the node is of no
 * cluster yet.
 * Returns: OK; AGAIN if there are more than capacity, and the first ones are written; E_NULL; E_ARG for a keyspace
 * that there is not; E_FORKED; E_PANIC.
 * Thread class: B, on the snapshot. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_key_owners(const struct quorate_members *members,
                                  uint32_t keyspace,
                                  struct quorate_bytes key,
                                  uint32_t *partition,
                                  uint32_t *owners,
                                  size_t capacity,
                                  size_t *n);

/**
 * Frees a snapshot. NULL is allowed; so is a forked child.
 *
 * Arguments: members: not used afterwards.
 * Returns: nothing.
 * Thread class: D, on the snapshot. Blocks: no. Owner: the library takes it. Since: 0.1.
 */
QUORATE_API void quorate_members_free(struct quorate_members *members);

/**
 * How many counters this library knows: their numbers are 0 to that less one.
 *
 * Arguments: none.
 * Returns: the count. A later release may have more.
 * Thread class: A. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API size_t quorate_stat_count(void);

/**
 * The name of a counter, as `quorate status` and INFO show it. Figures of the moment are
 * requests_in_flight, hints, hints_counted, hint_bytes, hint_partitions_dirty, gossip_health, store_segments,
 * store_quarantined_ranges, store_disk_bytes, store_live_bytes, store_index_bytes, store_tree_bytes, store_memory_bytes,
 * store_emptied_bytes, what ends with _ms, _p50, _p99 or _max, and what begins with forecast_; the others count from the
 * opening on.
 *
 * Arguments: index: below quorate_stat_count.
 * Returns: the name; NULL for another number.
 * Thread class: A. Blocks: no. Owner: nobody, it is static. Since: 0.1.
 */
QUORATE_API
const char *quorate_stat_name(size_t index);

/**
 * Reads all counters of a node at one moment, each at the place of its number.
 *
 * Arguments: node; values: receives them, UINT64_MAX for what this node does not count (the disk's of one in memory,
 * membership's of one alone, forecasts before there were reads); capacity: elements of values; n: receives how many
 * were written.
 * Returns: OK; AGAIN if there are more than capacity; E_NULL; E_BUSY in modes host and packet if another thread drives
 * the node; E_CLOSED; E_FORKED; E_POISONED; E_PANIC.
 * Thread class: B. Blocks: in mode thread, for a turn of the loop. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_stats(const struct quorate_node *node,
                             uint64_t *values,
                             size_t capacity,
                             size_t *n);

/**
 * Says which of two reads of a key saw more, by the contexts that they gave; of a value that is kept beside the
 * store, whether it is older than what is read now. No bytes are the context of who saw nothing.
 *
 * Arguments: one, other: contexts of the same key. Neither is proven to be genuine, or of one key: without a node
 * nobody can tell, and a write with it can; order: receives QUORATE_CONTEXT_..., of a failed call
 * that of contexts that are concurrent.
 * Returns: OK; E_NULL; E_CONTEXT for bytes that are no context; E_ARG for a length that cannot be; E_PANIC.
 * Thread class: A. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_context_compare(struct quorate_bytes one,
                                       struct quorate_bytes other,
                                       int32_t *order);

/**
 * Makes one context of several of a key: a write with it replaces what any of them saw. For a program that has read
 * from two members, or twice, and writes once what it made of both. A number that only some of them read is not in it.
 *
 * Arguments: node: any of the cluster; keyspace: 0 is the default one; key: of which they are; contexts, n: elements may be
 * without bytes; buffer, capacity: receive the context, len: its bytes; with a
 * capacity of 0 the buffer may be NULL.
 * Returns: OK; AGAIN if the buffer is too small, with len set and nothing written; E_NULL; E_ARG for a keyspace that
 * there is not; E_CONTEXT for one that is none, or not of this key and cluster; E_LIMIT if it would be longer than
 * 64 KiB; E_FORKED; E_POISONED; E_PANIC.
 * Thread class: B. Blocks: no. Owner: nothing changes hands. Since: 0.1.
 */
QUORATE_API
QUORATE_NODISCARD
quorate_status quorate_context_merge(const struct quorate_node *node,
                                     uint32_t keyspace,
                                     struct quorate_bytes key,
                                     const struct quorate_bytes *contexts,
                                     size_t n,
                                     uint8_t *buffer,
                                     size_t capacity,
                                     size_t *len);

/* Makes options at the API level that the caller was compiled with. */
#define QUORATE_OPTIONS_CREATE(out) quorate_options_new(QUORATE_API_LEVEL, (out))

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* QUORATE_H */
