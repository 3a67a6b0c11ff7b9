"""Whose file is whose: names as platforms, browsers and people write them."""

import json
import os
import time
import tracemalloc
from pathlib import Path, PurePosixPath

import pytest

from grading import collect
from grading.notebooks import Unreadable, read
from tests.grading.submissions import STEM, dumped, solved, write, zipped


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("jane.ipynb", "jane"),
        ("Jane Doe.ipynb", "Jane Doe"),
        ("jane_doe (1).ipynb", "jane doe"),
        ("jane_doe - Copy.ipynb", "jane doe"),
        ("Copy of optimal_discriminator_jane.ipynb", "jane"),
        ("optimal_discriminator-jane doe(2).ipynb", "jane doe"),
        ("jane_optimal_discriminator.ipynb", "jane"),
        ("doejane_12345_67890_optimal_discriminator (1).ipynb", "doejane_12345"),
        ("doejane_LATE_12345_67891_optimal_discriminator-2.ipynb", "doejane_12345"),
        ("Jane Doe_4711_assignsubmission_file_optimal_discriminator.ipynb", "Jane Doe_4711"),
        ("Jane Doe_4711_assignsubmission_file_/optimal_discriminator.ipynb", "Jane Doe_4711"),
        ("Jane Doe_4711_assignsubmission_file/a/b.ipynb", "Jane Doe_4711"),
        ("jane/optimal_discriminator/optimal_discriminator.ipynb", "jane"),
        ("jane.zip", "jane"),
        ("jane.ipynb.txt", "jane"),
        ("jane.doe.ipynb", "jane.doe"),
        ("jane.doe/hw.ipynb", "jane.doe"),
        ("jane_doe.docx", "jane doe"),
        ("jane_doe.HEIC", "jane doe"),
        ("jane_doe.7z", "jane doe"),
        ("Ju\u0308rgen Mu\u0308ller.ipynb", "Jürgen Müller"),
        ("Mu\u0308ller/hw.ipynb", "Müller"),
        ("Mu\u0308ller_1_assignsubmission_file_/hw.ipynb", "Müller_1"),
        ("Müller_1_assignsubmission_file_/hw.ipynb", "Müller_1"),
        ("Ann_1_assignsubmission_onlinetext.html", "Ann_1"),
        ("optimal_discriminator.ipynb", "optimal discriminator"),
        ("optimal_discriminator (1).ipynb", "optimal discriminator (1)"),
    ],
)
def test_names_lead_to_students(path, key):
    assert collect._owner(PurePosixPath(path), STEM)[0] == key


@pytest.mark.parametrize(
    ("path", "account"),
    [
        ("doejane_LATE_12345_67891_optimal_discriminator-2.ipynb", ("Canvas", "12345")),
        ("Jane Doe_4711_assignsubmission_file_/optimal_discriminator.ipynb", ("Moodle", "4711")),
        ("section B/Jane Doe_4711_assignsubmission_file/a.ipynb", ("Moodle", "4711")),
        ("jane_4711.ipynb", ("", "")),
    ],
)
def test_platforms_numbers_are_read(tmp_path, path, account):
    write(tmp_path / path, solved())
    write(tmp_path / "Bob_1_assignsubmission_file_" / "b.ipynb", solved())
    found = [(s.platform, s.number) for s in collect.collect(tmp_path, STEM)]
    assert sorted(found) == sorted([account, ("Moodle", "1")])


@pytest.mark.parametrize("part", ["_", " ", "-", "copy", "(1", "_1"])
def test_long_names_take_no_time(part):
    begun = time.process_time()
    collect._owner(PurePosixPath("a" + part * 20_000 + "b.ipynb"), STEM)
    assert time.process_time() - begun < 1


def test_files_that_bear_no_name_are_never_taken_for_one_student(tmp_path):
    for name in (
        "optimal_discriminator.ipynb",
        "optimal_discriminator (1).ipynb",
        "Copy of optimal_discriminator.ipynb",
        "Copy of Copy of optimal_discriminator (2).ipynb",
        "Kopie von optimal-discriminator.ipynb",
    ):
        write(tmp_path / name, solved())
    handed = collect.collect(tmp_path, STEM)
    assert len(handed) == 5
    assert all("does not say whose it is" in student.notes[0] for student in handed)


