"""Starts workers locked in bubblewrap, talks to them under a deadline, and ends them with all they started.

A worker sees Python, its packages and four files of ours, all read-only, and a temporary folder of its own:
no network, no other process, nothing of the course, the submissions or the results.
"""

import json
import os
import platform
import secrets
import selectors
import shutil
import signal
import struct
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grading import wire
from grading.plain import NotPlain

GIB = 2**30
MEMORY = GIB
"""Bytes that all processes of one worker may hold together."""
TEMPORARY = 256 * 2**20
PROCESSES = 48
START_SECONDS = 40.0
PATIENCE = 3.0
"""How many seconds may go by for each second of computing that a submission may take."""
TICK = 0.1
# Users that no Debian package creates; a worker's own, so that one cannot use up the processes of another.
FIRST_USER = 61184
HERE = Path(__file__).resolve().parent
FILES = ("__init__.py", "plain.py", "wire.py", "adapter.py", "worker.py")
VARIABLES = {
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "MPLBACKEND": "Agg",
}
START = "import sys; sys.path[:0] = {paths!r}; from grading.worker import main; main()"


class NoSandbox(RuntimeError):
    """Submissions cannot be locked in on this machine; the message says why and what to do."""


class Lost(Exception):
    """There is no answer. `status` is `timeout`, `memory` or `died`; the message is for the student."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


# --- the filter of system calls -------------------------------------------------------------------------

# Ways to new namespaces (where one could mount file systems that fill the memory), to memory that belongs to
# no process, to what others do with shared files, and into other processes and the kernel. Name: number on
# x86_64, on aarch64.
DENIED = {
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "mount_setattr": (442, 442),
    "inotify_init": (253, 26), "inotify_init1": (294, 26), "fanotify_init": (300, 262),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186),
    "semget": (64, 190), "mq_open": (240, 180), "ptrace": (101, 117), "process_vm_writev": (311, 271),
    "process_vm_readv": (310, 270), "pidfd_getfd": (438, 438), "kcmp": (312, 272),
    "open_by_handle_at": (304, 265),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
}  # fmt: skip
# Column above, architecture, and the numbers of clone and socket.
MACHINES = {"x86_64": (0, 0xC000003E, 56, 41), "aarch64": (1, 0xC00000B7, 220, 198)}
CLONE3 = 435
NEW_NAMESPACES = 0x7E020000
SOCKETS = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: a network namespace has these of its own; others reach the host."""


def syscall_filter(machine: str) -> bytes:
    """A seccomp program that refuses `DENIED`; NoSandbox for a machine whose calls are not listed."""
    if machine not in MACHINES:
        raise NoSandbox(f"No list of system calls for machines of type {machine}. {CONTAINER}")
    column, architecture, clone, socket = MACHINES[machine]
    load, equal, bits, at_least, leave = 0x20, 0x15, 0x45, 0x35, 0x06
    allow, kill, refuse, unknown = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026  # errno EPERM, ENOSYS
    numbers = [number[column] for number in DENIED.values()]
    program = [(load, 0, 0, 4), (equal, 1, 0, architecture), (leave, 0, 0, kill), (load, 0, 0, 0)]
    # The x32 calls of x86_64 repeat all others under higher numbers.
    program += [(at_least, 0, 1, 0x40000000), (leave, 0, 0, refuse)]
    # glibc falls back from clone3, whose flags a filter cannot read, to clone.
    program += [(equal, 0, 1, CLONE3), (leave, 0, 0, unknown)]
    for number in numbers:
        program += [(equal, 0, 1, number), (leave, 0, 0, refuse)]
    program += [(equal, 0, 2 + len(SOCKETS), socket), (load, 0, 0, 16)]
    program += [(equal, len(SOCKETS) - place, 0, family) for place, family in enumerate(SOCKETS)]
    program += [(leave, 0, 0, refuse)]
    program += [(equal, 0, 3, clone), (load, 0, 0, 16), (bits, 0, 1, NEW_NAMESPACES), (leave, 0, 0, refuse)]
    program += [(leave, 0, 0, allow)]
    return b"".join(struct.pack("HBBI", *step) for step in program)


# --- one worker -----------------------------------------------------------------------------------------


