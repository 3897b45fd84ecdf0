"""Where compiled kernels are kept on disk, and what makes them fresh, stale or damaged.

Jobs
----
- `STAMP`: a hash of everything in this folder that is compiled. Numba's own cache looks at the file of the entry point
  alone, so it would load stale code after an edit of a callee.
- `CACHE_FOLDER`: the first folder that can be written to, or None.
- `compile_once`: compile a signature, in one process of this machine at a time.
- `attach_cache`: give a dispatcher the disk cache. One file holds one compiled signature: its checksum, then its code.
  A file that is missing, cut short, damaged or foreign is a miss, and is written anew. A cache that cannot be written
  costs one warning and the next process's time, never a fit.

Numba's cache keeps an index beside the code. Two processes that write it at once can leave an index that names the
other's file for a signature, so there is no index here: a file's name says which signature it holds.
"""

import contextlib
import gc
import hashlib
import os
import pathlib
import pickle
import re
import sys
import tempfile
import time
import types
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numba
from numba.core import caching, sigutils
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher
from numba.core.errors import termcolor
from numba.core.runtime import rtsys
from numba.core.serialize import dumps
from numba.core.types.functions import BaseFunction
from numba.core.typing.context import BaseContext

_FOLDER = pathlib.Path(__file__).parent
_MAGIC = b"fastnn kernel 1\n"
_CHECKSUM_BYTES = 16
_POLL_SECONDS = 0.01  # how often a process looks whether another one has compiled what it wants
_MOST_SECONDS = 30.0  # for which it waits: no unit takes as long, unless the other process is stopped


# -- what is fresh -----------------------------------------------------------------------------------------------------


def content_stamp(folder: pathlib.Path) -> str:
    """Return a hash of all sources below a folder, of bytecode where there is no source, or "" without either.

    Equal stamps mean equal compiled code.
    """
    modules = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]  # thousands of kernels may lie there
        sources = {name for name in files if name.endswith(".py")}
        bytecode = {name for name in files if name.endswith(".pyc") and name[:-1] not in sources}
        modules += [pathlib.Path(place, name) for name in sources | bytecode]
    if not modules:
        return ""  # inside an archive or a frozen program, say
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(modules):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


STAMP = content_stamp(_FOLDER)


# -- where -------------------------------------------------------------------------------------------------------------


def _candidate_folders() -> Iterator[pathlib.Path]:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        yield pathlib.Path(chosen).absolute() / "fastnn"
    yield _FOLDER / "__pycache__"
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    with contextlib.suppress(RuntimeError):  # a user without a home, as in a container that runs under any number
        yield (pathlib.Path(base).absolute() if base else pathlib.Path.home() / ".cache") / "fastnn"


