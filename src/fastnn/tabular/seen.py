"""Whether a model was trained on the rows that it is scored on: a sketch of the training rows travels with it.

A row's hash comes from its features and its target. The smallest hashes are a random sample of the rows [1]_; those of
another table that are as small are either among them or were not trained on.

References
----------
.. [1] Z. Bar-Yossef et al., "Counting Distinct Elements in a Data Stream", RANDOM 2002.
"""

import numpy as np

SKETCH_SIZE = 1000
_LEAST_DIFFERENT = 0.9  # of the training rows; else new rows are like old ones by chance


def hash_rows(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return a 63-bit hash for each row of float32 features and its target, the same on every machine."""
    columns = np.arange(1, features.shape[1] + 2, dtype=np.uint64)
    factors = _mix(columns) | np.uint64(1)
    hashes = np.ascontiguousarray(targets, np.float32).view(np.uint32).astype(np.uint64) * factors[-1]
    for i in range(features.shape[1]):
        values = np.ascontiguousarray(features[:, i] + np.float32(0.0))  # -0.0 becomes 0.0
        hashes = hashes + _mix(values.view(np.uint32).astype(np.uint64) + factors[i])
    return (_mix(hashes) >> np.uint64(1)).astype(np.int64)


def _mix(values: np.ndarray) -> np.ndarray:
    """Return values whose bits all depend on all bits: the end of splitmix64 (S. Vigna, 2015)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def sketch(hashes: np.ndarray) -> np.ndarray:
    """Return the smallest different hashes, ascending; none where many rows are alike."""
    different = np.unique(hashes)
    return different[:SKETCH_SIZE] if different.size >= _LEAST_DIFFERENT * hashes.size else different[:0]


def share_seen(hashes: np.ndarray, sketched: np.ndarray) -> float:
    """Return which share of rows was trained on, by the sketch of the training rows; 0 without one."""
    if sketched.size == 0:
        return 0.0
    # A sketch that is not full holds all rows.
    compared = hashes if sketched.size < SKETCH_SIZE else hashes[hashes <= sketched[-1]]
    return float(np.isin(compared, sketched).mean()) if compared.size else 0.0