@dataclass
class Workplace:
    """How workers are started: locked in or not, with what time, hidden from what.

    `hidden` are folders that a worker must not see even where Python's own lie around them.
    """

    seconds: float
    locked: bool = True
    hidden: tuple[Path, ...] = ()
    packages: tuple[Path, ...] = field(default_factory=lambda: _packages())

    def start(self, slot: int = 0) -> "Worker":
        """A worker that has imported torch and waits; NoSandbox when it does not come up."""
        return Worker(self, slot)


class Worker:
    """One process with one student's code, and all processes that this code starts."""

    def __init__(self, place: Workplace, slot: int) -> None:
        self.peak = 0
        self.charged = 0.0
        self._parts: list[bytes] = []
        self._number = 0
        self._computed = 0.0
        self._closed = False
        self._init: int | None = None
        limits = {
            "CORE": 0,
            "CPU": int(place.seconds) + 60,
            "AS": 8 * GIB,
            "DATA": 2 * MEMORY,
            "FSIZE": TEMPORARY,
            "NOFILE": 256,
            "NPROC": PROCESSES,
        }
        user = None
        if place.locked:
            self._process, self._init = _locked(place)
            if os.getuid() == 0:
                user = FIRST_USER + slot
        else:
            limits.pop("NPROC")  # it would count the processes of whoever runs the grader
            self._process = _unlocked(place)
        self._guard = _guard(str(self._init) if self._init else f"-{self._process.pid}")
        if place.locked and user is None:
            # Before Linux 5.14 the limit counts what the user runs outside the sandbox too.
            limits["NPROC"] += _tasks_of(os.getuid())
        os.set_blocking(self._process.stdin.fileno(), False)
        os.set_blocking(self._process.stdout.fileno(), False)
        try:
            answer = self._exchange({"user": user, "limits": limits}, START_SECONDS)
        except Lost as lost:
            self._process.kill()
            said = self._process.stderr.read().decode("utf-8", "replace").strip()
            self.close()
            raise NoSandbox(said.splitlines()[-1] if said else str(lost)) from None
        self.starting, self.charged = self.charged, 0.0
        if answer != {"status": "ready"}:
            self.close()
            raise NoSandbox(f"the worker answered {answer!r:.200} instead of being ready")

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def ask(self, request: dict[str, Any], seconds: float) -> Any:
        """Send a request and return the answer, whatever it is.

        A second is charged for each one that the worker's processes compute, or for every `PATIENCE` that go
        by: what else this machine has to do is not the student's doing. The sum is in `charged`.
        Raises Lost, and ends the worker, when `seconds` are charged without an answer, or no worker is left.
        """
        try:
            return self._exchange(request, seconds)
        except Lost:
            self.close()
            raise

    def close(self) -> None:
        """End every process of this worker and wait until they are gone."""
        if self._closed:
            return
        self._closed = True
        if not self._init:
            for process in self._family():
                _kill(process)
        elif self._process.poll() is None:
            # The end of its first process takes a pid namespace with it, and bubblewrap, its parent, reaps it
            # and ends. Killed first, bubblewrap would leave that to whoever adopts orphans here, in his time.
            _kill(self._init)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        self._process.kill()
        self._process.wait()
        self._guard.kill()
        self._guard.wait()
        self._guard.stdin.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):
                pipe.close()

    def _exchange(self, request: dict[str, Any], seconds: float) -> Any:
        begun, computed, before = time.monotonic(), self._computed, self.charged

        def charge() -> float:
            passed = (time.monotonic() - begun) / PATIENCE
            charged = max(passed, self._computed - computed)
            self.charged = before + charged
            return charged

        try:
            return self._talk(request, seconds, charge)
        finally:
            self._look()
            charge()

    def _talk(self, request: dict[str, Any], seconds: float, charge: Callable[[], float]) -> Any:
        """Send a request and wait for the answer with its number; other lines count for nothing.

        Nobody can guess the number, so an answer written ahead of its request is never taken for one.
        """
        self._number = secrets.randbits(63)
        self._parts = []
        line, sent = wire.encode({**request, "number": self._number}), 0
        received, looked = 0, time.monotonic()
        send, receive = self._process.stdin, self._process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(send, selectors.EVENT_WRITE)
            selector.register(receive, selectors.EVENT_READ)
            while True:
                if time.monotonic() - looked >= TICK:
                    looked = time.monotonic()
                    if self._look() > MEMORY:
                        raise Lost("memory", f"It held more than {MEMORY // GIB} GiB of memory.")
                if charge() >= seconds:
                    raise Lost("timeout", "It was still running when its time was over.")
                for key, _ in selector.select(TICK):
                    if key.fileobj is send:
                        with suppress(BlockingIOError):
                            try:
                                sent += os.write(send.fileno(), line[sent : sent + 65536])
                            except BrokenPipeError:
                                sent = len(line)
                        if sent == len(line):
                            selector.unregister(send)
                        continue
                    new = b""
                    with suppress(BlockingIOError):
                        new = os.read(receive.fileno(), 2**20)
                        if not new:
                            raise Lost("died", "It ended the process that runs it.")
                    received += len(new)
                    if received > 2 * wire.MAX_LINE:
                        raise Lost("died", "It flooded the channel that carries its answers.")
                    *lines, rest = new.split(b"\n")
                    if lines:
                        lines[0] = b"".join([*self._parts, lines[0]])
                        self._parts = []
                    self._parts.append(rest)
                    for text in lines:
                        answer = self._answer(text)
                        if answer is not None:
                            return answer

    def _look(self) -> int:
        """Note how much memory the worker's processes hold, and how long they have computed."""
        family = self._family()
        held = self._memory(family)
        self.peak = max(self.peak, held)
        self._computed = max(self._computed, sum(map(_computed, family)))
        return held

    def _answer(self, line: bytes) -> Any:
        """What a line says in answer to the present request; None for all other lines."""
        try:
            message = wire.decode(line)
        except NotPlain:
            return None
        if isinstance(message, dict) and message.get("number") == self._number:
            return message.get("answer", {})
        return None

    def _family(self) -> list[int]:
        """Every process below this worker's first one, itself included."""
        first = self._init or self._process.pid
        found, waiting = [], [first]
        while waiting and len(found) < 10 * PROCESSES:
            process = waiting.pop()
            found.append(process)
            with suppress(OSError):
                for task in os.listdir(f"/proc/{process}/task"):
                    text = Path(f"/proc/{process}/task/{task}/children").read_text(encoding="ascii")
                    waiting += map(int, text.split())
        return found

    @staticmethod
    def _memory(family: list[int]) -> int:
        """Bytes that these processes hold, without what they share with files on disk."""
        held = sum(_memory_of(process, "status", ("RssAnon:", "RssShmem:")) for process in family)
        if held <= MEMORY:
            return held
        # Forked processes share most of their memory; the kernel takes longer to say what is theirs.
        return sum(_memory_of(process, "smaps_rollup", ("Pss_Anon:", "Pss_Shmem:")) for process in family)


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _computed(process: int) -> float:
    """Seconds of processor time of a process and of those below it that it has outlived."""
    with suppress(OSError, ValueError, IndexError):
        # The name, in brackets, may hold spaces and brackets of its own.
        fields = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _memory_of(process: int, file: str, fields: tuple[str, ...]) -> int:
    with suppress(OSError, ValueError, IndexError):
        lines = Path(f"/proc/{process}/{file}").read_text(encoding="utf-8", errors="replace").splitlines()
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(fields))
    return 0