def test_short_names_are_safe_distinct_and_do_not_depend_on_the_others():
    names = ["jane doe", "Jane Doe", "jané doe", "jane-doe", "jane/doe", "..", "李雷", "=1+1", "", "a" * 300]
    slugs = [collect.slug(name) for name in names]
    assert slugs[0] == slugs[1] == "jane-doe"
    rest = [*slugs[:1], *slugs[2:]]
    assert all(part and part.strip("-") == part and part.isascii() and len(part) < 80 for part in rest)
    assert not any(set(part) - set("abcdefghijklmnopqrstuvwxyz0123456789-") for part in rest)
    assert len(set(rest)) == len(rest) - 1  # `jane-doe` is parted from `jane doe` where both hand in


def test_two_students_with_one_short_name_are_parted(tmp_path):
    write(tmp_path / "jane-doe.ipynb", solved())
    write(tmp_path / "jane_doe.ipynb", solved())
    assert [h.student for h in collect.collect(tmp_path, STEM)] == ["jane-doe", "jane-doe-2"]


def test_a_class_comes_as_one_zip_file_with_or_without_a_folder_around_it(tmp_path):
    for prefix in ("", "submissions/"):
        path = tmp_path / "class.zip"
        path.write_bytes(
            zipped({
                f"{prefix}Ann_1_assignsubmission_file_/hw.ipynb": dumped(),
                f"{prefix}doe_22_33_hw.ipynb": dumped(),
                f"{prefix}__MACOSX/._hw.ipynb": b"x",
            })
        )  # fmt: skip
        assert [h.student for h in collect.collect(path, STEM)] == ["ann-1", "doe-22"]


def test_the_newest_counts_by_its_time_and_then_by_its_number(tmp_path, release):
    for number, name in enumerate(["a_9_5_hw.ipynb", "a_9_6_hw-1.ipynb", "a_9_7_hw-2.ipynb"]):
        write(tmp_path / name, solved(answer=f"answer {number}"))
        os.utime(tmp_path / name, (1e9, 1e9))
    (handed,) = collect.collect(tmp_path, STEM)
    assert read(handed, release).answers["minimal_risk"].source == "answer 2"
    os.utime(tmp_path / "a_9_5_hw.ipynb", (2e9, 2e9))
    (handed,) = collect.collect(tmp_path, STEM)
    assert read(handed, release).answers["minimal_risk"].source == "answer 0"


def test_a_damaged_class_zip_is_an_error_in_words(tmp_path):
    path = tmp_path / "class.zip"
    path.write_bytes(zipped({"ann.ipynb": dumped()})[:-30] + b"PK")
    with pytest.raises(collect.NothingToGrade, match="neither a folder nor a zip file"):
        collect.collect(path, STEM)
    content = zipped({"ann.ipynb": dumped(), "bob.ipynb": dumped()})
    directory = content.rindex(b"PK\x01\x02")
    path.write_bytes(content[:directory] + b"PK\x01\x03" + content[directory + 4 :])
    with pytest.raises(collect.NothingToGrade, match="damaged"):
        collect.collect(path, STEM)


def test_damage_within_a_class_zip_costs_only_whom_it_hit(tmp_path, release):
    path = tmp_path / "class.zip"
    content = zipped({"ann.ipynb": dumped(), "bob.ipynb": dumped()})
    path.write_bytes(content[:200] + b"\0" * 200 + content[400:])
    ann, bob = collect.collect(path, STEM)
    with pytest.raises(Unreadable, match=r"In the zip file it is damaged"):
        read(ann, release)
    assert read(bob, release).found


def test_zip_files_of_students_in_the_zip_file_of_the_class_are_opened(tmp_path, release):
    path = tmp_path / "class.zip"
    path.write_bytes(
        zipped({
            "doe_22_33_hw.zip": zipped({"work/hw.ipynb": dumped(), "photo.jpg": b"x" * 1000}),
            "Ann_1_assignsubmission_file_/all.zip": zipped({"hw.ipynb": dumped()}),
            "roe_44_55_hw.zip": zipped({"inner.zip": zipped({"hw.ipynb": dumped()})}),
            "poe_66_77_hw.zip": b"PK broken",
        })
    )  # fmt: skip
    handed = {h.student: h for h in collect.collect(path, STEM)}
    assert list(handed) == ["ann-1", "doe-22", "poe-66", "roe-44"]
    assert read(handed["doe-22"], release).found
    assert read(handed["ann-1"], release).found
    assert "photo.jpg" in handed["doe-22"].notes[0]
    for student, said in (("poe-66", "zip file is damaged"), ("roe-44", "It is not a notebook")):
        with pytest.raises(Unreadable, match=said):
            read(handed[student], release)


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_a_class_larger_than_the_memory_is_read_one_file_at_a_time(tmp_path, packed):
    size, number = 8 * 2**20, 12
    notebook = json.dumps({"cells": [], "padding": "x" * size}).encode()
    members = {f"student{i}.ipynb": notebook for i in range(number)}
    source = tmp_path / "class.zip" if packed else tmp_path / "in"
    if packed:
        source.write_bytes(zipped(members))
    else:
        source.mkdir()
        for name, content in members.items():
            (source / name).write_bytes(content)
    tracemalloc.start()
    handed = collect.collect(source, STEM)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(handed) == number
    assert handed[3].files[0].content() == notebook
    assert held < size / 4
    assert peak < 4 * size


