"""Small image data sets: scikit-learn's digits, MNIST and Fashion-MNIST, as tensors in [-1, 1].

MNIST and Fashion-MNIST come as gzipped IDX files, from the folder named by the environment variable
GANCOURSE_DATA when it is set, from the cache, or from the first public mirror that gives the right content.
Mirrors compress the files anew, so the checksum is that of the uncompressed content.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pooch
import requests
import torch
from sklearn.datasets import load_digits
from tqdm.auto import tqdm

_MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": (
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
}
# sha256 of the uncompressed files
_SHA256 = {
    "mnist": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}
_PREFIX = {"train": "train", "test": "t10k"}
_TIMEOUT = 20  # seconds without an answer, or between two pieces of it


class DataError(RuntimeError):
    """A data set could not be read; the message names the file, the address and what to do."""


class DownloadError(DataError):
    """No mirror gave the right file."""


@dataclass(frozen=True, eq=False)
class Images:
    """A data set of grey images.

    name: what it is called; images: (n, 1, h, w) float32 in [-1, 1]; labels: (n,) int64, the class of each.
    Raises ValueError when shapes or types differ from these.
    """

    name: str
    images: torch.Tensor
    labels: torch.Tensor

    def __post_init__(self) -> None:
        shape, kind = tuple(self.images.shape), self.images.dtype
        if len(shape) != 4 or shape[1] != 1 or kind != torch.float32:
            raise ValueError(f"images must be (n, 1, h, w) float32, got {shape} {kind}.")
        if tuple(self.labels.shape) != shape[:1] or self.labels.dtype != torch.int64:
            raise ValueError(
                f"labels must be ({shape[0]},) int64, got {tuple(self.labels.shape)} {self.labels.dtype}."
            )

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> Images:
        """The same data set on another device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


def digits() -> Images:
    """The 1797 handwritten digits of 8 x 8 pixels that scikit-learn carries; no network is needed."""
    bunch = load_digits()
    images = torch.from_numpy(bunch.images).float()[:, None] / 8 - 1
    return Images("digits", images, torch.from_numpy(bunch.target).long())


def mnist(split: str = "train") -> Images:
    """MNIST, handwritten digits of 28 x 28 pixels: 60,000 of them for "train", 10,000 for "test".

    Raises DataError for a file that is missing or damaged, DownloadError when no mirror gives it, ValueError
    for another split. Source: LeCun, Cortes and Burges.
    """
    return _idx_pair("mnist", split)


def fashion_mnist(split: str = "train") -> Images:
    """Fashion-MNIST, ten kinds of clothing in 28 x 28 pixels: 60,000 for "train", 10,000 for "test".

    Raises as `mnist` does. Source: Xiao, Rasul and Vollgraf (2017).
    """
    return _idx_pair("fashion-mnist", split)


_LOADERS: dict[str, Callable[[], Images]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
}


def load(name: str, fallback: str | None = None) -> Images:
    """The training images of "digits", "mnist" or "fashion-mnist".

    fallback: the data set to take, after printing one line that says so, when the first cannot be downloaded.
    Raises as `mnist` does; a damaged file in GANCOURSE_DATA is an error with a fallback too.
    """
    for asked in (name, fallback):
        if asked not in _LOADERS and asked is not None:
            raise ValueError(f"There is no data set {asked!r}; choose one of {', '.join(_LOADERS)}.")
    try:
        return _LOADERS[name]()
    except DownloadError:
        if fallback is None:
            raise
        print(
            f"{name} could not be downloaded (is there a network?): the data set {fallback} takes its place."
        )
        return _LOADERS[fallback]()


def _idx_pair(name: str, split: str) -> Images:
    if split not in _PREFIX:
        raise ValueError(f"There is no split {split!r} of {name}; choose one of {', '.join(_PREFIX)}.")
    pixels = _fetch(name, f"{_PREFIX[split]}-images-idx3-ubyte")
    classes = _fetch(name, f"{_PREFIX[split]}-labels-idx1-ubyte")
    images = torch.from_numpy(pixels.astype(np.float32))[:, None].div_(127.5).sub_(1)
    return Images(name, images, torch.from_numpy(classes.astype(np.int64)))


