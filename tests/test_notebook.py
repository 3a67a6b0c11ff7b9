import json

import pytest
import torch

from gancourse import notebook
from gancourse.notebook import begin


@pytest.fixture(autouse=True)
def machine_without_cuda(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("GANCOURSE_PROFILE", raising=False)
    monkeypatch.delenv("GANCOURSE_RUNS", raising=False)
    monkeypatch.chdir(tmp_path)


def test_one_line_says_what_was_found(capsys, monkeypatch):
    monkeypatch.setenv("GANCOURSE_PROFILE", "smoke")
    session = begin("no_such_lab", seed=3)
    (line,) = capsys.readouterr().out.splitlines()
    assert "profile smoke" in line
    assert "seed 3" in line
    assert "not measured yet" in line
    assert (session.profile, session.device.type, str(session.runs)) == ("smoke", "cpu", "runs/no_such_lab")
    assert session.pick(smoke=1, cpu=2, gpu=3) == 1


def test_the_time_a_lab_takes_is_the_measured_one(capsys, monkeypatch, tmp_path):
    row = {"seconds": 312.0, "machine": "2 cores"}
    (tmp_path / "lab_costs.json").write_text(json.dumps({"labs": {"lab": {"cpu": row}}}))
    monkeypatch.setattr(notebook, "files", lambda package: tmp_path)
    begin("lab")
    assert "about 5 minutes (measured on 2 cores)" in capsys.readouterr().out


def test_without_cuda_the_profile_is_cpu():
    assert begin("lab").profile == "cpu"


def test_an_unknown_profile_and_a_missing_gpu_are_told_plainly(monkeypatch):
    monkeypatch.setenv("GANCOURSE_PROFILE", "fast")
    with pytest.raises(ValueError, match="'fast'; it is one of smoke, cpu, gpu"):
        begin("lab")
    monkeypatch.setenv("GANCOURSE_PROFILE", "gpu")
    with pytest.raises(ValueError, match="Change runtime type"):
        begin("lab")


def test_the_seed_settles_every_stream():
    session = begin("lab", seed=1)
    first = torch.rand(4), torch.rand(4, generator=session.random(5))
    session = begin("lab", seed=1)
    assert torch.equal(first[0], torch.rand(4))
    assert torch.equal(first[1], torch.rand(4, generator=session.random(5)))
    assert not torch.equal(first[1], torch.rand(4, generator=session.random(6)))
    assert not torch.equal(first[1], torch.rand(4, generator=begin("lab", seed=2).random(5)))


def test_runs_go_to_drive_when_asked_and_mounted(monkeypatch, tmp_path, capsys):
    drive = tmp_path / "MyDrive"
    monkeypatch.setattr(notebook, "DRIVE", drive)
    assert begin("lab", keep_on_drive=True).runs.parts[0] == "runs"
    assert "Drive is not mounted" in capsys.readouterr().out
    drive.mkdir()
    assert begin("lab", keep_on_drive=True).runs == drive / "gancourse-runs" / "lab"
    assert "kept on Drive" in capsys.readouterr().out
    assert begin("lab").runs.parts[0] == "runs"


def test_runs_go_where_the_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("GANCOURSE_RUNS", str(tmp_path / "elsewhere"))
    assert begin("lab").runs == tmp_path / "elsewhere" / "lab"
