"""What editors and type checkers know of layers; at run time `fastnn.layers` imports a file when it is asked for."""

from fastnn.layers.base import *
from fastnn.layers.convolution import *
from fastnn.layers.dense import *
from fastnn.layers.embedding import *
from fastnn.layers.ensemble import *
from fastnn.layers.images import *
from fastnn.layers.noise import *
from fastnn.layers.normalization import *
from fastnn.layers.numbers import *
from fastnn.layers.periodic import *
from fastnn.layers.pooling import *
from fastnn.layers.recurrent import *
from fastnn.layers.structure import *
