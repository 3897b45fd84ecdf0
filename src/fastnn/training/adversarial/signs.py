"""Signs that two networks no longer train each other, each told once a fit, by name and with what usually helps."""

import math
import warnings

_LEAST_EPOCHS = 3
_LEAST_STEPS = 300  # before which a generator has had no time to learn
_ALWAYS_RIGHT = 0.995
_HARDLY_ANY = 0.02  # of the variance of real samples

_MESSAGES = {
    "discriminator always right": (
        "it has told real samples from made ones in {share:.1%} of cases for {steps} steps, so that the generator "
        "learns little. label_smoothing=0.1, a lower learning rate of the discriminator, dropout in it, or a smaller "
        "one usually help"
    ),
    "collapse": (
        "made samples have had {share:.2%} of the variance of real ones for {steps} steps: the generator makes nearly "
        "the same sample of all noise. A lower learning rate, beta_1=0.5 in Adam, normalization in the generator, or "
        "loss='wasserstein' with gradient_penalty=10 usually help"
    ),
}


class Signs:
    """What the epochs of one fit have shown so far."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[int, int]] = {}  # epochs and steps for which a sign has been there
        self._told: set[str] = set()

    def look(self, logs: dict[str, float], steps: int) -> None:
        """Look at the logs of an epoch of so many steps."""
        diversity = logs.get("diversity", math.nan)
        right = min(logs.get("real_accuracy", 0.0), logs.get("made_accuracy", 0.0))
        self._note("discriminator always right", right >= _ALWAYS_RIGHT, right, steps)
        self._note("collapse", diversity < _HARDLY_ANY, diversity, steps)

    def _note(self, name: str, is_there: bool, share: float, steps: int) -> None:
        epochs, before = self._since.get(name, (0, 0))
        epochs, steps = (epochs + 1, before + steps) if is_there else (0, 0)
        self._since[name] = epochs, steps
        if epochs >= _LEAST_EPOCHS and steps >= _LEAST_STEPS and name not in self._told:
            self._told.add(name)
            message = _MESSAGES[name].format(share=share, steps=steps)
            warnings.warn(f"{name}: {message}", UserWarning, stacklevel=6)
