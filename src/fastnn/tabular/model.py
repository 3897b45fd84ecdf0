"""A network and the preprocessing of its tables: what `fastnn train FILE` saves and `fastnn predict` loads."""

import os
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.files import container
from fastnn.files.container import printable
from fastnn.files.persistence import member, network_part, read_network
from fastnn.model.network import Network
from fastnn.tabular.judging import soften
from fastnn.tabular.preprocessing import Preprocessing, warn_of_nothing
from fastnn.tabular.scoring import hash_rows, rows_with_target, scores, share_seen, sketch
from fastnn.tabular.values import check_outputs, is_number

if TYPE_CHECKING:
    from polars import DataFrame


@dataclass(frozen=True)
class TableModel:
    """Predicts a column of a table from the others.

    Attributes
    ----------
    network : Network
        With softmax outputs, one a class, or one linear output.
    preprocessing : Preprocessing
    trained_rows : ndarray of int64
        A sketch of the rows that it was trained on: see `share_trained_on`. Empty where that is not known.
    others : tuple of Network
        Further networks of the same form: predictions are the mean of all.
    temperature : float
        By which the logarithms of probabilities are divided.
    report : dict
        What `fastnn train` found about it: scores on rows that were held back, importances of columns. JSON types.
    """

    network: Network
    preprocessing: Preprocessing
    trained_rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64), compare=False)
    others: tuple[Network, ...] = ()
    temperature: float = 1.0
    report: dict[str, Any] = field(default_factory=dict, compare=False)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # An empty array comes out of a pickle with other strides than NumPy gives to one, and joblib.hash sees them.
        self.__dict__.update(state, trained_rows=state["trained_rows"].copy())

    def outputs(self, table: "DataFrame") -> np.ndarray:
        """Return probabilities of shape (n, n_classes), or the scaled target of shape (n, 1), for a table's rows."""
        features = self.preprocessing.features(table)
        warn_of_nothing(self.preprocessing.empty_rows(table), "row", lambda row: f"row {row + 1}")
        total = self.network.predict(features)
        for network in self.others:
            total = total + network.predict(features)
        check_outputs(total, "row")
        return soften(total / (1 + len(self.others)), self.temperature)

    def predict(self, table: "DataFrame") -> dict[str, Any]:
        """Return predictions for the rows of a table, as named columns.

        Parameters
        ----------
        table : polars.DataFrame
            With the columns that training used; the target and columns that it left out may be there.

        Returns
        -------
        dict of str to sequence
            "prediction", and for classes "probability of <class>" each.

        Raises
        ------
        ValueError
            If a column is missing, unknown, or holds text in place of numbers.

        Warns
        -----
        UserWarning
            If rows have no value in any column: their predictions rest on nothing.
        """
        return self.preprocessing.predictions(self.outputs(table))

    def evaluate(self, table: "DataFrame") -> dict[str, float]:
        """Return how good the predictions are over the rows of a table that have a target.

        Parameters
        ----------
        table : polars.DataFrame
            With the columns that training used, and the target.

        Returns
        -------
        dict of str to float
            "accuracy" of classes; "r2" and "mae", the mean absolute error, of numbers.

        Raises
        ------
        ValueError
            If a column is missing or unknown, or no row has a target that the model can be compared with.
        """
        return scores(self.preprocessing, table, self.predict(table))

    def share_trained_on(self, table: "DataFrame") -> float:
        """Return the share of a table's rows with a target that the model was trained on: their score flatters it.

        It is estimated from a sketch of the training rows; 0.0 where the model has none.
        """
        rows = table.filter(table[self.preprocessing.target].is_not_null()) if self._has_targets(table) else None
        if rows is None or not self.trained_rows.size:
            return 0.0
        try:
            with warnings.catch_warnings():  # which predict gives
                warnings.simplefilter("ignore", UserWarning)
                hashes = _hashes(self.preprocessing, rows)
        except ValueError:  # targets that the model does not know
            return 0.0
        return share_seen(hashes, self.trained_rows)

    def _has_targets(self, table: "DataFrame") -> bool:
        return rows_with_target(self.preprocessing, table) > 0

    def save(self, path: str | os.PathLike, **parts: Any) -> None:
        """Write the model to one file, whole or not at all; `Network.load` reads its first network alone.

        `parts` are further members of the file's document, for what an estimator knows beside the model.
        """
        part, arrays = network_part(self.network)
        others = []
        for i, network in enumerate(self.others):
            other, its_arrays = network_part(network, f"others.{i}.network")
            others.append({"network": other})
            arrays.update(its_arrays)
        if self.trained_rows.size:
            arrays["table.trained_rows"] = self.trained_rows
        document: dict[str, Any] = {"kind": "table", "network": part, "table": self.preprocessing.config, **parts}
        if self.report:
            document["report"] = self.report
        if others or self.temperature != 1.0:
            document.update(others=others, temperature=self.temperature)
        container.write(path, document, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "TableModel":
        """Return the model in a file.

        Raises
        ------
        FileFormatError
            If the file is damaged, or holds something else.
        OSError
            If it cannot be read.
        """
        with container.reading(path) as file:
            return cls.read(file)

    @classmethod
    def read(cls, file: container.SavedFile) -> "TableModel":
        """Return the model in an open file."""
        if file.document.get("kind") != "table":
            raise file.error("it holds no model of a table; `fastnn train FILE --target COLUMN` writes one")
        preprocessing = read_preprocessing(file)
        network = read_network(Network, file)
        if (network.n_inputs, network.n_outputs) != (preprocessing.n_features, preprocessing.n_outputs):
            raise file.error(
                f"its network has {network.n_inputs} inputs and {network.n_outputs} outputs, and its table "
                f"{preprocessing.n_features} features and {preprocessing.n_outputs} outputs"
            )
        rows = np.empty(0, np.int64)
        if "table.trained_rows" in file.tensors:
            rows = file.read("table.trained_rows")
            if rows.dtype != np.int64 or rows.ndim != 1:
                raise file.error("the array 'table.trained_rows' must have dtype int64 and one axis")
        others, temperature = file.document.get("others", []), file.document.get("temperature", 1.0)
        if not isinstance(others, list) or not all(isinstance(other, dict) for other in others):
            raise file.error("its others must be a list of objects")
        if not is_number(temperature) or not 0 < temperature < 1e6:
            raise file.error("its temperature must be a positive number")
        members = tuple(read_network(Network, file, other, f"others.{i}.network") for i, other in enumerate(others))
        for member_network in members:
            if (member_network.n_inputs, member_network.n_outputs) != (network.n_inputs, network.n_outputs):
                raise file.error("its networks must have the same inputs and outputs")
        report = file.document.get("report", {})
        if not isinstance(report, dict):
            raise file.error("its report must be an object")
        return cls(network, preprocessing, rows, members, float(temperature), report)


def read_preprocessing(file: container.SavedFile) -> Preprocessing:
    """Return the preprocessing in an open file."""
    try:
        return Preprocessing.from_config(member(file, file.document, "table", dict))
    except ValueError as error:
        if isinstance(error, container.FileFormatError):
            raise
        raise file.error(f"table: {printable(str(error))}") from None


def sketch_rows(preprocessing: Preprocessing, table: "DataFrame") -> np.ndarray:
    """Return a sketch of training rows, for `TableModel.trained_rows`."""
    return sketch(_hashes(preprocessing, table))


def _hashes(preprocessing: Preprocessing, table: "DataFrame") -> np.ndarray:
    return hash_rows(preprocessing.features(table), preprocessing.targets(table))
