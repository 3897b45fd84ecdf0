"""The files of compiled kernels: found again, never wrong, healed where damaged, done without where nothing helps."""

import errno
import os
import py_compile
import tempfile
import threading

import numba
import numpy as np
import pytest

from citizen import python
from fastnn.kernels import cache


def double(x):
    return 2 * x


def compiled(function, folder, **options):
    dispatcher = numba.njit(function)
    cache.attach_cache(dispatcher, function, folder=folder, **options)
    return dispatcher


def hits(dispatcher):
    return sum(dispatcher.stats.cache_hits.values())


def fill(folder, *arguments):
    assert compiled(double, folder)(*(arguments or (3,))) == 6
    [path] = folder.glob("*.nbc")
    return path


# -- found again -------------------------------------------------------------------------------------------------------


def test_a_second_dispatcher_finds_the_code(tmp_path):
    path = fill(tmp_path)
    assert cache.STAMP in path.name
    again = compiled(double, tmp_path)
    assert again(4) == 8
    assert hits(again) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_an_explicit_signature_and_a_call_share_a_file(tmp_path):
    path = fill(tmp_path)
    again = compiled(double, tmp_path)
    again.compile((numba.int64,))
    assert hits(again) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_signatures_have_files_of_their_own(tmp_path):
    first = compiled(double, tmp_path)
    assert (first(3), first(1.5)) == (6, 3.0)
    assert len(list(tmp_path.iterdir())) == 2
    again = compiled(double, tmp_path)
    assert (again(3), again(1.5)) == (6, 3.0)
    assert hits(again) == 2


def test_kept_names_the_signatures(tmp_path):
    first = compiled(double, tmp_path)
    first(3), first(1.5)
    path = fill(tmp_path / "damaged")
    path.write_bytes(b"")
    assert {key[0] for key in first._cache.kept()} == {(numba.int64,), (numba.float64,)}
    assert compiled(double, tmp_path / "damaged")._cache.kept() == []


def test_another_stamp_is_a_miss(tmp_path):
    fill(tmp_path)
    other = compiled(double, tmp_path, stamp="another")
    assert other(3) == 6
    assert hits(other) == 0


CLOSURES = """
import pathlib, sys
import numba
from fastnn.kernels import cache

def make(factor, inner):
    def function(x):
        return factor * inner(x)
    dispatcher = numba.njit(function)
    cache.attach_cache(dispatcher, function, folder=pathlib.Path(sys.argv[1] if sys.argv[1:] else FOLDER))
    return dispatcher

def add(n):
    return numba.njit(lambda x: x + n)

for factor, n in ((2, 1), (3, 1), (2, 5)):
    function = make(factor, add(n))
    print(function(1), sum(function.stats.cache_hits.values()))
"""


def test_what_a_kernel_closes_over_is_part_of_its_key_in_every_process(tmp_path):
    """Compiled functions too, whose pickles differ from process to process."""
    program = CLOSURES.replace("FOLDER", repr(str(tmp_path)))
    assert python(program).stdout.split() == ["4", "0", "6", "0", "12", "0"]
    assert python(program).stdout.split() == ["4", "1", "6", "1", "12", "1"]


def test_a_function_that_closes_over_itself(tmp_path):
    def factorial(n):
        return n * factorial(n - 1) if n > 1 else 1

    assert "factorial" in cache._identity(factorial)


