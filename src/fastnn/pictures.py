"""Folders of pictures as arrays, and a network that knows how its pictures were read. Needs the extra `images`."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.files import container
from fastnn.files.container import SavedFile, shown
from fastnn.files.persistence import member, network_part, read_network
from fastnn.model.network import Network

if TYPE_CHECKING:
    from PIL.Image import Image

CHANNELS = {"grey": 1, "colour": 3}
LARGEST_SIZE = 4096


def import_pillow() -> Any:
    """Return the package PIL, or raise ImportError that says where it comes from."""
    try:
        import PIL
    except ImportError:
        raise ImportError('pictures are read with Pillow: pip install "fastnn[images]"') from None
    return PIL


def read_picture(path: str | os.PathLike, size: tuple[int, int]) -> np.ndarray:
    """Return a picture of any size as (height, width, 3), uint8, turned as its camera says.

    Parameters
    ----------
    path : str or path-like
        A file that Pillow reads. Of a moving picture the first frame is taken.
    size : tuple of two int
        Height and width to which it is resized.

    Raises
    ------
    ValueError
        If it is no picture, or a broken one.
    OSError
        If it cannot be opened.
    ImportError
        If Pillow is not installed.
    """
    import_pillow()
    from PIL import Image, ImageOps

    height, width = size
    try:
        with Image.open(path) as image:
            turned = ImageOps.exif_transpose(image)
            return np.asarray(_as_rgb(turned).resize((width, height), Image.Resampling.BILINEAR))
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"{os.fspath(path)!r} is no picture that can be read: {error}") from None


def _as_rgb(image: "Image") -> "Image":
    """Return red, green and blue of 8 bits each; what is transparent is white."""
    from PIL import Image

    if image.mode.startswith("I;16"):  # which Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("numbers of 32 bits do not say what is white; save it with 8 or 16 bits a channel")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


@dataclass(frozen=True)
class PictureFolder:
    """The pictures of a folder with a folder for each class.

    Attributes
    ----------
    X : ndarray of shape (n, height, width, 3), uint8
    y : ndarray of shape (n,), int64
        Numbers of classes.
    classes : tuple of str
        Names of the folders, sorted.
    paths : tuple of Path
    """

    X: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]
    paths: tuple[Path, ...]

    @property
    def is_grey(self) -> bool:
        """Whether no picture has a colour."""
        return bool((self.X[..., :1] == self.X).all())


def read_folder(path: str | os.PathLike, size: tuple[int, int] = (32, 32)) -> PictureFolder:
    """Return all pictures of a folder of folders, one for each class.

    Parameters
    ----------
    path : str or path-like
        Such as ``animals``, with ``animals/cat/1.png`` and ``animals/dog/holidays/rex.jpg``. What is hidden, and files
        whose names are not those of pictures, are passed over.
    size : tuple of two int, default (32, 32)
        Height and width to which each picture is resized.

    Returns
    -------
    PictureFolder

    Raises
    ------
    ValueError
        If there are fewer than two classes, a class is empty, or a picture is broken.
    OSError
        If a folder or picture cannot be opened.
    ImportError
        If Pillow is not installed.
    """
    import_pillow()
    from PIL import Image

    suffixes = set(Image.registered_extensions())
    folders = sorted(entry for entry in Path(path).iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(folders) < 2:
        found = f"only {folders[0].name!r}" if folders else "no folder"
        raise ValueError(
            f"{os.fspath(path)!r} must hold a folder of pictures for each of at least two classes, found {found}"
        )
    of_class = {folder.name: _pictures_in(folder, suffixes) for folder in folders}
    for name, paths in of_class.items():
        if not paths:
            raise ValueError(f"the folder {name!r} in {os.fspath(path)!r} holds no pictures")
    paths = [one for paths in of_class.values() for one in paths]
    X = np.stack([read_picture(one, size) for one in paths])
    y = np.repeat(np.arange(len(folders)), [len(found) for found in of_class.values()])
    return PictureFolder(X, y, tuple(of_class), tuple(paths))


def _pictures_in(folder: Path, suffixes: set[str]) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def as_features(pictures: np.ndarray, channels: int) -> np.ndarray:
    """Return pictures (n, height, width, 3) as a network takes them: float32 from 0 to 1, of 1 or 3 channels.

    Examples
    --------
    >>> import numpy as np
    >>> as_features(np.full((1, 1, 1, 3), 255, np.uint8), 1)
    array([[[[1.]]]], dtype=float32)
    """
    if channels == 1:  # brightness as television has it (ITU-R BT.601)
        return (pictures @ np.array([0.299, 0.587, 0.114], np.float32))[..., np.newaxis] / np.float32(255)
    return pictures.astype(np.float32) / np.float32(255)


@dataclass(frozen=True)
class PictureModel:
    """A network that tells classes of pictures, and how it wants them: what `fastnn train FOLDER` saves.

    Attributes
    ----------
    network : Network
        With inputs of shape (height, width, 1) or (height, width, 3), and softmax outputs, one a class.
    classes : tuple of str

    Examples
    --------
    >>> import fastnn
    >>> layers = [fastnn.Input((8, 8, 1)), fastnn.Flatten(), fastnn.Dense(2, "softmax")]
    >>> PictureModel(fastnn.Network(layers, seed=0), ("cat", "dog")).size
    (8, 8)
    """

    network: Network
    classes: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.network.plan.input_shape[:2]  # type: ignore[return-value]

    @property
    def channels(self) -> int:
        """1 or 3."""
        return self.network.plan.input_shape[2]

    def predict(self, paths: Iterable[str | os.PathLike]) -> np.ndarray:
        """Return the probabilities of classes for files of pictures.

        Parameters
        ----------
        paths : iterable of str or path-like

        Returns
        -------
        ndarray of shape (n, n_classes)

        Raises
        ------
        ValueError
            If one is no picture, or a broken one.
        OSError
            If one cannot be opened.
        """
        pictures = np.stack([read_picture(path, self.size) for path in paths])
        return self.network.predict(as_features(pictures, self.channels))

    def save(self, path: str | os.PathLike) -> None:
        """Write the model to one file, whole or not at all; `Network.load` reads its network alone."""
        part, arrays = network_part(self.network)
        document = {"kind": "pictures", "network": part, "pictures": {"classes": list(self.classes)}}
        container.write(path, document, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "PictureModel":
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
    def read(cls, file: SavedFile) -> "PictureModel":
        """Return the model in an open file."""
        if file.document.get("kind") != "pictures":
            raise file.error("it holds no model of pictures; `fastnn train FOLDER` writes one")
        part = member(file, file.document, "pictures", dict)
        classes = member(file, part, "classes", list)
        network = read_network(Network, file)
        shape, n_outputs = network.plan.input_shape, network.plan.output_shape
        if len(shape) != 3 or shape[2] not in CHANNELS.values() or max(shape) > LARGEST_SIZE:
            raise file.error(f"its network takes samples of shape {shape}, which are no pictures")
        if n_outputs != (len(classes),) or not all(isinstance(name, str) for name in classes):
            raise file.error(f"pictures.classes must name the network's outputs {n_outputs}, got {shown(classes)}")
        return cls(network, tuple(classes))


__all__ = ["PictureFolder", "PictureModel", "as_features", "read_folder", "read_picture"]