def _packages() -> tuple[Path, ...]:
    """The folders of installed packages, where torch and numpy are."""
    folders = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}
    return tuple(sorted(folders))


def _tasks_of(user: int) -> int:
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if process.stat().st_uid == user:
                count += len(os.listdir(process / "task"))
    return count


def _unlocked(place: Workplace) -> subprocess.Popen:
    code = START.format(paths=[str(HERE.parent), *map(str, place.packages)])
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=VARIABLES,
        cwd="/tmp",
        start_new_session=True,
    )


def _guard(target: str) -> subprocess.Popen:
    """Start what kills a process, or a group -N, should this grader end without closing the worker.

    bubblewrap's own promise to die with its parent does not reach a worker that has changed its user.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; kill -s KILL -- "$0"', target],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
        start_new_session=True,  # where an interruption from the keyboard does not reach it
    )


def _locked(place: Workplace) -> tuple[subprocess.Popen, int]:
    """Start bubblewrap; the process, and the number of the first one inside."""
    program = shutil.which("bwrap")
    if program is None:
        raise NoSandbox("bubblewrap is not installed.")
    python = Path(sys.executable).resolve()
    code = START.format(paths=["/grader", *(f"/packages/{i}" for i in range(len(place.packages)))])
    # Neither arguments nor environment of bubblewrap may tell the student about this machine.
    options, described = os.pipe(), os.pipe()
    rules = os.pipe()
    arguments = [*_arguments(place, python), "--info-fd", str(described[1]), "--seccomp", str(rules[0])]
    for (_, end), content in (
        (options, b"".join(os.fsencode(argument) + b"\0" for argument in arguments)),
        (rules, syscall_filter(platform.machine())),
    ):
        os.write(end, content)  # both fit into a pipe
        os.close(end)
    try:
        process = subprocess.Popen(
            [program, "--args", str(options[0]), str(python), "-I", "-S", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={},
            cwd="/",
            pass_fds=(options[0], described[1], rules[0]),
        )
    finally:
        for end in (options[0], described[1], rules[0]):
            os.close(end)
    with os.fdopen(described[0], "rb") as information:
        text = information.read()
    try:
        return process, int(json.loads(text)["child-pid"])
    except (ValueError, KeyError):
        process.kill()
        _, said = process.communicate()
        reason = said.decode("utf-8", "replace").strip() or "it said nothing"
        raise NoSandbox(f"bubblewrap does not start: {reason}.") from None


def _arguments(place: Workplace, python: Path) -> list[str]:
    """What bubblewrap is told: namespaces, file system, environment."""
    namespaces = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    if os.getuid() == 0:
        # The worker turns into a user of its own; it cannot where bubblewrap made a user namespace.
        rights = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        rights = ["--unshare-user", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"]
    arguments = [
        *namespaces,
        *rights,
        "--die-with-parent",
        "--new-session",
        # Otherwise bubblewrap stays as the first process, and an ordinary user's worker may read its memory.
        "--as-pid-1",
        "--clearenv",
        "--hostname",
        "worker",
    ]
    for name, value in VARIABLES.items():
        arguments += ["--setenv", name, value]

    made: set[Path] = set()

    def bind(source: Path, target: Path) -> None:
        # bubblewrap would make missing folders on the way readable for its own user alone.
        for folder in reversed(target.parents[:-1]):
            if folder not in made and not any(folder.is_relative_to(mounted) for mounted in mounts):
                arguments.extend(["--perms", "0755", "--dir", str(folder)])
            made.add(folder)
        arguments.extend(["--ro-bind", str(source), str(target)])
        mounts.append(target)

    mounts: list[Path] = []
    bind(Path("/usr"), Path("/usr"))
    for name in ("bin", "lib", "lib32", "lib64", "libx32", "sbin"):
        place_of = Path("/", name)
        if place_of.is_symlink():
            arguments += ["--symlink", os.readlink(place_of), str(place_of)]
        elif place_of.is_dir():
            bind(place_of, place_of)
    if Path("/etc/ld.so.cache").exists():
        bind(Path("/etc/ld.so.cache"), Path("/etc/ld.so.cache"))
    base = Path(sys.base_prefix).resolve()
    for folder in (base, python.parent):
        if not any(folder.is_relative_to(mounted) for mounted in mounts):
            bind(folder, folder)
    for number, folder in enumerate(place.packages):
        bind(folder, Path("/packages", str(number)))
    for name in FILES:
        bind(HERE / name, Path("/grader/grading", name))
    for folder in place.hidden:
        if any(folder.resolve().is_relative_to(mounted) for mounted in mounts):
            arguments += ["--tmpfs", str(folder.resolve()), "--remount-ro", str(folder.resolve())]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for folder, size in (("/dev/shm", TEMPORARY // 4), ("/tmp", TEMPORARY)):
        arguments += ["--perms", "1777", "--size", str(size), "--tmpfs", folder]
    return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]


# --- whether all that holds -----------------------------------------------------------------------------

CONTAINER = "Or run the grader in a container: see the page on teaching."
# Runs in the place of a submission; every value must be True.
PROBE = """
import ctypes, os, socket, threading
import numpy, torch

