"""`fastnn.distributed.fit`: its bits, and what it does with data of every form."""

import pickle

import dask
import dask.array as da
import numpy as np
import pytest
from dask.sizeof import sizeof
from scipy import sparse

import fastnn
from distributed import Client, LocalCluster
from distributed_support import assert_same_bits, make_data, make_trainer
from fastnn import distributed as fd
from fastnn.distributed import carrier, tree, work


def average(results, mean):
    if len(results) == 1:
        return results[0]
    cut = tree.middle(0, len(results))
    return mean(average(results[:cut], mean), average(results[cut:], mean))


def few_bits(vectors, decays):
    """What is left of parameters and moments on the wire: 16 bits, and 8 of each of two moments."""
    if not decays:
        return vectors
    forms = [(2, 5), (2 // len(decays), 4), (2 // len(decays), 5)]
    coded = zip(vectors, forms, strict=False)
    return [carrier.decode(carrier.encode(vector, width, e), e, vector.dtype) for vector, (width, e) in coded]


def simulate(trainer, shards, rounds, epochs=1, **options):
    """Local SGD without a cluster: what `fit` has to equal bit for bit."""
    decays = carrier.decays_of(trainer.optimizer) if len(shards) > 1 else ()
    for _ in range(rounds):
        state = trainer.state_dict()
        own = [trainer.network.parameters.copy(), *state["moments"]]
        start, results = few_bits(own, decays), []
        for i, (X, y) in enumerate(shards):
            trainer.network.parameters[:] = start[0]
            moments = np.array(start[1:]).reshape(state["moments"].shape)
            trainer.load_state_dict({**state, "moments": moments, "seed": work.shard_seed(state["seed"], i)})
            trainer.fit(X, y, epochs=epochs, n_threads=1, **options)
            vectors, kept = [trainer.network.parameters.copy(), *trainer.state_dict()["moments"]], np.empty(0)
            if decays:
                kept = np.float32([decay ** (trainer.step - state["step"]) for decay in decays])
                shares = [1.0, *(decay ** (trainer.step - state["step"]) for decay in decays)]
                vectors = [new - share * old for new, old, share in zip(vectors, start, shares, strict=True)]
                vectors[2:] = [np.maximum(squares, 0) for squares in vectors[2:]]
            results.append((few_bits(vectors, decays), kept, len(X), trainer.step))

        def mean(left, right):
            rows = left[2] + right[2]
            share = right[2] / rows
            vectors = [a + (b - a) * share for a, b in zip(left[0], right[0], strict=True)]
            kept = left[1] + (right[1] - left[1]) * np.float32(share)
            return few_bits(vectors, decays), kept, rows, max(left[3], right[3])

        vectors, kept, _, step = average(results, mean)
        if decays:
            vectors = [new + share * old for new, old, share in zip(vectors, own, [1.0, *kept], strict=True)]
        trainer.network.parameters[:] = vectors[0]
        done = state["epochs_done"] + epochs
        moments = np.array(vectors[1:]).reshape(state["moments"].shape)
        trainer.load_state_dict({**state, "moments": moments, "step": step, "epochs_done": done})
    return trainer


def chunked(X, y, sizes):
    sizes = tuple(sizes)
    return da.from_array(X, chunks=(sizes, X.shape[1:])), da.from_array(y, chunks=(sizes,))


def cut(X, y, sizes):
    ends = np.cumsum(sizes)[:-1]
    return [(a, b) for a, b in zip(np.split(X, ends), np.split(y, ends), strict=True) if len(a)]


@pytest.mark.parametrize("options", [{}, {"optimizer": fastnn.SGD(0.1, use_ema=True)}], ids=["adam", "ema"])
def test_one_shard_is_the_plain_fit_bit_for_bit(client, options):
    X, y = make_data()
    trainer, plain = make_trainer(**options), make_trainer(**options)
    history = fd.fit(trainer, *chunked(X, y, [200, 100, 300]), rounds=3, epochs_per_round=2, shards=1, client=client)
    plain.fit(X, y, epochs=6, n_threads=1)
    assert_same_bits(trainer, plain)
    assert history.history["loss"] == plain.history.history["loss"][1::2]
    assert history.history["accuracy"] == plain.history.history["accuracy"][1::2]
    assert history.epoch == [1, 3, 5]


def test_layers_with_dropout_and_running_statistics_too(client):
    X, y = make_data()
    layers = [
        fastnn.Input(4), fastnn.Dense(16), fastnn.BatchNormalization(), fastnn.Activation("relu"), fastnn.Dropout(0.2),
        fastnn.Dense(3, "softmax"),
    ]  # fmt: skip
    trainer, plain = (fastnn.Trainer(fastnn.Network(layers, seed=3), loss="categorical_crossentropy") for _ in range(2))
    fd.fit(trainer, *chunked(X, y, [300, 300]), rounds=2, shards=1, client=client, seed=5)
    plain.fit(X, y, epochs=2, n_threads=1, seed=5)
    assert_same_bits(trainer, plain)


# Unequal chunks, one of a single row, an empty one.
SIZES = [200, 1, 0, 99, 150, 50, 100]


def test_the_bits_are_those_of_local_sgd_whatever_the_workers(client, processes):
    X, y = make_data()
    expected = simulate(make_trainer(), cut(X, y, SIZES), rounds=2)
    # An empty chunk is a shard of no row, which has a place in the tree; the simulation leaves it out.
    sizes = [n for n in SIZES if n]
    trainer = make_trainer()
    fd.fit(trainer, *chunked(X, y, sizes), rounds=2, client=client)
    assert_same_bits(trainer, expected)
    with (
        LocalCluster(n_workers=1, threads_per_worker=3, processes=False, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as other,
    ):
        trainer = make_trainer()
        fd.fit(trainer, *chunked(X, y, sizes), rounds=2, client=other)
        assert_same_bits(trainer, expected)
    trainer = make_trainer()
    fd.fit(trainer, *chunked(X, y, sizes), rounds=2, client=processes)
    assert_same_bits(trainer, expected)


def test_chunks_of_unequal_size_of_one_row_and_empty(client):
    X, y = make_data()
    trainer = make_trainer()
    history = fd.fit(trainer, *chunked(X, y, SIZES), rounds=8, client=client, batch_size=8)
    assert history.history["loss"][-1] < 0.8 * history.history["loss"][0]
    grouped = make_trainer()
    fd.fit(grouped, *chunked(X, y, SIZES), rounds=2, shards=3, client=client)
    assert_same_bits(grouped, simulate(make_trainer(), cut(X, y, [201, 99, 300]), rounds=2))


def test_several_rounds_a_pass_take_their_rows_in_turn(client):
    X, y = make_data()
    trainer, expected = make_trainer(), make_trainer()
    history = fd.fit(trainer, *chunked(X, y, [300, 298, 2]), rounds=6, rounds_per_epoch=3, client=client)
    shards = [(X[:300], y[:300]), (X[300:598], y[300:598]), (X[598:], y[598:])]
    for turn in (0, 1, 2, 0, 1, 2):  # a shard of two rows cannot be cut in three
        simulate(expected, [(a[turn::3], b[turn::3]) if len(a) > 2 else (a, b) for a, b in shards], rounds=1)
    assert_same_bits(trainer, expected)
    assert len(history.epoch) == 6
    weights = np.zeros(600)
    weights[::3] = 1.0  # all that weighs something comes in the first round; the others then take all rows
    a, b = chunked(X, y, [300, 300])
    fd.fit(
        make_trainer(), a, b, sample_weight=da.from_array(weights, chunks=300), rounds=2, rounds_per_epoch=3,
        client=client,
    )  # fmt: skip
    with pytest.raises(ValueError, match="rounds_per_epoch must be 1 where epochs_per_round is more than that"):
        fd.fit(trainer, a, b, rounds_per_epoch=2, epochs_per_round=2, client=client)


def test_the_tree_depends_on_the_number_of_shards_alone():
    for n in range(1, 40):
        leaves = tree.fold(0, n, lambda i: [i], lambda a, b: a + b)
        assert leaves == list(range(n))
        owners = [f"w{i % 3}" for i in range(n)]
        found = tree.groups(owners, lambda owner: 8)
        assert [i for first, last in found for i in range(first, last)] == list(range(n))


def test_a_checkpoint_of_every_round_goes_on_bit_for_bit_on_a_cluster_of_another_size(client, processes, tmp_path):
    X, y = make_data()
    data = chunked(X, y, [150] * 4)
    whole, first = make_trainer(), make_trainer()
    options = {"outer": fastnn.SGD(0.7, momentum=0.9, nesterov=True)}
    fd.fit(whole, *data, rounds=4, client=client, **options)
    path = tmp_path / "round.safetensors"
    keep = fastnn.callbacks.ModelCheckpoint(path, save_trainer=True)
    fd.fit(first, *data, rounds=2, client=client, callbacks=[keep], **options)
    later = fastnn.Trainer.load(path)
    fd.fit(later, *data, rounds=2, client=processes, **options)
    assert_same_bits(later, whole)


@pytest.mark.parametrize(
    "optimizer",
    [
        fastnn.AdamW(0.01), fastnn.Adam(amsgrad=True), fastnn.Adam(use_ema=True), fastnn.SGD(0.01),
        fastnn.SGD(0.01, momentum=0.9), fastnn.Lion(1e-3), fastnn.RMSprop(),
    ],
)  # fmt: skip
def test_all_optimizers_are_averaged(client, optimizer):
    X, y = make_data()
    trainer, expected = make_trainer(optimizer=optimizer), make_trainer(optimizer=optimizer)
    fd.fit(trainer, *chunked(X, y, [300, 299, 1]), rounds=3, batch_size=16, client=client)
    assert_same_bits(trainer, simulate(expected, cut(X, y, [300, 299, 1]), rounds=3, batch_size=16))


@pytest.mark.parametrize("optimizer", [fastnn.Adam(), fastnn.SGD(0.01, momentum=0.9), fastnn.SGD(0.01)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_travels_has_the_bytes_of_the_parameters(optimizer, dtype):
    network = fastnn.Network.mlp(4, [16384], 3, seed=0, dtype=dtype)
    trainer = fastnn.Trainer(network, loss="mse", optimizer=optimizer)
    now = carrier.now_of(trainer, carrier.decays_of(optimizer))
    for vector in (now.vector, carrier.change_of(trainer, now)):
        size = network.parameters.nbytes + 2000
        assert sizeof(vector) < size  # by which Dask counts what moves
        assert len(pickle.dumps(vector, protocol=5)) < size


def test_few_bits_hold_what_they_are_to_hold():
    rng = np.random.default_rng(0)
    for dtype, width, e, error in (
        (np.float32, 2, 5, 2**-11), (np.float32, 1, 4, 2**-4), (np.float32, 1, 5, 2**-3), (np.float64, 4, 5, 2**-27),
        (np.float64, 2, 5, 2**-11),
    ):  # fmt: skip
        values = (rng.choice([-1, 1], 1000) * 1000.0 ** rng.uniform(-1, 0, 1000)).astype(dtype)
        few = carrier.decode(carrier.encode(values, width, e), e, dtype)
        np.testing.assert_allclose(few, values, rtol=error)
        assert not np.allclose(few, values, rtol=error / 4, atol=0)
        np.testing.assert_array_equal(carrier.decode(carrier.encode(few, width, e), e, dtype), few)
        assert carrier.encode(values, width, e)[0].nbytes == 1000 * width
        # What is far below the largest is no 0, a 0 is one, and small numbers alone are as exact.
        few = carrier.decode(carrier.encode(np.array([1.0, -1e-30, 0.0], dtype), width, e), e, dtype)
        np.testing.assert_array_equal(np.sign(few), [1, -1, 0])
        assert abs(few[1]) < 2.0**-15
        for scale in (dtype(1e-34), dtype(1e34)):
            few = carrier.decode(carrier.encode(values * scale, width, e), e, dtype)
            np.testing.assert_allclose(few, values * scale, rtol=error, atol=1e-40)
        for bad in (np.nan, np.inf):
            few = carrier.decode(carrier.encode(np.array([1.0, bad], dtype), width, e), e, dtype)
            assert not np.isfinite(few).all()
        assert carrier.encode(np.empty(0, dtype), width, e)[0].size == 0


def test_small_weights_beside_a_large_bias_keep_their_value():
    trainer = fastnn.Trainer(fastnn.Network.mlp(4, [16], 1, seed=0), loss="mse", optimizer=fastnn.Adam())
    trainer.network.parameters[-1] = 1e4
    rounded = carrier.vector_of(trainer, carrier.decays_of(trainer.optimizer)).parts[0]
    np.testing.assert_allclose(rounded, trainer.network.parameters, rtol=2**-11, atol=3e-6)


def test_rounding_swallows_no_small_steps(client):
    X, y = make_data()
    # A round changes a parameter by some 1e-5 of it, a tenth of what 16 bits tell apart.
    moved = []
    for options in ({"shards": 2}, {"shards": 1}):
        trainer = make_trainer(optimizer=fastnn.SGD(1e-7, momentum=0.9))
        before = trainer.network.parameters.copy()
        fd.fit(trainer, *chunked(X, y, [300, 300]), rounds=20, batch_size=300, client=client, **options)
        moved.append(trainer.network.parameters - before)
    many, one = moved
    # Two shards take half the steps.
    np.testing.assert_allclose(many.sum(), 0.5 * one.sum(), rtol=0.3)


def test_nesterov_on_the_averaged_step(client):
    X, y = make_data()
    data = chunked(X, y, [300, 300])
    plain, stepped = make_trainer(), make_trainer()
    before = plain.network.parameters.copy()
    fd.fit(plain, *data, rounds=1, client=client)
    fd.fit(stepped, *data, rounds=1, client=client, outer=fastnn.SGD(0.5, momentum=0.9, nesterov=True))
    change = plain.network.parameters - before
    np.testing.assert_allclose(stepped.network.parameters - before, 0.5 * 1.9 * change, rtol=1e-4, atol=1e-6)


def test_data_frames_delayed_blocks_futures_and_sparse_blocks(client):
    import dask.dataframe as dd
    import pandas as pd

    X, y = make_data()
    expected = simulate(make_trainer(), cut(X, y, [300, 300]), rounds=2)
    frame = dd.from_pandas(pd.DataFrame(X, columns=list("abcd")).assign(y=y), npartitions=2, sort=False)
    blocks = cut(X, y, [300, 300])
    forms = {
        "frames": (frame[list("abcd")], frame["y"]),
        "nullable": (frame[list("abcd")].astype("Float32"), frame["y"].astype("Int64")),
        "delayed": ([dask.delayed(a) for a, _ in blocks], [dask.delayed(b) for _, b in blocks]),
        "futures": (client.scatter([a for a, _ in blocks]), client.scatter([b for _, b in blocks])),
        "persisted": tuple(client.persist(list(chunked(X, y, [300, 300])))),
        "cut otherwise": (da.from_array(X, chunks=(300, 2)), da.from_array(y, chunks=100)),
        "sparse": ([dask.delayed(sparse.csr_matrix)(a) for a, _ in blocks], [dask.delayed(b) for _, b in blocks]),
    }
    for name, (a, b) in forms.items():
        trainer = make_trainer()
        fd.fit(trainer, a, b, rounds=2, client=client)
        if name == "sparse":
            np.testing.assert_allclose(trainer.network.parameters, expected.network.parameters, rtol=1e-4, atol=1e-5)
        else:
            assert_same_bits(trainer, expected)


def test_columns_of_several_files_have_as_many_blocks(client, tmp_path):
    import dask.dataframe as dd
    import pandas as pd

    X, y = make_data()
    for i in range(2):
        table = pd.DataFrame(X[i::2], columns=list("abcd")).assign(y=y[i::2], unused="text")
        table.to_parquet(tmp_path / f"part-{i}.parquet")
    frame = dd.read_parquet(tmp_path)
    trainer, expected = make_trainer(), simulate(make_trainer(), [(X[i::2], y[i::2]) for i in range(2)], rounds=1)
    fd.fit(trainer, frame[list("abcd")], frame["y"], rounds=1, client=client)
    assert_same_bits(trainer, expected)


def test_shards_lie_where_their_chunks_do(client):
    import dask.dataframe as dd
    import pandas as pd

    from fastnn.distributed import blocks

    X, _ = make_data()
    array = client.persist(da.from_array(X, chunks=(100, 4)))
    frame = client.persist(dd.from_pandas(pd.DataFrame(X, columns=list("abcd")), npartitions=6))
    for whole, taken in ((array, array), (array, 2 * array), (frame, frame), (frame, frame[["a", "b"]])):
        owners = blocks.place(client, [[block] for block in blocks.as_blocks("X", taken).blocks])
        where = client.who_has(whole)
        assert owners == [where[key][0] for key in sorted(where)]
        assert len(set(owners)) == 2


def test_weights_validation_and_what_history_holds(client, processes):
    X, y = make_data()
    w = np.random.default_rng(1).uniform(0.5, 2, len(X))
    w[:150] = 0.0  # the first chunk has no say
    a, b = chunked(X, y, [150] * 4)
    weights = da.from_array(w, chunks=150)
    trainer, alone = make_trainer(), make_trainer()
    history = fd.fit(trainer, a, b, sample_weight=weights, validation_data=(a, b, weights), rounds=2, client=client)
    fd.fit(alone, a[150:], b[150:], sample_weight=weights[150:], validation_data=(X, y, w), rounds=2, client=client)
    np.testing.assert_allclose(trainer.network.parameters, alone.network.parameters, rtol=0.2, atol=0.1)
    logs = trainer.evaluate(X, y, sample_weight=w)
    assert history.history["val_loss"][-1] == pytest.approx(logs["loss"], rel=1e-6)
    assert history.history["val_accuracy"][-1] == pytest.approx(logs["accuracy"], rel=1e-6)
    assert set(history.history) == {
        "loss", "accuracy", "val_loss", "val_accuracy", "rows_per_second", "bytes_moved", "waiting",
    }  # fmt: skip
    trainer = make_trainer()
    history = fd.fit(trainer, a, b, rounds=3, client=processes).history
    # The start goes to the other worker and a change comes back, and a description of each with it.
    assert 0 < max(history["bytes_moved"]) <= 2 * 2 * (trainer.network.parameters.nbytes + 4000)
    assert all(0 <= share <= 1 for share in history["waiting"])
    assert min(history["rows_per_second"]) > 0


def test_progress_and_callbacks_once_a_round(client, capsys):
    X, y = make_data()
    calls = []
    hook = fastnn.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch: calls.append(("begin", epoch)),
        on_epoch_end=lambda epoch, logs: (calls.append(("end", epoch)), logs.update(extra=epoch)),
    )
    trainer = make_trainer()
    fd.fit(trainer, *chunked(X, y, [300, 300]), rounds=2, client=client, callbacks=[hook], verbose=2)
    assert calls == [("begin", 0), ("end", 0), ("begin", 1), ("end", 1)]
    assert trainer.history.history["extra"] == [0.0, 1.0]  # what a callback adds is in the history, as in Trainer.fit
    assert "rows_per_second" in capsys.readouterr().out.splitlines()[-1]


def test_early_stopping_and_learning_rates_of_callbacks(client):
    X, y = make_data()
    trainer = make_trainer()
    stop = fastnn.callbacks.EarlyStopping("loss", min_delta=10.0, patience=2, restore_best_weights=True)
    slow = fastnn.callbacks.LearningRateScheduler(lambda epoch, rate: 0.01 / (epoch + 1))
    history = fd.fit(trainer, *chunked(X, y, [300, 300]), rounds=9, client=client, callbacks=[stop, slow])
    assert len(history.epoch) == 3
    assert "EarlyStopping" in history.stop_reason
    assert history.learning_rate == pytest.approx([0.01, 0.005, 0.01 / 3])


@pytest.mark.parametrize("metrics", [["accuracy"], ["accuracy", "roc_auc", "top_2_accuracy"]])
def test_evaluate_is_that_of_one_machine(client, metrics):
    X, y = make_data()
    w = np.random.default_rng(1).uniform(0.5, 2, len(X))
    trainer = make_trainer(metrics)
    a, b = chunked(X, y, SIZES)
    assert fd.evaluate(trainer, a, b, client=client) == pytest.approx(trainer.evaluate(X, y), rel=1e-6)
    weighted = fd.evaluate(trainer, a, b, client=client, sample_weight=da.from_array(w, chunks=(a.chunks[0],)))
    assert weighted == pytest.approx(trainer.evaluate(X, y, sample_weight=w), rel=1e-6)
    assert list(weighted) == ["loss", *metrics]


def test_evaluate_has_the_root_of_the_mean_square(client):
    X, y = make_data()
    network = fastnn.Network.mlp(4, [16], 1, seed=0)
    trainer = fastnn.Trainer(network, loss="mse", metrics=["rmse", "mae", "mse", "r2"])
    a, b = chunked(X, y, SIZES)
    assert fd.evaluate(trainer, a, b, client=client) == pytest.approx(trainer.evaluate(X, y), rel=1e-6)
    logs = fd.fit(fastnn.Trainer(network, loss="mse", metrics=["rmse", "mse"]), a, b, rounds=1, client=client).history
    assert logs["rmse"][0] == pytest.approx(logs["mse"][0] ** 0.5)


def test_predict_is_lazy_and_has_the_bits_of_one_machine():
    X, _ = make_data()
    network = make_trainer().network
    expected = network.predict(X)
    outputs = fd.predict(network, da.from_array(X, chunks=(250, 3)))
    network.parameters[:] = 0.0  # later training changes no prediction
    assert outputs.chunks == ((250, 250, 100), (3,))
    assert outputs.dtype == np.float32
    np.testing.assert_array_equal(outputs.compute(scheduler="sync"), expected)
    doubled = outputs.map_blocks(lambda block: 2 * block)
    np.testing.assert_array_equal(doubled.compute(scheduler="threads"), 2 * expected)


def test_booleans_beside_numbers_and_missing_ones_in_data_frames(client):
    import dask.dataframe as dd
    import pandas as pd

    X, y = make_data()
    table = pd.DataFrame(X, columns=list("abcd")).assign(d=X[:, 3] > 0)
    mixed = dd.from_pandas(table, npartitions=2, sort=False)
    plain = dd.from_pandas(table.astype(np.float64), npartitions=2, sort=False)
    target = dd.from_pandas(pd.Series(y), npartitions=2, sort=False)
    trainers = []
    for frame in (mixed, plain):
        trainers.append(make_trainer())
        fd.fit(trainers[-1], frame, target, client=client)
    assert_same_bits(*trainers)
    assert fd.evaluate(trainers[0], mixed, target, client=client)["accuracy"] > 0.3
    network = trainers[0].network
    expected, found = (fd.predict(network, frame).compute(scheduler="synchronous") for frame in (plain, mixed))
    pd.testing.assert_frame_equal(expected, found)
    holed = table.astype({"a": "Float32"})
    holed.loc[401, "a"] = pd.NA
    with pytest.raises(ValueError, match=r"X \(chunk 1\) must be finite, got nan in row 101, column 0"):
        fd.fit(make_trainer(), dd.from_pandas(holed, npartitions=2, sort=False), target, client=client)


def test_predictions_of_data_frames_keep_the_index():
    import dask.dataframe as dd
    import pandas as pd

    X, _ = make_data(100)
    frame = pd.DataFrame(X, columns=list("abcd"), index=np.arange(100) * 3)
    lazy = dd.from_pandas(frame, npartitions=3)
    one, three = fastnn.Network.mlp(4, [16], 1, seed=0), make_trainer().network
    series = fd.predict(one, lazy).compute(scheduler="sync")
    expected = pd.Series(one.predict(X)[:, 0], index=frame.index, name="prediction")
    pd.testing.assert_series_equal(series, expected)
    table = fd.predict(three, lazy).compute(scheduler="sync")
    pd.testing.assert_frame_equal(table, pd.DataFrame(three.predict(X), index=frame.index))
