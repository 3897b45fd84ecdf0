"""Better hyperparameters for the digits than the defaults, in under a minute: by successive halving, and with Optuna.

Both searches run their fits in threads of one process: kernels release the GIL, so threads scale, and nothing is copied
or pickled. Optuna is optional: pip install optuna.
"""

import importlib.util
import time
import warnings

import joblib
from scipy.stats import loguniform
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingRandomSearchCV, cross_val_score, train_test_split

from fastnn import MLPClassifier, datasets
from fastnn.callbacks import OptunaPruning

warnings.simplefilter("ignore", ConvergenceWarning)  # a search stops most fits before they converge

digits = datasets.load("digits")
X, X_test, y, y_test = train_test_split(
    (digits.X / 16).astype("float32"), digits.y, test_size=0.3, random_state=0, stratify=digits.y
)


def report(name, score, model, seconds):
    print(f"{name:<20} cross-validated {score:.4f}, test {model.score(X_test, y_test):.4f}, {seconds:.1f} s")
    if model is not default:
        chosen = {key: value for key, value in model.get_params().items() if value != default.get_params()[key]}
        print(" " * 20, ", ".join(f"{key}={value:.2g}" if isinstance(value, float) else f"{key}={value}"
                                  for key, value in chosen.items()))  # fmt: skip


started = time.perf_counter()
default = MLPClassifier(random_state=0)
with joblib.parallel_config(backend="threading", n_jobs=-1):
    score = cross_val_score(default, X, y, cv=5).mean()
report("defaults", score, default.fit(X, y), time.perf_counter() - started)

# Successive halving: many candidates for a few epochs each, the better third for three times as many, and so on.
started = time.perf_counter()
search = HalvingRandomSearchCV(
    MLPClassifier(random_state=0),
    {
        "hidden_layer_sizes": [(100,), (200,), (400,), (100, 50), (200, 100)],
        "activation": ["relu", "tanh", "gelu", "silu"],
        "learning_rate_init": loguniform(3e-4, 1e-2),
        "alpha": loguniform(1e-5, 1.0),
        "dropout": [0.0, 0.1, 0.2, 0.3, 0.5],
        "batch_size": [32, 64, 128],
    },
    resource="max_iter",
    n_candidates=27,
    min_resources=18,
    max_resources=162,
    cv=5,
    random_state=0,
)
with joblib.parallel_config(backend="threading", n_jobs=-1):
    search.fit(X, y)
report("successive halving", search.best_score_, search.best_estimator_, time.perf_counter() - started)

if importlib.util.find_spec("optuna"):
    import optuna

    EPOCHS = 60
    X_train, X_val, y_train, y_val = train_test_split(X, y, test_size=0.3, random_state=1, stratify=y)

    def objective(trial):
        """Fit one candidate; OptunaPruning ends it when it lags behind the others at the same epoch."""
        model = MLPClassifier(
            hidden_layer_sizes=(trial.suggest_int("units", 50, 400, log=True),),
            activation=trial.suggest_categorical("activation", ["relu", "tanh", "gelu", "silu"]),
            learning_rate_init=trial.suggest_float("learning_rate_init", 3e-4, 1e-2, log=True),
            alpha=trial.suggest_float("alpha", 1e-5, 1.0, log=True),
            dropout=trial.suggest_float("dropout", 0.0, 0.5),
            batch_size=trial.suggest_categorical("batch_size", [32, 64, 128]),
            max_iter=EPOCHS,
            random_state=0,
            callbacks=[OptunaPruning(trial, "val_loss")],
        )
        model.fit(X_train, y_train, X_val=X_val, y_val=y_val)
        return model.validation_loss_curve_[-1]

    started = time.perf_counter()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=1), pruner=optuna.pruners.MedianPruner(n_warmup_steps=5)
    )
    study.optimize(objective, n_trials=60)
    best = {**study.best_params, "hidden_layer_sizes": (study.best_params["units"],)}
    del best["units"]
    model = MLPClassifier(**best, max_iter=EPOCHS, random_state=0)
    with joblib.parallel_config(backend="threading", n_jobs=-1):
        score = cross_val_score(model, X, y, cv=5).mean()
    report("Optuna", score, model.fit(X, y), time.perf_counter() - started)
    n_pruned = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials)
    print(" " * 20, f"{n_pruned} of {len(study.trials)} trials were ended early")
