"""Hostile files: thousands of damaged ones, each a FileFormatError or a sound network; no crash, no hang, no memory."""

import contextlib
import json
import os
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnn
from fastnn import FileFormatError
from fastnn.activations import ELU
from fastnn.files import container
from fuzzing import FUZZ, TEXTS, VALUES, join, places, split

X = np.random.default_rng(0).normal(size=(20, 3))
Y = (X[:, 0] > 0).astype(int)
LAYERS = [fastnn.Input(3), fastnn.Dense(4, ELU(0.5)), fastnn.Dropout(0.25), fastnn.Dense(2, "softmax", use_bias=False)]


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    path = tmp_path_factory.mktemp("valid") / "file"
    fastnn.Network(LAYERS, seed=1).save(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Of a training with callbacks that keep a state, one of them a parameter buffer with running statistics."""
    folder = tmp_path_factory.mktemp("valid")
    layers = [*LAYERS[:-1], fastnn.BatchNormalization(), LAYERS[-1]]
    trainer = fastnn.Trainer(fastnn.Network(layers, seed=1), loss="categorical_crossentropy", metrics=["accuracy"])
    trainer.fit(X, Y, epochs=2, callbacks=stateful_callbacks(folder))
    trainer.save(folder / "file")
    return (folder / "file").read_bytes()


def stateful_callbacks(folder):
    return [
        fastnn.callbacks.EarlyStopping(monitor="loss", restore_best_weights=True, patience=5),
        fastnn.callbacks.ReduceLROnPlateau(monitor="loss"),
        fastnn.callbacks.ModelCheckpoint(folder / "best", monitor="loss", save_best_only=True),
    ]


def load(path, content):
    """Load `content`; return the network, or None for a FileFormatError, and let nothing else pass."""
    path.write_bytes(content)
    try:
        network = fastnn.Network.load(path)
    except FileFormatError as error:
        message = str(error)
        assert message.startswith(f"{path}: ")
        assert len(message) < len(str(path)) + 1000
        message.encode()
        return None
    assert np.isfinite(network.parameters).all()
    assert network.n_parameters * network.dtype.itemsize <= len(content)
    if network.n_inputs <= 2**16:
        assert network.predict(np.zeros((1, network.n_inputs))).shape == (1, network.n_outputs)
    return network


def refused(tmp_path, content, match):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=match):
        fastnn.Network.load(path)


# --- damage ---------------------------------------------------------------------------------------------------------


def test_single_bit_flips(tmp_path, valid):
    started = time.perf_counter()
    n_refused = 0
    bits = range(0, 8 * len(valid), 3)  # every byte, and every place in one
    for bit in bits:
        content = bytearray(valid)
        content[bit // 8] ^= 1 << bit % 8
        n_refused += load(tmp_path / "file", content) is None
    assert n_refused > len(bits) / 2  # a flip within the parameters, or of a digit, can leave a sound file
    assert time.perf_counter() - started < 60


def test_every_truncation(tmp_path, valid):
    for size in range(len(valid)):
        assert load(tmp_path / "file", valid[:size]) is None
    assert load(tmp_path / "file", valid + b"\0") is None
    assert load(tmp_path / "file", valid) is not None


@FUZZ
@given(data=st.data())
def test_bytes_overwritten(tmp_path, valid, data):
    content = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content) - 1))
        patch = data.draw(st.binary(min_size=1, max_size=9))
        content[at : at + len(patch)] = patch
    load(tmp_path / "file", content)


@FUZZ
@given(content=st.binary(max_size=200))
def test_bytes_of_all_kinds(tmp_path, content):
    assert load(tmp_path / "file", content) is None


# --- hostility ------------------------------------------------------------------------------------------------------

FLOATS = [np.float32(value).tobytes() for value in (np.nan, np.inf, -np.inf, -1, 0, 1e38)]


@FUZZ
@given(data=st.data())
def test_json_replaced_removed_and_added(tmp_path, valid, data):
    header, document, arrays = split(valid)
    for _ in range(data.draw(st.integers(1, 3))):
        tree = data.draw(st.sampled_from([header, document]))
        spots = list(places(tree))
        if not spots:
            break
        holder, key = data.draw(st.sampled_from(spots))
        action = data.draw(st.sampled_from(["replace", "remove", "add", "copy"]))
        if action == "replace":
            holder[key] = data.draw(VALUES)
        elif action == "remove":
            del holder[key]
        elif action == "add" and isinstance(holder, dict):
            holder[data.draw(TEXTS)] = data.draw(VALUES)
        elif action == "copy":
            other, other_key = data.draw(st.sampled_from(spots))
            holder[key] = json.loads(json.dumps(other[other_key]))
    load(tmp_path / "file", join(header, document, arrays))


def load_and_train(path, content):
    """Load a checkpoint; what is loaded must be sound enough to train on, with callbacks that take their states."""
    path.write_bytes(content)
    try:
        trainer = fastnn.Trainer.load(path)
    except FileFormatError as error:
        message = str(error)
        assert len(message) < len(str(path)) + 1000
        message.encode()
        return None
    assert np.isfinite(trainer.moments).all()
    with contextlib.suppress(FloatingPointError):  # moments or a rate may be far too large, and training says so
        trainer.fit(X, Y, callbacks=stateful_callbacks(path.parent))
    assert np.isfinite(trainer.network.parameters).all()
    return trainer


@FUZZ
@given(data=st.data())
def test_checkpoints_replaced_removed_and_added(tmp_path, checkpoint, data):
    header, document, arrays = split(checkpoint)
    part = data.draw(st.sampled_from([document["trainer"], document["trainer"]["state"]["callbacks"]]))
    spots = list(places(part))
    for _ in range(data.draw(st.integers(1, 2))):
        holder, key = data.draw(st.sampled_from(spots))
        if data.draw(st.booleans()) or not (isinstance(holder, dict) and key in holder):
            with contextlib.suppress(IndexError):
                holder[key] = data.draw(VALUES)
        else:
            del holder[key]
    load_and_train(tmp_path / "file", join(header, document, arrays))


@FUZZ
@given(data=st.data())
def test_arrays_of_checkpoints_overwritten(tmp_path, checkpoint, data):
    header, document, arrays = split(checkpoint)
    arrays = bytearray(arrays)
    names = [name for name in header if name.startswith("trainer/state")]
    for _ in range(data.draw(st.integers(1, 3))):
        begin, end = header[data.draw(st.sampled_from(names))]["data_offsets"]
        at = data.draw(st.integers(begin, end - 4))
        arrays[at : at + 4] = data.draw(st.one_of(st.binary(min_size=4, max_size=4), st.sampled_from(FLOATS)))
    if data.draw(st.booleans()):
        entry = header[data.draw(st.sampled_from(names))]
        entry["dtype"] = {"F32": "I32", "F64": "I64", "I64": "F64"}[entry["dtype"]]
    load_and_train(tmp_path / "file", join(header, document, arrays))


@pytest.mark.parametrize("change, message", [
    (lambda stopping, plateau, saving: stopping.pop("wait"), r"callbacks'\]\[0\], of EarlyStopping: 'wait' is missing"),
    (lambda stopping, plateau, saving: stopping.update(best="x"), r"of EarlyStopping: best must be a number in"),
    (lambda stopping, plateau, saving: stopping.update(best=10**400), "of EarlyStopping: best must be a number in"),
    (lambda stopping, plateau, saving: stopping.update(best_epoch=-1), "best_epoch must be an integer from 0"),
    (lambda stopping, plateau, saving: stopping.update(best_parameters=[0.0]), "best_parameters must be an array of"),
    (lambda stopping, plateau, saving: plateau.clear(), r"\[1\], of ReduceLROnPlateau: 'best' is missing"),
    (lambda stopping, plateau, saving: plateau.update(cooling=1.5), "cooling must be an integer from 0 to"),
    (lambda stopping, plateau, saving: saving.update(best=[]), r"\[2\], of ModelCheckpoint: best must be a number"),
])  # fmt: skip
def test_the_states_of_callbacks_are_looked_into(tmp_path, checkpoint, change, message):
    header, document, arrays = split(checkpoint)
    change(*(entry["state"] for entry in document["trainer"]["state"]["callbacks"]))
    (tmp_path / "file").write_bytes(join(header, document, arrays))
    with pytest.raises(FileFormatError, match=message):
        fastnn.Trainer.load(tmp_path / "file")


@pytest.mark.parametrize("value, message", [(np.nan, "best_parameters must be finite"), (-1.0, "negative variances")])
def test_best_parameters_are_sound(tmp_path, checkpoint, value, message):
    """The last of the running variances; what lies behind them is not read."""
    header, document, arrays = split(checkpoint)
    begin, end = header["trainer/state/callbacks/0/state/best_parameters"]["data_offsets"]
    network = fastnn.Trainer.load(written(tmp_path / "file", checkpoint)).network
    at = begin + 4 * (network.plan.parameter_stride + network.plan.n_states - 1)
    behind = np.full((end - at) // 4 - 1, np.nan, "f4")
    arrays = arrays[:at] + np.float32(value).tobytes() + behind.tobytes() + arrays[end:]
    with pytest.raises(FileFormatError, match=message):
        fastnn.Trainer.load(written(tmp_path / "file", join(header, document, arrays)))


def written(path, content):
    path.write_bytes(content)
    return path


def test_an_array_is_not_read_twice(tmp_path, checkpoint):
    header, document, arrays = split(checkpoint)
    again = {"name": "x", "state": {"x": {"array": "trainer/state/moments"}}}
    document["trainer"]["state"]["callbacks"] = [again] * 1000
    (tmp_path / "file").write_bytes(join(header, document, arrays))
    with pytest.raises(FileFormatError, match="or the second to one"):
        fastnn.Trainer.load(tmp_path / "file")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_moments_that_are_not_finite(tmp_path, checkpoint, value):
    (tmp_path / "file").write_bytes(checkpoint)
    with container.reading(tmp_path / "file") as file:
        at = file.tensors["trainer/state/moments"].begin
    content = bytearray(checkpoint)
    content[at : at + 4] = np.float32(value).tobytes()
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(FileFormatError, match="'trainer/state/moments' holds NaN or infinity"):
        fastnn.Trainer.load(tmp_path / "file")


HUGE = [2**20, 2**31, 2**31 - 1, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64, 10**18, 10**400]


def hostile_sizes(valid):
    """Small files that speak of large things."""
    header, document, data = split(valid)

    def changed(change):
        copies = json.loads(json.dumps([header, document]))
        change(*copies)
        return join(*copies, data)

    for size in HUGE:
        yield min(size, 2**64 - 1).to_bytes(8, "little") + valid[8:]
        yield changed(lambda h, d, size=size: d["network"]["layers"][0].update(n_features=size))
        yield changed(lambda h, d, size=size: d["network"]["layers"][1].update(units=size))
        yield changed(lambda h, d, size=size: h["network/1/kernel"].update(shape=[size, size]))
        yield changed(lambda h, d, size=size: h["network/1/kernel"].update(shape=[size] * 8))
        yield changed(lambda h, d, size=size: h["network/1/kernel"].update(shape=[0, size], data_offsets=[0, 0]))
        yield changed(lambda h, d, size=size: h["network/1/kernel"].update(data_offsets=[0, size]))
        yield changed(lambda h, d, size=size: h["network/1/kernel"].update(data_offsets=[size, size]))

        def both(h, d, size=size):
            d["network"]["layers"] = [{"layer": "Input", "n_features": size}, {"layer": "Dense", "units": size}]
            h["network/1/kernel"].update(shape=[size, size])

        yield changed(both)


def test_hostile_sizes_cost_no_memory(tmp_path, valid):
    for content in hostile_sizes(valid):
        (tmp_path / "file").write_bytes(content)
        tracemalloc.start()
        try:
            with pytest.raises(FileFormatError):
                fastnn.Network.load(tmp_path / "file")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 500_000


def test_a_large_file_is_read_once_into_place(tmp_path):
    network = fastnn.Network.mlp(1000, [1000], 1, seed=0)
    network.save(tmp_path / "file")
    tracemalloc.start()
    try:
        fastnn.Network.load(tmp_path / "file")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * (tmp_path / "file").stat().st_size


def test_a_wide_input_without_parameters_costs_no_memory(tmp_path):
    network = fastnn.Network([fastnn.Input(2**31), fastnn.Activation("relu")])
    network.save(tmp_path / "file")
    tracemalloc.start()
    try:
        assert fastnn.Network.load(tmp_path / "file").n_inputs == 2**31
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 500_000


@pytest.mark.parametrize("text", [
    b"[" * 10**6, b'{"a":' * 10**5, b'"' + b"\\ud800" * 10**5 + b'"', b"[" + b"1," * 10**5 + b"1]", b"1" * 5000,
    b'{"__metadata__":{"fastnn":"' + b"[" * 10**6 + b'"}}', b"nul", b"\xff\xfe", b"", b"   ", b"{}", b'{"a":1,"a":2}',
    b'{"__metadata__":{"fastnn":"{\\"format\\":1e999}"}}', b'{"__metadata__":{"fastnn":"{\\"format\\":NaN}"}}',
    b'{"__metadata__":{"fastnn":"\\ud800"}}', b'{"__metadata__":{"fastnn":"[]"}}', b'{"__metadata__":{"fastnn":7}}',
])  # fmt: skip
def test_json_bombs(tmp_path, text):
    started = time.perf_counter()
    refused(tmp_path, len(text).to_bytes(8, "little") + text, "file: ")
    assert time.perf_counter() - started < 10


def test_a_header_over_the_limit_is_not_read(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write((2**40).to_bytes(8, "little"))
        file.truncate(2**40 + 100)  # sparse: it takes no disk
    with pytest.raises(FileFormatError, match="header takes 1,099,511,627,776 bytes, and 16,777,216 are allowed"):
        fastnn.Network.load(path)


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_what_is_not_a_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, "/dev/zero"):
        with pytest.raises(FileFormatError, match="not a regular file"):
            fastnn.Network.load(path)


# --- what the messages say ------------------------------------------------------------------------------------------


def test_another_kind_of_safetensors_file(tmp_path):
    import safetensors.numpy

    safetensors.numpy.save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "file", metadata={"format": "pt"})
    with pytest.raises(FileFormatError, match="safetensors file, but not one of fastnn"):
        fastnn.Network.load(tmp_path / "file")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_parameters_that_are_not_finite(tmp_path, valid, value):
    content = valid[:-8] + np.float32([value, 0]).tobytes()
    refused(tmp_path, content, "the array 'network/3/kernel' holds NaN or infinity")


def test_a_negative_variance(tmp_path):
    network = fastnn.Network([fastnn.Input(2), fastnn.BatchNormalization()])
    network.save(tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    assert content.endswith(np.float32(1).tobytes())
    refused(tmp_path, content[:-4] + np.float32(-1).tobytes(), "'network/1/moving_variance' holds negative variances")
    network.state[-1] = -1.0
    with pytest.raises(ValueError, match=r"variances must not be negative to be saved, got -1\.0 in"):
        network.save(tmp_path / "file")


@pytest.mark.parametrize("version, message", [
    (3, r"format is 3, .* reads formats up to 2: it was written by a later one"),
    (10**100, "written by a later one"),
    (0, "format must be an integer >= 1, got 0"),
    (-1, "got -1"), (True, "got True"), (1.0, r"got 1\.0"), ("1", "got '1'"), (None, "got None"),
])  # fmt: skip
def test_version_numbers(tmp_path, valid, version, message):
    header, document, data = split(valid)
    refused(tmp_path, join(header, {**document, "format": version}, data), message)


def change_layer(**arguments):
    return lambda header, network: network["layers"][1].update(arguments)


@pytest.mark.parametrize("change, message", [
    (change_layer(layer="Dens"), r"network\.layers\[1\]: layer must be one of .*; did you mean 'Dense'"),
    (change_layer(units=0), r"network\.layers\[1\]: units must be an integer >= 1, got 0"),
    (change_layer(units=5), r"'network/1/kernel' must have dtype float32 and shape \(3, 5\), got float32 and \(3, 4\)"),
    (change_layer(colour="red"), r"network\.layers\[1\]: .*unexpected keyword argument 'colour'"),
    (change_layer(activation={"name": "elu", "alpha": -1}), r"network\.layers\[1\]: alpha must be"),
    (change_layer(activation=None), r"network\.layers\[1\]: activation must be one of"),
    (change_layer(activation="r" * 101), r"network\.layers\[1\]: not the configuration of a layer"),
    (change_layer(units=2**31 + 1), r"network\.layers\[1\]: not the configuration of a layer"),
    (lambda header, network: network["layers"].reverse(), r"network\.layers: layers must start with Input"),
    (lambda header, network: network["layers"].clear(), r"network\.layers: layers must start with Input"),
    (lambda header, network: network.update(layers=network["layers"] * 5000), "at most 10,000 layers, got 20,000"),
    (lambda header, network: network.update(layers=None), "'layers' must be of type list, got None"),
    (lambda header, network: network.update(dtype="float16"), r"network\.dtype must be 'float32' or 'float64'"),
    (lambda header, network: network.update(dtype="float64"), "must have dtype float64"),
    (lambda header, network: network.update(seed=-1), r"network\.seed must be null or an integer"),
    (lambda header, network: header.pop("network/1/bias"), "'network/3/kernel' must begin at byte 48"),
    (lambda header, network: header.update(b=header.pop("network/1/bias")), "network/1/bias' is missing"),
    (lambda header, network: header["network/1/bias"].update(dtype="F16"), "must have a dtype of F64, F32"),
    (lambda header, network: header["network/1/bias"].update(shape=[2**62, 4]), "takes 7378697629483820646"),
    (lambda header, network: header["network/1/bias"].update(shape=[True]), "must have a shape"),
    (lambda header, network: header["network/1/bias"].update(extra=1), "must be described by"),
    (lambda header, network: header["network/1/bias"].update(data_offsets=[48, 40]), "must lie within the 96 bytes"),
    (lambda header, network: header["network/1/bias"].update(data_offsets=[40, 56]), "must begin at byte 48, got 40"),
])  # fmt: skip
def test_messages(tmp_path, valid, change, message):
    header, document, data = split(valid)
    change(header, document["network"])
    refused(tmp_path, join(header, document, data), message)


def test_arrays_of_booleans_hold_0_and_1(tmp_path):
    container.write(tmp_path / "file", {}, {"flags": np.array([True, False])})
    content = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(content[:-1] + b"\2")
    with container.reading(tmp_path / "file") as file, pytest.raises(FileFormatError, match="booleans holds 2"):
        file.read("flags")