def _fails(action):
    try:
        action()
    except (OSError, RuntimeError):
        return True
    return False

def _write_to(folder):
    return lambda: open(folder + "/probe", "w")

def _many():
    children = []
    try:
        for _ in range({processes} + {allowance} + 5):
            child = os.fork()
            if child == 0:
                import time
                time.sleep(20)
                os._exit(0)
            children.append(child)
    finally:
        for child in children:
            os.kill(child, 9)
            os.waitpid(child, 0)

def _network():
    connection = socket.socket()
    connection.settimeout(1)
    connection.connect(("192.0.2.1", 80))

def _call(number, *values):
    if ctypes.CDLL(None, use_errno=True).syscall(number, *values) < 0:
        raise OSError(ctypes.get_errno())

def _other_networks():
    return all(_fails(lambda: socket.socket(family, kind)) for family in (17, 38, 40) for kind in (1, 2, 5))

def _capabilities():
    status = open("/proc/self/status").read().split()
    return [status[status.index(f"Cap{{kind}}:") + 1] for kind in ("Prm", "Eff", "Amb")]

def probe():
    temporary = os.path.join("/tmp", "probe")
    with open(temporary, "w") as file:
        file.write("x")
    return {{
        "an unprivileged user": os.getuid() != 0 and all(int(c, 16) == 0 for c in _capabilities()),
        "no network": _fails(_network) and _other_networks(),
        "a read-only file system": all(_fails(_write_to(f)) for f in ("/", "/dev", "/usr")),
        "its own processes alone": len([n for n in os.listdir("/proc") if n.isdigit()]) == 1
        and os.getpid() == 1,
        "nothing of the course": not any(os.path.exists(path) for path in {hidden!r}),
        "an empty environment": set(os.environ) <= {{*{variables!r}, "PWD", "LC_CTYPE"}},
        "no new namespaces": _fails(lambda: _call({unshare}, 0x10000000)),
        "a limit on processes": _fails(_many),
        "a limit on memory": _fails(lambda: torch.empty({memory}, dtype=torch.uint8)),
    }}
