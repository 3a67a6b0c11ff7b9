"""Runs in the sandbox: executes a submission's cells and calls its functions, one request line at a time.

Requests come as lines on standard input, answers leave as lines on standard output; see `grading.wire`.
The first line holds the settings: `user` (to become, or None) and `limits` (of `resource`, by name).
After it `{"read": source}` takes a cell apart, `{"run": source}` executes the Python of one (past errors with
`"to_end": true`), and `{"call": request}` is for `grading.adapter`. Every request has a `number`, which the
answer repeats.

All that the student's code can do to this module is to spoil its own answers: what is right is decided
elsewhere.
"""

import ast
import builtins
import contextlib
import gc
import importlib
import os
import re
import resource
import sys
import types
from typing import Any

from grading import wire
from grading.plain import kinds_of

DETAIL = 500
SHELL = re.compile(r"^(\s*)(?:[\w, ]+=\s*)?[!%?].*|^(\s*)[\w.]+\?\??\s*$")
TIMED = re.compile(r"^(\s*)%time\s+(\S.*)$")
# Cells of another language; what the other cell magics hold is Python.
FOREIGN = re.compile(
    r"%%(bash|sh|script|html|HTML|javascript|js|latex|markdown|svg|writefile|perl|ruby|system|shell)\b"
)
# What binds its names in a scope of its own.
SCOPES = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
)  # fmt: skip


def main() -> None:
    """Serve requests until standard input ends."""
    settings = wire.decode(os.fdopen(os.dup(0), "rb", buffering=0).readline())
    _confine(settings)
    _stand_in("torch._meta_registrations")
    gc.disable()  # nothing of an import is ever garbage, and looking for it takes an eighth of the time
    import torch

    from grading import adapter

    gc.enable()
    torch.set_num_threads(1)
    compiler = _stand_in("torch._dynamo")
    compiler.disable = lambda function=None, *values, **options: function or (lambda given: given)
    compiler.graph_break = lambda *values, **options: None
    requests, answers = os.fdopen(os.dup(0), "rb"), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # what the student prints goes nowhere, however much it is
        os.dup2(nothing, standard)
    module = _fresh_module()
    lacking: dict[str, str] = {}
    own = os.getpid()
    _send(answers, settings["number"], {"status": "ready"})
    while line := requests.readline():
        request = wire.decode(line)
        try:
            if "read" in request:
                python, ignored = without_magics(request["read"])
                answer = {"status": "ok", "python": python, "ignored": ignored}
            elif "run" in request:
                answer = run(request["run"], module.__dict__, lacking, request.get("to_end", False))
            else:
                answer = adapter.answer(module.__dict__, request["call"])
        except BaseException as error:
            answer = _failure(error)
        if os.getpid() != own:
            os._exit(0)  # the student forked, and this is the child
        try:
            _send(answers, request["number"], answer)
        except ValueError:
            said = {"status": "wrong", "detail": "returned more than can be written down"}
            _send(answers, request["number"], said)


def run(source: str, namespace: dict[str, Any], lacking: dict[str, str], to_end: bool) -> dict[str, Any]:
    """Execute the Python of a cell, statement by statement.

    A failed import does not stop it, nor does the want of a name that a failed statement would have bound;
    with `to_end`, no error does. `lacking` collects these names, each with the failure that it comes from.
    Answers `status`: `ok`, or `raised` with `kinds`, `detail` and `line` of the first failure, and `went_on`:
    whether there were statements below, and all were executed as well.
    """
    try:
        statements = ast.parse(source).body
    except BaseException as error:
        return {**_failure(error), "line": _line(error), "went_on": False}
    futures = [s for s in statements if isinstance(s, ast.ImportFrom) and s.module == "__future__"]
    first: dict[str, Any] = {}
    for index, statement in enumerate(statements):
        body = [*futures, statement] if statement not in futures else [statement]
        try:
            exec(compile(ast.Module(body, []), "<cell>", "exec", dont_inherit=True), namespace)
        except BaseException as error:
            failure = _failure(error)
            cause = _cause(error, lacking)
            if cause:
                failure["detail"] += f"; an earlier line failed: {cause}"
            goes_on = bool(cause) or isinstance(error, ImportError)
            goes_on = goes_on or (
                to_end and isinstance(error, Exception) and not isinstance(error, MemoryError)
            )
            below = statement is not statements[-1]
            first = first or {**failure, "line": _line(error), "went_on": below}
            cause = cause or ": ".join([*failure["kinds"][:1], failure["detail"]])[:200]
            for missed in [statement] if goes_on else statements[index:]:
                for name in _bound(missed):
                    lacking.setdefault(name, cause)
            if not goes_on:
                return {**first, "went_on": False}
    return first or {"status": "ok"}


