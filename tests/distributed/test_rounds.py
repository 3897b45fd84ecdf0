"""`fastnn.distributed.fit`: its bits, and what it does with data of every form."""

import dask
import dask.array as da
import numpy as np
import pytest
from scipy import sparse

import fastnn
from distributed import Client, LocalCluster
from distributed_support import assert_same_bits, make_data, make_trainer
from fastnn import distributed as fd
from fastnn.distributed import tree, work


def average(results, mean):
    if len(results) == 1:
        return results[0]
    cut = tree.middle(0, len(results))
    return mean(average(results[:cut], mean), average(results[cut:], mean))


def simulate(trainer, shards, rounds, epochs=1, **options):
    """Local SGD without a cluster: what `fit` has to equal bit for bit."""
    for _ in range(rounds):
        n_parameters = trainer.network.n_parameters
        before, state = trainer.network.parameters.copy(), trainer.state_dict()
        results = []
        for i, (X, y) in enumerate(shards):
            trainer.network.parameters[:] = before
            trainer.load_state_dict({**state, "seed": work.shard_seed(state["seed"], i)})
            trainer.fit(X, y, epochs=epochs, n_threads=1, **options)
            vector = np.concatenate([trainer.network.parameters, trainer.state_dict()["moments"].ravel()])
            results.append((vector, len(X), trainer.step))

        def mean(left, right):
            rows = left[1] + right[1]
            return left[0] + (right[0] - left[0]) * (right[1] / rows), rows, max(left[2], right[2])

        vector, _, step = average(results, mean)
        trainer.network.parameters[:] = vector[:n_parameters]
        moments = vector[n_parameters:].reshape(state["moments"].shape)
        done = state["epochs_done"] + epochs
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


def summary(network, moments):
    """What a round of many steps leaves of Adam's moments: of the second the means by rows and by columns."""
    return [
        table.mean(axis, np.float64).astype(np.float32)
        for table in (w.reshape(-1, w.shape[-1]) for w in network.unflatten(moments[1]))
        for axis in (1, 0)
    ]


def test_in_rounds_of_many_steps_a_summary_of_the_moments_travels(client, processes, tmp_path):
    X, y = make_data()
    data = chunked(X, y, [200, 100, 300])
    options = {"batch_size": 3, "rounds": 2}  # 100 steps of the largest shard
    trainer, expected = make_trainer(), make_trainer()
    path = tmp_path / "round.safetensors"
    keep = fastnn.callbacks.ModelCheckpoint(path, save_trainer=True)
    fd.fit(trainer, *data, client=client, callbacks=[keep], batch_size=3, rounds=1)

    # By hand: the shards' parameters and summaries are averaged, and the second moment is a product again.
    network, n = expected.network, expected.network.n_parameters
    start, state, members = network.parameters.copy(), expected.state_dict(), []
    for i, (a, b) in enumerate(cut(X, y, [200, 100, 300])):
        network.parameters[:] = start
        expected.load_state_dict({**state, "seed": work.shard_seed(state["seed"], i)})
        expected.fit(a, b, batch_size=3, n_threads=1)
        parts = summary(network, expected.state_dict()["moments"])
        members.append((np.concatenate([network.parameters, *parts]), len(a)))

    def mean(left, right):
        rows = left[1] + right[1]
        return left[0] + (right[0] - left[0]) * (right[1] / rows), rows

    vector, _ = average(members, mean)
    np.testing.assert_array_equal(trainer.network.parameters, vector[:n])
    first, second = trainer.state_dict()["moments"]
    assert not first.any()
    np.testing.assert_allclose(np.concatenate(summary(network, [first, second])), vector[n:], rtol=1e-5)
    kernel, rows, columns = network.unflatten(second)[0], vector[n : n + 4], vector[n + 4 : n + 20]
    np.testing.assert_allclose(kernel, np.outer(rows, columns) / rows.mean(), rtol=1e-5)

    whole, later = make_trainer(), fastnn.Trainer.load(path)
    fd.fit(whole, *data, client=client, **options)
    history = fd.fit(later, *data, client=processes, batch_size=3, rounds=1).history
    assert_same_bits(later, whole)
    # The parameters go to the other worker and come back, with a summary and some numbers.
    assert max(history["bytes_moved"]) <= 2 * 2 * whole.network.parameters.nbytes + 20_000


@pytest.mark.parametrize(
    ("optimizer", "batch_size"),
    [(fastnn.Adam(), 4), (fastnn.Adam(amsgrad=True), 3), (fastnn.SGD(0.01, momentum=0.9), 3)],
)
def test_else_all_moments_are_averaged(client, optimizer, batch_size):
    X, y = make_data()
    trainer, expected = make_trainer(optimizer=optimizer), make_trainer(optimizer=optimizer)
    fd.fit(trainer, *chunked(X, y, [300, 300]), rounds=2, batch_size=batch_size, client=client)
    assert_same_bits(trainer, simulate(expected, cut(X, y, [300, 300]), rounds=2, batch_size=batch_size))


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
    size = trainer.network.parameters.nbytes + trainer.moments.nbytes
    # The start goes to the other worker and its average comes back, and a description of each with it.
    assert max(history["bytes_moved"]) <= 2 * 2 * (size + 4000)
    assert max(history["bytes_moved"]) > 0
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