def _fetch(name: str, file: str) -> np.ndarray:
    """The array in one file of a data set, from GANCOURSE_DATA, the cache or a mirror, always verified."""
    given = os.environ.get("GANCOURSE_DATA")
    if given:
        path = Path(given).expanduser() / name / f"{file}.gz"
        remedy = "Put the published file there, or unset GANCOURSE_DATA to download it."
        if not path.is_file():
            reason = "the file is missing" if path.parent.is_dir() else f"the folder {path.parent} is missing"
            raise DataError(f"Cannot read {path}: {reason}. GANCOURSE_DATA is {given}. {remedy}")
        try:
            return _read(path, _SHA256[name][file])
        except (_BadContent, OSError) as error:
            raise DataError(f"Cannot use {path}: {error}. GANCOURSE_DATA is {given}. {remedy}") from error

    path = pooch.os_cache("gancourse") / name / f"{file}.gz"
    try:
        if path.is_file():
            try:
                return _read(path, _SHA256[name][file])
            except _BadContent:
                pass  # damaged since it was stored: a good copy replaces it
        path.parent.mkdir(parents=True, exist_ok=True)
        return _download(name, file, path)
    except OSError as error:
        raise DataError(
            f"Cannot read or write {path}: {error}. Make room or make the folder writable, or put the files "
            f"of {name} into a folder {name}/ and set GANCOURSE_DATA to the folder above it."
        ) from error


def _download(name: str, file: str, path: Path) -> np.ndarray:
    """Download to a temporary name beside `path`, verify, and only then give the file its name."""
    failures = []
    for mirror in _MIRRORS[name]:
        address = f"{mirror}{file}.gz"
        descriptor, temporary = tempfile.mkstemp(prefix=f"{file}.", suffix=".part", dir=path.parent)
        os.close(descriptor)
        try:
            # pooch sets the total once it knows it, but before that asks whether the bar is true.
            with tqdm(total=1, desc=f"{name} {file}", unit="B", unit_scale=True, leave=False) as bar:
                get = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=_TIMEOUT)
                get(address, temporary, None)
            array = _read(Path(temporary), _SHA256[name][file])
            os.replace(temporary, path)
            return array
        except requests.RequestException as error:
            failures.append(f"{address}: {_first_line(error)}")
        except _BadContent as error:
            failures.append(f"{address}: {error}")
        finally:
            Path(temporary).unlink(missing_ok=True)
    listed = "".join(f"\n  {failure}" for failure in failures)
    raise DownloadError(
        f"Cannot download {file}.gz of {name}. Tried:{listed}\n"
        "Check the network and run the cell again. Without a network, get the file elsewhere, put it into a "
        f"folder {name}/ and set GANCOURSE_DATA to the folder above it; or use the data set digits."
    )


class _BadContent(Exception):
    """A file does not hold what it should; the message completes 'Cannot use FILE: ...'."""


def _read(path: Path, sha256: str) -> np.ndarray:
    """The array in a gzipped IDX file whose uncompressed content has this checksum."""
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":  # some servers unpack what they send
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _BadContent(f"it is not a whole gzip file ({error})") from error
    array = _parse_idx(content)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise _BadContent(f"the sha256 of its uncompressed content is {found}, but {sha256} is published")
    return array


def _parse_idx(content: bytes) -> np.ndarray:
    """Read IDX: bytes 0, 0, 8 (unsigned bytes), the number of axes; their big-endian lengths; the values."""
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or not 1 <= content[3] <= 3:
        raise _BadContent(f"it is not an IDX file of unsigned bytes, it starts with {content[:16]!r}")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise _BadContent("its IDX header is cut short")
    shape = tuple(np.frombuffer(content[4:start], dtype=">u4").tolist())
    if len(content) - start != math.prod(shape):
        raise _BadContent(f"its IDX header announces shape {shape}, but {len(content) - start} bytes follow")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
