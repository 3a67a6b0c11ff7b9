"""Show the built site on this machine only: `python -m tools.serve 8000`."""

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from tools import project

SITE = project.ROOT / "_build" / "html"


def server(port: str) -> ThreadingHTTPServer:
    """A server of `_build/html` on 127.0.0.1, not yet running; port 0 takes any that is free.

    Raises:
        ValueError: the port is no number from 0 to 65535, is taken, or the site is not built.
    """
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"A port is a number up to 65535; got {port!r}. For example: make serve PORT=8001")
    if not (SITE / "index.html").exists():
        raise ValueError("The site is not built yet; run: make book")
    try:
        handler = partial(SimpleHTTPRequestHandler, directory=str(SITE))
        return ThreadingHTTPServer(("127.0.0.1", int(port)), handler)
    except OSError as error:
        advice = f"make serve PORT={int(port) + 1 if 1024 <= int(port) < 65535 else 8000}"
        raise ValueError(f"Port {port} cannot be used ({error.strerror}). Take another: {advice}") from error


def main(arguments: list[str]) -> None:
    try:
        site = server(*arguments)
    except ValueError as error:
        sys.exit(str(error))
    print(f"The site is at http://127.0.0.1:{site.server_port}/ ; Ctrl-C ends it.", flush=True)
    try:
        site.serve_forever()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main(sys.argv[1:])
