"""Files: what is saved comes back to the bit, saving is all or nothing, and old files load for ever."""

import json
import os
import pathlib
import stat
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import safetensors.numpy

import fastnn
from fastnn.activations import ELU, NAMES, LeakyReLU
from fastnn.files import container

DATA = pathlib.Path(__file__).parent / "data"

ARCHITECTURES = {
    "mlp": [fastnn.Input(5), fastnn.Dense(7, "relu"), fastnn.Dense(3, "softmax")],
    "every activation": [fastnn.Input(4), *(fastnn.Dense(3, name) for name in NAMES)],
    "parameters": [fastnn.Input(2), fastnn.Dense(3, LeakyReLU(0.25)), fastnn.Activation(ELU(0.5)), fastnn.Dense(1)],
    "no bias": [fastnn.Input(3), fastnn.Dense(4, use_bias=False, kernel_initializer="orthogonal"), fastnn.Dropout(0.5)],
    "no parameters": [fastnn.Input(3), fastnn.Activation("tanh")],
    "normalizations": [
        fastnn.Input(3),
        fastnn.BatchNormalization(0.9, 0.01),
        fastnn.Dense(4, "relu"),
        fastnn.GaussianNoise(0.1),
        fastnn.LayerNormalization(center=False),
        fastnn.BatchNormalization(scale=False),
        fastnn.Dense(2),
    ],
    "one number": [fastnn.Input(1), fastnn.Dense(1, use_bias=False)],
}


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_network_comes_back_to_the_bit(tmp_path, name, dtype):
    network = fastnn.Network(ARCHITECTURES[name], dtype=dtype, seed=3)
    network.state[:] += np.random.default_rng(1).uniform(0, 1, network.state.size)
    network.save(tmp_path / "file")
    loaded = fastnn.Network.load(str(tmp_path / "file"))
    assert loaded.layers == network.layers
    assert (loaded.dtype, loaded.seed) == (network.dtype, network.seed)
    assert loaded.parameters.tobytes() == network.parameters.tobytes()
    assert loaded.state.tobytes() == network.state.tobytes()
    X = np.random.default_rng(0).normal(size=(40, network.n_inputs))
    assert loaded.predict(X).tobytes() == network.predict(X).tobytes()


def test_a_subclass_loads_as_itself(tmp_path):
    class Mine(fastnn.Network):
        pass

    fastnn.Network.mlp(2, [], 1, seed=0).save(tmp_path / "file")
    assert type(Mine.load(tmp_path / "file")) is Mine


@pytest.mark.parametrize("seed", [None, 0, 2**63 - 1])
def test_every_seed_is_kept(tmp_path, seed):
    fastnn.Network.mlp(2, [], 1, seed=seed).save(tmp_path / "file")
    assert fastnn.Network.load(tmp_path / "file").seed == seed


def test_a_loaded_network_trains_on(tmp_path):
    X = np.random.default_rng(0).normal(size=(64, 3))
    network = fastnn.Network.mlp(3, [8], 1, seed=0)
    network.save(tmp_path / "file")
    loaded = fastnn.Network.load(tmp_path / "file")
    for each in (network, loaded):
        fastnn.Trainer(each, loss="mse").fit(X, X.sum(axis=1), epochs=2)
    assert loaded.parameters.tobytes() == network.parameters.tobytes()


def test_safetensors_reads_our_files(tmp_path):
    network = fastnn.Network.mlp(5, [7], 3, seed=0)
    network.save(tmp_path / "file")
    tensors = safetensors.numpy.load_file(tmp_path / "file")
    names = ["network/1/kernel", "network/1/bias", "network/2/kernel", "network/2/bias"]
    assert sorted(tensors) == sorted(names)
    for name, ours in zip(names, network.get_weights(), strict=True):
        np.testing.assert_array_equal(tensors[name], ours)