"""


def probe(place: Workplace) -> None:
    """Try the sandbox out from inside; NoSandbox, with the remedy, unless everything holds."""
    if sys.platform != "linux":
        raise NoSandbox(f"bubblewrap runs on Linux only. {CONTAINER}")
    try:
        syscall_filter(platform.machine())
        hidden = [str(path.resolve()) for path in (*place.hidden, HERE)]
        code = PROBE.format(
            processes=PROCESSES,
            allowance=0 if os.getuid() == 0 else _tasks_of(os.getuid()),
            hidden=hidden,
            variables=list(VARIABLES),
            unshare=DENIED["unshare"][MACHINES[platform.machine()][0]],
            memory=3 * MEMORY,
        )
        with place.start() as worker:
            worker.ask({"run": code}, START_SECONDS)
            request = {"function": "probe", "adapter": "arrays", "values": []}
            answer = worker.ask({"call": request}, START_SECONDS)
    except NoSandbox as problem:
        raise NoSandbox(f"{problem} {remedy()}") from None
    except Lost as lost:
        raise NoSandbox(f"The sandbox does not hold: {lost} {remedy()}") from None
    result = answer["value"]["result"] if answer and answer.get("status") == "ok" else {"an answer": False}
    failed = [name for name, held in result.items() if held is not True]
    if failed:
        raise NoSandbox(f"The sandbox does not give {', '.join(failed)}. {remedy()}")


def remedy() -> str:
    """What to do on this system, in a sentence or two."""
    if shutil.which("bwrap") is None:
        system = _system()
        for names, command in (
            (("debian", "ubuntu"), "sudo apt install bubblewrap"),
            (("fedora", "rhel"), "sudo dnf install bubblewrap"),
            (("arch",), "sudo pacman -S bubblewrap"),
            (("suse", "opensuse"), "sudo zypper install bubblewrap"),
        ):
            if any(name in system for name in names):
                return f"Install it: `{command}`. {CONTAINER}"
        return f"Install the package `bubblewrap` of your system. {CONTAINER}"
    if os.getuid() != 0:
        for setting, value in (
            ("kernel.apparmor_restrict_unprivileged_userns", "0"),
            ("kernel.unprivileged_userns_clone", "1"),
        ):
            path = Path("/proc/sys", *setting.split("."))
            if path.exists() and path.read_text(encoding="ascii").strip() != value:
                return f"Allow it until the next start: `sudo sysctl {setting}={value}`. {CONTAINER}"
        return f"Your system may forbid user namespaces: ask its administrator. {CONTAINER}"
    return f"In a container it needs more rights than the usual ones. {CONTAINER}"


def _system() -> set[str]:
    with suppress(OSError):
        lines = platform.freedesktop_os_release()
        return {lines.get("ID", ""), *lines.get("ID_LIKE", "").split()}
    return set()
