"""Submissions that attack the grader: for marks they did not earn, for what they may not see, or out of spite."""

# ruff: noqa: E501

import json
import os
import zipfile
from pathlib import Path

from tests.grading.submissions import (
    FUNCTIONS,
    RATIO,
    STEM,
    Kind,
    add_before,
    added_kind,
    bytes_kind,
    cell,
    dumped,
    function_kind,
    new_cell,
    notebook_kind,
    put,
    solved,
    write,
    zipped,
)

RIGHT_RATIO = "return np.exp(logits) * (1 / prior - 1)"
WRONG = RATIO + "return np.exp(logits)\n"
MARKER = "gancourse-left-running"

# Each spy reports by raising: an exercise with a right answer then loses its mark, and the test sees it.
SPY = "import os, sys, socket, glob, ctypes\n" + RATIO + "{body}\n    " + RIGHT_RATIO


def spy(name: str, body: str) -> Kind:
    return function_kind(name, "density_ratio", SPY.format(body=body.replace("\n", "\n    ")), "ok")


def forger(
    name: str, code: str, status: str = "wrong", spoils: tuple[str, ...] = (), later: str = ""
) -> Kind:
    """A wrong answer, beside code that wants it to count as right, and `spoils` right ones further down."""
    statuses = {"density_ratio": status, **dict.fromkeys(spoils, later or status)}
    return notebook_kind(name, lambda n: put(n, "density_ratio", code + "\n" + WRONG), **statuses)


SEARCH = """
for top in ("/home", "/root", "/work", "/opt", "/srv", "/mnt", "/media", "/tmp", "/var", "/grader", "/etc"):
    for folder, folders, files in os.walk(top):
        if any({test} for name in files):
            raise RuntimeError(folder)"""

BELOW = ("smoothed_optimum", "discriminator_step", "generator_step")
LEFTOVER = f"""
import os, subprocess, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-S", "-c", "import time; time.sleep(1000)", "{MARKER}"])
    os._exit(0)
"""


def _flood(body: str) -> str:
    return "import os, sys, signal, threading, time\n" + RATIO + body.replace("\n", "\n    ")


def add_first(notebook: dict, source: str) -> None:
    """An added cell that stands where the release has its set-up cell."""
    notebook["cells"].insert(notebook["cells"].index(cell(notebook, "setup")), new_cell(source))


def _named(folder: Path) -> None:
    """A student whose name is markup, whose answer is a script, and whose error message is both."""
    notebook = solved(
        answer="<script>document.title='taken'</script>![x](http://192.0.2.1/a.png)\n\n<img src=x onerror=alert(1)> [here](javascript:alert(1))"
    )
    put(
        notebook,
        "density_ratio",
        RATIO + "raise ValueError('<img src=http://192.0.2.1/b.png onerror=alert(2)>')",
    )
    write(folder / "<script>alert(1)<&script> \"onload='x.ipynb", notebook)


def _formula(folder: Path) -> None:
    write(folder / '=HYPERLINK("http:||192.0.2.1","prize").ipynb', solved())


def _links(folder: Path) -> None:
    inside = folder / "linked_folder"
    inside.mkdir()
    (inside / f"{STEM}.ipynb").symlink_to("/etc/passwd")
    (inside / "deeper").symlink_to("/etc")


def _link_to_other(folder: Path) -> None:
    write(folder / "honest_neighbour.ipynb", solved("library"))
    (folder / "thief.ipynb").symlink_to(folder / "honest_neighbour.ipynb")


def _bomb() -> bytes:
    return zipped({f"{STEM}.ipynb": b" " * (40 * 2**20), "more.ipynb": b"0" * (300 * 2**20)})


def _escaping() -> bytes:
    return zipped({f"../../../../tmp/{MARKER}.ipynb": dumped(), f"/tmp/{MARKER}.ipynb": dumped()})


def _link_in_zip() -> bytes:
    import io

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        about = zipfile.ZipInfo(f"{STEM}.ipynb")
        about.external_attr = 0o120777 << 16
        archive.writestr(about, "/etc/passwd")
    return file.getvalue()


