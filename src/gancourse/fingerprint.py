"""A hash of whatever decides how a computation ends: code, constants, weights, data.

A function is described by its compiled code and by all that this code reaches: default arguments, closures
and the globals that it names, at any depth. So two functions differ when a constant in a dictionary differs,
and do not when only a comment does. What an installed package brings is described by its name and code alone.
"""

import dataclasses
import dis
import functools
import hashlib
import re
import sys
import types
import weakref
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

# Packages whose objects are described by their attributes; of others, such as figures, only the type is.
OPEN = {"torch", "numpy", "scipy", "gancourse", "builtins", "collections", "itertools", "functools", "types"}
_PLAIN = (bool, int, float, complex, str, bytes, range, PurePath, torch.dtype, torch.device, torch.Size)
_BUILTIN = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_OWN_TO_MODULES = frozenset(vars(nn.Module()))
_OWN_TO_CLASSES = {
    "__module__",
    "__dict__",
    "__weakref__",
    "__doc__",
    "__annotations__",
    "__dataclass_fields__",
}
_OWN_TO_CLASSES |= {"__dataclass_params__", "__firstlineno__", "__static_attributes__", "__orig_bases__"}
_DESCRIPTORS = (types.GetSetDescriptorType, types.MemberDescriptorType)


class Fingerprint:
    """Adds values of any type to one hash.

    Attributes:
        unread: types of objects that were met and could not be described; their changes go unnoticed.

    Args:
        known: named parts that may change without changing the hash. Where they, or what they are made of,
            are met, their names stand for them.
    """

    def __init__(self, known: Mapping[str, Any] | None = None):
        self.unread: set[str] = set()
        self._hash = hashlib.sha256()
        self._seen: dict[int, str] = {}
        self._kept: list[Any] = []  # what is described stays alive, so that no address is used twice
        for name, part in (known or {}).items():
            self._mark(part, name)
            if isinstance(part, nn.Module):
                inside = (part.named_modules(), part.named_parameters(), part.named_buffers())
                for within, value in (pair for pairs in inside for pair in pairs):
                    self._mark(value, f"{name}.{within}")

    def hexdigest(self) -> str:
        """The hash of all that was added."""
        return self._hash.hexdigest()

    def add(self, value: Any) -> None:
        """Add a value and all that it reaches."""
        if value is None or (isinstance(value, _PLAIN) and not isinstance(value, Enum)):
            self._put(type(value).__name__, repr(value))
        elif id(value) in self._seen:
            self._put("again", self._seen[id(value)])
        else:
            # Whether two equal constants are one object is Python's affair.
            if not isinstance(value, tuple | frozenset | np.generic | types.CodeType):
                self._mark(value, str(len(self._seen)))
            self._describe(value)

    def _put(self, *words: str) -> None:
        self._hash.update(("\0".join(words) + "\1").encode())

    def _mark(self, value: Any, name: str) -> None:
        self._seen.setdefault(id(value), name)
        self._kept.append(value)

    def _each(self, kind: str, values: Any) -> None:
        values = list(values)
        self._put(kind, str(len(values)))
        for value in values:
            self.add(value)

    def _describe(self, value: Any) -> None:
        if isinstance(value, Tensor):
            self._tensor(value)
        elif isinstance(value, np.ndarray | np.generic):
            array = np.asarray(value)
            self._put("array", str(array.dtype), str(array.shape))
            if array.dtype.hasobject:
                self._each("objects", array.flat)
            else:
                self._hash.update(array.tobytes())
        elif isinstance(value, torch.Generator):
            self._put("generator")
            self.add(value.get_state())
        elif isinstance(value, np.random.Generator | np.random.RandomState):
            bits = getattr(value, "bit_generator", None) or value._bit_generator
            self._put("generator", type(bits).__name__)
            self.add(bits.state)
        elif isinstance(value, nn.Module):
            self._module(value)
        elif isinstance(value, torch.optim.Optimizer):
            self._optimizer(value)
        elif isinstance(value, Enum):
            self._put("enum", type(value).__qualname__, value.name)
        elif isinstance(value, Mapping):
            self._put(_name(type(value)))
            self._each("mapping", (part for pair in value.items() for part in pair))
            self._each("attributes", sorted(getattr(value, "__dict__", {}).items()))
        elif isinstance(value, set | frozenset):
            self._put("set", *sorted(self._apart(item) for item in value))
        elif isinstance(value, list | tuple):
            self._put(_name(type(value)))
            self._each("sequence", value)
        else:
            self._code_or_object(value)

    def _code_or_object(self, value: Any) -> None:
        if isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, types.MethodType):
            self._each("method", (value.__func__, value.__self__))
        elif isinstance(value, _BUILTIN):
            owner = getattr(value, "__self__", None)
            self._put("builtin", str(getattr(value, "__module__", "")), value.__qualname__)
            # What C code ties its functions to has nothing to tell.
            is_own = isinstance(owner, types.ModuleType) or type(owner).__name__.startswith(
                ("PyCapsule", "pybind11")
            )
            self.add(None if is_own else owner)
        elif isinstance(value, types.CodeType):
            self._code(value)
        elif isinstance(value, types.CellType):
            self._each("cell", _content(value))
        elif isinstance(value, types.ModuleType):
            self._put("module", value.__name__)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, functools.partial):
            self._each("partial", (value.func, value.args, value.keywords))
        elif isinstance(value, staticmethod | classmethod):
            self._each(type(value).__name__, (value.__func__,))
        elif isinstance(value, property):
            self._each("property", (value.fget, value.fset, value.fdel))
        elif isinstance(value, weakref.ref):
            self._put("weak reference")
        elif hasattr(value, "__wrapped__"):
            self._each("wrapped", (value.__wrapped__,))
        else:
            self._object(value)

    def _apart(self, value: Any) -> str:
        other = Fingerprint()
        other.add(value)
        self.unread |= other.unread
        return other.hexdigest()

    def _tensor(self, tensor: Tensor) -> None:
        self._put("tensor", str(tensor.dtype), str(tensor.requires_grad))
        if is_lazy(tensor):
            return
        array = tensor.detach().cpu().contiguous()
        self._put(str(tuple(array.shape)))
        self._hash.update(array.flatten().view(torch.uint8).numpy().tobytes())

    def _module(self, module: nn.Module) -> None:
        self.add(type(module))
        self._put(str(module.training))
        own = {name: value for name, value in vars(module).items() if name not in _OWN_TO_MODULES}
        for parts in (module._parameters, module._buffers, module._modules, own):
            self._each("parts", (item for pair in parts.items() for item in pair))
        for hooks in _HOOKS:  # without their keys, which count the hooks of the whole process
            self._each(hooks, getattr(module, hooks).values())

    def _optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        self.add(type(optimizer))
        self._each("groups", optimizer.param_groups)
        self._each("state", (item for pair in optimizer.state.items() for item in pair))
        own = ("defaults", "state", "param_groups", "step")  # a scheduler puts its own step there
        others = {name: value for name, value in vars(optimizer).items() if name not in own}
        self._each("attributes", ((name, value) for name, value in others.items() if "_" not in name[:1]))

    def _object(self, value: Any) -> None:
        kind = type(value)
        self.add(kind)
        if dataclasses.is_dataclass(value):
            fields = [field.name for field in dataclasses.fields(value) if field.compare]
            self._each("fields", ((name, getattr(value, name)) for name in fields))
            return
        if kind.__module__ == "_thread":  # locks
            return
        if _is_installed(kind.__module__) and kind.__module__.partition(".")[0] not in OPEN:
            self.unread.add(_name(kind))
            return
        slots = [name for base in kind.__mro__ for name in _slots(base) if hasattr(value, name)]
        attributes = {name: getattr(value, name) for name in slots} | getattr(value, "__dict__", {})
        if attributes or hasattr(value, "__dict__"):
            self._each("attributes", attributes.items())
            return
        text, addresses = re.subn(r" at 0x[0-9a-fA-F]+", "", repr(value))
        self._put(text)
        if addresses:
            self.unread.add(_name(kind))

    def _class(self, kind: type) -> None:
        self._put("class", _name(kind))
        if _is_installed(kind.__module__):
            return
        self._each("bases", kind.__bases__)
        own = {name: value for name, value in vars(kind).items() if name not in _OWN_TO_CLASSES}
        own = {name: value for name, value in own.items() if not isinstance(value, _DESCRIPTORS)}
        self._each("members", ((name, value) for name, value in own.items() if not name.startswith("_abc_")))

    def _function(self, function: types.FunctionType) -> None:
        installed = _is_installed(function.__module__ or "")
        self._put("function", f"{function.__module__}.{function.__qualname__}" if installed else "")
        self._code(function.__code__)
        self.add(function.__defaults__)
        self.add(function.__kwdefaults__)
        self._each("closure", function.__closure__ or ())
        if not installed:
            self._each("attributes", vars(function).items())
            self._globals(function)

    def _globals(self, function: types.FunctionType) -> None:
        codes = list(_nested(function.__code__))
        attributes = sorted({name for code in codes for name in code.co_names})
        instructions = (step for code in codes for step in dis.get_instructions(code))
        named = {step.argval for step in instructions if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
        for name in sorted(named):
            if name not in function.__globals__:  # a builtin, or nothing yet
                self._put("global", name)
                continue
            value = function.__globals__[name]
            self._put("global", name)
            self.add(value)
            if isinstance(value, types.ModuleType) and not _is_installed(value.__name__):
                self._each("members", (getattr(value, part) for part in attributes if hasattr(value, part)))

    def _code(self, code: types.CodeType) -> None:
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        self._put("code", repr(names), repr(counts))
        self._hash.update(code.co_code + getattr(code, "co_exceptiontable", b""))
        self._each("constants", code.co_consts)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _content(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # nothing was put in yet
        return ()


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code and those of the functions, comprehensions and classes within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _is_installed(module: str) -> bool:
    """Whether a module came with Python or with a package rather than from the reader's own hands."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in {"gancourse", "builtins"}:
        return True
    if module == "__main__" or module not in sys.modules:
        return False
    file = getattr(sys.modules[module], "__file__", None)
    return file is None or not {"site-packages", "dist-packages"}.isdisjoint(PurePath(file).parts)
