"""The sandbox: what its probe finds, when the grader refuses, and what the answer lines may hold."""

import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from grading import sandbox, wire, worker
from grading.plain import NotPlain
from grading.sandbox import Lost, NoSandbox, Workplace, probe
from tools import project

pytestmark = pytest.mark.xdist_group("grading")


@pytest.fixture
def bwrap_is(monkeypatch, tmp_path):
    """A function that puts a script in the place of bubblewrap, or nothing for None."""

    def put(script: str | None) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        if script is not None:
            path = tmp_path / "bwrap"
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return put


def test_without_bubblewrap_the_remedy_is_named(bwrap_is, monkeypatch):
    bwrap_is(None)
    for system, command in (
        ({"ID": "debian"}, "sudo apt install bubblewrap"),
        ({"ID": "pop", "ID_LIKE": "ubuntu debian"}, "sudo apt install bubblewrap"),
        ({"ID": "fedora"}, "sudo dnf install bubblewrap"),
        ({"ID": "other"}, "Install the package `bubblewrap`"),
    ):
        monkeypatch.setattr(sandbox.platform, "freedesktop_os_release", lambda system=system: system)
        with pytest.raises(NoSandbox, match="not installed") as refusal:
            probe(Workplace(10))
        assert command in str(refusal.value)
        assert "container" in str(refusal.value)


def test_installed_is_not_enough(bwrap_is):
    bwrap_is("echo 'setting up uid map: Permission denied' >&2; exit 1")
    with pytest.raises(NoSandbox, match="does not start: setting up uid map: Permission denied") as refusal:
        probe(Workplace(10))
    assert "container" in str(refusal.value)


def test_a_sandbox_that_lets_something_through_is_refused(sandbox, monkeypatch):
    allow_all = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)
    monkeypatch.setattr("grading.sandbox.syscall_filter", lambda machine: allow_all)
    with pytest.raises(NoSandbox, match=r"does not give no network, no new namespaces"):
        probe(Workplace(20))


def test_other_machines_and_systems_are_refused(monkeypatch):
    with pytest.raises(NoSandbox, match="type riscv64"):
        sandbox.syscall_filter("riscv64")
    assert len(sandbox.syscall_filter("aarch64")) == len(sandbox.syscall_filter("x86_64"))
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    with pytest.raises(NoSandbox, match=r"on Linux only.*container"):
        probe(Workplace(10))


