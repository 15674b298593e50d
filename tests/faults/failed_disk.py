"""Syncs and writes that fail, by a preloaded library: final for the log, a nuisance for everything else."""

import time

import world
from world import Ledger, Node, Refused, check, say, wait_until

KEYS = [f"key:{number}" for number in range(300)]


def a_failed_call_is_final(call, sync):
    """A sync or a write of a segment fails once. It would pass if it were tried again, and it is not."""
    node = Node(world.DIRECTORY / f"data-{call}", "--sync", sync).start(shim=True)
    ledger = Ledger()
    client = node.client()
    refused = [reply for reply in ledger.put(client, KEYS) if isinstance(reply, Refused)]
    check(not refused, f"a well disk refuses: {refused[:1]}")

    world.inject(call, "/log/", count=1)
    doubtful = ledger.put(client, ["doubtful"])[0]
    check(isinstance(doubtful, Refused), f"a write whose {call} failed is acknowledged")
    wait_until("INFO says read-only", lambda: node.figure("quorate_read_only") == "1")
    info = node.info()
    check(info["aof_last_write_status"] == "err", "aof_last_write_status is not err")
    for words in [("SET", "more", "1"), ("SET", KEYS[0], "1"), ("DEL", KEYS[0]), ("APPEND", KEYS[1], "1"), ("Q.PUT", "q", "1")]:
        reply = client.call(*words)
        check(isinstance(reply, Refused) and reply.word == "READONLY", f"{words[0]} is answered {reply}")
    ledger.verify(client)
    time.sleep(0.5)
    done = world.injected()
    check(done.count("failed") == 1 and done[-1] == "failed", f"after the failure: {done}")
    say(f"{call} failed once: {doubtful.word}, then READONLY; {len(KEYS)} keys are answered, nothing is tried again")

    code = node.stop()
    check(code == 74, f"a read-only node ends with {code}: {node.last_words()}")
    check(not (node.data / "clean").exists(), "it is marked clean")
    world.heal()
    node.start()
    ledger.verify(node.client())
    check(node.figure("quorate_read_only") == "0", "it is read-only after a restart")
    check(not isinstance(ledger.put(node.client(), KEYS, version=1)[0], Refused), "no puts after a restart")
    ledger.verify(node.client())
    check(node.stop() == 0, "it does not stop cleanly")
    say("stopped with 74; started without the fault it has everything and takes writes")


class Overwrites:
    """Writes the same keys again and again, so that there is something to compact."""

    def __init__(self, node):
        self.node, self.ledger, self.version = node, Ledger(), 0
        self.refusals = 0

    def until(self, what, is_so):
        give_up = time.monotonic() + world.PATIENCE
        while not is_so():
            check(time.monotonic() < give_up, f"{what}: not within {world.PATIENCE} s; {self.node.state()}")
            self.write()

    def write(self):
        self.version += 1
        words = [
            reply.word
            for reply in self.ledger.put(self.node.client(), KEYS, self.version)
            if isinstance(reply, Refused)
        ]
        check(not set(words) - {"BUSY"}, f"overwrites are answered {set(words)}")
        self.refusals += len(words)


def a_checkpoint_that_fails_costs_the_checkpoint():
    node = Node(world.DIRECTORY / "data-checkpoint").start(shim=True)
    load = Overwrites(node)
    load.until("a checkpoint", lambda: int(node.figure("quorate_store_checkpoints")) >= 1)
    world.inject("fdatasync", "/checkpoint.tmp")
    load.until("a checkpoint that fails", lambda: "failed" in world.injected())
    failed_at = int(node.figure("quorate_store_compactions"))
    begun, refusals = time.monotonic(), load.refusals
    load.until("compaction", lambda: int(node.figure("quorate_store_compactions")) >= failed_at + 10)
    seconds = time.monotonic() - begun
    check(node.figure("quorate_read_only") == "0", "a checkpoint made it read-only")
    load.ledger.verify(node.client())
    say(f"without checkpoints it went on compacting for {seconds:.1f} s, {load.refusals - refusals} times BUSY")
    check(node.stop() == 0, f"a stop without a checkpoint: {node.last_words()}")
    world.heal()
    node.start()
    load.ledger.verify(node.client())
    check(node.stop() == 0, "it does not stop cleanly")
    say("it stopped cleanly and came back whole")


def a_manifest_that_fails_is_written_again():
    node = Node(world.DIRECTORY / "data-manifest").start(shim=True)
    load = Overwrites(node)
    world.inject("fdatasync", "/manifest.tmp", count=3)
    load.until("a manifest after three that failed", lambda: "passed" in world.injected())
    check(world.injected()[:3] == ["failed"] * 3, f"the manifest: {world.injected()}")
    check(node.figure("quorate_read_only") == "0", "a manifest made it read-only")
    segments = lambda: int(node.figure("quorate_store_segments"))
    load.until("emptied segments go", lambda: segments() <= 8)
    load.ledger.verify(node.client())
    node.kill()
    world.heal()
    node.start()
    load.ledger.verify(node.client())
    check(node.stop() == 0, "it does not stop cleanly")
    say(f"the manifest failed three times and was written then; {load.refusals} times BUSY; nothing is lost")


def part():
    a_failed_call_is_final("fdatasync", "always")
    a_failed_call_is_final("pwrite", "interval")
    a_checkpoint_that_fails_costs_the_checkpoint()
    a_manifest_that_fails_is_written_again()


world.main(part)
