"""The file that everything is saved in: named arrays and one JSON document, as safetensors lays them out.

This module knows bytes, not networks. It writes a file whole or not at all, and it trusts nothing that it reads: the
header is checked against the size of the file before any array is allocated. docs/format.md describes the layout.

References
----------
.. [1] Hugging Face, "Safetensors", section Format, https://github.com/huggingface/safetensors#format
.. [2] T. S. Pillai et al., "All File Systems Are Not Created Equal: On the Complexity of Crafting Crash-Consistent
       Applications", OSDI 2014 (why both the file and its folder are flushed).
"""

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import secrets
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 2  # the newest that is read; see docs/format.md for what each added
_FIRST_LAYERS = {
    "Input", "Dense", "Activation", "Dropout", "GaussianNoise", "LayerNormalization", "BatchNormalization",
}  # fmt: skip
METADATA_KEY = "fastnn"
MAX_HEADER_BYTES = 16 * 2**20
MAX_DIMENSIONS = 8
MAX_SHOWN = 60  # characters of a file's own text in a message
MAX_MESSAGE = 900  # characters of a message about a value in a file; the names of all layers have 600
_LONGEST_NAME = 72  # bytes of a file's name that its temporary file has as well
STALE_SECONDS = 3600  # a temporary file untouched for so long was left by a process that died

_DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "I64": np.dtype("<i8"), "I32": np.dtype("<i4"),
    "U8": np.dtype("u1"), "BOOL": np.dtype("?"),
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class FileFormatError(ValueError):
    """A file is damaged, hostile, of another kind, or written by a later version of fastnn.

    The message says which file, and what is wrong with it.

    Examples
    --------
    >>> import fastnn
    >>> issubclass(fastnn.FileFormatError, ValueError)
    True
    """


