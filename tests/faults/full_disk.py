"""A disk that is full: what was acknowledged is there, deletes go on, room that is made is used.

    full_disk.py tmpfs|ext4
"""

import itertools
import sys
import time

import world
from world import BATCH, Ledger, Node, Refused, check, say, wait_until

SIZE_MIB = 24


def words_of(replies):
    return {reply.word for reply in replies if isinstance(reply, Refused)}


def fill(node, ledger, fresh, length=2_000):
    """Puts new keys until one is refused for want of room."""
    client = node.client()
    give_up = time.monotonic() + world.PATIENCE
    while True:
        words = words_of(ledger.put(client, itertools.islice(fresh, BATCH), length=length))
        strange = words - {"DISKFULL", "BUSY", "MAYBE", "TIMEOUT"}
        check(not strange, f"puts on a full disk are answered {strange}")
        if "DISKFULL" in words:
            return
        check(time.monotonic() < give_up, f"the disk never gets full: {node.state()}")


def is_full(node):
    return node.figure("quorate_disk_full") == "1"


def takes_puts(node, ledger, fresh):
    return not isinstance(ledger.put(node.client(), itertools.islice(fresh, 1))[0], Refused)


def delete(node, ledger, keys):
    """Deletes keys, patiently; all must be taken in the end."""
    client = node.client()
    give_up = time.monotonic() + world.PATIENCE
    refusals = 0
    while keys:
        batch, keys = keys[:BATCH], keys[BATCH:]
        replies = ledger.delete(client, batch)
        again = [key for key, reply in zip(batch, replies) if isinstance(reply, Refused)]
        if again:
            refusals += 1
            check(time.monotonic() < give_up, f"deletes are not taken: {words_of(replies)}, {node.state()}")
            keys = again + keys
            time.sleep(0.1)
    return refusals


def takes_deletes(node, ledger, count, when):
    words = words_of(ledger.delete(node.client(), ledger.living()[:count]))
    check(not words, f"deletes {when} are answered {words}: {node.state()}")


def older_half(ledger):
    """Whole segments of it: compaction has nothing to copy."""
    living = ledger.living()
    return living[: len(living) // 2]


def room_comes_back(node, ledger, fresh, what):
    seconds = wait_until(f"room after {what}", lambda: not is_full(node), node.state)
    wait_until(f"puts after {what}", lambda: takes_puts(node, ledger, fresh))
    say(f"after {what}, puts are taken again within {seconds:.1f} s")


def part():
    world.need_root()
    kind = sys.argv[1]
    mount = world.mount_tmpfs if kind == "tmpfs" else world.mount_ext4
    place = mount(f"full-{kind}", SIZE_MIB)
    node = Node(place / "data").start()
    ledger = Ledger()
    fresh = (f"key:{number}" for number in itertools.count())

    fill(node, ledger, fresh)
    check(is_full(node), "INFO does not say that the disk is full")
    ledger.verify(node.client())
    say(f"full with {len(ledger.living())} keys, {world.free_bytes(place) >> 10} KiB left; all are answered")

    takes_deletes(node, ledger, 200, "on a full disk")
    say("200 deletes in a row are taken while the disk is full")
    delete(node, ledger, older_half(ledger))
    room_comes_back(node, ledger, fresh, "deletes")
    ledger.verify(node.client())

    fill(node, ledger, fresh)
    node.kill()
    node.start()
    ledger.verify(node.client())
    say(f"killed while full, {len(ledger.living())} keys are there after the start")
    # A torn segment is left behind, and where there is no room for another one compaction makes it first.
    waited = delete(node, ledger, ledger.living()[:100])
    say(f"after kill -9 deletes are taken, refused {waited} times before")
    delete(node, ledger, older_half(ledger))
    room_comes_back(node, ledger, fresh, "kill -9 and deletes")

    fill(node, ledger, fresh)
    code = node.stop()
    check(code == 0, f"a clean stop while full ends with {code}: {node.last_words()}")
    node.start()
    ledger.verify(node.client())
    say(f"stopped while full, {len(ledger.living())} keys are there after the start")
    delete(node, ledger, older_half(ledger))
    room_comes_back(node, ledger, fresh, "a restart and deletes")

    # As fast as it goes: a segment is filled before the next one can be made.
    fill(node, ledger, fresh, length=16_000)
    takes_deletes(node, ledger, 100, "after large values")
    delete(node, ledger, older_half(ledger))
    room_comes_back(node, ledger, fresh, "large values and deletes")

    foreign = place / "foreign"
    world.fill_with_a_file(foreign)
    fill(node, ledger, fresh)
    ledger.verify(node.client())
    foreign.unlink()
    room_comes_back(node, ledger, fresh, "the removal of a foreign file")

    # From the reserve alone: something is live in every segment, and there is no byte to copy it to.
    fill(node, ledger, fresh)
    world.fill_with_a_file(foreign)
    delete(node, ledger, [key for number, key in enumerate(ledger.living()) if number % 4])
    room_comes_back(node, ledger, fresh, "scattered deletes without a byte of room")
    ledger.verify(node.client())
    foreign.unlink()

    # Not a byte is left when it stops, and when it starts.
    world.fill_with_a_file(foreign)
    fill(node, ledger, fresh)
    world.fill_with_a_file(place / "foreign.2")
    code = node.stop()
    check(code == 0, f"a clean stop without a byte of room ends with {code}: {node.last_words()}")
    world.fill_with_a_file(place / "foreign.3")
    check(world.free_bytes(place) == 0, "there is room")
    node.start()
    ledger.verify(node.client())
    node.kill()
    world.fill_with_a_file(place / "foreign.4")
    node.start()
    ledger.verify(node.client())
    say("without a byte of room it stops and starts, cleanly and killed, and answers everything")
    for file in place.glob("foreign*"):
        file.unlink()
    room_comes_back(node, ledger, fresh, "the removal of all foreign files")
    ledger.verify(node.client())
    check(node.stop() == 0, "it does not stop cleanly")


world.main(part)
