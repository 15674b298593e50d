"""Files that somebody cuts or overwrites under a running node: an error or the truth, never a signal, never a
wrong value, never the absence of what was acknowledged."""

import os
import shutil
import time

import world
from world import Ledger, Node, Refused, check, say, wait_until

KEYS = [f"key:{number}" for number in range(2_300)]


def segments(node):
    return sorted((node.data / "log").glob("*.seg"))


def written(node):
    """Segments with records in them, the active one last."""
    with_records = [path for path in segments(node) if any(path.read_bytes()[64:])]
    return with_records


def cut(path, size):
    os.truncate(path, size)


def overwrite(path):
    """Puts garbage over the middle of a file, in place."""
    with open(path, "r+b") as file:
        size = file.seek(0, 2)
        file.seek(size // 3)
        file.write(bytes((number * 7 + 13) % 256 for number in range(8_192)) * 8)


WAYS = {
    "to nothing": lambda path: cut(path, 0),
    "to half": lambda path: cut(path, path.stat().st_size // 2),
    "by one byte": lambda path: cut(path, path.stat().st_size - 1),
    "by garbage over its middle": overwrite,
}


def filled(node):
    ledger = Ledger()
    client = node.client()
    for start in range(0, len(KEYS), 100):
        refused = [r for r in ledger.put(client, KEYS[start:start + 100]) if isinstance(r, Refused)]
        check(not refused, f"puts are refused: {refused[:1]}")
    # Every page is in memory and known to be: what is read now needs no look at the file.
    ledger.verify(client)
    return ledger


def under_one_node(which, way):
    """One node: what lay there is refused; the rest is answered. A restart keeps both true."""
    data = world.DIRECTORY / "data-one"
    shutil.rmtree(data, ignore_errors=True)
    node = Node(data).start()
    ledger = filled(node)
    files = written(node)
    victim = files[-1] if which == "active" else files[1]
    WAYS[way](victim)
    client = node.client()
    refused = ledger.verify(client, may_refuse=True)
    check(node.is_running(), f"it died: {node.last_words()}")
    damaged = int(node.figure("quorate_records_damaged"))
    # The last byte is no record's: it pads the seal, or has not been written yet.
    check(refused > 0 or way == "by one byte", "nothing is refused, so nothing was cut")
    check(refused < len(KEYS) * 2 // 3, f"{refused} of {len(KEYS)} are refused")
    check((damaged > 0) == (refused > 0), f"{refused} refused, but INFO says {damaged} damaged")
    # It goes on: new keys are taken, and go into whatever follows.
    more = [f"more:{number}" for number in range(1_000)]
    replies = ledger.put(client, more)
    check(node.is_running(), f"it died of writes: {node.last_words()}")
    taken = sum(not isinstance(reply, Refused) for reply in replies)
    again = ledger.verify(client, may_refuse=True)
    scanned = scan(client)
    check(scanned is not None or refused > 0, "SCAN is refused although every key is answered")
    check(scanned is None or scanned <= set(ledger.allowed), "SCAN shows keys that never were")
    node.kill()
    node.start()
    ledger.verify(node.client(), may_refuse=True)
    code = node.stop()
    check(code in (0, 74), f"it ends with {code}")
    node.start()
    after = ledger.verify(node.client(), may_refuse=True)
    incomplete = int(node.figure("quorate_incomplete_partitions"))
    check(after == 0 or incomplete > 0, f"{after} are refused, but no partition is said to be incomplete")
    node.stop()
    say(f"{which} segment cut {way}: {refused} refused, then {taken} taken, {again} refused; {after} after restarts")


def scan(client):
    """All keys, or None where the node cannot tell."""
    keys, cursor = set(), b"0"
    while True:
        reply = client.call("SCAN", cursor, "COUNT", "1000")
        if isinstance(reply, Refused):
            # Without another replica nobody can say which keys lay in what is lost.
            check(reply.word == "INCOMPLETE", f"SCAN: {reply}")
            return None
        cursor, found = reply
        keys.update(key.decode() for key in found)
        if cursor == b"0":
            return keys


def under_one_of_three(way):
    """Three nodes: the others have it."""
    names = ["A", "B", "C"]
    nodes = [Node(world.DIRECTORY / f"data-{name}-{len(way)}", name=name) for name in names]
    members = ",".join(f"{node.name}@{node.peer}" for node in nodes)
    for node in nodes:
        node.members = members
        node.spawn()
    for node in nodes:
        check(node.process.stdout.readline().startswith(b"ready "), f"{node.name}: {node.last_words()}")
    wait_until("all see each other", lambda: all(n.figure("quorate_members_up") == "3" for n in nodes))
    victim = nodes[0]
    ledger = filled(victim)
    wait_until("all have everything", lambda: all(n.figure("db0").startswith(f"keys={len(KEYS)},") for n in nodes))
    files = written(victim)
    WAYS[way](files[1])
    WAYS[way](files[-1])
    for node in nodes:
        ledger.verify(node.client())
    check(int(victim.figure("quorate_records_damaged")) > 0, "INFO says nothing of damage")
    # Overwritten, what is damaged is good again.
    client = victim.client()
    refused = [r for r in ledger.put(client, KEYS, version=1) if isinstance(r, Refused)]
    check(all(r.word in ("BUSY", "MAYBE", "INCOMPLETE") for r in refused), f"overwrites: {refused[:1]}")
    for node in nodes:
        ledger.verify(node.client())
    victim.kill()
    victim.start()
    wait_until("it is back", lambda: all(n.figure("quorate_members_up") == "3" for n in nodes))
    for node in nodes:
        ledger.verify(node.client())
    for node in nodes:
        check(node.is_running(), f"{node.name} died: {node.last_words()}")
        node.stop()
    say(f"cut {way} under one of three: everything is answered by all, {len(refused)} overwrites were refused")


def part():
    for which in ("sealed", "active"):
        for way in WAYS:
            under_one_node(which, way)
    for way in ("to half", "by garbage over its middle"):
        under_one_of_three(way)


world.main(part)
