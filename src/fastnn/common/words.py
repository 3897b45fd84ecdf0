"""Words that users of other libraries type: what fastnn calls the same thing, for the error that they get."""

import difflib
import inspect
from typing import Any

# Keyword arguments of Keras, PyTorch and scikit-learn, and what to write instead.
_KEYWORDS = {
    "alpha": "'weight_decay' of AdamW, or a penalty such as L2 of a layer",
    "betas": "'beta_1' and 'beta_2'",
    "bias": "'use_bias'",
    "decay": "a schedule of fastnn.schedules as 'learning_rate'",
    "eps": "'epsilon'",
    "in_features": "Input(n_features) as the first layer",
    "input_dim": "Input(n_features) as the first layer",
    "input_shape": "Input(n_features) as the first layer",
    "learning_rate_init": "'learning_rate'",
    "lr": "'learning_rate'",
    "out_features": "'units'",
    "p": "'rate'",
    "save_freq": "'every', in epochs",
    "save_weights_only": "'save_trainer': False saves the network with its layers, True all of training",
    "step_size": "'learning_rate'",
    "threshold": "'min_delta'",
    "verbose": "fit(verbose=...), which shows progress",
}


def check_keywords(cls: type, given: dict[str, Any]) -> None:
    """Raise TypeError for a keyword that a constructor does not take, with the word that it takes instead."""
    known = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, list(known)[1:], n=1)
            meant = _KEYWORDS.get(name) or (repr(near[0]) if near else "")
            hint = f"; did you mean {meant}?" if meant else ""
            raise TypeError(f"{cls.__name__}() got an unexpected keyword argument {name!r}{hint}")