def shown(value: Any) -> str:
    """Return something out of a file in a form that is safe to print: plain ASCII, and short."""
    text = ascii(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


def printable(text: str) -> str:
    """Return a message that may quote a file, with all but plain ASCII escaped, and cut where it is long."""
    text = text[:MAX_MESSAGE] + "..." if len(text) > MAX_MESSAGE else text
    return text.encode("unicode_escape").decode()


# --- writing --------------------------------------------------------------------------------------------------------


def write(path: str | os.PathLike, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a document and arrays to `path`, whole or not at all.

    The bytes go to a temporary file in the same folder, reach the disk, and are then renamed over `path`: a process
    that is killed at any point leaves the old file or the new one.

    Parameters
    ----------
    path : str or path-like
        Where to write; a symbolic link is followed.
    document : mapping of str to JSON types
        Finite numbers only; the key "format" is added.
    arrays : mapping of str to ndarray
        Of dtype float32, float64, int64, int32, uint8 or bool.

    Raises
    ------
    ValueError
        If the document is too large or holds NaN or infinity.
    OSError
        If writing fails, or `path` is a folder, device, pipe, socket or read-only file; it is then as it was.
    """
    header, chunks = _encode(document, arrays)
    replace_file(path, [len(header).to_bytes(8, "little"), header, *(chunk.data for chunk in chunks)])


def replace_file(path: str | os.PathLike, chunks: Iterable[bytes | memoryview]) -> None:
    """Write bytes to `path`, whole or not at all, as `write` says."""
    _check_replaceable(path)
    target = Path(os.path.realpath(os.fspath(path)))
    remove_leftovers(target)
    temporary = target.with_name(f"{_temporary_prefix(target)}{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if target.exists():
                with contextlib.suppress(PermissionError):  # the file belongs to somebody else
                    temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)  # noqa: PTH105
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush_folder(target.parent)


def _check_replaceable(path: str | os.PathLike) -> None:
    """Raise OSError where there is something that must not give way to a new file: renaming asks nobody."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a path may be bytes
    except OSError:
        return  # nothing is there, or creating the file will say what is wrong
    name = os.fspath(path)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    if not stat.S_ISREG(status.st_mode):
        raise FileExistsError(errno.EEXIST, "A device, pipe or socket is there, which is not replaced by a file", name)
    # Root may write to every file; one that nobody is meant to write to stays as it is all the same.
    if not status.st_mode & 0o222 or not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "The file there is read-only, and is not replaced", name)


def _temporary_prefix(target: Path) -> str:
    """Return how the names of a file's temporary ones begin; a long name is cut, so that theirs are legal as well."""
    name = os.fsencode(target.name)
    if len(name) <= _LONGEST_NAME:
        return f".{target.name}."
    return f".{name[:_LONGEST_NAME].decode('utf-8', 'ignore')}-{hashlib.sha256(name).hexdigest()[:12]}."


def _needs_second_format(value: Any) -> bool:
    """Whether a document holds what came with format 2: other layers, shapes, and words of those before."""
    if isinstance(value, Mapping):
        if "layer" in value and (
            value["layer"] not in _FIRST_LAYERS or isinstance(value.get("n_features"), (list, tuple))
            or "trainable" in value
        ):  # fmt: skip
            return True
        return "compiled" in value or any(map(_needs_second_format, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_needs_second_format, value))


def _encode(document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> tuple[bytes, list[np.ndarray]]:
    """Return the JSON header, padded so that the data after it are aligned, and the data."""
    # The lowest that does it, so that an older fastnn reads what it can.
    document = {"format": 2 if _needs_second_format(document) else 1, **document}
    text = json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    header: dict[str, Any] = {"__metadata__": {METADATA_KEY: text}}
    chunks = []
    end = 0
    # Wide items first: then every array is aligned to its item size.
    for name, array in sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize):
        dtype = array.dtype.newbyteorder("<")
        if dtype not in _NAMES:
            known = ", ".join(str(known.newbyteorder("=")) for known in _NAMES)
            raise ValueError(f"an array must have a dtype of {known} to be saved, got {array.dtype} for {name!r}")
        chunk = np.ascontiguousarray(array, dtype)
        begin, end = end, end + chunk.nbytes
        header[name] = {"dtype": _NAMES[dtype], "shape": list(array.shape), "data_offsets": [begin, end]}
        if chunk.nbytes:
            chunks.append(chunk.reshape(-1))
    encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    if len(encoded) > MAX_HEADER_BYTES:
        raise ValueError(f"what is saved beside the arrays must take at most {MAX_HEADER_BYTES:,} bytes as JSON, "
                         f"got {len(encoded):,}")  # fmt: skip
    return encoded, chunks


def _flush_folder(folder: Path) -> None:
    """Let the new name reach the disk; Windows has no such call, and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(target: Path) -> None:
    """Delete temporary files of `target` whose writers died; those of a writer at work are younger."""
    prefix, now = _temporary_prefix(target), time.time()
    with os.scandir(target.parent) as entries:
        for entry in entries:
            is_ours = entry.name.startswith(prefix) and entry.name.endswith(".tmp")
            if is_ours and len(entry.name) == len(prefix) + 16 + len(".tmp"):
                with contextlib.suppress(OSError):  # another process was quicker, or may and we may not
                    if now - entry.stat().st_mtime > STALE_SECONDS:
                        Path(entry.path).unlink()


# --- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tensor:
    """Where an array lies in a file: what the header says, after it was checked."""

    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int  # bytes from the start of the file

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class SavedFile:
    """An open file whose header was read and checked, and whose arrays were not read yet.

    Attributes
    ----------
    name : str
        The file's path, for messages.
    document : dict
        The JSON document.
    tensors : dict of str to Tensor
        The arrays that the file holds.
    """

    def __init__(self, name: str, file: io.BufferedReader, document: dict[str, Any], tensors: dict[str, Tensor]):
        self.name = name
        self.document = document
        self.tensors = tensors
        self._file = file

    def error(self, message: str) -> FileFormatError:
        """Return an error about this file, to be raised."""
        return FileFormatError(f"{self.name}: {message}")

    def expect(self, name: str, dtype: Any, shape: tuple[int, ...]) -> None:
        """Raise FileFormatError unless the file holds an array of this name, dtype and shape."""
        tensor = self.tensors.get(name)
        if tensor is None:
            raise self.error(f"the array {name!r} is missing")
        if tensor.dtype != np.dtype(dtype) or tensor.shape != shape:
            raise self.error(
                f"the array {name!r} must have dtype {np.dtype(dtype)} and shape {shape}, "
                f"got {tensor.dtype} and {shown(tensor.shape)}"
            )

    def read_into(self, name: str, target: np.ndarray, *, finite: bool = True) -> None:
        """Read an array into a contiguous one of the same dtype and shape."""
        self._file.seek(self.tensors[name].begin)
        if target.size and self._file.readinto(target.reshape(-1).view(np.uint8).data) != target.nbytes:
            raise self.error(f"the file became shorter while {name!r} was read")
        if sys.byteorder == "big":
            target.byteswap(inplace=True)
        if finite and not np.isfinite(target).all():
            raise self.error(f"the array {name!r} holds NaN or infinity")

    def read(self, name: str, *, finite: bool = True) -> np.ndarray:
        """Return an array of the file."""
        if name not in self.tensors:
            raise self.error(f"the array {name!r} is missing")
        tensor = self.tensors[name]
        array = np.empty(tensor.shape, np.uint8 if tensor.dtype == np.bool_ else tensor.dtype.newbyteorder("="))
        self.read_into(name, array, finite=finite)
        if tensor.dtype == np.bool_:
            if array.size and array.max() > 1:
                raise self.error(f"the array {name!r} of booleans holds {array.max()}")
            return array.view(np.bool_)
        return array


@contextlib.contextmanager
def reading(path: str | os.PathLike) -> Iterator[SavedFile]:
    """Open a file for reading and check its header; a context manager that gives a `SavedFile`.

    Raises
    ------
    FileFormatError
        If it is not a file of fastnn, or is damaged.
    OSError
        If it cannot be opened.
    """
    name = os.fspath(path)
    # O_NONBLOCK: opening a pipe must not wait for a writer. It changes nothing for files.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(name, flags)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise FileFormatError(f"{name}: not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        try:
            document, tensors = _check_header(file, status.st_size)
        except FileFormatError as error:
            raise FileFormatError(f"{name}: {error}") from None
        yield SavedFile(str(name), file, document, tensors)


def _check_header(file: io.BufferedReader, file_size: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return document and arrays of a file of `file_size` bytes; every number in the header is checked against it."""
    if file_size < 8:
        raise FileFormatError(f"not a fastnn file: it has {file_size} bytes, and a header alone needs more than 8")
    header_size = int.from_bytes(file.read(8), "little")
    if header_size > file_size - 8:
        raise FileFormatError(
            f"cut short, or not a fastnn file: its header should take {header_size:,} bytes, "
            f"and {file_size - 8:,} follow"
        )
    if header_size > MAX_HEADER_BYTES:
        raise FileFormatError(f"its header takes {header_size:,} bytes, and {MAX_HEADER_BYTES:,} are allowed")
    encoded = file.read(header_size)
    if len(encoded) != header_size:
        raise FileFormatError("the file became shorter while its header was read")
    header = _parse_json("its header", encoded)
    if not isinstance(header, dict):
        raise FileFormatError(f"its header is not a JSON object but {shown(header)}")
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get(METADATA_KEY), str):
        raise FileFormatError(f"a safetensors file, but not one of fastnn: its metadata lack the text {METADATA_KEY!r}")
    document = _parse_json("its document", metadata[METADATA_KEY].encode("utf-8", "surrogatepass"))
    if not isinstance(document, dict):
        raise FileFormatError(f"its document is not a JSON object but {shown(document)}")
    _check_version(document)
    return document, _check_tensors(header, 8 + header_size, file_size)


