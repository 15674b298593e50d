"""A file system that turns read-only: under a running node, and before one starts."""

import errno
import os
from pathlib import Path

import world
from world import Ledger, Node, Refused, check, say, wait_until

KEYS = [f"key:{number}" for number in range(1_000)]


def puts(ledger, client, keys, version=0):
    return [reply.word for reply in ledger.put(client, keys, version) if isinstance(reply, Refused)]


def may_be_written(place):
    try:
        (place / "probe").touch()
        return True
    except OSError as error:
        check(error.errno == errno.EROFS, f"the probe: {error}")
        return False


def under_a_running_node(place, node, ledger):
    """The kernel turns a file system read-only when it finds it damaged; here it is told that it is. A
    `mount -o remount,ro` it refuses as long as files are open for writing."""
    device = world.device_of(place)
    Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("a fault test")
    check(not may_be_written(place), "the file system can still be written")
    client = node.client()
    words = puts(ledger, client, KEYS[:1], version=1)
    check(words in (["MAYBE"], ["READONLY"]), f"the first put is answered {words}")
    wait_until("INFO says read-only", lambda: node.figure("quorate_read_only") == "1")
    check(node.figure("aof_last_write_status") == "err", "aof_last_write_status is not err")
    words = puts(ledger, client, KEYS[1:50], version=1)
    check(set(words) == {"READONLY"} and len(words) == 49, f"puts are answered {set(words)}")
    ledger.verify(client)
    say(f"under a running node: READONLY, and all {len(KEYS)} keys are answered")
    code = node.stop()
    check(code == 74, f"it ends with {code}: {node.last_words()}")


def before_a_start(place, node):
    code, words = node.refused_start()
    check(code == 73 and str(node.data) in words, f"the start ends with {code}: {words}")
    check("Read-only file system" in words, f"it does not say why: {words}")
    fresh = Node(place / "fresh", name="fresh")
    code, words = fresh.refused_start()
    check(code == 73 and str(fresh.data) in words, f"the start in a new directory ends with {code}: {words}")
    check(not fresh.data.exists(), "something was made")


def part():
    world.need_root()
    place = world.mount_ext4("read-only", 32, "errors=remount-ro")
    node = Node(place / "data", "--sync", "always").start()
    ledger = Ledger()
    check(not puts(ledger, node.client(), KEYS), "a well disk refuses puts")
    under_a_running_node(place, node, ledger)
    before_a_start(place, node)
    say("on a file system that the kernel turned read-only a start ends with 73")

    world.run("umount", str(place))
    world.run("e2fsck", "-fy", str(world.DIRECTORY / "read-only.img"), allowed=(0, 1))
    world.run("mount", "-o", "loop", str(world.DIRECTORY / "read-only.img"), str(place))
    node.start()
    ledger.verify(node.client())
    # A burst right behind the start may be told to come back.
    refused = [word for word in puts(ledger, node.client(), KEYS, version=2) if word != "BUSY"]
    check(not refused, f"puts are refused after the repair: {refused}")
    check(node.stop() == 0, "it does not stop cleanly")
    world.run("mount", "-o", "remount,ro", str(place))
    before = {path: path.stat().st_mtime_ns for path in node.data.rglob("*")}
    before_a_start(place, node)
    check(before == {path: path.stat().st_mtime_ns for path in node.data.rglob("*")}, "something was touched")
    say("on one that was mounted anew for reading it does, too")
    world.run("mount", "-o", "remount,rw", str(place))
    node.start()
    ledger.verify(node.client())
    check(node.stop() == 0, "it does not stop cleanly")


world.main(part)