def test_a_file_that_changes_while_the_class_is_graded_is_nobodys_mark(tmp_path, release):
    write(tmp_path / "ann.ipynb", solved())
    (handed,) = collect.collect(tmp_path, STEM)
    write(tmp_path / "ann.ipynb", solved("library"))
    with pytest.raises(Unreadable, match="changed while the class was being graded"):
        read(handed, release)
    (tmp_path / "ann.ipynb").unlink()
    (tmp_path / "ann.ipynb").symlink_to("/etc/passwd")
    with pytest.raises(Unreadable, match="could no longer be read"):
        read(handed, release)


def test_nothing_is_unpacked_to_disk(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ann.zip").write_bytes(zipped({"../../evil.ipynb": dumped(), "ok.ipynb": dumped()}))
    monkeypatch.chdir(tmp_path)
    (handed,) = collect.collect(tmp_path / "in", STEM)
    assert [file.path for file in handed.files] == ["ann.zip!ok.ipynb"]
    assert sorted(Path(tmp_path).rglob("*")) == [tmp_path / "in", tmp_path / "in" / "ann.zip"]


MOODLE_FOLDERS = [
    f"{name}_{number}_assignsubmission_file_" for number, name in enumerate(["Ann", "Bob", "Cy"])
]


def packed(folder, prefix, names):
    """Notebooks in a folder, or in a zip file where the prefix is the name of one."""
    if prefix.endswith(".zip"):
        members = dict.fromkeys(names, dumped())
        (folder / prefix).write_bytes(zipped(members))
        return
    for name in names:
        write(folder / prefix / name, solved())


@pytest.mark.parametrize("wrapper", ["Homework 1", "Homework 1/all", "Homework 1.zip"])
def test_a_folder_around_the_whole_class_is_no_student(tmp_path, wrapper):
    names = [*(f"{one}/hw.ipynb" for one in MOODLE_FOLDERS), "dora.ipynb", "doe_22_33_hw.ipynb"]
    packed(tmp_path, wrapper, names)
    assert [h.student for h in collect.collect(tmp_path, STEM)] == [
        "ann-0",
        "bob-1",
        "cy-2",
        "doe-22",
        "dora",
    ]


def test_files_that_bear_no_name_are_different_people_in_a_folder_around_the_class_too(tmp_path):
    names = [f"all/{STEM}.ipynb", f"all/{STEM} (1).ipynb"]
    packed(tmp_path, "in", names)
    packed(tmp_path, "class.zip", names)
    for source in (tmp_path / "in", tmp_path / "class.zip"):
        assert len(collect.collect(source, STEM)) == 2


def test_folders_without_end_in_a_zip_file_take_no_time(tmp_path):
    ends = [f"{one}/hw.ipynb" for one in MOODLE_FOLDERS]
    deep = ["a/" * 10_000 + end for end in ends]
    steps = ["a/" * depth + end for depth in range(1, 1200) for end in ends[:2]]
    for name, members in (("deep", deep), ("steps", steps)):
        (tmp_path / f"{name}.zip").write_bytes(zipped(dict.fromkeys(members, b"{}")))
    begun = time.process_time()
    handed = collect.collect(tmp_path, STEM)
    assert time.process_time() - begun < 10
    assert {"ann-0", "bob-1", "deep"} <= {h.student for h in handed}


@pytest.mark.parametrize("late", ["late", "late/section A", "section B.zip"])
def test_people_in_a_folder_beside_the_others_are_found(tmp_path, late):
    packed(tmp_path, ".", [f"{MOODLE_FOLDERS[0]}/hw.ipynb", "dora.ipynb"])
    packed(tmp_path, late, [f"{MOODLE_FOLDERS[1]}/hw.ipynb", f"{MOODLE_FOLDERS[2]}/hw.ipynb", "ed.ipynb"])
    handed = collect.collect(tmp_path, STEM)
    assert [h.student for h in handed] == ["ann-0", "bob-1", "cy-2", "dora", "ed"]
    assert {len(h.files) for h in handed} == {1}


def test_one_late_student_of_a_platform_is_found_and_an_empty_or_linked_folder_is_told(tmp_path):
    packed(tmp_path, ".", ["dora.ipynb", f"late/{MOODLE_FOLDERS[0]}/hw.ipynb"])
    (tmp_path / "late" / MOODLE_FOLDERS[1] / "empty").mkdir(parents=True)
    (tmp_path / "late" / MOODLE_FOLDERS[2]).symlink_to(tmp_path)
    handed = {h.student: h for h in collect.collect(tmp_path, STEM)}
    assert list(handed) == ["ann-0", "bob-1", "cy-2", "dora"]
    assert handed["bob-1"].files[0].problem == "The folder is empty."
    assert "links are not followed" in handed["cy-2"].files[0].problem


def test_sections_in_the_zip_file_of_a_class_are_opened(tmp_path, release):
    section = zipped({f"{one}/hw.ipynb": dumped() for one in MOODLE_FOLDERS[1:]})
    path = tmp_path / "class.zip"
    path.write_bytes(zipped({f"all/{MOODLE_FOLDERS[0]}/hw.ipynb": dumped(), "all/section B.zip": section}))
    handed = collect.collect(path, STEM)
    assert [h.student for h in handed] == ["ann-0", "bob-1", "cy-2"]
    assert all(read(h, release).found for h in handed)


def test_a_students_own_folders_stay_one_student(tmp_path):
    packed(tmp_path, "jane", [f"{STEM}.ipynb", f"{STEM} (1).ipynb"])
    packed(tmp_path, "bob", [f"{STEM}/{STEM}.ipynb", f"{STEM}/old/run_1_2_x.ipynb"])
    packed(tmp_path, MOODLE_FOLDERS[0], ["a.ipynb", "b.ipynb", "cy_1_2_hw.ipynb", "doe_3_4_hw.ipynb"])
    handed = collect.collect(tmp_path, STEM)
    assert [h.student for h in handed] == ["ann-0", "bob", "jane"]
    assert [len(h.files) for h in handed] == [4, 2, 2]
    assert [bool(h.doubt) for h in handed] == [False, True, False]


@pytest.mark.parametrize("late", ["late", "late.zip"])
def test_where_people_cannot_be_told_from_drafts_a_person_is_to_look(tmp_path, late):
    packed(tmp_path, ".", ["dora.ipynb"])
    packed(tmp_path, late, ["work/ann.ipynb", "work/bob.ipynb"])
    dora, unclear = collect.collect(tmp_path, STEM)
    assert dora.doubt == ""
    assert unclear.doubt == "The notebooks in “late” may be of several people; one of them was marked."


def test_whatever_comes_with_a_notebook_and_is_not_looked_at_is_named(tmp_path):
    write(tmp_path / "ann" / "hw.ipynb", solved())
    (tmp_path / "ann" / "photo.jpg").write_bytes(b"x")
    (tmp_path / "ann" / "pages.zip").write_bytes(b"PK broken")
    (handed,) = collect.collect(tmp_path, STEM)
    assert handed.others == ("ann/pages.zip", "ann/photo.jpg")
    assert handed.notes == ("Not looked at: ann/pages.zip, ann/photo.jpg.",)


def test_one_student_in_two_kinds_of_letters_and_of_files_is_one(tmp_path):
    for name in ("Mu\u0308ller.ipynb", "Müller (1).ipynb", "jane_doe.docx", "jane_doe.ipynb"):
        write(tmp_path / name, solved())
    jane, mueller = collect.collect(tmp_path, STEM)
    assert (jane.name, jane.others) == ("jane doe", ("jane_doe.docx",))
    assert (mueller.name, len(mueller.files)) == ("Müller", 2)


def test_a_students_folder_that_begins_with_the_homeworks_name_says_whose_it_is(tmp_path):
    write(tmp_path / "optimal_discriminator_jane" / "hw.ipynb", solved())
    (handed,) = collect.collect(tmp_path, STEM)
    assert handed.notes == ()


def test_a_zip_file_that_bears_somebody_elses_name_inside_does_not_pass_for_theirs_unseen(tmp_path):
    packed(tmp_path, ".", [f"{MOODLE_FOLDERS[0]}/hw.ipynb", f"{MOODLE_FOLDERS[1]}/hw.ipynb"])
    packed(tmp_path, "mallory.zip", [f"{MOODLE_FOLDERS[0]}/hw.ipynb"])
    ann, bob = collect.collect(tmp_path, STEM)
    assert "mallory.zip" in ann.doubt
    assert bob.doubt == ""