def test_we_read_what_safetensors_writes(tmp_path):
    network = fastnn.Network.mlp(5, [7], 3, seed=0)
    network.save(tmp_path / "ours")
    with container.reading(tmp_path / "ours") as file:
        document = json.dumps(file.document)
    tensors = safetensors.numpy.load_file(tmp_path / "ours")
    safetensors.numpy.save_file(tensors, tmp_path / "theirs", metadata={"fastnn": document})
    assert fastnn.Network.load(tmp_path / "theirs").parameters.tobytes() == network.parameters.tobytes()


def test_every_dtype_and_shape_comes_back(tmp_path):
    arrays = {
        "int64": np.arange(6).reshape(2, 3).T,
        "float32": np.float32([1.5, np.nan]),
        "nothing": np.empty((0, 4)),
        "scalar": np.array(2.0),
        "bytes": np.uint8([1, 2, 3]),
        "truth": np.array([[True], [False]]),
        "int32": np.int32([7]),
    }
    container.write(tmp_path / "file", {"kind": "test", "text": "Ä\u20ac\U0001f600"}, arrays)
    with container.reading(tmp_path / "file") as file:
        assert file.document == {"format": 1, "kind": "test", "text": "Ä\u20ac\U0001f600"}
        for name, array in arrays.items():
            read = file.read(name, finite=name != "float32")
            assert read.dtype == array.dtype
            assert read.flags.writeable
            np.testing.assert_array_equal(read, array)
        assert all(tensor.begin % tensor.dtype.itemsize == 0 for tensor in file.tensors.values())


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    network = fastnn.Network.mlp(2, [], 1, seed=0)
    network.save(tmp_path / "file")
    before = (tmp_path / "file").read_bytes()
    network.parameters[1] = np.nan
    with pytest.raises(ValueError, match=r"parameters must be finite to be saved, .* 'network/1/kernel'"):
        network.save(tmp_path / "file")
    deep = fastnn.Network([fastnn.Input(1), *[fastnn.Dropout(0.5)] * 10_000])
    with pytest.raises(ValueError, match="at most 10,000 layers to be saved, got 10,001"):
        deep.save(tmp_path / "file")
    with pytest.raises(ValueError, match="at most 16,777,216 bytes as JSON"):
        container.write(tmp_path / "file", {"long": "x" * 2**24}, {})
    assert (tmp_path / "file").read_bytes() == before
    assert names_in(tmp_path) == ["file"]


def test_the_largest_allowed_network_loads(tmp_path):
    deep = fastnn.Network([fastnn.Input(1), *[fastnn.Dropout(0.5)] * 9_999])
    deep.save(tmp_path / "file")
    assert fastnn.Network.load(tmp_path / "file").layers == deep.layers


