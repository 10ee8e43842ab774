"""Reads a pickle as data: a small machine of our own over its opcodes, which can call nothing but what stands here.

It knows tensors, their storages, NumPy arrays and scalars, dicts, and objects whose stored attributes are kept while
their source is ignored. Whatever else a file names is refused by that name, before anything is made of it. Python's
own unpickler is not used: its memo and its stack can be made to ask for gigabytes.
"""

import io
import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

from advgen.core.errors import BadFile
from advgen.generators.stylegan2.storages import DTYPES, NUMPY_DTYPES, Storage, TensorRef, row_major

MAX_STEPS = 1_000_000  # opcodes in a file; StyleGAN2 at 1024 pixels with its optimisers has about a tenth
MAX_LARGE_KEYS = 10_000  # integers as keys whose hashes could be made to collide
NESTED_DEPTH = 1  # a pickle inside the bytes of a storage, and no further


class Named(NamedTuple):
    """A class or function that the file names; a name, not the thing."""

    name: str


class Stored:
    """An object as stored: the class it claims and its attributes."""

    def __init__(self, name: str, state: Any = None) -> None:
        self.name = name
        self.state = state


class Machine:
    """What all pickles of one file share: their steps are counted together."""

    def __init__(self, size: int, nested: Callable[[bytes, "Machine"], Any]) -> None:
        self.steps = 0
        self.large_keys = 0
        self.copied = 0
        self.depth = 0
        self._size = size
        self._nested = nested
        self._seen: dict[int, tuple[bytes, Any]] = {}

    def read(self, stream: io.BytesIO, storage: Callable[[tuple[Any, ...]], Storage]) -> Any:
        """The object of the pickle at the stream's position, which is left behind its end.

        Raises:
            BadFile: it asks for anything else than data, or for too much.
            ValueError, IndexError, KeyError, TypeError: it is damaged.
        """
        return _Run(self, storage).read(stream)

    def copies(self, count: int) -> None:
        """Counts bytes copied on the file's request; through the memo it could ask for the same ones again."""
        self.copied += count
        if self.copied > 16 * self._size + 1_000_000:
            raise BadFile("asks for the same content to be copied over and over")

    def inner(self, data: Any) -> Any:
        """The object in the bytes of a storage."""
        if type(data) is not bytes:
            raise BadFile("gives torch.storage._load_from_bytes something else than bytes")
        if id(data) not in self._seen:
            if self.depth >= NESTED_DEPTH:
                raise BadFile("nests pickles in pickles in pickles")
            self.depth += 1
            self._seen[id(data)] = (data, self._nested(data, self))
            self.depth -= 1
        return self._seen[id(data)][1]


