"""Folders of pictures, one folder a class, and pictures as arrays."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blockgraph.data.errors import TrainError
from blockgraph.data.records import BadRow, Record, Records, RowError, digest_of, shares

if TYPE_CHECKING:
    from PIL.Image import Image

    from blockgraph.data.examples import Array

SUFFIXES = (".png", ".jpg", ".jpeg")
MODES = {1: "L", 3: "RGB"}


class Images(Records):
    """`image` (the path) and `label` (its folder's name). `valid` and `test` are folders, or shares of the pictures."""

    def __init__(self, train: Path, valid: Path | float = 0.0, test: Path | float = 0.0) -> None:
        need_pillow()
        folders = {"train": train}
        folders |= {name: folder for name, folder in (("valid", valid), ("test", test)) if isinstance(folder, Path)}
        self.folders = folders
        self.paths = {name: _pictures(folder) for name, folder in folders.items()}
        self.origin = train.name
        self._taken = shares(len(self.paths["train"]), valid, test)

    def has(self, split: str) -> bool:
        return split in self.paths or bool(self._taken.get(split))

    def rows(self, split: str) -> Iterator[Record | BadRow]:
        own = split in self.paths and split != "train"
        name = split if own else "train"
        for number, path in enumerate(self.paths[name]):
            if own or next((one for one, taken in self._taken.items() if number in taken), "train") == split:
                place = path.relative_to(self.folders[name].parent).as_posix()
                yield Record(place, {"image": path, "label": path.parent.name})

    @property
    def sha256(self) -> str:
        paths = [path for split in self.paths.values() for path in split]
        names = "\n".join(path.parent.name for path in paths)
        return hashlib.sha256(f"{names}\n{digest_of(paths, self._taken)}".encode()).hexdigest()


def _pictures(folder: Path) -> list[Path]:
    """Every picture in the folders of `folder`, in order of folder and name."""
    found = [
        path
        for inner in sorted(folder.iterdir())
        if inner.is_dir()
        for path in sorted(inner.iterdir())
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]
    if not found:
        raise TrainError(f"{folder} holds no folder with pictures ({', '.join(SUFFIXES)}): each class is a folder")
    return found


def need_pillow() -> None:
    """Raises `TrainError` where pictures cannot be read."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise TrainError("pictures are read by Pillow: pip install 'blockgraph[images]'") from None


def is_image(value: Any) -> bool:
    """Whether a value is a picture of Pillow's, which then has been imported."""
    library = sys.modules.get("PIL.Image")
    return library is not None and isinstance(value, library.Image)


def picture(source: Path | Image, channels: int, height: int, width: int) -> Array:
    """A picture as uint8 [channels, height, width]: scaled until it just covers the size (bicubic), then cut in the
    middle. Raises `RowError` where it cannot be read."""
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(source) if isinstance(source, Path) else nullcontext(source) as file:
            image = _eight_bits(ImageOps.exif_transpose(file)).convert(MODES[channels])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        name = source.name if isinstance(source, Path) else "it"
        raise RowError(f"{name} cannot be read as a picture: {error}") from None
    fitted = np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC))
    return fitted[None] if channels == 1 else np.ascontiguousarray(fitted.transpose(2, 0, 1))


def _eight_bits(image: Any) -> Any:
    """Grey levels of 16 bits as 8, which converting would cut off at 255."""
    import numpy as np
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8))
