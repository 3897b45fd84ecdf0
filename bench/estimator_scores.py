"""Test scores of fastnn's estimators beside scikit-learn's, with the same hyperparameters.

Each seed gives a split into training and test data and the estimators' `random_state`; both estimators see the same.
"Difference" is fastnn's mean score less scikit-learn's, "standard error" that of the difference of the two means, from
the spread of the scores over the seeds.
"""

import warnings

import numpy as np
import sklearn
import sklearn.neural_network as peer
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import fastnn

CLASSES = {
    "digits": lambda: datasets.load_digits(return_X_y=True),
    "breast_cancer": lambda: datasets.load_breast_cancer(return_X_y=True),
    "wine": lambda: datasets.load_wine(return_X_y=True),
    "iris": lambda: datasets.load_iris(return_X_y=True),
    "moons (synthetic)": lambda: datasets.make_moons(600, noise=0.25, random_state=0),
    "5 classes (synthetic)": lambda: datasets.make_classification(
        800, n_informative=8, n_classes=5, flip_y=0.05, random_state=0
    ),
}
NUMBERS = {
    "diabetes": lambda: datasets.load_diabetes(return_X_y=True),
    "friedman (synthetic)": lambda: datasets.make_friedman1(600, noise=1.0, random_state=0),
}
SOLVERS = {
    "adam": {"solver": "adam", "learning_rate_init": 0.005},
    "adam, early stopping": {"solver": "adam", "learning_rate_init": 0.005, "early_stopping": True},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.01},
    "lbfgs": {"solver": "lbfgs", "alpha": 0.1},
}


def scores(name: str, solver: str, seeds: int) -> np.ndarray:
    """Return test scores of shape (seeds, 2): scikit-learn's and fastnn's."""
    is_classification = name in CLASSES
    X, y = (CLASSES if is_classification else NUMBERS)[name]()
    if not is_classification:
        y = (y - y.mean()) / y.std()
    classes = [getattr(module, "MLPClassifier" if is_classification else "MLPRegressor") for module in (peer, fastnn)]
    rows = []
    for seed in range(seeds):
        stratify = y if is_classification else None
        X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=seed, stratify=stratify)
        scaler = StandardScaler().fit(X_train)
        X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
        options = {"hidden_layer_sizes": (50,), "max_iter": 100, "random_state": seed, **SOLVERS[solver]}
        rows.append([cls(**options).fit(X_train, y_train).score(X_test, y_test) for cls in classes])
    return np.array(rows)


def report(seeds: int) -> tuple[str, int]:
    """Return the table, and how many of its rows differ by more than the standard error."""
    names = ("data", "solver", "scikit-learn", "fastnn", "difference", "standard error", "")
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    n_apart = 0
    for name in [*CLASSES, *NUMBERS]:
        for solver in SOLVERS:
            theirs, ours = scores(name, solver, seeds).T
            error = np.sqrt((theirs.var(ddof=1) + ours.var(ddof=1)) / seeds)
            difference = ours.mean() - theirs.mean()
            is_apart = abs(difference) > error
            n_apart += is_apart
            lines.append(
                f"| {name} | {solver} | {theirs.mean():.4f} | {ours.mean():.4f} | {difference:+.4f} | {error:.4f} | "
                f"{'apart' if is_apart else ''} |"
            )
            print(lines[-1], flush=True)
    return "\n".join(lines), n_apart


def part(seeds: int = 10) -> str:
    """The part of RESULTS.md on scores, measured now."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        table, n_apart = report(seeds)
    return f"""Made by `python -m bench all`. Accuracy, or R² for diabetes and friedman, on a quarter of the data; means
over {seeds} seeds, each with a split of its own that both estimators get; 50 hidden units, 100 iterations at most,
standardised features. Rows whose means differ by more than the standard error of their difference: {n_apart}. With
lbfgs, and where an epoch is one batch, nothing but the initial weights is random, and those are the same: no difference
is left.

{table}

scikit-learn {sklearn.__version__}, fastnn {fastnn.__version__}.
"""
