"""Train on a Dask cluster: here two processes on this machine, on a real one only `Client(...)` changes.

Run it with ``python examples/on_a_cluster.py``. It needs the extra ``dask``.
"""

import dask.array as da

import fastnn
from distributed import Client, LocalCluster
from fastnn import datasets, distributed


def main() -> None:
    digits = datasets.load("digits")
    # Four chunks of rows. On a cluster they would come from files, and never pass through this process.
    X, y = da.from_array(digits.X / 16, chunks=(450, 64)), da.from_array(digits.y, chunks=450)

    network = fastnn.Network.mlp(64, [64], 10, output="softmax", seed=0)
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy", metrics=["accuracy"])
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        history = distributed.fit(trainer, X, y, rounds=20, epochs_per_round=2, client=client)
        scores = distributed.evaluate(trainer, X, y, client=client)
        outputs = distributed.predict(network, X)  # lazy, chunk by chunk
        right = (outputs.argmax(axis=1) == y).sum().compute()
    print(f"{len(history.epoch)} rounds on {X.numblocks[0]} shards: accuracy {scores['accuracy']:.4f}")
    print(f"{right} of {len(X)} digits are right")
    print(f"{history.history['bytes_moved'][-1] / 1000:.0f} kB between workers in the last round")


if __name__ == "__main__":  # the workers import this file
    main()