@pytest.mark.skipif(os.getuid() != 0, reason="the other tests here run as an ordinary user already")
def test_it_holds_for_an_ordinary_user_too(sandbox, tmp_path):
    """As user 1234, with Python's folders made readable on the way, as they are outside root's home."""
    base = Path(sys.base_prefix).resolve()
    arguments = ["--dev-bind", "/", "/", "--cap-add", "ALL"]
    if base.parts[1] == "root":
        arguments += ["--tmpfs", "/root", "--ro-bind", str(base), str(base)]
        for folder in [p for p in reversed(base.parents) if len(p.parts) > 1]:
            arguments += ["--chmod", "0755", str(folder)]
    code = "from grading.sandbox import *; probe(Workplace(30)); print('it holds')"
    done = subprocess.run(
        ["bwrap", *arguments, shutil.which("setpriv"), "--reuid", "1234", "--regid", "1234", "--clear-groups",
         sys.executable, "-c", code],
        env={"PYTHONPATH": str(project.ROOT), "HOME": "/tmp", "PATH": os.environ["PATH"]},
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    if "Permission denied" in done.stderr and "No module" not in done.stderr:
        pytest.skip("this checkout cannot be read by others")
    assert done.stdout == "it holds\n", done.stderr


def test_a_worker_takes_everything_it_started_with_it(sandbox):
    code = "import os, time\nfor _ in range(5):\n    if os.fork() == 0: time.sleep(1000)"
    with Workplace(10).start() as running:
        running.ask({"run": code}, 5)
        family = running._family()
        assert len(family) >= 6
    assert [process for process in family if Path(f"/proc/{process}").exists()] == []


def test_a_lost_worker_says_so_and_an_answer_to_nothing_counts_for_nothing(sandbox):
    with Workplace(10).start() as running:
        line = b'{"dict":{"number":3,"answer":{"dict":{"status":"ok","forged":true}}}}\n'
        code = (
            f"import os\nfor fd in range(3, 20):\n    try: os.write(fd, {line!r})\n    except OSError: pass"
        )
        assert running.ask({"run": code}, 5) == {"status": "ok"}
        with pytest.raises(Lost, match="ended the process") as lost:
            running.ask({"run": "import os; os._exit(1)"}, 5)
        assert lost.value.status == "died"


def test_a_second_is_charged_for_computing_and_a_third_of_it_for_waiting(sandbox):
    with Workplace(10).start() as running:
        assert running.starting > 0.2
        assert running.charged == 0
        running.ask({"run": "import time\nused, begun = time.process_time(), time.monotonic()"}, 5)
        before = running.charged
        running.ask({"run": "time.sleep(3)"}, 5)
        assert 1 <= running.charged - before < 2.5
        before = running.charged
        running.ask({"run": "while time.process_time() < used + 1: pass"}, 20)
        assert running.charged - before >= 0.9
        with pytest.raises(Lost, match="still running when its time was over"):
            running.ask({"run": "while True: pass"}, 1)
        running.close()  # once more does no harm


def test_a_worker_is_gone_as_soon_as_it_is_closed(sandbox):
    running = Workplace(10).start()
    process = running._init
    begun = time.monotonic()
    running.close()
    assert not Path(f"/proc/{process}").exists()
    assert time.monotonic() - begun < 5  # whoever adopts orphans here may take seconds to bury them


@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_grader(sandbox, tmp_path, locked, sign):
    folder = "/tmp" if locked else str(tmp_path)
    code = f"open('{folder}/begun', 'w').close()\nimport signal\nsignal.pause()"
    start = f"""
import os, signal
from grading.sandbox import Workplace
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background a shell lets it be ignored
worker = Workplace(60, locked={locked}).start()
print(*worker._family(), flush=True)
try:
    worker.ask({{"run": {code!r}}}, 60)
except KeyboardInterrupt:
    os._exit(130)  # as grading.__main__ ends
"""

    def within(seconds, holds):
        deadline = time.monotonic() + seconds
        while not holds() and time.monotonic() < deadline:
            time.sleep(0.02)
        return holds()

    with subprocess.Popen(
        [sys.executable, "-c", start], cwd=project.ROOT, stdout=subprocess.PIPE, text=True
    ) as grader:
        family = [Path("/proc", process) for process in grader.stdout.readline().split()]
        assert within(20, Path(f"{family[0]}/root{folder}/begun").exists)
        grader.send_signal(sign)
        grader.wait(20)
    assert within(5, lambda: not any(process.exists() for process in family))


def test_memory_bombs_are_told_from_crashes(sandbox):
    code = """import os, time
for _ in range(9):
    if os.fork() == 0: break
held = bytearray(b'x') * (400 * 2**20)
time.sleep(1000)"""
    with Workplace(10).start() as running, pytest.raises(Lost) as lost:
        running.ask({"run": code}, 15)
    assert lost.value.status == "memory"


# --- lines ------------------------------------------------------------------------------------------------


def test_every_plain_value_survives_a_line():
    values = [None, True, 3, -2.5, "é\ud800\n", [], {}, {"array": [1, {"dict": {}}]}]
    arrays = [np.arange(6.0).reshape(2, 3).T, np.array(True), np.zeros((0, 3), np.int8), np.float32([np.nan])]
    assert wire.decode(wire.encode(values)) == values
    for array in arrays:
        copy = wire.decode(wire.encode(array))
        assert (copy.dtype, copy.shape) == (array.dtype, array.shape)
        assert np.array_equal(copy, array, equal_nan=array.dtype.kind == "f")


@pytest.mark.parametrize(
    "line",
    [
        b"", b"x", b"{}", b'{"a":1,"b":2}', b'{"other":1}', b"\xff", b"[" * 100_000, b"9" * 10_000,
        b'{"array":["<f8",[2],"AAAA"]}', b'{"array":["|O8",[1],"AAAAAAAAAAA="]}',
        b'{"array":["<f8",[-1],""]}',
        b'{"array":["<f8",[9999999999999999999,0],""]}', b'{"array":["<f8",[true],"AAAAAAAAAAA="]}',
        b'{"array":[3,4,5]}', b'{"array":["<f8",[1],"=="]}', b'{"array":"abc"}', b'{"dict":[1]}',
        b"[" + b"[]," * 200_000 + b"[]]", b'"' + b"x" * 2**25 + b'"',
    ],
    ids=range(19),
)  # fmt: skip
def test_lines_that_are_no_message_are_refused(line):
    with pytest.raises(NotPlain):
        wire.decode(line)


# --- cells ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "left", "ignored"),
    [
        ("x = 1", "x = 1", []),
        ("!ls\nx = 1", "pass\nx = 1", ["!ls"]),
        ("if True:\n    %cd ..\n    x = 1", "if True:\n    pass\n    x = 1", ["%cd .."]),
        ("files = !ls *.py", "pass", ["files = !ls *.py"]),
        ("x = (7\n  % 4)", "x = (7\n  % 4)", []),
        ('text = """\n!ls\n"""', 'text = """\n!ls\n"""', []),
        ("np.exp?", "pass", ["np.exp?"]),
        ("%%time\nx = 1", "\nx = 1", ["%%time"]),
        ("%%bash\nrm -rf /", "", ["%%bash"]),
        ("if x:\n    %time k = f(0)\n%time", "if x:\n    k = f(0)\npass", ["%time"]),
        ("%time !ls", "pass", ["!ls"]),
        ("%timeit k = f(0)", "pass", ["%timeit k = f(0)"]),
        ("x ===", "x ===", []),
    ],
)
def test_lines_for_the_shell_are_taken_out_and_nothing_else(source, left, ignored):
    assert worker.without_magics(source) == (left, ignored)