def test_missing_files_and_folders_are_ordinary_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        fastnn.Network.load(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        fastnn.Network.mlp(2, [], 1).save(tmp_path / "missing" / "file")
    with pytest.raises(TypeError):
        fastnn.Network.load(None)


# --- checkpoints ----------------------------------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(70, 3))
Y = np.sin(X[:, :1])


def make_trainer(optimizer="adam", dtype="float32", loss="mse"):
    network = fastnn.Network.mlp(3, [8], 1, dropout=0.2, dtype=dtype, seed=0)
    return fastnn.Trainer(network, loss=loss, optimizer=optimizer, metrics=["mae", "r2"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ["adam", fastnn.SGD(0.05), fastnn.SGD(0.05, momentum=0.9)], ids=str)
def test_a_checkpoint_goes_on_as_if_nothing_had_been(tmp_path, optimizer, dtype):
    uncut, first = (make_trainer(optimizer, dtype, fastnn.losses.Huber(0.5)) for _ in range(2))
    uncut.fit(X, Y, epochs=5, validation_split=0.2)
    first.fit(X, Y, epochs=3, validation_split=0.2)
    first.save(tmp_path / "file")
    second = fastnn.Trainer.load(tmp_path / "file")
    assert (second.loss, second.optimizer, second.metrics) == (first.loss, first.optimizer, first.metrics)
    assert second.history == first.history
    second.fit(X, Y, epochs=2, validation_split=0.2)
    assert second.network.parameters.tobytes() == uncut.network.parameters.tobytes()
    assert second.history.history == uncut.history.history


def test_a_checkpoint_before_any_training_and_with_nan_in_the_history(tmp_path):
    trainer = make_trainer()
    trainer.save(tmp_path / "file")
    trainer = fastnn.Trainer.load(tmp_path / "file")
    assert trainer.history == fastnn.History()
    trainer.fit(X, Y, epochs=1)
    trainer.fit(X, Y, epochs=1, validation_split=0.2)
    assert np.isnan(trainer.history.history["val_loss"][0])
    trainer.save(tmp_path / "file")
    loaded = fastnn.Trainer.load(tmp_path / "file")
    np.testing.assert_equal(loaded.history.history, trainer.history.history)


def test_the_state_of_callbacks_is_in_a_checkpoint(tmp_path):
    def stopping():
        return fastnn.callbacks.EarlyStopping(monitor="loss", patience=3, min_delta=1e9, restore_best_weights=True)

    uncut, first = make_trainer(), make_trainer()
    uncut.fit(X, Y, epochs=9, callbacks=[stopping()])
    save = fastnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: first.save(tmp_path / f"{epoch}"))
    first.fit(X, Y, epochs=9, callbacks=[stopping(), save])
    second = fastnn.Trainer.load(tmp_path / "1")
    second.fit(X, Y, epochs=9, callbacks=[stopping()])
    assert second.history.epoch == uncut.history.epoch == [0, 1, 2, 3]
    assert second.network.parameters.tobytes() == uncut.network.parameters.tobytes()


def test_a_network_comes_out_of_a_checkpoint_and_a_trainer_not_out_of_a_network(tmp_path):
    trainer = make_trainer()
    trainer.save(tmp_path / "file")
    network = fastnn.Network.load(tmp_path / "file")
    assert network.parameters.tobytes() == trainer.network.parameters.tobytes()
    network.save(tmp_path / "file")
    with pytest.raises(fastnn.FileFormatError, match="it holds no trainer but a 'network'"):
        fastnn.Trainer.load(tmp_path / "file")


def test_what_a_callback_may_not_save_is_an_error(tmp_path):
    class Bad(fastnn.Callback):
        def __init__(self, state):
            self.state = state

        def state_dict(self):
            return self.state

    cases = [
        ({"x": np.array(["text"])}, "must have a dtype of .*got <U4"), ({"array": 1}, "the name 'array'"),
        ({"x": np.nan}, "not JSON compliant"),
    ]  # fmt: skip
    for state, message in cases:
        trainer = make_trainer()
        trainer.fit(X, Y, epochs=1, callbacks=[Bad(state)])
        with pytest.raises(ValueError, match=message):
            trainer.save(tmp_path / "file")
        assert names_in(tmp_path) == []


# --- atomicity ------------------------------------------------------------------------------------------------------

posix = pytest.mark.skipif(os.name != "posix", reason="needs fork and POSIX permissions")


def run_script(script, *arguments):
    """Run a program that kills its children; this process has threads, and forking it would not be safe."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout.split()


@posix
def test_killed_at_any_line_the_old_file_or_the_new_one_is_there(tmp_path):
    script = """
        import os, pathlib, sys, fastnn
        path, n_old, n_new = sys.argv[1], 0, 0
        old, new = (fastnn.Network.mlp(50, [50], 1, seed=seed) for seed in (1, 2))

        def save_and_die(n_lines):
            def trace(frame, event, argument):
                nonlocal n_lines
                if not frame.f_code.co_filename.endswith("container.py"):
                    return None
                if event == "line":
                    n_lines -= 1
                    if n_lines == 0:
                        os._exit(9)
                return trace
            sys.settrace(trace)
            new.save(path)
            os._exit(0)

        for n_lines in range(1, 1000):
            for leftover in pathlib.Path(path).parent.glob(".file.*.tmp"):
                leftover.unlink()
            old.save(path)
            child = os.fork()
            if child == 0:
                save_and_die(n_lines)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            loaded = fastnn.Network.load(path)
            expected = {1: old, 2: new}[loaded.seed]
            assert loaded.parameters.tobytes() == expected.parameters.tobytes()
            n_old += loaded.seed == 1
            n_new += loaded.seed == 2
            if code == 0:
                break
            assert code == 9, code
        assert code == 0 and loaded.seed == 2
        print(n_old, n_new)
    """
    n_old, n_new = map(int, run_script(script, tmp_path / "file"))
    assert n_old > 30
    assert n_new > 3


@posix
@pytest.mark.parametrize("dies", [True, False], ids=["killed", "disk full"])
def test_stopped_within_a_write_the_old_file_is_there(tmp_path, dies):
    script = """
        import os, resource, signal, sys, fastnn
        path, dies = sys.argv[1], sys.argv[2] == "True"
        old, new = (fastnn.Network.mlp(50, [50], 1, seed=seed) for seed in (1, 2))
        old.save(path)
        size = os.path.getsize(path)
        for limit in [0, 1, 7, 8, 9, 500, 1000, 5000, size - 1]:
            child = os.fork()
            if child == 0:
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL if dies else signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
                try:
                    new.save(path)
                except OSError:
                    os._exit(27)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code == (-signal.SIGXFSZ if dies else 27), code
            loaded = fastnn.Network.load(path)
            assert loaded.parameters.tobytes() == old.parameters.tobytes()
    """
    run_script(script, tmp_path / "file", dies)
    left = len(names_in(tmp_path)) - 1
    assert left == (9 if dies else 0)


def test_leftovers_of_the_dead_are_removed_and_nothing_else(tmp_path):
    network = fastnn.Network.mlp(2, [], 1, seed=0)
    stale = [".file.0123456789abcdef.tmp", ".file.fedcba9876543210.tmp"]
    others = [
        "file.tmp", ".file.tmp", ".file.0123456789abcdef", ".other.0123456789abcdef.tmp", "file.0123456789abcdef.tmp",
    ]  # fmt: skip
    for name in stale + others:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - 7200,) * 2)
    at_work = tmp_path / ".file.00000000000000aa.tmp"
    at_work.touch()
    network.save(tmp_path / "file")
    assert names_in(tmp_path) == sorted([*others, at_work.name, "file"])


@posix
def test_permissions_follow_the_umask_and_then_the_old_file(tmp_path):
    network = fastnn.Network.mlp(2, [], 1, seed=0)
    network.save(tmp_path / "file")
    reference = tmp_path / "reference"
    reference.touch()
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == stat.S_IMODE(reference.stat().st_mode)
    (tmp_path / "file").chmod(0o640)
    network.save(tmp_path / "file")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@posix
def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "file")
    fastnn.Network.mlp(2, [], 1, seed=5).save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert fastnn.Network.load(tmp_path / "real" / "file").seed == 5


# --- files of the past ----------------------------------------------------------------------------------------------


def test_a_network_of_format_1_loads():
    """The file was written by fastnn 0.1.0 and is never written again; the expected outputs are the oracle's."""
    import reference as ref

    network = fastnn.Network.load(DATA / "network-format-1.safetensors")
    assert network.layers == (
        fastnn.Input(3), fastnn.Dense(4, LeakyReLU(0.2)), fastnn.Dropout(0.25), fastnn.Activation("tanh"),
        fastnn.Dense(5, ELU(0.5), use_bias=False, kernel_initializer="orthogonal"), fastnn.Dense(2, "softmax"),
    )  # fmt: skip
    assert (network.dtype, network.seed) == (np.float64, 2024)
    W1, b1, W2, W3, b3 = network.get_weights()
    X = np.array([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0], [-3.0, 1.0, 0.25]])
    a = np.tanh(ref.activate("leaky_relu", X @ W1 + b1, negative_slope=0.2))
    expected = ref.activate("softmax", ref.activate("elu", a @ W2, alpha=0.5) @ W3 + b3)
    np.testing.assert_allclose(network.predict(X), expected, rtol=1e-12)
    np.testing.assert_allclose(network.predict(X), EXPECTED, rtol=1e-12)


