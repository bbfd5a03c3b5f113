"""Answers of transformers.js in a headless browser, which sees this machine's files and no network."""

import json
import mimetypes
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# WebGPU computed by the processor, a minute for what WebAssembly does in three seconds.
WEBGPU = (
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
    "--use-vulkan=swiftshader",
)
_SECONDS = 400  # for loading and all answers


def find_browser() -> str | None:
    """The path of a browser that can run without a window."""
    return next((path for path in map(shutil.which, BROWSERS) if path is not None), None)


def answers_in_browser(
    browser: str, packages: Path, request: dict[str, Any], flags: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """What answer.mjs answers to `request`, whose folder and images lie in one folder.

    packages: the node_modules folder with transformers.js.
    """
    models = Path(request["folder"]).parent
    images = [
        {**question, "images": [f"/models/{Path(path).name}" for path in question["images"]]}
        for question in request["questions"]
    ]
    roots = {"packages": packages, "tests": HERE, "models": models}
    results: Queue[Any] = Queue()
    handler = _handler(roots, {**request, "questions": images}, results)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, _scratch() as profile:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [browser, "--headless=new", "--no-sandbox", f"--user-data-dir={profile}", *flags]
        # Names resolve to nothing, so that what is not on this machine is missing everywhere.
        command += [
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
            "--disable-background-networking",
        ]
        page = f"http://127.0.0.1:{server.server_address[1]}/tests/browser.html"
        process = subprocess.Popen([*command, page], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            result = results.get(timeout=_SECONDS)
        except Empty:
            result = {"error": f"no answer from {browser} in {_SECONDS} s"}
        finally:
            process.terminate()
            process.wait()
            server.shutdown()
    assert "error" not in result, result["error"]
    answers: list[dict[str, Any]] = result["answers"]
    return answers


def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # a browser may write while it ends


def _handler(
    roots: dict[str, Path], request: dict[str, Any], results: "Queue[Any]"
) -> type[SimpleHTTPRequestHandler]:
    class Handler(SimpleHTTPRequestHandler):
        extensions_map = {  # noqa: RUF012 - the base class has it as a plain dict
            **mimetypes.types_map,
            "": "application/octet-stream",
            ".mjs": "text/javascript",
            ".js": "text/javascript",
            ".wasm": "application/wasm",
        }

        def translate_path(self, path: str) -> str:
            root, _, rest = super().translate_path(path).removeprefix(f"{Path.cwd()}/").partition("/")
            return str(roots[root] / rest) if root in roots else str(HERE / "missing")

        def do_GET(self) -> None:
            if self.path != "/request":
                with suppress(ConnectionError):
                    super().do_GET()
                return
            body = json.dumps(request).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            results.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
