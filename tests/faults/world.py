"""What every part of the fault tests needs: a RESP client, nodes, mounts, and checks that say what failed.

A part is a program that is run by scripts/faults.sh in a temporary directory of its own, FAULTS_DIRECTORY.
It ends with 0 if it passed, with 77 and a reason on the last line of its output if it cannot run here. The
script ends every process whose number stands in `pids`, and takes down every mount below the directory.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

DIRECTORY = Path(os.environ["FAULTS_DIRECTORY"])
PROGRAM = os.environ["FAULTS_PROGRAM"]
SHIM = os.environ["FAULTS_SHIM"]
# How long anything may take before a part gives up on it. Far above what is needed.
PATIENCE = 60
BATCH = 64


def say(text):
    print(f"  {text}", flush=True)


def skip(reason):
    print(reason, flush=True)
    sys.exit(77)


class Failed(Exception):
    pass


def check(is_so, what):
    if not is_so:
        raise Failed(what)


def wait_until(what, is_so, state=lambda: ""):
    """Waits until something is so; returns how long that took, in seconds."""
    begun = time.monotonic()
    while not is_so():
        if time.monotonic() > begun + PATIENCE:
            raise Failed(f"{what}: not within {PATIENCE} s; {state()}")
        time.sleep(0.05)
    return time.monotonic() - begun


class Refused(str):
    """An error reply."""

    @property
    def word(self):
        return self.split(" ")[0]


class Client:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", buffering=1 << 16)

    def call(self, *words):
        return self.pipeline([words])[0]

    def pipeline(self, commands):
        message = bytearray()
        for words in commands:
            message += b"*%d\r\n" % len(words)
            for word in words:
                word = word if isinstance(word, bytes) else str(word).encode()
                message += b"$%d\r\n%s\r\n" % (len(word), word)
        self.socket.sendall(message)
        return [self.reply() for _ in commands]

    def reply(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the node closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return Refused(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            length = int(rest)
            return None if length < 0 else self.file.read(length + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        raise Failed(f"no RESP: {line!r}")


def free_port():
    """A port of the loopback outside of the range that outgoing connections take theirs from."""
    free_port.next = getattr(free_port, "next", 21_000 + os.getpid() % 9_000) + 1
    while True:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", free_port.next))
                return free_port.next
            except OSError:
                free_port.next += 1


class Node:
    """One `quorate node`. Its data directory and address stay over restarts."""

    def __init__(self, data, *flags, name="A", members=None):
        self.data, self.flags, self.name = Path(data), flags, name
        self.address = f"127.0.0.1:{free_port()}"
        self.peer = f"127.0.0.1:{free_port()}"
        self.members = members
        self.stderr = DIRECTORY / f"{name}.stderr"
        self.process = None

    def arguments(self):
        arguments = [PROGRAM, "node", "--name", self.name, "--data", str(self.data)]
        arguments += ["--client", self.address, "--peer", self.peer, "--segment-mib", "1"]
        arguments += ["--partitions", "16", "--log", "warn"]
        if self.members:
            arguments += ["--members", self.members]
        return arguments + list(self.flags)

    def environment(self, shim=False):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("QUORATE_")}
        if shim:
            environment["LD_PRELOAD"] = SHIM
            environment["FAULTS_TRIGGER"] = str(trigger_file())
        return environment

    def spawn(self, shim=False):
        with open(self.stderr, "ab") as stderr:
            self.process = subprocess.Popen(
                self.arguments(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
                env=self.environment(shim),
            )
        with open(DIRECTORY / "pids", "a") as pids:
            pids.write(f"{self.process.pid}\n")

    def start(self, shim=False):
        self.spawn(shim)
        line = self.process.stdout.readline()
        check(line.startswith(b"ready "), f"{self.name} does not start: {self.last_words()}")
        return self

    def refused_start(self):
        """Starts it where it must refuse; returns its exit code and its last words."""
        self.spawn()
        return self.ended(), self.last_words()

    def last_words(self):
        return " | ".join(self.stderr.read_text(errors="replace").splitlines()[-3:])

    def client(self):
        return Client(self.address)

    def info(self):
        reply = self.client().call("INFO")
        check(isinstance(reply, bytes), f"INFO: {reply}")
        lines = reply.decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def figure(self, name):
        return self.info()[name]

    def state(self):
        """What may say why something does not happen."""
        shown = {name: value for name, value in self.info().items() if name.startswith("quorate_")}
        return " ".join(f"{name.removeprefix('quorate_')}={value}" for name, value in shown.items() if value != "0")

    def is_running(self):
        return self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self):
        """Ends it by a signal; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self):
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} does not end") from None


