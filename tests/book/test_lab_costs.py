"""The page with each lab's measured time and memory."""

import json

import pytest
from small_books import Book, text

ROW = {
    "seconds": 12.34,
    "memory_gb": 0.62,
    "date": "2026-11-20",
    "machine": "2 cores",
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
}


@pytest.fixture
def costs(book: Book) -> Book:
    book.extensions = ("myst_nb", "lab_costs")
    book.chapter("Text.\n")
    book.write("book/evidence", "# Costs\n\n```{lab-costs}\n```\n")
    return book


def measure(book: Book, **profiles: object) -> None:
    path = book.folder / "src" / "gancourse" / "lab_costs.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"labs": {"lab": profiles}}), encoding="utf-8")


def rows(book: Book) -> list[list[str]]:
    table = book.page("book/evidence").select("table.cards tbody tr")
    return [[text(cell).split(": ")[1] for cell in row.select("td")] for row in table]


def test_without_measurements_every_profile_says_so(costs: Book):
    result = costs.build()
    assert result.status == 0, result
    assert rows(costs) == [[profile, "not measured yet"] for profile in ("smoke", "cpu", "gpu")]
    assert costs.page("book/evidence").select_one("caption a")["href"] == "../labs/lab.html"


def test_what_was_measured_is_shown(costs: Book):
    measure(costs, cpu=ROW | {"seconds": 372.0}, smoke=ROW)
    assert costs.build().status == 0
    versions = "Python 3.11.7, PyTorch 2.13.0"
    assert rows(costs) == [
        ["smoke", "12 s", "0.6 GB", "2 cores", versions, "2026-11-20"],
        ["cpu", "6.2 min", "0.6 GB", "2 cores", versions, "2026-11-20"],
        ["gpu", "not measured yet"],
    ]


def test_a_new_measurement_is_shown_also_after_another_builder(costs: Book):
    measure(costs, smoke=ROW)
    assert costs.build().status == 0
    measure(costs, smoke=ROW | {"seconds": 20.0})
    assert costs.build("dummy").status == 0
    assert costs.build().status == 0
    assert rows(costs)[0][1] == "20 s"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"smoke": ROW | {"seconds": "12 s"}}, "'lab', profile 'smoke', has seconds = '12 s'"),
        ({"smoke": {key: ROW[key] for key in ROW if key != "versions"}}, "has versions = None"),
        ({"tpu": ROW}, "'lab' has the profile 'tpu'; the profiles are smoke, cpu, gpu"),
    ],
)
def test_a_wrong_measurement_fails_a_strict_build(costs: Book, row, message):
    measure(costs, **row)
    result = costs.build("dummy")
    assert result.status == 1
    assert message in str(result)
    assert "make measure" in str(result)


def test_a_file_that_is_no_json_fails_a_strict_build(costs: Book):
    measure(costs)
    (costs.folder / "src" / "gancourse" / "lab_costs.json").write_text("{", encoding="utf-8")
    result = costs.build("dummy")
    assert result.status == 1
    assert "it is no JSON object with the key 'labs'" in str(result)
