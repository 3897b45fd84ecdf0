"""Everything that `python -m bench all` measures."""

from bench.stacks.gan import GANS
from bench.stacks.workloads import STACKS
from bench.workloads import DENSE

ALL = [*DENSE, *STACKS, *GANS]
