"""What was chosen before a training began, as loggers of experiments want it."""

from typing import Any

_OF_A_GAN = ("noise", "discriminator_steps", "label_smoothing", "gradient_penalty")


def hyperparameters(trainer: Any) -> dict[str, bool | int | float | str]:
    """Return the hyperparameters of a `Trainer` or a `GAN` by name, as plain values; objects as their repr.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn.callbacks.hyperparameters import hyperparameters
    >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [4], 1, seed=0), loss="mse", optimizer=fastnn.SGD(0.1))
    >>> chosen = hyperparameters(trainer)
    >>> chosen["optimizer"], chosen["learning_rate"], chosen["loss"], chosen["parameters"]
    ('SGD', 0.1, 'mse', 13)
    """
    if hasattr(trainer, "discriminator"):
        found = {"loss": trainer.loss}
        for part in ("generator", "discriminator"):
            found |= _of_optimizer(getattr(trainer, f"{part}_optimizer"), f"{part}_")
            found[f"{part}_parameters"] = getattr(trainer, part).n_parameters
        return found | {name: getattr(trainer, name) for name in _OF_A_GAN}
    found = {"loss": trainer.loss.name, **_of_optimizer(trainer.optimizer, "")}
    found["parameters"] = trainer.network.n_parameters
    return found


def _of_optimizer(optimizer: Any, prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {f"{prefix}optimizer": type(optimizer).__name__}
    for name, value in vars(optimizer).items():
        if value is not None:
            found[prefix + name] = value if isinstance(value, bool | int | float | str) else repr(value)
    return found
