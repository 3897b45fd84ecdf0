"""Users' arrays, targets and splits, as data that kernels read where they lie."""
