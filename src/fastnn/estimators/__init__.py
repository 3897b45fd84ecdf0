"""scikit-learn estimators over fastnn: one line changed, the rest of the program stays.

Modules, in the order in which a fit passes through them:

- `parameters`: what the constructor accepts, as constraints and as fastnn's layers, losses and optimizers
- `labels`: class labels to targets and back
- `perceptrons`: `MLPClassifier`, `MLPRegressor`; `mlp` and `targets` are what they are put together from
- `base`: what they share: validation, initialisation, continuing, predicting; `parts` says what a class provides
- `networks`: the same around layers of the user's; `stack` is what these two share, and how arguments of layers are set
- `solvers`: stochastic training through `fastnn.Trainer`, L-BFGS through scipy
- `stopping`: when stochastic training ends
- `files`: saving and loading
- `display`: learning curves of a fitted estimator
"""

from fastnn.estimators.display import TrainingCurveDisplay
from fastnn.estimators.networks import NetworkClassifier, NetworkRegressor
from fastnn.estimators.perceptrons import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "NetworkClassifier", "NetworkRegressor", "TrainingCurveDisplay"]