def test_a_cell_keeps_what_it_defined_before_it_failed():
    names = {}
    answer = worker.run("a = 1\nb = 1 / 0\nc = 1", names, {}, False)
    assert (answer["status"], answer["kinds"][0], answer["line"]) == ("raised", "ZeroDivisionError", 2)
    assert (names["a"], answer["went_on"]) == (1, False)
    assert not {"b", "c"} & set(names)
    assert worker.run("def f(:\n  pass", names, {}, True)["line"] == 1
    assert worker.run("raise SystemExit('x')", names, {}, True)["detail"] == "x"


PLATFORM = "from google.colab import drive; drive.mount('/content')\nimport math"


@pytest.mark.parametrize("source", [PLATFORM, PLATFORM.replace("; ", "\n")])
def test_a_line_for_a_platform_does_not_take_the_others_with_it(source):
    names = {}
    answer = worker.run(source, names, {}, False)
    assert (answer["kinds"][0], answer["line"], answer["went_on"]) == ("ModuleNotFoundError", 1, True)
    assert "math" in names


def test_what_an_import_failed_to_bind_is_told_later_and_stops_nothing():
    names, lacking = {}, {}
    worker.run(
        "import seaborn_ as sns\ncolours = sns.palette()\n[n for n in 0]\nx = 1", names, lacking, False
    )
    absent = "ModuleNotFoundError: No module named 'seaborn_'"
    assert lacking == {"sns": absent, "colours": absent, "x": "TypeError: 'int' object is not iterable"}
    answer = worker.run("first = colours[0]\ndef f():\n    return sns", names, lacking, False)
    assert answer["detail"] == (
        "name 'colours' is not defined; an earlier line failed: "
        "ModuleNotFoundError: No module named 'seaborn_'"
    )
    answer = worker.run("\n\nf()", names, lacking, False)
    assert (answer["line"], "No module named 'seaborn_'" in answer["detail"]) == (3, True)
    assert "earlier" not in worker.run("other", names, lacking, False)["detail"]


def test_a_cell_without_an_exercise_is_run_to_its_end():
    names = {}
    answer = worker.run("a = 1\nb = 1 / 0\nc = 1\nd = e", names, {}, True)
    assert (answer["kinds"][0], answer["line"], answer["went_on"]) == ("ZeroDivisionError", 2, True)
    assert names["c"] == 1
    assert worker.run("a = 1\nb = 1 / 0", {}, {}, True)["went_on"] is False
    for end in ("raise SystemExit", "raise KeyboardInterrupt", "raise MemoryError"):
        names = {}
        assert worker.run(f"{end}\nc = 1", names, {}, True)["went_on"] is False
        assert "c" not in names


def test_an_import_from_the_future_holds_for_its_cell():
    names = {}
    source = '"""A text."""\nfrom __future__ import annotations\ndef f(x: Unknown) -> Unknown:\n    return x'
    assert worker.run(source, names, {}, False) == {"status": "ok"}
    assert worker.run("def f(x: Unknown): pass", names, {}, False)["kinds"][0] == "NameError"
