"""How a network leaves and enters a process: the part of `Network` that is about files and other libraries."""

import os
from typing import TYPE_CHECKING, Self, cast

from fastnn import persistence

if TYPE_CHECKING:
    from fastnn.network import Network


class Exchange:
    """Base of `Network`: its methods that write it down and read it."""

    def save(self, path: str | os.PathLike) -> None:
        """Write the network to a file: architecture, dtype, seed and parameters.

        The file holds arrays and JSON in the safetensors format, no code. It is written whole or not at all: a process
        that is killed at any point leaves the old file or the new one.

        Parameters
        ----------
        path : str or path-like
            Where to write; an existing file is replaced.

        Raises
        ------
        ValueError
            If a parameter is NaN or infinite; nothing is written then.
        OSError
            If the file cannot be written; an existing file stays as it was.

        See Also
        --------
        Network.load

        Examples
        --------
        >>> import fastnn, pathlib, tempfile
        >>> network = fastnn.Network.mlp(4, [8], 2, seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "model.safetensors")
        ...     network.save(path)
        ...     loaded = fastnn.Network.load(path)
        >>> bool((loaded.parameters == network.parameters).all())
        True
        """
        persistence.save_network(cast("Network", self), path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Return the network that a file holds; one of a Trainer or an estimator holds one too.

        Nothing in the file is trusted: it is checked before memory is allocated, and no code in it is run.

        Parameters
        ----------
        path : str or path-like
            A file written by `save`.

        Returns
        -------
        Network

        Raises
        ------
        FileFormatError
            If the file is damaged, of another kind, or of a later version of fastnn.
        OSError
            If it cannot be opened.

        Examples
        --------
        >>> import fastnn
        >>> fastnn.Network.load("missing.safetensors")
        Traceback (most recent call last):
        FileNotFoundError: [Errno 2] No such file or directory: 'missing.safetensors'
        """
        return cast("Self", persistence.load_network(cast("type[Network]", cls), path))
