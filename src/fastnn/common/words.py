"""Words that users of other libraries type: what fastnn calls the same thing, for the error that they get."""

import difflib
import inspect
from functools import cache
from typing import Any

# Keyword arguments of Keras, PyTorch and scikit-learn, and what to write instead.
_KEYWORDS = {
    **dict.fromkeys(("n_epochs", "num_epochs", "nb_epoch", "max_iter", "iterations"), "'epochs'"),
    **dict.fromkeys(("val_data", "eval_set"), "'validation_data'"),
    "alpha": "'weight_decay' of AdamW, or a penalty such as L2 of a layer",
    "betas": "'beta_1' and 'beta_2'",
    "bias": "'use_bias'",
    "bias_initializer": "'use_bias', since a bias begins at 0",
    "name": "no name, since layers go by their places in the list",
    "decay": "a schedule of fastnn.schedules as 'learning_rate'",
    "eps": "'epsilon'",
    "in_features": "Input(n_features) as the first layer",
    "input_dim": "Input(n_features) as the first layer",
    "data_format": "channels last, which is all there is: X.transpose(0, 2, 3, 1)",
    "dilation_rate": "'dilation'",
    "in_channels": "Input((height, width, channels)) as the first layer",
    "input_shape": "Input(shape) as the first layer",
    "out_channels": "'filters'",
    "shape": "Input((28, 28, 1)), the shape without a name",
    "stride": "'strides'",
    "hidden_layer_sizes": "'hidden'",
    **dict.fromkeys(("learning_rate", "learning_rate_init", "lr"), "'learning_rate'"),
    "out_features": "'units'",
    "p": "'rate'",
    "random_state": "'seed'",
    "save_freq": "'every', in epochs",
    "save_weights_only": "'save_trainer': False saves the network with its layers, True all of training",
    "step_size": "'learning_rate'",
    "threshold": "'min_delta'",
    "verbose": "fit(verbose=...), which shows progress",
    **dict.fromkeys(("n_jobs", "workers"), "'n_threads'"),
    "weight_decay": "AdamW(weight_decay=...), or a penalty such as L2 of a layer",
}

# What the same is called where an estimator follows scikit-learn.
_IN_SKLEARN = {
    "epochs": "max_iter", "hidden": "hidden_layer_sizes", "layers": "hidden_layer_sizes", "optimizer": "solver",
    "learning_rate": "learning_rate_init", "patience": "n_iter_no_change", "seed": "random_state",
    "units": "hidden_layer_sizes", "validation_split": "validation_fraction", "weight_decay": "alpha",
}  # fmt: skip

# Names in Keras and PyTorch, and what to write instead.
_NAMES = {
    **dict.fromkeys(("Sequential", "Model"), "Network([Input(...), ...])"),
    **{f"{short}{n}D": f"{full}{n}D" for n in (1, 2) for short, full in (
        ("MaxPool", "MaxPooling"), ("AvgPool", "AveragePooling"), ("GlobalAvgPool", "GlobalAveragePooling"),
        ("GlobalMaxPool", "GlobalMaxPooling"), ("Convolution", "Conv"),
    )},
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm"), "BatchNormalization"),
    "ReLU": 'Activation("relu")',
    "add": "Network([*network.layers, layer])",
    "compile": "Trainer(network, loss=..., optimizer=...)",
    **{method: f"Trainer(network, loss=...).{method}(X, y)" for method in ("fit", "evaluate")},
    "Add": "Residual([...]), with the layers of the block",
    "ConvTranspose2d": "Conv2DTranspose",
    "DepthwiseConv2D": "Conv2D(filters, kernel_size, groups=channels)",
    "Linear": "Dense",
    "Rescaling": "X / 255 before fit",
    "SeparableConv2D": "Conv2D(channels, kernel_size, groups=channels), then Conv2D(filters, 1)",
    "ZeroPadding2D": 'Conv2D(..., padding="same")',
}  # fmt: skip


def meant_by(name: str, known: list[str]) -> str:
    """Return what to write in place of a name that fastnn does not have, as a clause; empty where nothing is near.

    Examples
    --------
    >>> meant_by("MaxPool2D", [])
    '; did you mean MaxPooling2D?'
    """
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    meant = _NAMES.get(name) or (near[0] if near and not name.startswith("_") else "")
    return f"; did you mean {meant}?" if meant else ""


def check_values(cls: type, given: tuple) -> None:
    """Raise TypeError where a constructor is given more values without a name than it takes."""
    known = list(_signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    names = [parameter.name for parameter in known if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    if len(given) <= len(names) or any(parameter.kind is parameter.VAR_POSITIONAL for parameter in known):
        return
    others = [parameter.name for parameter in known if parameter.kind is parameter.KEYWORD_ONLY]
    hint = f"; the others have names: {', '.join(others)}" if others else ""
    hint = hint or (f"; did you mean {cls.__name__}({given!r})?" if len(names) == 1 else "")
    raise TypeError(f"{cls.__name__}() takes {' and '.join(names) or 'nothing'} without a name, got {given!r}{hint}")


_signature = cache(inspect.signature)  # 40 us, as much as to make a Trainer


def check_keywords(called: Any, given: dict[str, Any]) -> None:
    """Raise TypeError for a keyword that a class or function does not take, with the word that it takes instead.

    A function hands over what came as ``**others: Never``; a constructor that has such takes all keywords.
    """
    is_class = isinstance(called, type)
    parameters = _signature(called.__init__ if is_class else called).parameters  # type: ignore[misc]
    known = [name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD]
    if is_class and len(known) < len(parameters):
        return
    unknown = given.keys() - known
    for name in given:
        if name in unknown:
            near = difflib.get_close_matches(name, known, n=1)
            meant = _KEYWORDS.get(name) or (repr(near[0]) if near else "")
            word = meant.strip("'")
            own = _IN_SKLEARN.get(name) or _IN_SKLEARN.get(word)
            if own in known:
                word, meant = own, repr(own)
            if meant == repr(word) and word not in known:
                meant = "that of the optimizer, as in Adam(learning_rate=...)" if word == "learning_rate" else ""
            hint = f"; did you mean {meant}?" if meant else ""
            raise TypeError(f"{called.__qualname__}() got an unexpected keyword argument {name!r}{hint}")
