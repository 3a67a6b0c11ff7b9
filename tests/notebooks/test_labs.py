"""Every lab as a student meets it: only the notebook, an empty folder, and what Colab ships."""

import resource
import shutil
import subprocess
import time

import pytest

from tests.notebooks.test_sources import LABS, lab
from tools import project

pytestmark = pytest.mark.xdist_group("labs")
INTERRUPTED = "optimal_discriminator"
RUN_ALL = r"""
import nbformat, sys
from nbclient import NotebookClient
client = NotebookClient(nbformat.read(sys.argv[1], 4), timeout=300)
for cell in client.nb.cells:
    if cell.cell_type == "code":
        cell.outputs = []
try:
    client.execute()
finally:
    for cell in client.nb.cells:
        for output in cell.get("outputs", []):
            print(output.get("text", ""), *output.get("traceback", []), sep="\n")
"""


def open_in_empty_folder(source, tmp_path):
    folder = tmp_path / "content"
    folder.mkdir()
    shutil.copy2(source.with_suffix(".ipynb"), folder)
    return folder


@lab
def test_lab_passes_in_a_clean_environment(source, rehearsal, tmp_path):
    """Also after a kernel that was killed in the middle, and a second time in a row."""
    folder, name = open_in_empty_folder(source, tmp_path), f"{source.stem}.ipynb"
    if source.stem == INTERRUPTED:
        interrupt(rehearsal, folder, name)
    result = rehearsal.nbval(folder, name)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-1000:]
    assert (folder / "runs" / source.stem).is_dir()
    if source.stem == INTERRUPTED:
        again = rehearsal.nbval(folder, name)
        assert again.returncode == 0, again.stdout[-4000:]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    assert peak < 2, f"a lab in `smoke` takes at most 2 GB; this worker's largest child took {peak:.1f}"


def interrupt(rehearsal, folder, name):
    """Start the notebook and kill it, kernel and all, when it has begun to train."""
    process = subprocess.Popen(
        [rehearsal.python, "-c", RUN_ALL, name],
        cwd=folder,
        env=rehearsal.environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    try:
        while not list(folder.glob("runs/*/ring-*/checkpoint.pt")):
            assert process.poll() is None, "the lab ended before it was killed"
            assert time.monotonic() < deadline, "the lab never began to train"
            time.sleep(0.1)
    finally:
        subprocess.run(["pkill", "-KILL", "--session", str(process.pid)], check=False)
        process.wait()


def test_a_missing_release_gives_one_clear_line(rehearsal, published, tmp_path):
    (source,) = [source for source in LABS if source.stem == INTERRUPTED]
    folder = open_in_empty_folder(source, tmp_path)
    subprocess.run(["git", "tag", "-d", project.tag()], cwd=published, check=True, capture_output=True)
    try:
        done = subprocess.run(
            [rehearsal.python, "-c", RUN_ALL, f"{source.stem}.ipynb"],
            cwd=folder,
            env=rehearsal.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
    finally:
        subprocess.run(["git", "tag", project.tag()], cwd=published, check=True, capture_output=True)
    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert lines == [
        f"Could not install gancourse @ git+{project.repository()}@{project.tag()}: "
        "is the release published and the network up?"
    ]
