"""The arena as a reader meets it: on a page of its own, in a real browser."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

pytestmark = pytest.mark.xdist_group("site")

# A light or dark ground, as the site has it.
GROUND = '<meta name="color-scheme" content="light dark"><style>body { margin: 12px; }</style><h1>Arena</h1>'


def place(**properties: object) -> str:
    """What the directive `live` writes into a page, and the script that starts it."""
    props = json.dumps({"linked": True, **properties})
    still = (
        f"<div class='live' data-live='arena' data-props='{props}'><div class='live-still'>still</div></div>"
    )
    return GROUND + still + "<script src='/mount.js'></script>"


@pytest.fixture
def arena(open_page):
    """Opens the arena at an address; nothing may have been complained of in the end."""
    pages = []

    def open_(address: str = "", before: str = "", after: str = "", **options: object) -> Page:
        options = {"viewport": {"width": 900, "height": 1100}, **options}
        page = open_page(before + place() + after, f"page.html{address}", **options)
        page.wait_for_selector(".live-started")
        pages.append(page)
        return page

    yield open_
    for page in pages:
        assert page.complaints == []
        page.context.close()


def steps(page: Page) -> int:
    return int(page.locator(".ga-numbers dd").first.inner_text())


def wait_for_steps(page: Page, n: int) -> None:
    page.wait_for_function(
        "n => +document.querySelector('.ga-numbers dd').textContent >= n", arg=n, timeout=60_000
    )


def button(page: Page, name: str):
    return page.get_by_role("button", name=name)


def test_train_trains_pause_pauses_and_the_address_repeats_the_run(arena):
    page = arena("?seed=7&batch=16&width=8")
    assert steps(page) == 0
    assert page.get_by_text("▶ Press Train").is_visible()
    button(page, "Train").click()
    wait_for_steps(page, 20)
    assert not page.get_by_text("▶ Press Train").is_visible()
    button(page, "Pause").click()
    at = steps(page)
    assert f"Paused at step {at}." in page.get_by_role("status").inner_text()
    page.wait_for_url(f"**steps={at}")
    page.wait_for_timeout(200)
    assert steps(page) == at
    numbers = page.locator(".ga-numbers").inner_text()
    again = arena(page.url.removeprefix("http://arena.test/page.html"))
    again.wait_for_function(
        "document.querySelector('.ga-numbers').innerText.includes('paused')", timeout=60_000
    )
    assert again.locator(".ga-numbers").inner_text() == numbers


def test_single_steps_light_up_their_equation(arena):
    page = arena("?batch=8&width=8")
    lit = page.locator(".ga-lit")
    assert lit.count() == 0
    button(page, "One D step").click()
    assert "Discriminator climbs mean log D(x)" in lit.inner_text()
    assert steps(page) == 0
    button(page, "One G step").click()
    assert "Generator descends −mean log D(G(z))" in lit.inner_text()
    assert steps(page) == 1
    assert "generator step" in page.get_by_role("status").inner_text()
    button(page, "Reset").click()
    assert (steps(page), lit.count()) == (0, 0)


def test_every_setting_can_be_made_and_stands_in_the_address(arena):
    page = arena()
    page.locator("summary").click()
    page.get_by_role("combobox", name="Data").select_option("grid")
    page.get_by_role("combobox", name="Loss").select_option("wasserstein")
    page.get_by_label("R1 penalty").check()
    for name, key in (
        ("Discriminator’s learning rate", "ArrowLeft"),
        ("Generator’s learning rate", "End"),
        ("Discriminator steps k", "ArrowRight"),
        ("Batch size", "Home"),
        ("Width", "ArrowRight"),
    ):
        page.get_by_label(name).press(key)
    page.get_by_label("Seed").fill("12")
    page.get_by_label("Seed").press("Enter")
    page.wait_for_url("**seed=12*")
    asked = dict(re.findall(r"[?&](\w+)=([^&]*)", page.url))
    expected = {"data": "grid", "loss": "wasserstein", "r1": "1", "lr_d": "0.0025", "lr_g": "1", "k": "2"}
    assert asked == expected | {"batch": "8", "width": "28", "seed": "12"}
    assert "Critic climbs" in page.locator(".ga-equations").inner_text()
    assert page.locator(".ga-alert").is_hidden()


def test_a_preset_sets_everything_and_says_what_to_look_at(arena):
    page = arena("?seed=5&k=4")
    assert "Your own settings." in page.locator(".ga-look").inner_text()
    preset = button(page, "Vanishing gradients")
    preset.click()
    wait_for_steps(page, 3)
    button(page, "Pause").click()
    assert preset.get_attribute("aria-pressed") == "true"
    assert "arrows shrink" in page.locator(".ga-look").inner_text()
    page.wait_for_url("**loss=minimax&lr_d=0.01&lr_g=0.0001&k=5*")
    assert "seed" not in page.url


def test_the_keyboard_alone_trains_and_draws(arena):
    page = arena("?data=drawn")
    assert button(page, "Train").is_disabled()
    assert page.get_by_text("Draw here").is_visible()
    pen = page.get_by_role("application")
    for _ in range(20):
        page.keyboard.press("Tab")
        if pen.evaluate("e => e === document.activeElement"):
            break
    for key in ("Space", "ArrowRight", "Space", "ArrowUp", "Enter", "Backspace"):
        page.keyboard.press(key)
    page.wait_for_url(re.compile(r"drawn=[\w-]{4}(&|$)"))
    button(page, "Train").focus()
    page.keyboard.press("Space")
    wait_for_steps(page, 2)
    page.keyboard.press("Space")
    assert button(page, "Train").is_visible()


def test_a_finger_draws_and_the_drawing_can_be_wiped(arena):
    page = arena("?data=drawn", has_touch=True)
    box = page.locator(".ga-plane").bounding_box()
    page.touchscreen.tap(box["x"] + 60, box["y"] + 60)
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 160, steps=5)
    page.mouse.up()
    page.wait_for_url(re.compile(r"drawn=[\w-]{10,}"))
    page.locator("summary").click()
    button(page, "Wipe the drawing").click()
    page.wait_for_url(re.compile(r"^((?!drawn=[\w-]).)*$"))


def test_a_drawing_outlives_a_lesson(arena):
    page = arena("?data=drawn&drawn=sntnsp")
    plane = page.locator(".ga-plane")
    box = plane.bounding_box()
    page.mouse.click(box["x"] + 60, box["y"] + 60)
    page.wait_for_url(re.compile(r"drawn=sntnsp[\w-]{2}(&|$)"))
    drawing = re.search("drawn=(sntnsp..)", page.url)[1]
    button(page, "Oscillation").click()
    wait_for_steps(page, 2)
    button(page, "Healthy run").click()
    wait_for_steps(page, 2)
    button(page, "Pause").click()
    page.wait_for_url(lambda url: "drawn" not in url)
    page.locator("summary").click()
    page.get_by_label("Data").select_option("drawn")
    page.wait_for_url(f"**data=drawn&drawn={drawing}*")


def test_the_right_button_draws_nothing_and_a_drag_beyond_the_border_does_not_line_it(arena):
    page = arena("?data=drawn")
    box = page.locator(".ga-plane").bounding_box()
    page.mouse.click(box["x"] + 60, box["y"] + 60, button="right")
    assert "drawn=" not in page.url.replace("data=drawn", "")
    page.mouse.move(box["x"] + 30, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] - 20, box["y"] + 60)
    page.mouse.move(box["x"] - 20, box["y"] + 200, steps=10)
    page.mouse.up()
    page.wait_for_url(re.compile(r"drawn=[\w-]{2}(&|$)"))


def test_a_small_arena_has_no_drawing_and_can_be_swiped_over(open_page):
    page = open_page(place(size="small"), "page.html")
    page.wait_for_selector(".live-started")
    button(page, "Oscillation").click()
    wait_for_steps(page, 2)
    button(page, "Pause").click()
    plane = page.locator(".ga-plane")
    assert plane.get_attribute("role") == "img"
    assert "Drawing area" not in plane.get_attribute("aria-label")
    assert plane.evaluate("e => getComputedStyle(e).touchAction") != "none"
    button(page, "Vanishing gradients").click()
    assert "Settings" not in page.locator(".ga-look").inner_text()
    page.context.close()


def test_a_link_to_a_run_that_cannot_be_repeated_says_so(arena):
    page = arena("?seed=7&batch=16&width=8", permissions=["clipboard-write"])
    button(page, "Train").click()
    wait_for_steps(page, 3)
    button(page, "Pause").click()
    page.locator("summary").click()
    button(page, "Copy a link").click()
    page.get_by_text("holds the situation.").wait_for()
    button(page, "One G step").click()
    button(page, "Copy a link").click()
    page.get_by_text("it cannot repeat").wait_for()


def test_a_rate_one_step_up_and_down_is_what_it_was(arena):
    page = arena("?seed=7")
    page.locator("summary").click()
    for name, rate in (("Discriminator’s learning rate", "0.003"), ("Generator’s learning rate", "0.001")):
        slider = page.get_by_label(name)
        slider.press("ArrowRight")
        slider.press("ArrowLeft")
        assert slider.get_attribute("aria-valuetext") == rate


def test_a_seed_that_is_none_changes_nothing_and_says_why(arena):
    page = arena("?seed=7&batch=16&width=8")
    button(page, "Train").click()
    wait_for_steps(page, 3)
    button(page, "Pause").click()
    trained = steps(page)
    page.locator("summary").click()
    page.get_by_label("Seed").fill("1.5")
    page.get_by_label("Seed").press("Enter")
    assert (
        "“1.5” is not a whole number from 0 to 999999; 7 is used." in page.get_by_role("alert").inner_text()
    )
    assert (page.get_by_label("Seed").input_value(), steps(page)) == ("7", trained)


def test_nonsense_in_the_address_gets_a_plain_word_and_a_way_back(arena):
    page = arena("?lr_d=banana&k=99&data=cheese&drawn=%3Cb%3E&preset=nope")
    words = page.get_by_role("alert").inner_text()
    for part in ("banana", "99", "cheese", "nope", "is not"):
        assert part in words
    button(page, "Reset to the defaults").click()
    assert page.get_by_role("alert").count() == 0
    page.wait_for_url("**/page.html")
    button(page, "Train").click()
    wait_for_steps(page, 2)


def test_absurd_rates_never_freeze_the_page_and_a_broken_run_says_so(arena):
    page = arena("?lr_d=1&lr_g=1&k=10&batch=256&width=64&r1=1")
    page.evaluate("setInterval(() => (window.beats = (window.beats ?? 0) + 1), 20)")
    button(page, "Train").click()
    page.wait_for_timeout(2000)
    assert page.evaluate("window.beats") > 5
    button(page, "Pause").click(timeout=5000)
    # Numbers beyond all bounds: as if the networks had gone wrong at step 3.
    page.evaluate(
        """async () => {
          const { Run } = await import("/arena.mjs"), own = Run.prototype.generator;
          Run.prototype.generator = function () {
            if (this.steps >= 3 && window.spoil) this.game.G.params.fill(NaN);
            return own.call(this);
          };
          window.spoil = true;
        }"""
    )
    button(page, "Healthy run").click()
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "grew beyond all bounds" in alert.inner_text()
    assert button(page, "Train").is_disabled()
    page.evaluate("window.spoil = false")
    button(page, "Reset to the defaults").click()
    button(page, "Train").click()
    wait_for_steps(page, 5)


def test_it_waits_while_it_is_out_of_sight(arena):
    page = arena("?batch=8&width=8", after="<div style='height: 4000px'></div>")
    button(page, "Train").click()
    wait_for_steps(page, 5)
    page.mouse.wheel(0, 3500)
    page.wait_for_function("document.querySelector('.ga-numbers').innerText.includes('out of sight')")
    page.wait_for_timeout(200)
    at = steps(page)
    page.wait_for_timeout(500)
    assert steps(page) == at
    page.mouse.wheel(0, -3500)
    wait_for_steps(page, at + 5)


def test_reduced_motion_shows_a_picture_a_second(arena):
    page = arena("?batch=8&width=8", reduced_motion="reduce")
    frames = "+document.querySelector('.ga').dataset.frames"
    button(page, "Train").click()
    wait_for_steps(page, 2)
    before, at = page.evaluate(frames), steps(page)
    page.wait_for_timeout(2500)
    assert 1 <= page.evaluate(frames) - before <= 4
    assert steps(page) > at


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 360])
def test_it_is_accessible_and_fits(arena, width, mode):
    page = arena("?data=drawn&lr_d=x", viewport={"width": width, "height": 900}, color_scheme=mode)
    page.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [f"{v['id']}: {node['html'][:120]}" for v in found for node in v["nodes"]] == []


def test_the_small_one_has_no_settings(open_page):
    page = open_page(place(size="small"), "page.html")
    page.wait_for_selector(".live-started")
    assert page.locator("summary").count() == 0
    button(page, "Train").click()
    wait_for_steps(page, 2)
    page.context.close()


def test_a_notebook_reads_samples_and_gives_orders(open_page):
    """A model like that of anywidget: it has `_samples` and sends messages."""
    page = open_page("<div id='here'></div>", "page.html")
    found = page.evaluate(
        """async () => {
          const A = await import("/arena.mjs");
          const values = { ...A.DEFAULTS, batch: 8, width: 8, _samples: null, training: false };
          const calls = new Map();
          const model = {
            get: (key) => values[key],
            set(key, value) { values[key] = value; calls.get(`change:${key}`)?.forEach((call) => call()); },
            save_changes() {}, off() {},
            on(name, call) { calls.set(name, [...(calls.get(name) ?? []), call]); },
          };
          const el = document.getElementById("here"), done = A.default.render({ model, el });
          const order = (what) => calls.get("msg:custom").forEach((call) => call({ do: what }));
          const points = () => [...new Float64Array(values._samples.buffer)];
          const start = points();
          order("discriminator_step");
          order("generator_step");
          model.set("steps", 12);
          await new Promise((done) => setTimeout(done, 100));
          for (let i = 0; i < 300 && values.training; i++) await new Promise((done) => setTimeout(done, 50));
          const after = { start, end: points(), measures: values.measures, steps: values.steps };
          model.set("preset", "collapse");
          const collapse = { lr_g: values.lr_g, preset: values.preset };
          done();
          return { ...after, collapse };
        }"""
    )
    assert len(found["start"]) == len(found["end"]) == 512
    assert found["start"] != found["end"]
    assert found["measures"]["step"] == found["steps"] == 12
    assert found["measures"]["of"] == 8
    assert found["collapse"] == {"lr_g": 0.01, "preset": ""}
    assert page.complaints == []
    page.context.close()
