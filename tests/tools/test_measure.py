"""Costs are measured in a fresh process and stored as the notebooks and the book read them."""

import datetime
import json
import re
import subprocess
import sys

import pytest
from nbformat.v4 import new_output

pytestmark = pytest.mark.xdist_group("tools")

HUNGRY = """\
# %%
import os, time

assert os.environ["GANCOURSE_PROFILE"] == "smoke"
block = b"x" * 400_000_000
time.sleep(1)
"""


def test_a_run_is_measured_and_stored(course):
    (course.folder / "labs" / "demo.py").write_text(HUNGRY, encoding="utf-8")
    old = {"labs": {"demo": {"cpu": {"seconds": 9.0}}, "gone": {"cpu": {"seconds": 1.0}}}}
    costs = course.tool("project").COSTS
    costs.write_text(json.dumps(old), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tools.measure", "--lab", "demo", "--profile", "smoke"],
        cwd=course.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = costs.read_text(encoding="utf-8")
    table = json.loads(text)
    assert text == json.dumps(table, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    assert set(table["labs"]) == {"demo"}  # the lab that is gone has left the table
    assert table["labs"]["demo"]["cpu"] == {"seconds": 9.0}
    row = table["labs"]["demo"]["smoke"]
    assert set(row) == {"date", "machine", "memory_gb", "seconds", "versions"}
    assert 1.0 < row["seconds"] == round(row["seconds"], 1)
    assert 0.4 < row["memory_gb"] < 2
    assert row["memory_gb"] == round(row["memory_gb"], 2)
    assert row["date"] == datetime.date.today().isoformat()
    assert re.fullmatch(r"\d+ cores?, .+", row["machine"])
    assert set(row["versions"]) == {"python", "torch", "numpy"}
    assert f"demo, smoke: {row['seconds']} s" in done.stdout


def test_unknown_labs_and_profiles_are_refused(course):
    measure = course.tool("measure")
    with pytest.raises(SystemExit, match=r"no lab 'wrong'; the labs are: demo\."):
        measure.main(["--lab", "wrong"])
    with pytest.raises(SystemExit, match=r"no profile 'fast'; the profiles are: smoke, cpu, gpu\."):
        measure.main(["--profile", "fast"])


@pytest.mark.parametrize(("device", "profiles"), [(None, ["smoke", "cpu"]), ("T4", ["smoke", "cpu", "gpu"])])
def test_by_default_every_lab_in_every_profile_that_the_machine_can(course, monkeypatch, device, profiles):
    measure = course.tool("measure")
    monkeypatch.setattr(measure, "gpu", lambda: device)
    sources, chosen = measure.chosen("", "")
    assert ([source.stem for source in sources], chosen) == (["demo"], profiles)
    if device is None:
        with pytest.raises(ValueError, match="needs a CUDA device"):
            measure.chosen("", "gpu")


def test_on_a_gpu_the_memory_is_that_of_the_card(course, monkeypatch):
    measure = course.tool("measure")

    def execute(notebook, profile):
        assert (profile, notebook.cells[-1].source) == ("gpu", measure.CARD)
        notebook.cells[-1].outputs = [new_output("stream", name="stdout", text="2500000000\n")]

    monkeypatch.setattr(measure.notebooks, "execute", execute)
    assert measure.run(course.folder / "labs" / "demo.py", "gpu")[1] == 2.5
