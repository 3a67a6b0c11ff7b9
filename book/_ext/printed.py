"""Write a page again when something it prints, but that does not stand in its source, has changed.

Sphinx compares a page with its own source only. Evidence comes from notebooks, costs from a measurement and
numbers from other chapters. What every page printed is kept beside the built pages, not in Sphinx's cache:
the cache is shared by all builders, so a link check after a new measurement would make it claim that the
HTML pages are fresh.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

Describe = Callable[[Sphinx, BuildEnvironment], Mapping[str, object]]


def rewrite_when_changed(app: Sphinx, name: str, describe: Describe) -> None:
    """Have Sphinx write every page again whose description differs from the one it was written with.

    Args:
        app: the running build.
        name: tells this set of pages from those of other extensions.
        describe: returns docname -> what that page prints, as plain values; called once all sources are read.
    """
    now: dict[str, str] = {}

    def state() -> Path:
        return Path(app.outdir, f".printed-{name}.json")

    def changed(app: Sphinx, env: BuildEnvironment) -> list[str]:
        try:
            before = json.loads(state().read_text(encoding="utf-8"))
        except (OSError, ValueError):
            before = {}
        now.clear()
        for docname, description in describe(app, env).items():
            text = json.dumps(description, default=str)
            now[docname] = hashlib.sha256(text.encode()).hexdigest()
        return [
            page for page in sorted({*before, *now} & env.found_docs) if before.get(page) != now.get(page)
        ]

    def remember(app: Sphinx, exception: Exception | None) -> None:
        if exception is None:
            state().write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    app.connect("env-get-updated", changed)
    app.connect("build-finished", remember)
