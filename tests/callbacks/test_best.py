"""The best stays the best: over fits and resumes, for the callback that it belongs to, with the right parameters."""

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import CSVLogger, EarlyStopping, LambdaCallback, ModelCheckpoint

X = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
Y = X.sum(axis=1)


def make_trainer(rate=0.1, **options):
    network = fastnn.Network.mlp(3, [4], 1, activation="tanh", seed=0)
    return fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(rate, **options))


def loss_of(path):
    return fastnn.Trainer(fastnn.Network.load(path), loss="mse").evaluate(X, Y)["loss"]


def test_a_second_fit_keeps_the_best_file(tmp_path):
    path = tmp_path / "best"
    checkpoint = ModelCheckpoint(path, save_best_only=True)
    trainer = make_trainer()
    trainer.fit(X, Y, epochs=5, validation_data=(X, Y), callbacks=[checkpoint])
    best = checkpoint.best
    assert loss_of(path) == best
    trainer.network.parameters *= 3  # much worse
    trainer.fit(X, Y, epochs=1, validation_data=(X, Y), callbacks=[checkpoint])
    assert trainer.history.history["val_loss"][-1] > best
    assert checkpoint.best == best == loss_of(path)


@pytest.mark.parametrize("how", ["threshold", "assigned"])
def test_only_what_beats_a_threshold_is_saved(tmp_path, how):
    losses = make_trainer().fit(X, Y, epochs=6, validation_data=(X, Y)).history["val_loss"]
    limit = sorted(losses)[2]
    options = {"initial_value_threshold": limit} if how == "threshold" else {}
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}", save_best_only=True, **options)
    if how == "assigned":
        checkpoint.best = limit
    make_trainer().fit(X, Y, epochs=6, validation_data=(X, Y), callbacks=[checkpoint])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["5", "6"]


def test_the_folder_is_made(tmp_path):
    path = tmp_path / "new" / "folder" / "{epoch}" / "x"
    make_trainer().fit(
        X, Y, callbacks=[ModelCheckpoint(filepath=path), CSVLogger(filename=tmp_path / "logs" / "x.csv")]
    )
    assert (tmp_path / "new" / "folder" / "1" / "x").exists() and (tmp_path / "logs" / "x.csv").exists()


def test_after_a_resume_the_best_file_stays(tmp_path):
    path = tmp_path / "best"
    trainer = make_trainer()
    trainer.fit(X, Y, epochs=5, validation_data=(X, Y), callbacks=[ModelCheckpoint(path, save_best_only=True)])
    trainer.save(tmp_path / "trainer")
    best = loss_of(path)
    later = fastnn.Trainer.load(tmp_path / "trainer")
    later.network.parameters *= 3
    again = ModelCheckpoint(path, save_best_only=True)
    later.fit(X, Y, epochs=1, validation_data=(X, Y), callbacks=[again])
    assert again.best == best == loss_of(path)


def test_states_come_back_to_those_that_watch_and_write_the_same(tmp_path):
    trainer = make_trainer()

    def make():
        return {
            "loss": EarlyStopping("loss", patience=90), "val_loss": EarlyStopping("val_loss", patience=90),
            "a": ModelCheckpoint(tmp_path / "a", "loss", save_best_only=True),
            "b": ModelCheckpoint(tmp_path / "b", "val_loss", save_best_only=True),
        }  # fmt: skip

    first = make()
    trainer.fit(X, Y, epochs=5, batch_size=8, validation_data=(X, Y), callbacks=first.values())
    trainer.save(tmp_path / "trainer")
    later, seen = fastnn.Trainer.load(tmp_path / "trainer"), {}
    second = make()
    second["new"] = ModelCheckpoint(tmp_path / "new", "val_loss", save_best_only=True)
    look = LambdaCallback(on_epoch_begin=lambda epoch: seen.update({n: c.best for n, c in second.items()}))
    given = [look, *(second[name] for name in ("new", "b", "val_loss", "a", "loss"))]
    later.fit(X, Y, epochs=1, batch_size=8, validation_data=(X, Y), callbacks=given)
    assert seen == {**{name: callback.best for name, callback in first.items()}, "new": None}
    assert first["loss"].best != first["val_loss"].best


def test_states_without_identity_go_by_class():
    """As files of fastnn 0.1 have them."""
    trainer = make_trainer()
    trainer.fit(X, Y, epochs=3, callbacks=[EarlyStopping("loss", patience=90)])
    state = trainer.state_dict()
    best = state["callbacks"][0]["state"]["best"]
    del state["callbacks"][0]["identity"]
    trainer.load_state_dict(state)
    stopping, seen = EarlyStopping("loss", patience=90), []
    trainer.fit(X, Y, callbacks=[stopping, LambdaCallback(on_epoch_begin=lambda epoch: seen.append(stopping.best))])
    assert seen == [best]


@pytest.mark.parametrize("rate", [0.1, 1.2], ids=["falling", "rising"])
def test_with_full_batches_the_very_best_of_the_training_loss_comes_back(tmp_path, rate):
    """A training loss is measured before the step: it belongs to the parameters that the epoch began with."""
    trainer = make_trainer(rate)
    stopping = EarlyStopping("loss", patience=4, restore_best_weights=True)
    checkpoint = ModelCheckpoint(tmp_path / "best", "loss", save_best_only=True)
    history = trainer.fit(X, Y, epochs=12, batch_size=None, callbacks=[checkpoint, stopping]).history["loss"]
    best = min(history)
    assert trainer.evaluate(X, Y)["loss"] == pytest.approx(best, rel=1e-6)
    assert loss_of(tmp_path / "best") == pytest.approx(best, rel=1e-6)
    assert stopping.best == checkpoint.best == best


def test_with_several_steps_the_epoch_s_last_parameters_stand_for_it(tmp_path):
    trainer, at_end = make_trainer(), []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: at_end.append(trainer.network.parameters.copy()))
    stopping = EarlyStopping("loss", restore_best_weights=True, patience=50)
    trainer.fit(X, Y, epochs=4, batch_size=8, callbacks=[keep, stopping])
    np.testing.assert_array_equal(trainer.network.parameters, at_end[stopping.best_epoch])