def value_of(key, version=0, length=2_000):
    """What a test writes under a key: the same each time, and unlike any other."""
    seed = f"{key}/{version}/".encode()
    return (seed * (length // len(seed) + 1))[:length]


class Ledger:
    """What was acknowledged, and so must be answered."""

    def __init__(self):
        # key -> the values that may be there; None stands for none.
        self.allowed = {}

    def note(self, key, value, reply):
        if not isinstance(reply, Refused):
            self.allowed[key] = {value}
        elif reply.word not in ("DISKFULL", "READONLY", "BUSY", "INCOMPLETE", "NOREPLICAS"):
            # It may have happened.
            self.allowed.setdefault(key, {None}).add(value)

    def put(self, client, keys, version=0, length=2_000):
        """Writes keys; returns the replies."""
        keys = list(keys)
        values = [value_of(key, version, length) for key in keys]
        replies = client.pipeline([("SET", key, value) for key, value in zip(keys, values)])
        for key, value, reply in zip(keys, values, replies):
            self.note(key, value, reply)
        return replies

    def delete(self, client, keys):
        keys = list(keys)
        replies = client.pipeline([("DEL", key) for key in keys])
        for key, reply in zip(keys, replies):
            self.note(key, None, reply)
        return replies

    def living(self):
        return [key for key, values in self.allowed.items() if None not in values]

    def verify(self, client, may_refuse=False):
        """Reads everything; returns how many were refused, which none may be unless it is said so."""
        refused = 0
        keys = list(self.allowed)
        for start in range(0, len(keys), BATCH):
            batch = keys[start:start + BATCH]
            for key, reply in zip(batch, client.pipeline([("GET", key) for key in batch])):
                if isinstance(reply, Refused):
                    check(may_refuse and reply.word == "INCOMPLETE", f"GET {key}: {reply}")
                    refused += 1
                    continue
                shown = "nil" if reply is None else reply[:40]
                wanted = ["nil" if value is None else value[:40] for value in self.allowed[key]]
                check(reply in self.allowed[key], f"GET {key} answers {shown}, not {wanted}")
        return refused


def run(*words, allowed=(0,)):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    check(done.returncode in allowed, f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


def need_root():
    if os.geteuid() != 0:
        skip("only root may mount file systems")


def mount_tmpfs(name, mebibytes):
    place = DIRECTORY / name
    place.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "quorate-faults", str(place))
    return place


def mount_ext4(name, mebibytes, options="rw"):
    """A small ext4 in a file. Its loop device goes with the mount."""
    place, image = DIRECTORY / name, DIRECTORY / f"{name}.img"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(mebibytes << 20)
    run("mkfs.ext4", "-q", "-m", "0", str(image))
    run("mount", "-o", f"loop,{options}", str(image), str(place))
    return place


def device_of(place):
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, where = line.split()[:2]
        if where == str(place):
            return Path(device).name
    raise Failed(f"{place} is not mounted")


def free_bytes(place):
    about = os.statvfs(place)
    return about.f_bavail * about.f_frsize


def fill_with_a_file(path):
    """Takes all room there is, to the last byte."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    for size in (1 << 20, 64 << 10, 4 << 10, 512, 1):
        try:
            while os.write(file, b"\0" * size) == size:
                pass
        except OSError as error:
            check(error.errno == 28, f"{path}: {error}")
    os.close(file)


def trigger_file():
    return DIRECTORY / "trigger"


def inject(call, part, skip=0, count=1_000_000, error=5):
    """From now on calls fail in nodes that were started with the shim. See shim.c."""
    inject.id = getattr(inject, "id", 0) + 1
    fresh = DIRECTORY / "trigger.new"
    fresh.write_text(f"{inject.id} {call} {part} {skip} {count} {error}\n")
    injected_log().unlink(missing_ok=True)
    fresh.rename(trigger_file())


def heal():
    trigger_file().unlink(missing_ok=True)


def injected_log():
    return DIRECTORY / "trigger.log"


def injected():
    """What was done to the calls that were chosen: a list of `failed` and `passed`."""
    if not injected_log().exists():
        return []
    return [line.split(" ")[0] for line in injected_log().read_text().splitlines()]


def main(part):
    """Runs a part; says what failed."""
    try:
        part()
    except (Failed, OSError) as failure:
        print(f"  {failure}", flush=True)
        sys.exit(1)
