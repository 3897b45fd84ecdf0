"""Training, evaluation and prediction on a Dask cluster: for more data or networks than one machine takes.

Needs the extra ``dask``. Importing `fastnn` imports nothing of this, and this imports Dask only when it is called.

Jobs
----
- `rounds`: `fit`, local SGD; `session`: its rounds on the cluster, each a graph of tasks that ends with one vector.
- `work`: what runs on workers.
- `tree`: which shards are averaged with which, so that bits depend on the shards alone.
- `blocks`: from collections of Dask to shards that stay on the workers.
- `carrier`: the one place that knows what a `Trainer` consists of.
- `outer`: an optimizer for the averaged step.
- `evaluation`, `many`: the rest of the public functions.
"""

from fastnn.distributed.evaluation import evaluate, predict
from fastnn.distributed.rounds import fit

__all__ = ["evaluate", "fit", "predict"]
