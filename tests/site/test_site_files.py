"""The files of the site: links, pictures, evidence, and what must not be there. No browser is needed."""

from collections import Counter
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from visits import ROOT, Site

pytestmark = pytest.mark.xdist_group("site")

LICENCES = "Text under CC BY 4.0, code under the MIT licence."
UNSET = "https://github.com/OWNER/REPOSITORY"
STATEMENTS = "div.proof.theorem, div.proof.proposition, div.proof.lemma, div.proof.corollary"
NOTEBOOKS = [
    path.relative_to(ROOT).with_suffix("").as_posix()
    for folder in ("labs", "labs/homework")
    for path in sorted((ROOT / folder).glob("*.ipynb"))
]


def address() -> str:
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]


def test_every_link_and_fragment_inside_the_site_resolves(site: Site):
    broken = []
    ids = {page: {e["id"] for e in site.soup(page).select("[id]")} for page in site.pages()}
    for page in site.pages():
        here = site.folder / f"{page}.html"
        for element in site.soup(page).select("a[href], link[href], script[src], img[src]"):
            target = urlsplit(element.get("href") or element.get("src"))
            if target.scheme or target.netloc or element.get("href") == "#":
                continue
            file = (here.parent / unquote(target.path)).resolve() if target.path else here
            if not file.is_file():
                broken.append(f"{page}: {target.geturl()} leads nowhere")
            elif target.fragment and file.suffix == ".html":
                there = page
                if target.path:
                    there = file.relative_to(site.folder.resolve()).with_suffix("").as_posix()
                if unquote(target.fragment) not in ids[there]:
                    broken.append(f"{page}: {target.geturl()} has no such place")
    assert not broken, "\n".join(broken)


def test_no_identifier_is_used_twice(site: Site):
    twice = []
    for page in site.pages():
        # The theme writes some parts of the page twice; what links lead to stands in the article.
        used = Counter(element["id"] for element in site.soup(page).select("main article [id]"))
        twice += [f"{page}: {name}" for name, count in used.items() if count > 1]
    assert not twice, "\n".join(twice)


def test_every_picture_says_what_it_shows(site: Site):
    silent = [
        f"{page}: {picture['src']}"
        for page in site.pages()
        for picture in site.soup(page).select("article img")
        if not picture.get("alt", "").strip() or picture["alt"].endswith((".png", ".svg"))
    ]
    assert not silent, "\n".join(silent)
    assert all(picture.has_attr("alt") for page in site.pages() for picture in site.soup(page).select("img"))


def test_every_statement_has_its_evidence_and_stands_in_the_table(site: Site):
    links = site.soup("book/evidence").select(".cards a, .exemptions a")
    listed = {link["href"].split("#")[-1] for link in links}
    found = 0
    for page in site.pages():
        for statement in site.soup(page).select(STATEMENTS):
            found += 1
            below = statement.find_next_sibling()
            assert below is not None, statement["id"]
            assert "evidence" in below.get("class", []), f"{page}: nothing stands under {statement['id']}"
            assert statement["id"] in listed
    assert found >= 10


def test_every_check_of_a_lab_links_to_its_statement(site: Site):
    lines = site.soup("labs/optimal_discriminator").select(".checked-statement")
    assert len(lines) >= 10
    assert all(line.find("a") for line in lines)


def test_links_to_colab_follow_the_address(site: Site):
    for page in NOTEBOOKS:
        article = site.soup(page).select_one("article")
        colab = [link["href"] for link in article.select("a[href^='https://colab.research.google.com/']")]
        if address() == UNSET:
            assert article.select(".colab-unset")
            assert not colab
            assert not site.soup(page).select(".dropdown-launch-buttons, .dropdown-source-buttons")
        else:
            place = address().removeprefix("https://github.com/")
            expected = f"https://colab.research.google.com/github/{place}/blob/main/{page}.ipynb"
            assert set(colab) == {expected}
            assert site.soup(page).select_one(".dropdown-launch-buttons a")["href"] == expected


def test_every_page_names_licences_logo_and_icon(site: Site):
    for page in set(site.pages()) - {"index"}:  # that one only leads to the front page
        soup = site.soup(page)
        assert LICENCES in soup.select_one(".bd-footer-content").get_text(), page
        assert soup.select_one("link[rel~=icon]")["href"].endswith("favicon.svg"), page
        assert soup.select_one(".navbar-brand img")["src"].endswith("logo.svg"), page


def test_only_what_belongs_to_the_book_is_published(site: Site):
    top = {path.name for path in site.folder.iterdir()}
    assert not top & {"src", "tests", "tools", "solutions", "grading", "benchmarks", ".venv", "README.html"}
    sources = site.folder / "_sources"
    assert {path.relative_to(sources).parts[0] for path in sources.rglob("*.*")} <= {"book", "labs"}
    assert ".nojekyll" in top  # GitHub Pages would drop _static without it