def _check_version(document: dict[str, Any]) -> None:
    version = document.get("format")
    if type(version) is not int or version < 1:
        raise FileFormatError(f"its format must be an integer >= 1, got {shown(version)}")
    if version > FORMAT:
        raise FileFormatError(
            f"its format is {shown(version)}, and this version of fastnn reads formats up to {FORMAT}: "
            "it was written by a later one, which reads it"
        )


def _parse_json(what: str, encoded: bytes) -> Any:
    """Parse JSON without the extensions that Python's parser allows: NaN, infinity, and repeated keys."""
    try:
        return json.loads(
            encoded.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite_float,
            object_pairs_hook=_unique_keys,
        )  # fmt: skip
    except RecursionError:
        raise FileFormatError(f"{what} is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{what} is not UTF-8 at byte {error.start}") from None
    except ValueError as error:
        raise FileFormatError(f"{what} is not JSON: {shown(str(error))}") from None


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is beyond float64")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a key appears twice")
    return unique


def _check_tensors(header: dict[str, Any], start: int, file_size: int) -> dict[str, Tensor]:
    """Return the arrays in the order of the file; together they must fill the bytes from `start` exactly."""
    tensors = {name: _check_tensor(name, entry, file_size - start) for name, entry in header.items()}
    at = 0
    for name, (tensor, begin, end) in sorted(tensors.items(), key=lambda item: item[1][1:]):
        if begin != at:
            raise FileFormatError(f"the array {shown(name)} must begin at byte {at}, got {begin}")
        if end - begin != tensor.size * tensor.dtype.itemsize:
            raise FileFormatError(
                f"the array {shown(name)} of {tensor.dtype} and shape {shown(tensor.shape)} takes "
                f"{shown(tensor.size * tensor.dtype.itemsize)} bytes, got {end - begin}"
            )
        at = end
    if at != file_size - start:
        raise FileFormatError(f"its arrays take {at:,} bytes, and {file_size - start:,} follow the header")
    return {name: Tensor(tensor.dtype, tensor.shape, start + begin) for name, (tensor, begin, _) in tensors.items()}


def _check_tensor(name: str, entry: Any, n_bytes: int) -> tuple[Tensor, int, int]:
    where = f"the array {shown(name)}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise FileFormatError(f"{where} must be described by dtype, shape and data_offsets, got {shown(entry)}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise FileFormatError(f"{where} must have a dtype of {', '.join(_DTYPES)}, got {shown(dtype)}")
    if not _are_integers(shape, MAX_DIMENSIONS):
        raise FileFormatError(f"{where} must have a shape of at most {MAX_DIMENSIONS} sizes, got {shown(shape)}")
    if not _are_integers(offsets, 2) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= n_bytes:
        raise FileFormatError(f"{where} must lie within the {n_bytes:,} bytes after the header, got {shown(offsets)}")
    return Tensor(_DTYPES[dtype], tuple(shape), 0), offsets[0], offsets[1]


def _are_integers(values: Any, n_most: int) -> bool:
    is_short = isinstance(values, list) and len(values) <= n_most
    return is_short and all(type(value) is int and 0 <= value < 2**63 for value in values)
