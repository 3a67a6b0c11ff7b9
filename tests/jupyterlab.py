"""A real JupyterLab for tests that drive one with a browser."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbformat import NotebookNode

TOKEN = "rehearsal"


@contextmanager
def serve(notebook: NotebookNode, folder: Path, **environment: str) -> Iterator[str]:
    """Start a JupyterLab in a folder that holds this notebook alone; yields the address that opens it."""
    nbformat.write(notebook, folder / "lab.ipynb")
    log = folder / "server.log"
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--port=0",
    ]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}", "--LabApp.news_url="]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    settings = {**os.environ, "HOME": str(folder), "JUPYTER_PLATFORM_DIRS": "0", **environment}
    with log.open("w") as said:
        process = subprocess.Popen(command, env=settings, stdout=said, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"{found[0]}lab/tree/lab.ipynb?token={TOKEN}"
    finally:
        process.terminate()
        process.wait(timeout=20)
