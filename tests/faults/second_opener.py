"""A directory is one node's: a second process is refused by name, whatever path it comes by, and a killed one
leaves no lock."""

import shutil

import world
from world import Node, Refused, check, say


def refused(node, holder):
    code, words = node.refused_start()
    check(code == 75, f"a second opener ends with {code}: {words}")
    check(f"process {holder.process.pid} " in words, f"it does not name the holder: {words}")


def part():
    data = world.DIRECTORY / "data"
    first = Node(data).start()
    check(first.client().call("SET", "key", "value") == "OK", "the first takes no put")
    link, parent = world.DIRECTORY / "link", world.DIRECTORY / "parent"
    link.symlink_to(data)
    parent.symlink_to(world.DIRECTORY)
    paths = {"its own path": data, "a link": link, "a linked parent": parent / "data", "dots": data / ".." / "data"}
    for what, path in paths.items():
        refused(Node(path, name="A"), first)
    say(f"a second process is refused with 75 and told who has it, by {', '.join(paths)}")
    check(first.client().call("GET", "key") == b"value", "the first was disturbed")

    first.kill()
    second = Node(link).start()
    check(second.client().call("GET", "key") == b"value", "the second does not have it")
    refused(Node(data), second)
    say("after kill -9 of the first, the second has it at once, and names itself to a third")
    check(second.stop() == 0, "it does not stop cleanly")

    # A copy is another directory: it may be opened beside the first, and is not the member that the first is.
    copy = world.DIRECTORY / "copy"
    shutil.copytree(data, copy)
    first.start()
    beside = Node(copy).start()
    answer = beside.client().call("GET", "key")
    check(isinstance(answer, Refused) and answer.startswith("NOREPLICAS"), f"a copy answers as the member: {answer}")
    said = lambda: "ERROR cluster: this directory was copied" in beside.stderr.read_text(errors="replace")
    world.wait_until("the copy says why it serves nothing", said, beside.last_words)
    check(beside.info()["run_id"] != first.info()["run_id"], "a copied directory goes on under the old generation")
    check((beside.stop(), first.stop()) == (0, 0), "they do not stop cleanly")
    say("a copied directory is not locked with the first, and has a generation of its own")


world.main(part)