def test_two_writers_of_two_signatures_lose_nothing(tmp_path):
    """Numba's index file would name the code of one of them for the other's signature."""
    dispatchers = [compiled(double, tmp_path) for _ in range(2)]
    threads = [threading.Thread(target=d, args=(x,)) for d, x in zip(dispatchers, (3, 1.5), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = compiled(double, tmp_path)
    assert (again(3), again(1.5), hits(again)) == (6, 3.0, 2)


EIGHT = """
import os, pathlib, time, numba
from fastnn.kernels import cache

def unit(x):
    return 2 * x

def compiled():
    dispatcher = numba.njit(unit)
    cache.attach_cache(dispatcher, unit, folder=pathlib.Path(os.environ["FOLDER"]))
    return dispatcher

numba.njit(lambda x: x + 1)(1)  # so that children compile at once
began = time.monotonic() + 0.3
children = []
for _ in range(8):
    child = os.fork()
    if not child:
        time.sleep(max(began - time.monotonic(), 0.0))  # all at once
        dispatcher = compiled()
        cache.compile_once(dispatcher, (numba.int64,))
        assert dispatcher(3) == 6
        os._exit(len(dispatcher.stats.cache_misses))
    children.append(child)
print(sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_of_eight_processes_that_start_at_once_one_compiles(tmp_path):
    done = python(EIGHT, FOLDER=str(tmp_path))
    assert done.stdout.split() == ["1"], done.stderr
    assert [path.suffix for path in tmp_path.iterdir()] == [".nbc"]  # no lock is left


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such locks")
def test_a_process_that_holds_its_lock_for_ever_is_not_waited_for(tmp_path, monkeypatch):
    import fcntl

    monkeypatch.setattr(cache, "_MOST_SECONDS", 0.05)
    dispatcher = compiled(double, tmp_path)
    path = dispatcher._cache.path_of((numba.int64,), dispatcher.targetctx.codegen())
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cache.compile_once(dispatcher, (numba.int64,))
    assert path.exists()


def test_where_nothing_can_be_locked_it_compiles_all_the_same(tmp_path):
    folder = tmp_path / "missing"
    dispatcher = compiled(double, folder)
    cache.compile_once(dispatcher, (numba.int64,))
    assert dispatcher(3) == 6
    assert len(list(folder.iterdir())) == 1


# -- damaged -----------------------------------------------------------------------------------------------------------


def assert_heals(path):
    folder = path.parent
    first = compiled(double, folder)
    assert first(3) == 6
    assert hits(first) == 0
    second = compiled(double, folder)
    assert second(3) == 6
    assert hits(second) == 1
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_file_cut_short_is_a_miss_and_is_written_anew(tmp_path, share):
    path = fill(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert_heals(path)


@pytest.mark.parametrize("at", [0, 20, 40, 0.5, -1])
def test_a_flipped_bit_is_a_miss_and_is_written_anew(tmp_path, at):
    """Machine code with a wrong bit would load, and run."""
    path = fill(tmp_path)
    content = bytearray(path.read_bytes())
    content[at if isinstance(at, int) else int(at * len(content))] ^= 4
    path.write_bytes(content)
    assert_heals(path)


def test_zeros_after_a_power_cut(tmp_path):
    path = fill(tmp_path)
    path.write_bytes(bytes(path.stat().st_size))
    assert_heals(path)


def test_a_sound_file_with_another_content(tmp_path):
    """A pickle that cannot be read here, and code of another signature under this one's name."""
    path = fill(tmp_path)
    key, payload = cache.read_entry(path)
    cache.write_entry(path, (("another", None, None), payload))
    assert_heals(path)
    cache.write_entry(path, (key, ("no", "code")))
    assert_heals(path)
    body = b"no pickle"
    path.write_bytes(cache._MAGIC + cache._checksum(body) + body)
    assert_heals(path)


def test_flush_removes_the_files_of_one_kernel_only(tmp_path):
    path = fill(tmp_path)
    (tmp_path / "another.nbc").touch()
    compiled(double, tmp_path)._cache.flush()
    assert [p.name for p in tmp_path.iterdir()] == ["another.nbc"]
    assert not path.exists()


# -- nowhere to write --------------------------------------------------------------------------------------------------


@pytest.fixture
def unwarned(monkeypatch):
    monkeypatch.setattr(cache, "_has_warned", False)


def test_a_full_disk_warns_once_and_leaves_no_file(tmp_path, monkeypatch, unwarned):
    def full(path, content):
        with path.open("wb") as file:
            file.write(content[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(type(tmp_path), "write_bytes", full)
    with pytest.warns(RuntimeWarning, match=r"cannot keep .*No space left.*NUMBA_CACHE_DIR") as caught:
        assert compiled(double, tmp_path)(3) == 6
        assert compiled(double, tmp_path)(1.5) == 3.0
    assert len(caught) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")  # noqa: PTH110
def test_a_device_that_is_full(tmp_path, monkeypatch, unwarned):
    monkeypatch.setattr(type(tmp_path), "with_name", lambda self, name: type(self)("/dev/full"))
    monkeypatch.setattr(type(tmp_path), "unlink", lambda self, missing_ok: None)
    with pytest.warns(RuntimeWarning, match="No space left"):
        assert compiled(double, tmp_path)(3) == 6


def test_the_folder_became_a_file(tmp_path, unwarned):
    folder = tmp_path / "folder"
    folder.touch()
    with pytest.warns(RuntimeWarning, match="cannot keep"):
        assert compiled(double, folder)(3) == 6


def test_the_folder_was_removed_and_comes_back(tmp_path):
    folder = tmp_path / "removed"
    assert fill(folder).exists()


def test_a_folder_in_the_place_of_a_file(tmp_path, unwarned):
    path = fill(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.warns(RuntimeWarning, match="cannot keep"):
        assert compiled(double, tmp_path)(3) == 6


def test_without_a_folder_nothing_is_attached():
    dispatcher = compiled(double, None)
    assert dispatcher(3) == 6
    assert not isinstance(dispatcher._cache, cache.KernelCache)


LARGE = np.zeros(200_000)  # too large for numba to copy: compiled code gets its address


def test_addresses_of_this_process_are_not_kept(tmp_path):
    with pytest.raises(RuntimeError, match="addresses of this process"):
        compiled(lambda: LARGE[0], tmp_path)()
    assert list(tmp_path.iterdir()) == []


# -- which folder ------------------------------------------------------------------------------------------------------


def test_where_kernels_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert cache.find_cache_folder() == tmp_path / "fastnn"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(cache, "_is_writable", lambda folder: "__pycache__" not in folder.parts)
    assert cache.find_cache_folder() == tmp_path / "xdg" / "fastnn"


def test_a_relative_folder_stays_where_it_is_when_the_program_goes_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "kernels")
    assert cache.find_cache_folder() == tmp_path / "kernels" / "fastnn"


def test_nowhere_to_write_is_told(monkeypatch):
    monkeypatch.setattr(cache, "_is_writable", lambda folder: False)
    with pytest.warns(RuntimeWarning, match="no writable folder.*NUMBA_CACHE_DIR"):
        assert cache.find_cache_folder() is None


def test_a_user_without_a_home(monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(type(cache._FOLDER), "home", home)
    monkeypatch.setattr(cache, "_is_writable", lambda folder: False)
    with pytest.warns(RuntimeWarning, match="no writable folder"):
        assert cache.find_cache_folder() is None


def test_a_full_folder_is_not_writable(tmp_path, monkeypatch):
    def full(dir):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert cache._is_writable(tmp_path / "new")
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert not cache._is_writable(tmp_path)


# -- the stamp ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def sources(tmp_path):
    folder = tmp_path / "kernels"
    (folder / "ops").mkdir(parents=True)
    (folder / "gemm.py").write_text("a = 1\n")
    (folder / "ops" / "dense.py").write_text("b = 2\n")
    return folder


def test_the_stamp_changes_with_every_source_and_name(sources):
    stamps = {cache.content_stamp(sources)}
    for path in (sources / "gemm.py", sources / "ops" / "dense.py"):
        original = path.read_bytes()
        path.write_bytes(original + b"\n")
        stamps.add(cache.content_stamp(sources))
        path.write_bytes(original)
    (sources / "gemm.py").rename(sources / "product.py")
    stamps.add(cache.content_stamp(sources))
    assert len(stamps) == 4
    assert all(len(stamp) == 16 for stamp in stamps)


def test_bytecode_beside_sources_does_not_count(sources):
    stamp = cache.content_stamp(sources)
    py_compile.compile(sources / "gemm.py")
    py_compile.compile(sources / "gemm.py", cfile=sources / "gemm.pyc")
    assert cache.content_stamp(sources) == stamp


def test_bytecode_counts_where_there_are_no_sources(sources):
    """As after `python -m compileall -b` and the sources' removal."""
    stamps = set()
    for line in ("b = 2\n", "b = 3\n"):
        source = sources / "ops" / "dense.py"
        source.write_text(line)
        py_compile.compile(source, cfile=source.with_suffix(".pyc"))
        source.unlink()
        stamps.add(cache.content_stamp(sources))
    assert len(stamps) == 2


def test_without_sources_and_bytecode_there_is_no_cache(tmp_path):
    """In an archive or a frozen program, two versions would share kernels."""
    assert cache.content_stamp(tmp_path / "archive.zip" / "fastnn" / "kernels") == ""
    with pytest.warns(RuntimeWarning, match="neither the sources nor the bytecode"):
        assert cache.find_cache_folder("") is None


def test_the_package_s_own_stamp_and_folder():
    assert cache.content_stamp(cache._FOLDER) == cache.STAMP != ""
    assert cache.CACHE_FOLDER is None or cache.CACHE_FOLDER.is_dir()