def _is_writable(folder: pathlib.Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def find_cache_folder(stamp: str = STAMP) -> pathlib.Path | None:
    """Return the first folder that can be written to; without one, or without a stamp, warn and return None."""
    anew = "so every process compiles them anew (some seconds)."
    if not stamp:
        warnings.warn(
            f"fastnn found neither the sources nor the bytecode of its kernels (is this a frozen program?), {anew}",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    for folder in _candidate_folders():
        if _is_writable(folder):
            return folder
    warnings.warn(
        f"fastnn found no writable folder for its compiled kernels, {anew} "
        "Set the environment variable NUMBA_CACHE_DIR to a writable folder.",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


CACHE_FOLDER = find_cache_folder()


# -- one file ----------------------------------------------------------------------------------------------------------


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM_BYTES).digest()


def read_entry(path: pathlib.Path) -> tuple | None:
    """Return what `write_entry` wrote, or None where the file is missing, damaged or not ours."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    start = len(_MAGIC) + _CHECKSUM_BYTES
    body = content[start:]
    if content[:start] != _MAGIC + _checksum(body):
        return None
    try:
        return pickle.loads(body)
    except Exception:  # unpickling raises anything
        return None


def write_entry(path: pathlib.Path, entry: tuple) -> None:
    """Write a file that is there as a whole or not at all, for readers and writers in other processes too."""
    body = dumps(entry)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        temporary.write_bytes(_MAGIC + _checksum(body) + body)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


_has_warned = False


def _warn_once(folder: pathlib.Path, error: OSError) -> None:
    global _has_warned
    if not _has_warned:
        _has_warned = True
        warnings.warn(
            f"fastnn cannot keep compiled kernels in {folder} ({error.strerror or error}), so the next process "
            "compiles them anew. Make room there, or set the environment variable NUMBA_CACHE_DIR to another folder.",
            RuntimeWarning,
            stacklevel=3,
        )


# -- one kernel --------------------------------------------------------------------------------------------------------


def _identity(value: Any, around: tuple = ()) -> str:
    """Return a text that is equal in every process for equal code, given the functions `around` this value.

    Numba pickles what a function closes over, but a pickled dispatcher has another identifier in every process, so
    whatever closes over one would never be found again.
    """
    if isinstance(value, Dispatcher):
        value = value.py_func
    if isinstance(value, types.FunctionType):
        code = value.__code__
        own = f"{value.__module__}.{value.__qualname__}:{code.co_firstlineno}:{code.co_code.hex()}"
        if value in around:
            return own  # it calls itself
        inside = [cell.cell_contents for cell in value.__closure__ or ()] + list(value.__defaults__ or ())
        return f"{own}({', '.join(_identity(part, (*around, value)) for part in inside)})"
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__}({', '.join(_identity(part, around) for part in value)})"
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return repr(value)
    return hashlib.sha256(dumps(value)).hexdigest()


class KernelCache(caching._Cache):
    """The files of one kernel: what a dispatcher asks before it compiles, and tells afterwards."""

    def __init__(self, function: Callable, folder: pathlib.Path, stamp: str):
        self._function = function
        self._folder = folder
        self._is_enabled = True
        code = function.__code__
        name = re.sub(r"[^\w.-]", "", f"{pathlib.Path(code.co_filename).stem}.{function.__qualname__}")[-80:]
        version = f"py{sys.version_info[0]}{sys.version_info[1]}{getattr(sys, 'abiflags', '')}"
        self._stem = f"{name}-{code.co_firstlineno}-{stamp}.{version}"

    @property
    def cache_path(self) -> str:
        """The folder."""
        return str(self._folder)

    def enable(self) -> None:
        """Read and write from now on."""
        self._is_enabled = True

    def disable(self) -> None:
        """Neither read nor write from now on."""
        self._is_enabled = False

    def flush(self) -> None:
        """Remove the files of all signatures."""
        for path in self._folder.glob(f"{self._stem}.*.nbc"):
            path.unlink(missing_ok=True)

    def kept(self) -> list[tuple]:
        """Return (argument types, return type or None, processor) of every signature whose file is sound."""
        entries = [read_entry(path) for path in sorted(self._folder.glob(f"{self._stem}.*.nbc"))]
        return [entry[0] for entry in entries if entry is not None]

    def _key_and_path(self, signature, codegen) -> tuple[tuple, pathlib.Path]:
        key = (*sigutils.normalize_signature(signature), codegen.magic_tuple())
        # Addresses in the names of types differ between processes.
        text = re.sub(r"0x[0-9a-f]+", "", f"{key} {_identity(self._function)}")
        return key, self._folder / f"{self._stem}.{hashlib.sha256(text.encode()).hexdigest()[:16]}.nbc"

    def path_of(self, sig, codegen) -> pathlib.Path | None:
        """Return where a signature's code is kept, None where it is not."""
        return self._key_and_path(sig, codegen)[1] if self._is_enabled else None

    def load_overload(self, sig, target_context) -> CompileResult | None:
        """Return the compiled code of a signature, or None where it has to be compiled."""
        if not self._is_enabled:
            return None
        rtsys.initialize(target_context)  # all that loading takes; `refresh` imports half of Numba for 0.2 s
        key, path = self._key_and_path(sig, target_context.codegen())
        entry = read_entry(path)
        if entry is None or entry[0] != key:
            return None
        try:
            return CompileResult._rebuild(target_context, *entry[1])
        except Exception:  # whatever is wrong with a file, compiling is right
            return None

    def save_overload(self, sig, data: Any) -> None:
        """Keep the compiled code of a signature; where that fails, go on without."""
        if not self._is_enabled:
            return
        if data.lifted or data.library.has_dynamic_globals:
            raise RuntimeError(
                f"{self._function.__qualname__} cannot be kept on disk: it holds addresses of this process"
            )
        key, path = self._key_and_path(sig, data.codegen)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)  # somebody may have emptied the cache meanwhile
            write_entry(path, (key, data._reduce()))
        except OSError as error:
            # Windows refuses to replace a file that another process reads just now: it holds the same code.
            if not (os.name == "nt" and read_entry(path)):
                _warn_once(self._folder, error)


@contextlib.contextmanager
def _alone(path: pathlib.Path) -> Iterator[None]:
    """Hold a lock beside a file that is to be written; go on without where that takes too long, or is no lock.

    The system lets go of it where a process dies. Whoever had it removes it: others who wait for it find the file then.
    """
    try:
        import fcntl
    except ImportError:  # Windows: processes may compile the same at once, which costs time only
        yield
        return
    beside = path.with_suffix(".lock")
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # saving will fail, too, and say so
        yield
        return
    try:
        end = time.monotonic() + _MOST_SECONDS
        is_held = False
        while not is_held and not path.exists() and time.monotonic() < end:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_held = True
            except BlockingIOError:
                time.sleep(_POLL_SECONDS)
            except OSError:  # a file system without locks
                break
        try:
            yield
        finally:
            if is_held:
                with contextlib.suppress(OSError):
                    beside.unlink()
    finally:
        os.close(descriptor)


_functions: dict[Any, Any] = {}
_signatures: dict[tuple, Any] = {}


@contextlib.contextmanager
def _quick_compilation() -> Iterator[None]:
    """Spare Numba a quarter of its time: let it remember of what type functions are, and which signature they have.

    It asks all templates anew for each use of a function, and words (and colours) an error for each without an answer.
    """
    type_of, resolve = BaseContext.resolve_value_type, BaseFunction.get_call_type

    def remembered_type(self: Any, value: Any) -> Any:
        may_be_kept = callable(value) and type(value).__hash__ is not None
        known = _functions.get(value) if may_be_kept else None
        if known is None:
            known = type_of(self, value)
            if may_be_kept and isinstance(known, BaseFunction):
                _functions[value] = known
        return known

    def remembered_signature(self: Any, context: Any, args: Any, kws: Any) -> Any:
        key = self, tuple(args), tuple(kws.items())
        if key not in _signatures:
            _signatures[key] = resolve(self, context, args, kws)
        return _signatures[key]

    changes = [
        (BaseContext, "resolve_value_type", remembered_type), (BaseFunction, "get_call_type", remembered_signature),
        (type(termcolor()), "_markup", lambda self, message, *rest: message),
    ]  # fmt: skip
    with global_compiler_lock, contextlib.ExitStack() as back:
        if gc.isenabled():  # it would look again and again through what a compiler makes and still needs
            back.callback(gc.enable)
            gc.disable()
        for owner, name, function in changes:
            if hasattr(owner, name):
                back.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, function)
        yield