EXPECTED = [
    [0.8336932242925731, 0.16630677570742697],
    [0.6183470143726111, 0.38165298562738886],
    [0.541734408880835, 0.458265591119165],
]


def test_a_checkpoint_of_format_1_loads():
    """Written by fastnn 0.1.0 after three epochs of the data below; never written again."""
    trainer = fastnn.Trainer.load(DATA / "trainer-format-1.safetensors")
    assert trainer.loss == fastnn.losses.Huber(0.5)
    assert trainer.optimizer == fastnn.Adam(0.01)
    assert [metric.name for metric in trainer.metrics] == ["mae"]
    assert (trainer.epochs_done, trainer.step, trainer.seed) == (3, 6, 7)
    assert trainer.history.history["loss"] == pytest.approx(LOSSES, rel=1e-15)
    assert trainer.evaluate([[0.5, -0.5]], [[1.0]])["mae"] == pytest.approx(MAE, rel=1e-6)
    assert trainer.fit([[0.5, -0.5]] * 20, [[1.0]] * 20, batch_size=10, epochs=1).epoch == [0, 1, 2, 3]


LOSSES = [0.4210869859757521, 0.3556304024364197, 0.2910018786589035]
MAE = 0.7361831293583647


def test_normalizations_of_format_1_load():
    """Written by fastnn 0.1.0 after two epochs; never written again. The expected outputs are the oracle's."""
    import reference as ref

    network = fastnn.Network.load(DATA / "normalization-format-1.safetensors")
    assert network.layers == (
        fastnn.Input(3), fastnn.BatchNormalization(momentum=0.5), fastnn.Dense(4, "tanh"), fastnn.GaussianNoise(0.1),
        fastnn.LayerNormalization(epsilon=1e-4, center=False), fastnn.Dense(2),
    )  # fmt: skip
    assert network.state.tolist() == STATE
    gamma, beta, W, b, gamma_2, V, c = network.get_weights()
    mean, variance = network.state[:3], network.state[3:]
    x = np.array([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]])
    a = ref.activate("tanh", ((x - mean) / np.sqrt(variance + 1e-3) * gamma + beta) @ W + b)
    a = (a - a.mean(axis=1, keepdims=True)) / np.sqrt(a.var(axis=1, keepdims=True) + 1e-4) * gamma_2
    np.testing.assert_allclose(network.predict(x), a @ V + c, rtol=1e-12)


