"""Learning curves of a fitted estimator, as one of scikit-learn's Display objects."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fastnn.plotting import TRAINING_COLOUR, VALIDATION_COLOUR, check_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D


class TrainingCurveDisplay:
    """Loss, and where there was validation its loss and score, over the epochs of a fit.

    Made by `from_estimator`; the constructor takes the numbers themselves.

    Parameters
    ----------
    loss : array-like of shape (n_epochs,)
        Training loss of each epoch.
    validation_loss, validation_scores : array-like of shape (n_epochs,) or None, default None
        Loss and score on held-out samples.
    best_epoch : int or None, default None
        The epoch (from 1) whose weights were kept, drawn as a vertical line.
    score_name : str, default "score"
        Label of the score's axis.
    estimator_name : str or None, default None
        Title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The losses'.
    score_ax_ : matplotlib Axes or None
        The score's, on the right.
    figure_ : matplotlib Figure
    loss_line_, validation_loss_line_, validation_scores_line_ : Line2D, the latter two or None

    Raises
    ------
    ValueError
        If the curves differ in length or are empty.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Scores over the number of samples.

    Examples
    --------
    >>> from fastnn.estimators import TrainingCurveDisplay
    >>> display = TrainingCurveDisplay(loss=[0.9, 0.5, 0.3], validation_scores=[0.6, 0.8, 0.7], best_epoch=2)
    >>> display.best_epoch
    2
    """

    def __init__(
        self,
        *,
        loss: Sequence[float],
        validation_loss: Sequence[float] | None = None,
        validation_scores: Sequence[float] | None = None,
        best_epoch: int | None = None,
        score_name: str = "score",
        estimator_name: str | None = None,
    ):
        self.loss = np.asarray(loss, dtype=float)
        self.validation_loss = None if validation_loss is None else np.asarray(validation_loss, dtype=float)
        self.validation_scores = None if validation_scores is None else np.asarray(validation_scores, dtype=float)
        self.best_epoch = best_epoch
        self.score_name = score_name
        self.estimator_name = estimator_name
        if self.loss.ndim != 1 or not self.loss.size:
            raise ValueError(f"loss must hold a number for each of at least one epoch, got shape {self.loss.shape}")
        for name in ("validation_loss", "validation_scores"):
            curve = getattr(self, name)
            if curve is not None and curve.shape != self.loss.shape:
                raise ValueError(f"{name} must have shape {self.loss.shape} as loss has, got {curve.shape}")

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: "Axes | None" = None, name: str | None = None, **line_kw: Any
    ) -> "TrainingCurveDisplay":
        """Draw the curves that a fit with a stochastic solver has kept.

        Parameters
        ----------
        estimator : MLPClassifier or MLPRegressor
            Fitted; the last step of a fitted Pipeline is found as well.
        ax : matplotlib Axes or None, default None
            Where to draw; None makes a figure.
        name : str or None, default None
            Title; None takes the name of the class.
        **line_kw : dict
            For every line: ``linewidth`` and the like.

        Returns
        -------
        TrainingCurveDisplay

        Raises
        ------
        ValueError
            If the estimator kept no curve, as lbfgs does not.
        NotFittedError
            If it is not fitted.

        Examples
        --------
        >>> import matplotlib as mpl
        >>> mpl.use("Agg")
        >>> from fastnn import MLPRegressor
        >>> from fastnn.estimators import TrainingCurveDisplay
        >>> regressor = MLPRegressor(random_state=0, tol=0.1).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
        >>> display = TrainingCurveDisplay.from_estimator(regressor, linewidth=1)
        >>> display.ax_.get_xlabel()
        'epoch'
        """
        model = estimator[-1] if hasattr(estimator, "steps") else estimator
        check_is_fitted(model)
        curve = getattr(model, "loss_curve_", None)
        if not curve:
            raise ValueError(f"estimator must have been fitted epoch by epoch, and {model!r} kept no loss_curve_")
        scores = model.validation_scores_
        is_best_kept = model.early_stopping and scores
        display = cls(
            loss=curve,
            validation_loss=model.validation_loss_curve_ or None,
            validation_scores=scores or None,
            best_epoch=int(np.nanargmax(scores)) + 1 if is_best_kept else None,
            score_name=_score_name(model),
            estimator_name=name or type(model).__name__,
        )
        return display.plot(ax=ax, **line_kw)

    def plot(self, ax: "Axes | None" = None, *, name: str | None = None, **line_kw: Any) -> "TrainingCurveDisplay":
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or None, default None
            Where to draw; None makes a figure.
        name : str or None, default None
            Title; None takes `estimator_name`.
        **line_kw : dict
            For every line.

        Returns
        -------
        TrainingCurveDisplay
            Itself, with the attributes that end in an underscore.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib()
        import matplotlib.pyplot as plt
        from matplotlib.ticker import MaxNLocator

        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        epochs = np.arange(1, self.loss.size + 1)
        marker = {"marker": "o"} if self.loss.size == 1 else {}
        options = {**marker, **line_kw}
        self.ax_: Axes = ax
        self.figure_: Figure | SubFigure = ax.figure
        self.score_ax_: Axes | None = None
        self.validation_loss_line_: Line2D | None = None
        self.validation_scores_line_: Line2D | None = None
        lines = [*ax.plot(epochs, self.loss, label="training loss", color=TRAINING_COLOUR, **options)]
        self.loss_line_: Line2D = lines[0]
        if self.validation_loss is not None:
            lines += ax.plot(epochs, self.validation_loss, label="validation loss", color=VALIDATION_COLOUR, **options)
            self.validation_loss_line_ = lines[-1]
        if self.validation_scores is not None:
            self.score_ax_ = ax.twinx()
            lines += self.score_ax_.plot(
                epochs,
                self.validation_scores,
                label=f"validation {self.score_name}",
                color=VALIDATION_COLOUR,
                linestyle="--",
                **options,
            )
            self.validation_scores_line_ = lines[-1]
            self.score_ax_.set_ylabel(self.score_name)
        if self.best_epoch is not None:
            lines.append(
                ax.axvline(self.best_epoch, color="0.6", linestyle=":", label=f"kept: epoch {self.best_epoch}")
            )
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set(xlabel="epoch", ylabel="loss", title=name or self.estimator_name)
        ax.legend(handles=lines, loc="center right")
        return self


def _score_name(model: Any) -> str:
    if isinstance(model.scoring, str):
        return model.scoring.replace("_", " ")
    if model.scoring is not None:
        return "score"
    return "accuracy" if hasattr(model, "classes_") else "R²"