class _Run:
    """One pickle being read."""

    def __init__(self, machine: Machine, storage: Callable[[tuple[Any, ...]], Storage]) -> None:
        self.machine = machine
        self.storage = storage
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def read(self, stream: io.BytesIO) -> Any:
        for opcode, arg, _ in pickletools.genops(stream):
            self.machine.steps += 1
            if self.machine.steps > MAX_STEPS:
                raise BadFile(f"takes more than {MAX_STEPS} steps to read")
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in _VALUES:
                self.stack.append(arg)
            elif name in _MAKERS:
                self.stack.append(_MAKERS[name]())
            elif name in _STEPS:
                _STEPS[name](self, arg)
            elif name not in ("PROTO", "FRAME"):
                raise BadFile(f"uses the pickle instruction {name}, which no weight file needs")
        raise ValueError("the pickle has no end")

    def marked(self) -> list[Any]:
        at = self.marks.pop()
        items = self.stack[at:]
        del self.stack[at:]
        return items

    def put(self, index: Any) -> None:
        if not 0 <= index < 2**32:
            raise BadFile("has a memo index out of range")
        self.memo[index] = self.stack[-1]

    def items(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(pairs) % 2:
            raise BadFile("sets items of what is no dict")
        for key, value in zip(pairs[::2], pairs[1::2]):
            # Hashing a tuple of tuples of tuples can take for ever.
            if type(key) not in (str, bytes, int, bool, type(None)):
                raise BadFile(f"has a {type(key).__name__} as the key of a dict")
            if type(key) is int and not 0 <= key < 2**20:
                self.machine.large_keys += 1
                if self.machine.large_keys > MAX_LARGE_KEYS or abs(key) >= 2**63:
                    raise BadFile("has too many large numbers as keys of dicts")
            target[key] = value

    def extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise BadFile("appends to what is no list")
        target.extend(values)

    def name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise BadFile("names a function by something else than text")
        whole = f"{module}.{name}"
        if whole not in _CALLS and whole not in _NAMES:
            raise BadFile(f"asks for {whole[:80]!r}, which is not data; nothing was run")
        self.stack.append(Named(whole))

    def call(self, arg: Any) -> None:
        args, called = self.stack.pop(), self.stack.pop()
        if type(called) is not Named or called.name not in _CALLS or type(args) is not tuple:
            raise BadFile("calls something that is no function")
        self.stack.append(_CALLS[called.name](self.machine, *args))

    def build(self, arg: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is dict:
            return  # attributes of a dict, such as the versions that torch hangs onto a state_dict
        if type(target) is not Stored:
            raise BadFile("gives attributes to something that has none")
        if target.name == "numpy.dtype":
            if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", "|", "="):
                raise BadFile("holds numbers in another byte order than little-endian")
        elif target.state is not None:
            raise BadFile("gives an object its attributes twice")
        elif target.name == "numpy.ndarray":
            _, shape, dtype, columns_first, data = state
            target.state = _array(data, dtype, shape, "F" if columns_first else "C")
        else:
            target.state = state

    def persistent(self, arg: Any) -> None:
        given = self.stack.pop()
        if type(given) is not tuple or len(given) < 5 or given[0] != "storage" or any(v is not None for v in given[5:]):
            raise BadFile("refers to something outside the pickle that is no storage")
        if type(given[1]) is not Named or given[1].name not in DTYPES:
            raise BadFile("refers to a storage of no known type")
        self.stack.append(self.storage(given))


def _tensor(machine: Machine, storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> TensorRef:
    if type(storage) is not Storage:
        raise BadFile("makes a tensor of something that is no storage")
    return TensorRef.checked(storage, offset, shape, stride)


def _parameter(machine: Machine, data: Any, *rest: Any) -> TensorRef:
    if type(data) is not TensorRef:
        raise BadFile("makes a parameter of something that is no tensor")
    return data


def _persistent(machine: Machine, meta: Any) -> Stored:
    if type(meta) is not dict or meta.get("type") != "class" or type(meta.get("class_name")) is not str:
        raise BadFile("holds an object that is no instance of a stored class")
    return Stored(meta["class_name"], meta.get("state"))


def _dict(machine: Machine, *args: Any) -> dict[Any, Any]:
    if args and args != ([],):
        raise BadFile("fills an ordered dict in a way that no weight file does")
    return {}


def _set(machine: Machine, *args: Any) -> Stored:
    return Stored("set", [])  # members of a set are of no use here


def _encoded(machine: Machine, text: Any, encoding: Any = "latin1") -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise BadFile("encodes text in another way than latin1")
    machine.copies(len(text))
    return text.encode("latin1")


def _dtype(machine: Machine, code: Any, *rest: Any) -> Stored:
    if type(code) is not str or code.lstrip("<|=") not in NUMPY_DTYPES:
        raise BadFile("holds NumPy values that are no plain numbers")
    return Stored("numpy.dtype", code.lstrip("<|="))


def _scalar(machine: Machine, dtype: Any, data: Any) -> float:
    if type(data) is not bytes or len(data) > 8:
        raise BadFile("holds a NumPy number that is none")
    value: float = _array(data, dtype, (), "C").tensor().item()
    return value


def _from_buffer(machine: Machine, data: Any, dtype: Any, shape: Any, order: Any) -> Stored:
    return Stored("numpy.ndarray", _array(data, dtype, shape, order))


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> TensorRef:
    if type(dtype) is not Stored or dtype.name != "numpy.dtype" or type(data) not in (bytes, bytearray):
        raise BadFile("holds a NumPy array that is no plain numbers")
    kind = NUMPY_DTYPES[dtype.state]
    storage = Storage(kind, len(data) // kind.itemsize, memoryview(data))
    strides = row_major(shape) if order == "C" else tuple(reversed(row_major(tuple(reversed(shape)))))
    return TensorRef.checked(storage, 0, shape, strides)


def _of(name: str) -> Callable[..., Stored]:
    return lambda machine, *args: Stored(name)


_VALUES = frozenset(
    ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
    + ("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
    + ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")
)
_MAKERS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": lambda: Stored("set", []),
}


_STEPS: dict[str, Callable[[_Run, Any], None]] = {
    "MARK": lambda run, arg: run.marks.append(len(run.stack)),
    "POP": lambda run, arg: _popped(run),
    "POP_MARK": lambda run, arg: run.marked() and None,
    "DUP": lambda run, arg: run.stack.append(run.stack[-1]),
    "PUT": lambda run, arg: run.put(arg),
    "BINPUT": lambda run, arg: run.put(arg),
    "LONG_BINPUT": lambda run, arg: run.put(arg),
    "MEMOIZE": lambda run, arg: run.put(len(run.memo)),
    "GET": lambda run, arg: run.stack.append(run.memo[arg]),
    "BINGET": lambda run, arg: run.stack.append(run.memo[arg]),
    "LONG_BINGET": lambda run, arg: run.stack.append(run.memo[arg]),
    "LIST": lambda run, arg: run.stack.append(run.marked()),
    "TUPLE": lambda run, arg: run.stack.append(tuple(run.marked())),
    "TUPLE1": lambda run, arg: run.stack.append((run.stack.pop(),)),
    "TUPLE2": lambda run, arg: _tuple(run, 2),
    "TUPLE3": lambda run, arg: _tuple(run, 3),
    "DICT": lambda run, arg: _filled(run),
    "APPEND": lambda run, arg: run.extend([run.stack.pop()]),
    "APPENDS": lambda run, arg: run.extend(run.marked()),
    "SETITEM": lambda run, arg: run.items([run.stack.pop(-2), run.stack.pop()]),
    "SETITEMS": lambda run, arg: run.items(run.marked()),
    "ADDITEMS": lambda run, arg: _added(run),
    "GLOBAL": lambda run, arg: run.name(*arg.split(" ", 1)),
    "STACK_GLOBAL": lambda run, arg: run.name(run.stack.pop(-2), run.stack.pop()),
    "REDUCE": _Run.call,
    "NEWOBJ": _Run.call,
    "BUILD": _Run.build,
    "BINPERSID": _Run.persistent,
}


def _popped(run: _Run) -> None:
    stack = run.marks if run.marks[-1:] == [len(run.stack)] else run.stack
    stack.pop()


def _tuple(run: _Run, count: int) -> None:
    items = tuple(run.stack[-count:])
    if len(items) < count:
        raise IndexError("stack is empty")
    del run.stack[-count:]
    run.stack.append(items)


def _filled(run: _Run) -> None:
    pairs = run.marked()
    run.stack.append({})
    run.items(pairs)


def _added(run: _Run) -> None:
    run.marked()  # the members of a set are of no use here
    if type(run.stack[-1]) is not Stored or run.stack[-1].name != "set":
        raise BadFile("adds members to what is no set")


_CALLS: dict[str, Callable[..., Any]] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.storage._load_from_bytes": lambda machine, data: machine.inner(data),
    "torch.Size": lambda machine, *args: args[0] if args else (),
    "torch.device": _of("torch.device"),
    "collections.OrderedDict": _dict,
    "dnnlib.util.EasyDict": _dict,
    "dnnlib.EasyDict": _dict,
    "builtins.set": _set,
    "__builtin__.set": _set,
    "argparse.Namespace": _of("argparse.Namespace"),
    "_codecs.encode": _encoded,
    "numpy.dtype": _dtype,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.core.multiarray._reconstruct": _of("numpy.ndarray"),
    "numpy._core.multiarray._reconstruct": _of("numpy.ndarray"),
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy._core.numeric._frombuffer": _from_buffer,
}
_NAMES = frozenset({*DTYPES, "numpy.ndarray"})
