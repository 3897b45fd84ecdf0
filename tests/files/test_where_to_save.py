"""What may be where a file is saved: devices, pipes, sockets, folders, read-only files; names of any legal length."""

import importlib.util
import os
import socket
import stat

import pytest

import fastnn

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


@pytest.fixture(scope="module")
def network():
    return fastnn.Network.mlp(2, [], 1, seed=0)


def names_in(folder):
    return sorted(os.listdir(folder))  # noqa: PTH208


@posix
def test_a_pipe_is_not_replaced_by_a_file(network, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match=r"device, pipe or socket .*pipe"):
        network.save(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert names_in(tmp_path) == ["pipe"]


@posix
def test_nor_is_one_behind_a_link(network, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(FileExistsError, match="link"):
        network.save(tmp_path / "link")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@posix
def test_nor_a_socket(network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket is at most some 100 bytes long
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(FileExistsError, match="socket"):
            network.save("socket")
        assert stat.S_ISSOCK(os.stat("socket").st_mode)  # noqa: PTH116


@posix
def test_nor_a_device(network, monkeypatch):
    """Not even where it could be: as root, in the /dev of a container."""
    monkeypatch.setattr(os, "replace", lambda *paths: pytest.fail("the device would be gone"))
    with pytest.raises(FileExistsError, match="/dev/null"):
        network.save(os.devnull)


def test_a_folder_is_named(network, tmp_path):
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        network.save(tmp_path)


def test_a_read_only_file_stays_for_root_too(network, tmp_path):
    path = tmp_path / "file"
    network.save(path)
    before = path.read_bytes()
    path.chmod(0o444)
    with pytest.raises(PermissionError, match=r"read-only.*file"):
        fastnn.Network.mlp(3, [], 1).save(path)
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["file"]
    path.chmod(0o644)
    fastnn.Network.mlp(3, [], 1).save(path)
    assert fastnn.Network.load(path).n_inputs == 3


def test_so_it_does_for_trainers_estimators_and_onnx(tmp_path):
    path = tmp_path / "file"
    path.write_text("kept")
    path.chmod(0o444)
    with pytest.raises(PermissionError):
        fastnn.Trainer(fastnn.Network.mlp(2, [], 1), loss="mse").save(path)
    model = fastnn.MLPRegressor(hidden_layer_sizes=(3,), solver="lbfgs", tol=10.0).fit([[0.0], [1.0]], [0.0, 1.0])
    with pytest.raises(PermissionError):
        model.save(path)
    if importlib.util.find_spec("onnx"):
        with pytest.raises(PermissionError):
            fastnn.to_onnx(model, path)
    assert path.read_text() == "kept"


@posix
@pytest.mark.parametrize("name", ["x" * 234, "x" * 255, "ä" * 127, "x" + "\u20ac" * 84, "x" * 72, "x" * 73])
def test_names_of_every_legal_length(network, tmp_path, name):
    path = tmp_path / name
    for _ in range(2):
        network.save(path)
    assert fastnn.Network.load(path).n_inputs == 2
    assert names_in(tmp_path) == [name]


def test_a_name_that_is_too_long_leaves_nothing_behind(network, tmp_path):
    with pytest.raises(OSError):
        network.save(tmp_path / ("x" * 300))
    assert names_in(tmp_path) == []


@posix
def test_leftovers_of_a_long_name_are_removed_and_those_of_another_stay(network, tmp_path, monkeypatch):
    def die(*paths):
        raise SystemExit

    monkeypatch.setattr(os, "replace", die)
    monkeypatch.setattr(type(tmp_path), "unlink", lambda self, missing_ok=False: None)
    for ending in "ab":
        with pytest.raises(SystemExit):
            network.save(tmp_path / ("x" * 200 + ending))
    monkeypatch.undo()
    left = names_in(tmp_path)
    assert len(left) == 2
    for name in left:
        os.utime(tmp_path / name, (0, 0))
    network.save(tmp_path / ("x" * 200 + "a"))
    assert len(names_in(tmp_path)) == 2
