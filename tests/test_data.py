"""Data sets: what is read is verified, and every failure says which file, which address and what to do."""

import gzip
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from gancourse import data

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
CLASSES = np.array([3, 1, 4, 1, 5, 9], dtype=np.uint8)


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    return header + array.tobytes()


CONTENT = {IMAGES: idx(PIXELS), LABELS: idx(CLASSES)}
GOOD = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in CONTENT.items()}


class Mirror(ThreadingHTTPServer):
    """A server on this machine that gives `files`, half of each when told to truncate or to stall."""

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files, self.asked, self.truncate, self.stalled = dict(files), [], False, None
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        mirror, name = self.server, self.path.lstrip("/")
        mirror.asked.append(name)
        body = mirror.files.get(name)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if mirror.truncate or mirror.stalled:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if mirror.stalled:
                mirror.stalled.wait(30)
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def mirror():
    """Builds mirrors and stops them afterwards."""
    built = []

    def build(files):
        built.append(Mirror(files))
        return built[-1]

    yield build
    for server in built:
        server.shutdown()
        server.server_close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A fresh cache, a small MNIST with its own checksums, and no mirror yet."""
    monkeypatch.delenv("GANCOURSE_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(data.pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setitem(data._SHA256, "mnist", sums)
    return tmp_path / "cache" / "gancourse" / "mnist"


def use(monkeypatch, *mirrors):
    monkeypatch.setitem(data._MIRRORS, "mnist", tuple(mirror.address for mirror in mirrors))


def check_small(images):
    assert images.name == "mnist"
    torch.testing.assert_close(images.images, torch.from_numpy(PIXELS).float()[:, None] / 127.5 - 1)
    assert images.labels.tolist() == CLASSES.tolist()
    assert images.images.dtype == torch.float32
    assert images.labels.dtype == torch.int64


# ---------- the data sets
def test_digits_need_no_network_and_fill_the_range():
    images = data.digits()
    assert images.images.shape == (1797, 1, 8, 8)
    assert (images.images.min(), images.images.max()) == (-1, 1)
    assert images.labels.bincount().min() > 170
    assert len(images) == 1797
    assert images.to("cpu").name == "digits"


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real data: {SHARED} is missing")
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_real_files_are_read_and_verified(name, monkeypatch):
    monkeypatch.setenv("GANCOURSE_DATA", str(SHARED))
    monkeypatch.setattr(data, "_download", lambda *args: pytest.fail("GANCOURSE_DATA must not download"))
    images = data.load(name)
    assert images.images.shape == (60_000, 1, 28, 28)
    assert (images.images.min(), images.images.max()) == (-1, 1)
    mean = {"mnist": 0.1307, "fashion-mnist": 0.2860}[name]  # the constants that everybody normalises with
    assert (images.images.mean().item() + 1) / 2 == pytest.approx(mean, abs=1e-4)
    test = {"mnist": data.mnist, "fashion-mnist": data.fashion_mnist}[name]("test")
    assert test.images.shape == (10_000, 1, 28, 28)
    first = {"mnist": [7, 2, 1, 0, 4], "fashion-mnist": [9, 2, 1, 1, 6]}[name]
    assert test.labels[:5].tolist() == first


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 8, 8), torch.zeros(2, dtype=torch.int64), r"\(n, 1, h, w\) float32, got \(2, 8, 8\)"),
        (torch.zeros(2, 1, 8, 8).double(), torch.zeros(2, dtype=torch.int64), "float32, got .*float64"),
        (torch.zeros(2, 1, 8, 8), torch.zeros(3, dtype=torch.int64), r"labels must be \(2,\) int64"),
        (torch.zeros(2, 1, 8, 8), torch.zeros(2), r"labels must be \(2,\) int64, got \(2,\) torch.float32"),
    ],
)
def test_images_of_another_form_are_refused(images, labels, message):
    with pytest.raises(ValueError, match=message):
        data.Images("x", images, labels)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no data set 'cifar'; choose one of digits, mnist, fashion-mnist"):
        data.load("cifar")
    with pytest.raises(ValueError, match="no data set 'cifar'"):
        data.load("digits", fallback="cifar")
    with pytest.raises(ValueError, match="no split 'valid' of mnist; choose one of train, test"):
        data.mnist("valid")


def test_the_published_addresses_and_checksums_are_whole():
    for name, sums in data._SHA256.items():
        assert len(data._MIRRORS[name]) >= 2
        assert all(address.startswith("http") and address.endswith("/") for address in data._MIRRORS[name])
        assert len(sums) == 4
        assert all(len(bytes.fromhex(digest)) == 32 for digest in sums.values())


# ---------- download
def test_a_download_is_kept_and_used_again(cache, mirror, monkeypatch):
    server = mirror(GOOD)
    use(monkeypatch, server)
    check_small(data.mnist())
    assert sorted(path.name for path in cache.iterdir()) == sorted(GOOD)
    check_small(data.mnist())
    assert len(server.asked) == 2


def test_another_compression_or_none_is_the_same_content(cache, mirror, monkeypatch):
    plain = mirror({f"{LABELS}.gz": CONTENT[LABELS], f"{IMAGES}.gz": gzip.compress(CONTENT[IMAGES], 1)})
    use(monkeypatch, plain)
    check_small(data.mnist())
    check_small(data.mnist())


@pytest.mark.parametrize(
    "fault", ["missing", "truncated", "cut gzip", "corrupt", "login page", "other content"]
)
def test_a_bad_mirror_is_passed_over_for_a_good_one(fault, cache, mirror, monkeypatch):
    bad, good = mirror(GOOD), mirror(GOOD)
    spoil(bad, fault)
    use(monkeypatch, bad, good)
    check_small(data.mnist())
    assert bad.asked
    assert len(good.asked) == 2
    assert sorted(path.name for path in cache.iterdir()) == sorted(GOOD)


def spoil(server, fault):
    if fault == "missing":
        server.files.clear()
    elif fault == "truncated":
        server.truncate = True
    else:
        for name, body in server.files.items():
            middle = len(body) // 2
            server.files[name] = {
                "cut gzip": body[:middle],
                "corrupt": body[:middle] + bytes([body[middle] ^ 255]) + body[middle + 1 :],
                "login page": b"<!DOCTYPE html><p>Please log in to the network.",
                "other content": gzip.compress(idx(PIXELS[:2])),
            }[fault]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("missing", "404"),
        ("truncated", "IncompleteRead|Connection broken"),
        ("cut gzip", "not a whole gzip file"),
        ("corrupt", "not a whole gzip file|sha256"),
        ("login page", "not an IDX file.*DOCTYPE"),
        ("other content", "sha256 of its uncompressed content is .* is published"),
    ],
)
def test_when_no_mirror_is_good_the_error_names_file_addresses_and_remedy(
    fault, reason, cache, mirror, monkeypatch
):
    servers = mirror(GOOD), mirror(GOOD)
    for server in servers:
        spoil(server, fault)
    use(monkeypatch, *servers)
    with pytest.raises(data.DownloadError, match=reason) as caught:
        data.mnist()
    message = str(caught.value)
    for server in servers:
        assert f"{server.address}{IMAGES}.gz: " in message
    assert "Check the network" in message
    assert "set GANCOURSE_DATA" in message
    assert list(cache.iterdir()) == []


def test_without_a_network_the_fallback_is_announced_in_one_line(cache, mirror, monkeypatch, capsys):
    server = mirror({})
    use(monkeypatch, server)
    server.shutdown()
    server.server_close()  # now nobody listens there
    assert data.load("mnist", fallback="digits").name == "digits"
    assert capsys.readouterr().out == (
        "mnist could not be downloaded (is there a network?): the data set digits takes its place.\n"
    )
    with pytest.raises(data.DownloadError, match="refused"):
        data.load("mnist")


def test_a_damaged_file_in_the_cache_is_downloaded_again(cache, mirror, monkeypatch):
    use(monkeypatch, mirror(GOOD))
    data.mnist()
    damaged = cache / f"{IMAGES}.gz"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    check_small(data.mnist())
    assert damaged.read_bytes() == GOOD[damaged.name]


def test_a_folder_that_cannot_be_written_is_reported(cache, mirror, monkeypatch):
    use(monkeypatch, mirror(GOOD))
    cache.parent.mkdir(parents=True)
    cache.write_text("a file stands where the folder should be")
    with pytest.raises(data.DataError, match=r"Cannot read or write .*train-images.*Make room or make"):
        data.mnist()


CHILD = """
import sys
from pathlib import Path
from gancourse import data
data.pooch.os_cache = lambda project: Path(sys.argv[1]) / project
data._MIRRORS["mnist"] = (sys.argv[2],)
data._SHA256["mnist"]["train-images-idx3-ubyte"] = sys.argv[3]
data.mnist()
"""


def test_a_download_killed_in_the_middle_leaves_nothing_that_is_used(cache, mirror, monkeypatch):
    # Large enough that half of it is on the disk, and not in a buffer, when the process dies.
    pixels = np.random.default_rng(1).integers(0, 256, (400, 28, 28), dtype=np.uint8)
    content = idx(pixels)
    server = mirror({**GOOD, f"{IMAGES}.gz": gzip.compress(content)})
    server.stalled = threading.Event()
    digest = hashlib.sha256(content).hexdigest()
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(cache.parents[1]), server.address, digest],
        stderr=subprocess.DEVNULL,
    )
    try:
        give_up = time.monotonic() + 60
        while not any(path.stat().st_size > 50_000 for path in cache.glob("*.part")):
            assert child.poll() is None, "the child ended before it was killed"
            assert time.monotonic() < give_up, "the child never wrote half of the file"
            time.sleep(0.05)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        server.stalled.set()
    assert not (cache / f"{IMAGES}.gz").exists()

    server.stalled = None
    monkeypatch.setitem(data._SHA256["mnist"], IMAGES, digest)
    monkeypatch.setitem(data._SHA256["mnist"], LABELS, hashlib.sha256(idx(CLASSES)).hexdigest())
    use(monkeypatch, server)
    assert torch.equal(
        torch.from_numpy(data._fetch("mnist", IMAGES).copy()), torch.from_numpy(pixels)
    )  # whole, from a second download
    assert server.asked.count(f"{IMAGES}.gz") == 2


# ---------- GANCOURSE_DATA
@pytest.fixture
def given(cache, tmp_path, monkeypatch):
    """A folder for GANCOURSE_DATA with the small MNIST, and a mirror list that must not be used."""
    folder = tmp_path / "given data"
    (folder / "mnist").mkdir(parents=True)
    for name, body in GOOD.items():
        (folder / "mnist" / name).write_bytes(body)
    monkeypatch.setenv("GANCOURSE_DATA", str(folder))
    monkeypatch.setattr(data, "_download", lambda *args: pytest.fail("GANCOURSE_DATA must not download"))
    return folder / "mnist"


def test_given_files_are_read_and_the_cache_is_left_alone(given, cache):
    check_small(data.load("mnist", fallback="digits"))
    assert not cache.exists()


def test_an_empty_variable_counts_as_unset(cache, mirror, monkeypatch):
    monkeypatch.setenv("GANCOURSE_DATA", "")
    use(monkeypatch, mirror(GOOD))
    check_small(data.mnist())


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "the file is missing"),
        (GOOD[f"{IMAGES}.gz"][:-9], "not a whole gzip file"),
        (gzip.compress(b"\0\0\x0d\x03" + bytes(40)), "not an IDX file of unsigned bytes, it starts with"),
        (gzip.compress(CONTENT[IMAGES][:10]), "its IDX header is cut short"),
        (gzip.compress(CONTENT[IMAGES][:-1]), r"header announces shape \(6, 4, 3\), but 71 bytes follow"),
        (GOOD[f"{LABELS}.gz"], "sha256"),
        (b"", "not an IDX file"),
    ],
    ids=["missing", "cut gzip", "other type", "cut header", "cut pixels", "labels", "empty"],
)
def test_a_bad_given_file_is_an_error_even_with_a_fallback(body, reason, given):
    path = given / f"{IMAGES}.gz"
    path.unlink() if body is None else path.write_bytes(body)
    with pytest.raises(data.DataError, match=reason) as caught:
        data.load("mnist", fallback="digits")
    message = str(caught.value)
    assert not isinstance(caught.value, data.DownloadError)
    assert str(path) in message
    assert "unset GANCOURSE_DATA to download it" in message


def test_a_missing_given_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCOURSE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(data.DataError, match=r"the folder .*nowhere/fashion-mnist is missing"):
        data.fashion_mnist()