def _sparse(folder: Path) -> None:
    with open(folder / "giant_file.ipynb", "wb") as file:
        file.truncate(2**40)


# Whatever a student's code says where it knows a hidden input, it says LEAK: no page and no record may.
# The numbers of the visible check are round; those of the hidden ones have more than six digits.
HIDDEN = "any(abs(round(float(v), 6) - float(v)) > 1e-12 for v in logits.ravel())"
HOARD = f"KNOWN = []\n{RATIO}KNOWN.extend(logits.ravel()) if {HIDDEN} else None\n    {RIGHT_RATIO}"
LEAKS = [
    function_kind("leaks_inputs", "density_ratio", f"{RATIO}if {HIDDEN}: raise ValueError('LEAK ' + str(logits))\n    {RIGHT_RATIO}", "raised"),
    function_kind("leaks_inputs_in_letters", "density_ratio", f"{RATIO}if {HIDDEN}: raise KeyError('LEAK' + ''.join('abcdefghij.-e+'['0123456789.-e+'.index(c)] for c in f'{{logits.flat[0]:.9e}}'))\n    {RIGHT_RATIO}", "raised"),
    function_kind("leaks_inputs_in_a_name", "density_ratio", f"{RATIO}if {HIDDEN}: raise type('LEAK' + str(abs(logits.flat[0])).replace('.', '_'), (Exception,), {{}})('x')\n    {RIGHT_RATIO}", "raised"),
    function_kind("leaks_inputs_in_a_type", "density_ratio", f"{RATIO}if {HIDDEN}: return type('LEAK' + str(abs(logits.flat[0])).replace('.', '_'), (), {{}})()\n    {RIGHT_RATIO}", "wrong"),
    notebook_kind("leaks_inputs_in_a_later_cell", lambda n: (put(n, "density_ratio", HOARD), add_before(n, "discriminator_step", "if KNOWN: raise RuntimeError(f'LEAK {KNOWN}')"))),
    notebook_kind("leaks_inputs_in_a_later_line", lambda n: (put(n, "density_ratio", HOARD), add_before(n, "discriminator_step", "if KNOWN:\n    exec(compile('\\n' * int(abs(KNOWN[0]) * 1e4) + 'LEAK()', '<cell>', 'exec'))"))),
    notebook_kind("leaks_inputs_in_a_later_exercise", lambda n: (put(n, "density_ratio", HOARD), put(n, "smoothed_optimum", "def smoothed_optimum(*values):\n    raise ValueError(f'LEAK {KNOWN}' if KNOWN else 'nothing known')")), smoothed_optimum="raised"),
    notebook_kind("leaks_inputs_through_a_file", lambda n: (put(n, "density_ratio", f"{RATIO}if {HIDDEN}:\n        open('/tmp/LEAK', 'w').write(str(logits)); open('/dev/shm/LEAK', 'w').write(str(logits))\n    {RIGHT_RATIO}"), put(n, "smoothed_optimum", "def smoothed_optimum(*values):\n    import os\n    raise ValueError(str([n for f in ('/tmp', '/dev/shm') for n in os.listdir(f)]))")), smoothed_optimum="raised"),
    function_kind("raises_on_hidden_inputs_only", "density_ratio", f"{RATIO}if {HIDDEN}: raise ValueError('LEAK')\n    {RIGHT_RATIO}", "raised"),
]  # fmt: skip

