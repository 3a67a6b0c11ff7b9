"""The arena beside a model that others write too: a notebook's kernel, or a second view of it."""

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.xdist_group("site")

# A model as anywidget gives one: every trait has a value, and `sent` is what would go to the kernel.
MODEL = """
window.newModel = (values = {}) => {
  const _samples = new DataView(new ArrayBuffer(0));
  const now = { ...A.DEFAULTS, preset: "", training: false, _samples, ...values };
  const listeners = new Map(), model = { sent: [] };
  let unsent = {};
  return Object.assign(model, {
    get: (key) => now[key],
    set(key, value) {
      if (now[key] === value) return;
      unsent[key] = now[key] = value;
      listeners.get(`change:${key}`)?.forEach((call) => call());
    },
    save_changes() { model.sent.push(unsent); unsent = {}; },
    on(name, call) { listeners.set(name, (listeners.get(name) ?? new Set()).add(call)); },
    off: (name, call) => listeners.get(name)?.delete(call),
    send() {},
    // Several traits in one message: all values are there before the first listener hears of one.
    receive(values) {
      const changed = Object.keys(values).filter((key) => now[key] !== values[key]);
      Object.assign(now, values);
      for (const key of changed) listeners.get(`change:${key}`)?.forEach((call) => call());
    },
  });
};
window.newView = (model) => {
  const el = document.createElement("div");
  document.querySelector("main").append(el);
  A.default.render({ model, el });
  return el;
};
"""
SMALL = {"batch": 8, "width": 8}


@pytest.fixture
def page(open_page) -> Page:
    page = open_page()
    page.evaluate('async () => { window.A = await import("/arena.mjs"); }')
    page.evaluate(f"() => {{ {MODEL} }}")
    yield page
    assert page.complaints == []
    page.context.close()


def begin(page: Page, **values: object) -> None:
    page.evaluate(
        "values => { window.model = newModel(values); window.view = newView(model); }", SMALL | values
    )


def step(page: Page) -> int:
    return int(page.locator(".ga-numbers dd").first.inner_text())


def wait_until(page: Page, condition: str) -> None:
    page.wait_for_function(f"() => {condition}", timeout=60_000)


def test_every_seed_is_trained_as_far_as_asked(page):
    begin(page, training=False)
    for seed in (1, 2, 3):
        page.evaluate("seed => { model.receive({ seed }); model.receive({ steps: 40 }); }", seed)
        wait_until(page, "!model.get('training')")
        assert (step(page), page.evaluate("model.get('steps')")) == (40, 40)
    # In one message with something else, too.
    page.evaluate("model.receive({ loss: 'wasserstein', steps: 30 })")
    wait_until(page, "!model.get('training')")
    assert step(page) == 30


def test_another_seed_while_paused_forgets_the_old_number_of_steps(page):
    begin(page)
    page.evaluate("model.receive({ steps: 30 })")
    wait_until(page, "!model.get('training')")
    page.evaluate("model.receive({ seed: 9 })")
    assert (step(page), page.evaluate("model.get('steps')")) == (0, 0)


def test_two_views_of_one_model_both_pause_where_they_are(page):
    begin(page, training=True)
    page.evaluate("newView(model)")
    page.wait_for_timeout(500)
    before = step(page)
    page.get_by_role("button", name="Pause").first.click()
    page.wait_for_timeout(500)
    assert page.evaluate("model.get('training')") is False
    assert step(page) >= before > 0
    shown = page.locator(".ga-numbers").all_inner_texts()
    page.wait_for_timeout(300)
    assert page.locator(".ga-numbers").all_inner_texts() == shown


def test_a_lesson_set_from_outside_starts_at_step_0(page):
    begin(page, training=True, batch=64, width=24)  # the lesson's own sizes, which alone would start anew
    steps = "+document.querySelector('.ga-numbers dd').textContent"
    wait_until(page, f"{steps} > 50")
    assert page.evaluate(f"() => {{ model.receive({{ preset: 'vanishing' }}); return {steps}; }}") == 0
    assert page.evaluate("model.get('loss')") == "minimax"
    page.get_by_role("button", name="Pause").click()


def test_one_loop_trains_however_often_a_lesson_is_chosen(page):
    begin(page)
    per_frame = page.evaluate(
        """async () => {
          const asked = window.requestAnimationFrame;
          let calls = 0;
          window.requestAnimationFrame = (call) => { calls += 1; return asked(call); };
          const buttons = [...view.querySelectorAll("button")];
          const lesson = buttons.find((button) => button.textContent === "Vanishing gradients");
          for (let i = 0; i < 5; i++) lesson.click();
          calls = 0;
          for (let i = 0; i < 10; i++) await new Promise((done) => asked(done));
          window.requestAnimationFrame = asked;
          return calls / 10;
        }"""
    )
    assert per_frame < 2


def test_an_empty_drawing_does_not_train(page):
    begin(page, training=True)
    page.wait_for_timeout(200)
    page.evaluate("model.receive({ data: 'drawn', drawn: '' })")
    page.wait_for_timeout(200)
    assert page.evaluate("model.get('training')") is False
    before = step(page)
    page.wait_for_timeout(200)
    assert step(page) == before


def test_the_picture_s_description_follows_the_training(page):
    begin(page, training=True)
    label = "document.querySelector('canvas').getAttribute('aria-label')"
    page.wait_for_timeout(6500)
    assert "at step 0:" not in page.evaluate(label)
    page.get_by_role("button", name="Pause").click()


def test_a_seed_is_sent_as_a_number(page):
    begin(page)
    page.locator("summary").click()
    page.get_by_label("Seed").fill("77")
    page.get_by_label("Seed").press("Enter")
    assert page.evaluate("model.sent.filter((sent) => 'seed' in sent).map((sent) => sent.seed)") == [77]
