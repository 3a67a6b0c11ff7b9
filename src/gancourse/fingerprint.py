"""A hash of whatever decides how a computation ends: code, constants, weights, data.

A function is described by its compiled code and by all that this code reaches: default arguments, closures
and the globals that it names, at any depth. So two functions differ when a constant in a dictionary differs,
and do not when only a comment does. What an installed package brings is described by its name and code alone.

A pickle's hash does not serve: joblib's takes functions by name, so that no edit shows, and cloudpickle's
differs between processes and with every line that moves.
"""

import collections
import dis
import functools
import hashlib
import io
import random
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
from torch.distributions.utils import lazy_property
from torch.nn.parameter import is_lazy

# Packages whose objects are described by their attributes; of others, such as figures, only the type is.
OPEN = {"torch", "numpy", "scipy", "gancourse", "builtins", "collections", "itertools", "functools", "types"}
OPEN |= {"argparse", "array", "dataclasses", "datetime", "decimal", "fractions", "operator", "re", "typing"}
DEEPEST = 120  # values within values, before Python's own limit
_PLAIN = (bool, int, float, complex, str, bytes, range, PurePath, torch.dtype, torch.device, torch.Size)
_BUILTIN = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
OWN_TO_MODULES = frozenset(vars(nn.Module())) | {"_compiled_call_impl"}  # the latter by `compile()`
_OWN_TO_CLASSES = {
    "__module__",
    "__dict__",
    "__weakref__",
    "__doc__",
    "__annotations__",
    "__dataclass_fields__",
}
_OWN_TO_CLASSES |= {"__dataclass_params__", "__firstlineno__", "__static_attributes__", "__orig_bases__"}
_DESCRIPTORS = (
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    type(collections.namedtuple("_Pair", "one other").one),
)
_WEAK = (weakref.ref, weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet)
# Random generators of the whole process, which every checkpoint holds.
_DICE = {
    "random": random.random.__self__,
    "numpy": np.random.get_state.__self__,
    "torch": torch.default_generator,
}


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
        self._number = self._depth = 0
        for name, part in {**_DICE, **(known or {})}.items():
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
        elif self._depth == DEEPEST:
            self.unread.add(f"{_name(type(value))} within {DEEPEST} others")
        else:
            # Whether two equal constants are one object is Python's affair.
            if not isinstance(value, tuple | frozenset | np.generic | types.CodeType):
                self._number += 1
                self._mark(value, str(self._number))
            self._depth += 1
            self._describe(value)
            self._depth -= 1

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
            if array.dtype.names:
                self._each("fields", (array[name] for name in array.dtype.names))
            elif array.dtype.hasobject:
                self._each("objects", array.flat)
            else:
                self._hash.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
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
            self._each("enum", (type(value), str(value.name), value.value))
        elif isinstance(value, _WEAK):
            self._put("weak")
        elif isinstance(value, Mapping):
            self._each("mapping", (type(value), getattr(value, "default_factory", None)))
            self._each("items", (part for pair in value.items() for part in pair))
            self._each("attributes", sorted(_attributes(value).items()))
        elif isinstance(value, set | frozenset):
            self._put("set", *sorted(self._apart(item) for item in value))
        elif isinstance(value, list | tuple | collections.deque):
            self._each("sequence", (type(value), *value))
            self._each("attributes", sorted(_attributes(value).items()))
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
        elif type(value).__name__ == "cython_function_or_method":
            self._put("builtin", str(value.__module__), value.__qualname__)
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
        if tensor.is_nested:
            self._each("nested", tensor.unbind())
            return
        self._put(str(tuple(tensor.shape)), str(tensor.layout))
        if tensor.is_meta:
            return
        array = tensor.detach().cpu()
        if array.layout != torch.strided or array.is_quantized:
            saved = io.BytesIO()
            torch.save(array, saved)
            self._hash.update(saved.getvalue())
            return
        array = array.resolve_conj().resolve_neg().contiguous()
        self._hash.update(array.reshape(-1).view(torch.uint8).numpy())  # as it lies, without a copy

    def _module(self, module: nn.Module) -> None:
        if isinstance(vars(module)["_modules"].get("_orig_mod"), nn.Module):  # what torch.compile made
            self.add(module._orig_mod)
            return
        self.add(type(module))
        self._put(str(module.training))
        own = {name: value for name, value in vars(module).items() if name not in OWN_TO_MODULES}
        own = {name: value for name, value in own.items() if not isinstance(value, Tensor) or value.is_leaf}
        for parts in (module._parameters, module._buffers, module._modules, own):
            self._each("parts", (item for pair in parts.items() for item in pair))
        for hooks in _HOOKS:  # without their keys, which count the hooks of the whole process
            self._each(hooks, getattr(module, hooks).values())

    def _optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        self.add(type(optimizer))
        # By name: loading a state puts the settings of a group into another order.
        self._each("groups", (sorted(group.items()) for group in optimizer.param_groups))
        for parameter, entries in optimizer.state.items():
            self._each("state", (parameter, sorted(entries.items())))
        own = ("defaults", "state", "param_groups", "step")  # a scheduler puts its own step there
        others = {name: value for name, value in vars(optimizer).items() if name not in own}
        self._each("attributes", ((name, value) for name, value in others.items() if "_" not in name[:1]))

    def _object(self, value: Any) -> None:
        kind = type(value)
        self.add(kind)
        # A count of the process's hooks, locks, and marks that stand for nothing but themselves.
        if kind is object or kind.__module__ in ("_thread", "torch.utils.hooks"):
            return
        is_installed = _is_installed(kind.__module__)
        if is_installed and kind.__module__.partition(".")[0] not in OPEN:
            self.unread.add(_name(kind))
            return
        members = {name: member for base in reversed(kind.__mro__) for name, member in vars(base).items()}
        attributes = {name: getattr(value, name) for name in _slots(kind) if hasattr(value, name)}
        attributes |= _attributes(value)
        if is_installed and "__dataclass_fields__" in members:
            fields = members["__dataclass_fields__"].values()
            attributes = {field.name: getattr(value, field.name) for field in fields if field.compare}
        for name, member in members.items():
            if isinstance(member, functools.cached_property):
                attributes.pop(name, None)
            elif isinstance(member, lazy_property):  # described as if it had been used
                try:
                    attributes[name] = getattr(value, name)
                except Exception:  # of a kind that cannot compute it
                    attributes.pop(name, None)
        if attributes or hasattr(value, "__dict__"):
            self._each("attributes", sorted(attributes.items(), key=lambda pair: pair[0]))
            return
        text, addresses = re.subn(r" at 0x[0-9a-fA-F]+", "", repr(value))
        self._put(text)
        if addresses:
            self.unread.add(_name(kind))

    def _class(self, kind: type) -> None:
        self._put("class", _name(kind))
        if _is_installed(kind.__module__):
            return
        self._each("bases", (type(kind), *kind.__bases__))
        own = {name: value for name, value in vars(kind).items() if name not in _OWN_TO_CLASSES}
        own = {name: value for name, value in own.items() if not isinstance(value, _DESCRIPTORS)}
        self._each("members", ((name, value) for name, value in own.items() if not name.startswith("_abc_")))

    def _function(self, function: types.FunctionType) -> None:
        if "_torchdynamo_orig_callable" in vars(function):  # what torch.compile made
            self.add(function._torchdynamo_orig_callable)
            return
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
        steps = [step for code in codes for step in dis.get_instructions(code)]
        named = {step.argval for step in steps if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
        for name in sorted(named):
            self._put("global", name)
            if name in function.__globals__:  # else a builtin, or nothing yet
                self.add(function.__globals__[name])
                self._members(function.__globals__[name], attributes, set())
        for name in sorted({step.argval for step in steps if step.opname == "IMPORT_NAME"}):
            self._members(sys.modules.get(name), attributes, set())

    def _members(self, module: Any, names: list[str], been: set[str]) -> None:
        """What code can mean by these names behind a module of the reader's own."""
        if not isinstance(module, types.ModuleType) or _is_installed(module.__name__):
            return
        been.add(module.__name__)
        for name in names:
            if name in vars(module):
                member = vars(module)[name]
                self._put("member", name)
                self.add(member)
                if isinstance(member, types.ModuleType) and member.__name__ not in been:
                    self._members(member, names, been)

    def _code(self, code: types.CodeType) -> None:
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        self._put("code", repr(names), repr(counts))
        self._hash.update(code.co_code + getattr(code, "co_exceptiontable", b""))
        self._each("constants", code.co_consts)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _attributes(value: Any) -> dict[str, Any]:
    """What stands in an object itself, whatever its class answers when it is asked."""
    try:
        return dict(object.__getattribute__(value, "__dict__"))
    except AttributeError:
        return {}


def _slots(kind: type) -> list[str]:
    found = []
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        found += [slots] if isinstance(slots, str) else slots
    return found


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