def compile_once(dispatcher: Any, sig: Any) -> Any:
    """Return ``dispatcher.compile(sig)``; of several processes that want it at once, one compiles and the others load.

    So that eight workers that start on one machine take as long as one.
    """
    cache, path = dispatcher._cache, None
    if sigutils.normalize_signature(sig)[0] not in dispatcher.overloads:
        if isinstance(cache, KernelCache):
            path = cache.path_of(sig, dispatcher.targetctx.codegen())
        if path is None or not path.exists():
            with contextlib.nullcontext() if path is None else _alone(path), _quick_compilation():
                return dispatcher.compile(sig)
    return dispatcher.compile(sig)


def attach_cache(
    dispatcher, function: Callable, *, stamp: str = STAMP, folder: pathlib.Path | None = CACHE_FOLDER
) -> None:
    """Let a dispatcher keep its machine code on disk, and find it there; without a folder do nothing.

    Parameters
    ----------
    dispatcher : numba dispatcher
        Of `function`, before its first compilation.
    function : callable
        The Python function. What it closes over is part of the key: numbers, texts, and other compiled functions.
    stamp : str, optional
        What must be equal for code to be fresh.
    folder : Path or None, optional
        Where the files are.
    """
    if folder is not None:
        dispatcher._cache = KernelCache(function, folder, stamp)
