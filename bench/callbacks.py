"""What an epoch of one small step costs beyond its step: the Python of the loop, and of each callback."""

import os

from bench.measure import repeated
from bench.workloads import make_data


def _make(name):
    """The callback, with arguments with which it has something to do and never ends training."""
    from fastnn import callbacks

    arguments = {
        "EarlyStopping": {"monitor": "loss", "patience": 10**9, "restore_best_weights": True},
        "ReduceLROnPlateau": {"monitor": "loss", "factor": 0.999},
        "LearningRateScheduler": {"schedule": lambda epoch: 1e-3},
        "CSVLogger": {"path": os.devnull},
        "TimeLimit": {"seconds": 1e6},
        "LambdaCallback": {"on_epoch_end": lambda epoch, logs: None},
    }
    return getattr(callbacks, name)(**arguments.get(name, {}))


def epoch(workload, peer, settings):
    """Seconds per epoch of full-batch training."""
    import fastnn

    X, y = make_data(workload)
    hidden, n_outputs = workload.sizes[1:-1], workload.sizes[-1]
    network = fastnn.Network.mlp(X.shape[1], hidden, n_outputs, activation=workload.hidden, seed=0)
    trainer = fastnn.Trainer(network, loss=workload.loss)
    hooks = [_make(workload.callback)] if workload.callback else []
    with_validation = {"validation_data": (X, y)} if workload.validates else {}

    def run(n_epochs):
        trainer.history = fastnn.History()  # or it would grow from sample to sample
        trainer.fit(X, y, epochs=n_epochs, batch_size=workload.batch, callbacks=hooks, n_threads=1, **with_validation)

    action, n = repeated(run, 1, settings.seconds)
    return action, {"epochs_per_sample": n}