def _cause(error: BaseException, lacking: dict[str, str]) -> str:
    """The failure for which there is no such name as a NameError asks for; empty where none is known."""
    name = error.name if type(error) is NameError else None
    return lacking.get(name, "") if type(name) is str else ""


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement binds in the cell's own scope."""
    names, left = set(), [statement]
    while left:
        node = left.pop()
        if isinstance(node, SCOPES):
            names |= {node.name} if hasattr(node, "name") else set()
            continue
        if isinstance(node, ast.alias):
            names.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        left += ast.iter_child_nodes(node)
    return names


def without_magics(source: str) -> tuple[str, list[str]]:
    """The Python of a cell, and the lines taken out of it because they are for the shell or for IPython.

    Of `%time statement` the statement stays.
    """
    ignored = []
    first = source.lstrip().split("\n", 1)[0]
    if first.startswith("%%"):
        ignored.append(first)
        if FOREIGN.match(first):
            return "", ignored
        source = source.replace(first, "", 1)
    lines = source.split("\n")
    # Only where Python stumbles: a line of a longer expression may well begin with %.
    for _ in range(2 * len(lines)):  # what was timed may be for the shell in its turn
        try:
            ast.parse("\n".join(lines))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            place = getattr(error, "lineno", None) or 0
            line = lines[place - 1] if 0 < place <= len(lines) else ""
            timed, magic = TIMED.match(line), SHELL.match(line)
            if timed:
                lines[place - 1] = timed[1] + timed[2]
                continue
            if magic is None:
                break
            ignored.append(lines[place - 1].strip())
            lines[place - 1] = (magic[1] or magic[2] or "") + "pass"
        else:
            break
    return "\n".join(lines), ignored


def _stand_in(name: str) -> types.ModuleType:
    """Put an empty module in the place of one of torch's; whoever wants something of it gets the real one.

    Torch imports its shape functions for tensors without data, and every optimiser its compiler. No homework
    needs them, and importing the two takes longer than all the rest of marking one.
    """

    def real(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    stand_in = types.ModuleType(name)
    folder = name.rpartition(".")[2]
    stand_in.__path__ = [os.path.join(path, "torch", folder) for path in sys.path]
    stand_in.__getattr__ = real
    sys.modules[name] = stand_in
    return stand_in


class _Silent:
    """Stands for IPython's shell: takes every call and does nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *values, **options: None


def _fresh_module() -> types.ModuleType:
    def no_input(prompt: object = "") -> str:
        raise EOFError("input() was called, but nobody is there to answer while homework is marked")

    builtins.input = no_input
    module = types.ModuleType("__main__")
    shell = _Silent()
    module.__dict__.update(get_ipython=lambda: shell, display=lambda *values, **options: None)
    sys.modules["__main__"] = module  # dataclasses and pickle look their classes up there
    return module


def _confine(settings: dict[str, Any]) -> None:
    user = settings["user"]
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    for name, value in settings["limits"].items():
        kind = getattr(resource, f"RLIMIT_{name}")
        most = resource.getrlimit(kind)[1]
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (value, value))
    # Should the machine run out of memory, this process goes first.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")


def _failure(error: BaseException) -> dict[str, Any]:
    try:
        detail = str(error.msg if isinstance(error, SyntaxError) else error)[:DETAIL]
    except BaseException:
        detail = ""
    return {"status": "raised", "kinds": kinds_of(error), "detail": detail}


def _line(error: BaseException) -> int | None:
    """The line of the cell in which it failed."""
    if isinstance(error, SyntaxError):
        return error.lineno if type(error.lineno) is int else None
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<cell>":
            line = trace.tb_lineno
            break
        trace = trace.tb_next
    return line


def _send(channel: int, number: int, answer: dict[str, Any]) -> None:
    left = memoryview(wire.encode({"number": number, "answer": answer}))
    while left:
        left = left[os.write(channel, left) :]