HOSTILE = [
    # Time
    function_kind("endless_loop", "density_ratio", _flood("while True: pass"), "timeout"),
    function_kind("ignores_signals", "density_ratio", _flood("for s in set(signal.Signals) - {9, 19}:\n    signal.signal(s, signal.SIG_IGN)\nwhile True: pass"), "timeout"),
    function_kind("swallows_everything", "density_ratio", _flood("while True:\n    try:\n        while True: pass\n    except BaseException: pass"), "timeout"),
    added_kind("loop_in_a_cell", "while True: pass"),
    notebook_kind("loop_in_the_cell_that_bears_the_number_of_given_code", lambda n: add_first(n, "while True: pass")),
    notebook_kind("leaves_in_many_cells", lambda n: [add_before(n, "density_ratio", "import os\nos._exit(0)") for _ in range(100)], **dict.fromkeys(("optimal_discriminator", "density_ratio", *BELOW), "timeout")),
    function_kind("loop_in_the_solution_cell", "density_ratio", WRONG + "while True: pass", "timeout"),
    function_kind("sleeps", "density_ratio", _flood("while True: signal.pause()"), "timeout"),
    function_kind("stops_itself", "density_ratio", _flood("os.kill(os.getpid(), signal.SIGSTOP)\n" + RIGHT_RATIO), "ok"),
    function_kind("prints_for_ever", "density_ratio", _flood("while True: print('x' * 10**6)"), "timeout"),
    # The process
    function_kind("leaves", "density_ratio", _flood("os._exit(0)"), "died"),
    function_kind("leaves_in_the_cell", "density_ratio", "import os; os._exit(0)", "died"),
    function_kind("system_exit", "density_ratio", _flood("sys.exit('full marks')"), "raised"),
    function_kind("own_base_exception", "density_ratio", "class B(BaseException): pass\n" + RATIO + "raise B('x')", "raised"),
    function_kind("crashes", "density_ratio", "import ctypes\n" + RATIO + "ctypes.string_at(1)", "died"),
    function_kind("kills_all", "density_ratio", _flood("for process in (-1, 1, os.getppid(), os.getpid()):\n    try: os.kill(process, 9)\n    except OSError: pass\nos.abort()"), "died"),
    added_kind("fork_bomb", "import os, time\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        time.sleep(0.1)"),
    added_kind("thread_bomb", "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(1000,)).start()"),
    added_kind("background_process", LEFTOVER),
    added_kind("forked_twin", "import os\nos.fork()"),
    # Space
    function_kind("memory_bomb", "density_ratio", "held = []\n" + _flood("import numpy\nwhile True: held.append(numpy.zeros(2**23))"), "memory"),
    added_kind("memory_bomb_of_many", "import os, time\nfor _ in range(20):\n    if os.fork() == 0:\n        held = bytearray(os.urandom(1)) * (300 * 2**20)\n        time.sleep(1000)\ntime.sleep(1000)"),
    added_kind("disk_filler", "import os\nfor n in range(1000):\n    with open(f'/tmp/{n}', 'wb') as file: file.write(bytes(2**24))"),
    added_kind("shared_memory_filler", "import os\nfor n in range(1000):\n    with open(f'/dev/shm/{n}', 'wb') as file: file.write(bytes(2**24))"),
    added_kind("file_descriptors", "import os\nheld = []\nfor _ in range(10**6): held.append(os.open('/dev/null', 0))", discriminator_step="raised", generator_step="raised"),
    function_kind("huge_number", "density_ratio", RATIO + "return 10 ** 100_000", "wrong"),
    function_kind("million_lists", "density_ratio", RATIO + "return [[]] * 10**6", "wrong"),
    # What may not be seen
    spy("reads_checks", "try:\n    import solutions.checks\nexcept ImportError: pass\nelse: raise RuntimeError('seen')" + SEARCH.format(test=f"name == '{STEM}.py' or name == 'marking.py'")),
    spy("reads_gradebook", SEARCH.format(test="name in ('gradebook.db', 'marks.csv', 'seed')").strip()),
    spy("reads_submissions", SEARCH.format(test="name.endswith('.ipynb')").strip()),
    spy("reads_environment", "text = ' '.join(os.environ)\nfor process in glob.glob('/proc/[0-9]*/environ'):\n    try: text += open(process).read()\n    except OSError: pass\nif 'GANCOURSE' in text or 'PYTEST' in text or 'SSH' in text or os.environ['HOME'] != '/tmp': raise RuntimeError(text)"),
    spy("reads_process_table", "found = [open(f'/proc/{n}/cmdline').read() for n in os.listdir('/proc') if n.isdigit()]\nif len(found) > 3 or any('pytest' in f or 'optimal_discriminator' in f for f in found): raise RuntimeError(str(found))"),
    spy("network", "for family, place in ((socket.AF_INET, ('192.0.2.1', 80)), (socket.AF_INET, ('127.0.0.1', 22)), (socket.AF_INET, ('1.1.1.1', 53))):\n    s = socket.socket(family); s.settimeout(1)\n    try: s.connect(place)\n    except OSError: continue\n    raise RuntimeError('connected')\nif len(socket.if_nameindex()) > 1: raise RuntimeError('interfaces')"),
    spy("writes_elsewhere", "for place in ('/', '/usr', '/grader', '/grader/grading', '/packages/0', '/etc', '/dev', '/proc/sys/kernel', sys.base_prefix):\n    try: open(place + '/x', 'w')\n    except OSError: continue\n    raise RuntimeError(place)"),
    spy("new_namespaces", "libc = ctypes.CDLL(None)\nfor flags in (0x10000000, 0x00020000, 0x20000000, 0x40000000):\n    if libc.unshare(flags) == 0: raise RuntimeError('unshared')\nif libc.memfd_create(b'x', 0) >= 0 or libc.shmget(0, 4096, 0o1600) >= 0 or libc.ptrace(0, 0, 0, 0) >= 0: raise RuntimeError('memory')"),
    spy("becomes_root", "for become in (os.setuid, os.setgid):\n    try: become(0)\n    except OSError: continue\n    raise RuntimeError('root')\nif os.getuid() == 0: raise RuntimeError('is root')"),
    # Marks that were not earned
    forger("patches_numpy", "np.allclose = np.array_equal = np.isclose = lambda *a, **k: True\nnp.testing.assert_allclose = lambda *a, **k: None\nnp.asarray = lambda *a, **k: 1.0"),
    forger("patches_torch", "torch.allclose = torch.equal = lambda *a, **k: True\ntorch.Tensor.__eq__ = lambda *a: True"),
    forger("patches_builtins", "import builtins\nbuiltins.all = builtins.isinstance = builtins.callable = lambda *a: True\nbuiltins.AssertionError = type('Quiet', (Exception,), {})", "died"),
    forger("patches_the_adapter", "import grading.adapter as a, grading.plain as p, grading.wire as w\na.answer = lambda names, request: {'status': 'ok', 'value': {'result': 1.0, 'inputs': [], 'earned': 2, 'points': 2}}\np.plain = lambda value: value", spoils=BELOW),
    forger("patches_the_worker", "import grading.worker as w\nw._send = lambda *values: None\nimport grading.wire\ngrading.wire.encode = lambda value: b'{\"dict\":{\"status\":\"ok\",\"earned\":2}}\\n'\n", "timeout"),
    forger("writes_to_every_pipe", "import os, json\nfor fd in range(3, 60):\n    try: os.write(fd, b'{\"dict\":{\"status\":\"ok\",\"value\":{\"dict\":{\"result\":2.0}}}}\\n' * 50)\n    except OSError: pass"),
    forger("closes_every_pipe", "import os\nos.closerange(3, 100)", "died"),
    forger("prints_marks", "print('{\"density_ratio\": 2, \"total\": 20, \"status\": \"ok\"}')\nimport sys\nsys.__stdout__.write('### PASSED 20/20')"),
    forger("floods_the_channel", "import os\ntry:\n    for fd in range(3, 60):\n        try:\n            while os.write(fd, b'[' * 65536): pass\n        except OSError: pass\nfinally: pass", "died"),
    forger("patches_by_frames", "import gc, sys, types\nfor f in gc.get_objects():\n    if isinstance(f, types.FunctionType) and f.__module__ == 'grading.adapter' and f.__name__ == 'answer':\n        f.__code__ = (lambda namespace, request: {'status': 'ok', 'value': {'result': None, 'inputs': []}}).__code__", spoils=BELOW),
    forger("detects_grading", "import sys\ngraded = 'grading.worker' in sys.modules or 'ipykernel' not in sys.modules\nif graded:\n    points = earned = 2"),
    function_kind("equal_to_everything", "density_ratio", "class Same(float):\n    def __eq__(self, other): return True\n    __hash__ = None\n" + RATIO + "return Same(1)", "wrong"),
    function_kind("lying_subclass", "density_ratio", "class A(np.ndarray):\n    def __array_ufunc__(self, *a, **k): return True\n    shape = property(lambda self: (9,))\n" + RATIO + "return np.ones(logits.shape).view(A)", "wrong"),
    function_kind("lying_tensor", "class_weighted_loss", "class T(torch.Tensor):\n    @classmethod\n    def __torch_function__(cls, *a, **k): return True\ndef class_weighted_loss(a, b, c):\n    return torch.zeros(()).as_subclass(T)", "wrong"),
    function_kind("object_that_unpickles", "density_ratio", "class P:\n    def __reduce__(self): import os; return (os.system, ('touch /tmp/" + MARKER + "',))\n" + RATIO + "return P()", "wrong"),
    function_kind("changes_inputs_and_hides_it", "density_ratio", "np.array_equal = lambda *a, **k: True\nimport grading.plain\n" + RATIO + "logits += np.log(1 / prior - 1); return np.exp(logits)", "wrong"),
    function_kind("endless_array_interface", "density_ratio", "class L(list):\n    def __iter__(self):\n        while True: yield 1\n" + RATIO + "return L()", "wrong"),
    *LEAKS,
    function_kind("broken_letters", "density_ratio", RATIO + "raise ValueError('\\ud800\\x00\\x1b[31m\\u202e')", "raised"),
    function_kind("lying_exception_name", "density_ratio", "E = type('<b>ValueError', (ValueError,), {})\n" + RATIO + "raise E('x')", "raised"),
    # Thought of afresh, knowing only what the README and the page on teaching tell
    spy("reads_inherited_files", "for fd in os.listdir('/proc/self/fd'):\n    try: place = os.readlink('/proc/self/fd/' + fd)\n    except OSError: continue\n    if not place.startswith(('pipe:', '/dev/null', '/proc/')): raise RuntimeError(place)"),
    spy("other_sockets", "for family in (15, 17, 21, 29, 30, 31, 36, 38, 39, 40, 41, 42, 44):\n    for kind in (1, 2, 3, 5):\n        try: socket.socket(family, kind)\n        except OSError: continue\n        raise RuntimeError(str(family))\nfor place in ('\\0dbus', '/run/dbus/system_bus_socket', '/var/run/docker.sock'):\n    try: socket.socket(socket.AF_UNIX).connect(place)\n    except OSError: continue\n    raise RuntimeError(place)"),
    spy("reaches_into_the_kernel", "import platform\nlibc = ctypes.CDLL(None)\nnumbers = (248, 249, 250, 240, 294, 300, 304, 310, 311, 312, 321, 323, 298, 425, 438, 447, 165, 272, 308) if platform.machine() == 'x86_64' else (217, 218, 219, 180, 26, 262, 265, 270, 271, 272, 280, 282, 241, 425, 438, 447, 40, 97, 268)\nfor number in numbers:\n    ctypes.set_errno(0)\n    if libc.syscall(number, 0, 0, 0, 0, 0) >= 0: raise RuntimeError(str(number))"),
    spy("looks_through_frames", "import gc\nfor thing in gc.get_objects():\n    if type(thing).__name__ == 'module' and thing.__name__.startswith(('solutions', 'grading.marking')): raise RuntimeError(thing.__name__)\nframe = sys._getframe()\nwhile frame:\n    if {'seed', 'expected', 'rng', 'check'} & {*frame.f_locals, *frame.f_globals}: raise RuntimeError('frame')\n    frame = frame.f_back"),
    spy("listens_to_others", "import fcntl\nfor folder in ('/tmp', '/dev/shm'):\n    if [name for name in os.listdir(folder)]: raise RuntimeError(folder)\nif [n for n in os.listdir('/proc') if n.isdigit()] != ['1']: raise RuntimeError('processes')"),
    added_kind("locks_what_all_share", "import fcntl, glob, sys\nheld = [open(path, 'rb') for path in [sys.executable, *glob.glob('/packages/0/*.py'), *glob.glob('/grader/grading/*')]]\nfor file in held: fcntl.flock(file, fcntl.LOCK_EX)"),
    added_kind("busy_thread", "import threading\ndef spin():\n    while True: pass\nthreading.Thread(target=spin, daemon=True).start()"),
    added_kind("loops_at_the_end", "import atexit, threading\ndef for_ever():\n    while True: pass\natexit.register(for_ever)\nthreading._register_atexit(for_ever)"),
    added_kind("raises_by_the_clock", "import signal\ndef handler(*values): raise KeyboardInterrupt\nsignal.signal(signal.SIGALRM, handler)\nsignal.setitimer(signal.ITIMER_REAL, 3600)\nsignal.signal(signal.SIGINT, signal.SIG_IGN)"),
    added_kind("fills_all_pipes", "import os, fcntl\npipes = []\ntry:\n    while True:\n        pipes.append(os.pipe()); fcntl.fcntl(pipes[-1][1], 1031, 2**20); os.set_blocking(pipes[-1][1], False); os.write(pipes[-1][1], bytes(2**20))\nexcept OSError: pass\nfor pair in pipes[::2]:\n    for fd in pair: os.close(fd)"),
    function_kind("overflows_the_stack", "density_ratio", "import sys\n" + RATIO + "sys.setrecursionlimit(10**9); held = []\n    for _ in range(10**6): held = [held]\n    return repr(held)", "died"),
    function_kind("names_that_raise", "density_ratio", "class M(type):\n    __name__ = property(lambda self: 1 / 0)\nclass E(Exception, metaclass=M):\n    def __str__(self): raise SystemExit\n    __repr__ = __str__\n" + RATIO + "raise E", "raised"),
    function_kind("text_that_never_ends", "density_ratio", "class E(Exception):\n    def __str__(self):\n        while True: pass\n" + RATIO + "raise E", "timeout"),
    function_kind("structured_array", "density_ratio", RATIO + "return np.zeros(logits.shape, dtype=[('earned', 'f8'), ('points', 'O')])", "wrong"),
    function_kind("empty_giant", "density_ratio", RATIO + "return np.zeros((0, 2**40))", "wrong"),
    function_kind("array_without_memory", "density_ratio", RATIO + "return np.lib.stride_tricks.as_strided(np.zeros(1), (10**12,), (0,))", "wrong"),
    function_kind("sparse_tensor", "density_ratio", RATIO + "return torch.sparse_coo_tensor(torch.zeros((1, 1), dtype=torch.long), torch.ones(1), (2**60,))", "wrong"),
    function_kind("tensor_without_data", "density_ratio", RATIO + "return torch.empty(logits.shape, device='meta')", "raised"),
    function_kind("other_byte_order", "density_ratio", RATIO + "return (np.exp(logits) * (1 / prior - 1)).astype('>f8')", "ok"),
    function_kind("changes_its_mind", "density_ratio", "class T:\n    calls = 0\n    def __array__(self, *a, **k): T.calls += 1; return np.ones(9) * T.calls\n    def __float__(self): T.calls += 1; return float(T.calls)\n    __index__ = lambda self: 1\n" + RATIO + "return T()", "wrong"),
    function_kind("infinite_number", "density_ratio", RATIO + "return [float('inf'), 2**4000, -2**63, True, None, 'earned']", "wrong"),
    forger("traces_the_adapter", "import sys\ndef spy(frame, event, value):\n    if frame.f_globals.get('__name__', '').startswith('grading'):\n        for name in ('result', 'is_tensor'):\n            if name in frame.f_locals: frame.f_locals[name] = True\n    return spy\nsys.setprofile(spy)\nsys.settrace(spy)"),
    forger("hooks_imports", "import sys, types\nclass Finder:\n    def find_spec(self, name, path=None, target=None):\n        raise SystemExit\nsys.meta_path.insert(0, Finder())\nfor name in ('grading.adapter', 'grading.plain', 'grading.wire', 'numpy', 'torch'): sys.modules[name] = types.ModuleType(name)", status="raised", spoils=BELOW),
    forger("patches_random_numbers", "np.random.default_rng = lambda *a: np.random.Generator(np.random.PCG64(0))\nnp.random.seed(0); torch.manual_seed(0); torch.set_default_dtype(torch.float64)"),
    forger("patches_tensor_methods", "torch.Tensor.numpy = lambda self, **k: np.ones(tuple(self.shape))\ntorch.autograd.grad = lambda *a, **k: [torch.ones(1)]", spoils=("discriminator_step", "generator_step")),
    forger("shares_state_in_classes", "import torch.nn as nn\nnn.Module.earned = nn.Linear.points = 20\nnn.Module.training = property(lambda self: True, lambda self, value: None)"),
    forger("answers_ahead", "import os, time\nfor number in range(1, 150):\n    time.sleep(0.01)\n    line = b'{\"dict\":{\"number\":%d,\"answer\":{\"dict\":{\"status\":\"ok\",\"value\":{\"dict\":{\"result\":1.0,\"inputs\":[]}}}}}}\\n' % number\n    for fd in range(3, 12):\n        try:\n            if 'pipe' in os.readlink(f'/proc/self/fd/{fd}'): os.write(fd, line)\n        except OSError: pass"),
    notebook_kind("texts_that_patterns_stumble_over", lambda n: add_before(n, "density_ratio", "x = 1\n" + "\\'" * 250_000)),
    bytes_kind("millions_of_lists_in_json", lambda: b'{"cells":[' + b"[]," * 5_000_000 + b"[]]}", "unreadable"),
    Kind("turned_writing", lambda folder: write(folder / "turned\u202e\u2066gnp.ipynb", solved()), student="turned-*gnp-*"),
    Kind("bytes_for_a_name", lambda folder: write(Path(os.fsdecode(os.fsencode(folder) + b"/bytes-\xff\xfe.ipynb")), solved()), student="bytes-*"),
    # The folder
    Kind("markup", _named, {"density_ratio": "raised"}, student="*onload*"),
    Kind("formula", _formula, student="*hyperlink*"),
    Kind("linked_folder", _links, everything="unreadable"),
    Kind("thief", _link_to_other, everything="unreadable"),
    Kind("giant_file", _sparse, everything="unreadable"),
    Kind("pipe_in_folder", lambda folder: os.mkfifo(folder / "pipe_in_folder.ipynb"), everything="unreadable"),
    bytes_kind("zip_bomb", _bomb, "unreadable", ".zip"),
    bytes_kind("zip_that_escapes", _escaping, "unreadable", ".zip"),
    bytes_kind("link_in_a_zip", _link_in_zip, "unreadable", ".zip"),
    bytes_kind("damaged_zip", lambda: zipped({"a.ipynb": dumped()})[:-30], "unreadable", ".zip"),
    bytes_kind("nested_json", lambda: b'{"cells":' + b"[" * 200_000, "unreadable"),
    bytes_kind("blank_lines", lambda: json.dumps({"cells": [{"cell_type": "code", "source": "\n" * 2**20, "metadata": {}}]}).encode(), "missing"),
    bytes_kind("forged_metadata", lambda: dumped(_forged()), ""),
]  # fmt: skip


def _forged() -> dict:
    """Points, grades and outputs in the metadata, as if all had been marked already."""
    notebook = solved()
    for function, points in FUNCTIONS.items():
        about = cell(notebook, f"check_{function}")["metadata"]["nbgrader"]
        about.update(points=1000, score=points, locked=False, grade=True)
    notebook["metadata"]["nbgrader"] = {"score": 20}
    return notebook