STATE = [
    0.4837746659276472,
    1.0182138478561251,
    1.529207027453081,
    3.9816385564867964,
    2.3764013834508426,
    2.4665499545888294,
]


def test_a_checkpoint_keeps_schedule_average_statistics_and_mixup(tmp_path):
    """What the toolbox adds to a trainer goes on bit for bit as well."""
    X, y = np.random.default_rng(0).normal(size=(64, 3)), np.random.default_rng(1).integers(0, 4, 64)

    def make():
        layers = [
            fastnn.Input(3), fastnn.LayerNormalization(),
            fastnn.Dense(8, "relu", kernel_constraint=fastnn.MaxNorm(1.0)), fastnn.BatchNormalization(),
            fastnn.GaussianNoise(0.1), fastnn.Dense(4, "softmax", kernel_regularizer=0.1),
        ]  # fmt: skip
        optimizer = fastnn.AdamW(fastnn.schedules.CosineDecay(0.01, 20), global_clipnorm=0.5, use_ema=True)
        loss = fastnn.losses.CategoricalCrossentropy(label_smoothing=0.1)
        return fastnn.Trainer(fastnn.Network(layers, seed=0), loss=loss, optimizer=optimizer, mixup=0.2)

    uncut, first = make(), make()
    uncut.fit(X, y, epochs=6, batch_size=16, n_threads=1)
    first.fit(X, y, epochs=3, batch_size=16, n_threads=1)
    first.save(tmp_path / "trainer.safetensors")
    resumed = fastnn.Trainer.load(tmp_path / "trainer.safetensors")
    resumed.fit(X, y, epochs=3, batch_size=16, n_threads=1)
    np.testing.assert_array_equal(resumed.network.parameter_buffer, uncut.network.parameter_buffer)
    assert (resumed.mixup, resumed.optimizer, resumed.loss) == (uncut.mixup, uncut.optimizer, uncut.loss)
