"""How fast the arena trains beside its own drawing: `python -m benchmarks.arena`.

Opens the arena alone on a page of headless Chromium, trains the default networks, and counts training steps
(one of the discriminator, one of the generator) and pictures a second. Writes benchmarks/arena.json with the
machine, its load, the date and the command. Goals: 200 steps a second while 30 pictures a second are drawn.
"""

import argparse
import datetime
import json
import os
import platform
import shlex
import statistics
import sys
from pathlib import Path

from tests.browser import chromium_path, launch
from tools.measure import processor

ROOT = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).with_suffix(".json")
ORIGIN = "http://arena.test/"
PAGE = """<!doctype html><meta charset="utf-8"><body>
<div data-live="arena" data-props="{}"></div><script src="/mount.js"></script>"""
COUNT = """() => [performance.now(), +document.querySelector(".ga-numbers dd").textContent,
  +document.querySelector(".ga").dataset.frames]"""
WARM_UP = 3.0  # seconds, until the browser has compiled what is hot


def measure(seconds: float, runs: int) -> dict[str, object]:
    """Steps and pictures a second of each run, the browser's version, and the load average beside it."""
    rates = []
    with launch(chromium_path()) as browser:
        version = browser.version
        for _ in range(runs):
            page = browser.new_page(viewport={"width": 900, "height": 1100})

            def answer(route) -> None:
                name = route.request.url.removeprefix(ORIGIN).partition("?")[0]
                folder = ROOT / ("src/gancourse/arena" if name.endswith(".mjs") else "book/assets/web")
                if (folder / name).is_file():
                    text = (folder / name).read_text(encoding="utf-8")
                    route.fulfill(body=text, content_type="text/javascript; charset=utf-8")
                else:
                    route.fulfill(body=PAGE, content_type="text/html; charset=utf-8")

            page.route(f"{ORIGIN}**", answer)
            page.goto(ORIGIN)
            page.get_by_role("button", name="Train").click()
            page.wait_for_timeout(1000 * WARM_UP)
            start, steps, frames = page.evaluate(COUNT)
            page.wait_for_timeout(1000 * seconds)
            end, more_steps, more_frames = page.evaluate(COUNT)
            spent = (end - start) / 1000
            rates.append(((more_steps - steps) / spent, (more_frames - frames) / spent))
            page.close()
    steps, frames = zip(*rates, strict=True)
    return {
        "steps_per_second": [round(rate) for rate in steps],
        "pictures_per_second": [round(rate, 1) for rate in frames],
        "median_steps_per_second": round(statistics.median(steps)),
        "median_pictures_per_second": round(statistics.median(frames), 1),
        "chromium": version,
        "load_average": [round(load, 1) for load in os.getloadavg()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arena", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="length of one measurement")
    parser.add_argument("--runs", type=int, default=3, help="how many of them")
    parser.add_argument("--note", default="", help="what else the machine was doing")
    options = parser.parse_args()
    found = measure(options.seconds, options.runs)
    machine = f"{processor()}, {platform.system()}"
    command = shlex.join(["python", "-m", "benchmarks.arena", *sys.argv[1:]])
    today = datetime.date.today().isoformat()
    record = {"date": today, "machine": machine, "note": options.note, "command": command, **found}
    RESULT.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
