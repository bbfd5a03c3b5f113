"""Who may call, and which files a request may name."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.serve.errors import RequestError
from pocketvl.runtime.serve.image_files import ImageFiles
from pocketvl.runtime.serve.settings import Settings, check_exposure
from tests.support.servers import KEY, NAME, Serving, serving

ORIGIN = "http://app.example:3000"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, and links that lead inside and outside."""
    top = tmp_path_factory.mktemp("files")
    inside, outside = top / "images", top / "images-of-others"
    for each in (inside / "deep", outside):
        each.mkdir(parents=True)
    for path in (inside / "a b.png", inside / "deep" / "b.png", outside / "c.png"):
        Image.new("RGB", (56, 56)).save(path)
    (inside / "link.png").symlink_to(inside / "deep" / "b.png")
    (inside / "out.png").symlink_to(outside / "c.png")
    (inside / "way-out").symlink_to(outside)
    (inside / "circle.png").symlink_to(inside / "circle.png")
    os.mkfifo(inside / "pipe.png")
    return inside


@pytest.fixture(scope="module")
def server(small_onnx_bundle: Bundle, folder: Path) -> Iterator[Serving]:
    settings: dict[str, Any] = {"allow_files": (folder,), "allow_origins": (ORIGIN,), "allow_hosts": ("Box",)}
    with serving(small_onnx_bundle, api_key=KEY, **settings) as server:
        yield server


def ask(server: Serving, url: str, **headers: str) -> httpx.Response:
    content = [{"type": "image_url", "image_url": {"url": url}}]
    body = {"model": NAME, "messages": [{"role": "user", "content": content}], "max_tokens": 1}
    allowed = {"Authorization": f"Bearer {KEY}", **headers}
    return httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=allowed, timeout=60)


@pytest.mark.parametrize(
    "url",
    [
        "{folder}/a b.png",
        "a b.png",
        "deep/../a b.png",
        "link.png",
        "file://{folder}/a%20b.png",
        "file://localhost{folder}/deep/b.png",
        "FILE:{folder}/deep/b.png",
    ],
)
def test_files_of_an_allowed_folder(server: Serving, folder: Path, url: str) -> None:
    assert ask(server, url.format(folder=folder)).status_code == 200


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("out.png", 403),
        ("way-out/c.png", 403),
        ("../images-of-others/c.png", 403),
        ("../images-of-others/none.png", 403),
        ("{folder}/../images-of-others/c.png", 403),
        ("{folder}-of-others/c.png", 403),
        ("file://{folder}/%2e%2e/images-of-others/c.png", 403),
        ("~/c.png", 400),  # of that name in the folder: nothing is expanded
        ("circle.png", 403),
        ("pipe.png", 400),
        ("deep", 400),
        (".", 400),
        ("none.png", 400),
        ("a" * 5000, 400),
        ("a b.png/b.png", 400),
    ],
)
def test_files_that_are_not_read(server: Serving, folder: Path, url: str, status: int) -> None:
    refused = ask(server, url.format(folder=folder))
    assert refused.status_code == status, refused.text
    assert "error" in refused.json()


def test_a_file_has_a_size_limit(folder: Path) -> None:
    with pytest.raises(RequestError, match="more than 10 bytes"):
        ImageFiles([folder], 10).source("a b.png", "url")


def test_each_folder_is_looked_in(folder: Path) -> None:
    files = ImageFiles([folder.parent / "images-of-others", folder], 1 << 20)
    assert files.source("a b.png", "url")[:4] == b"\x89PNG"
    assert files.source("c.png", "url")[:4] == b"\x89PNG"
    with pytest.raises(RequestError, match="in no folder"):
        files.source("none.png", "url")


@pytest.mark.parametrize("given", [None, "Bearer wrong", f"Basic {KEY}", KEY, "Bearer", f"Bearer {KEY}x"])
def test_a_key_is_needed(server: Serving, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given}
    for path in ("/v1/models", "/metrics", "/v1/nothing"):
        refused = httpx.get(server.url + path, headers=headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    for path in ("/health", "/"):
        assert httpx.get(server.url + path, headers=headers).status_code == 200


def test_an_allowed_page_may_call(server: Serving) -> None:
    allowed = ask(server, "link.png", Origin=ORIGIN)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, ORIGIN)
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = httpx.options(f"{server.url}/v1/chat/completions", headers={"Origin": ORIGIN, **wanted})
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert ask(server, "link.png", Origin="http://app.example:3001").status_code == 403


def test_an_allowed_name_is_served(server: Serving) -> None:
    assert ask(server, "link.png", Host="box:8000").status_code == 200
    assert ask(server, "link.png", Host="other:8000").status_code == 421


@pytest.mark.parametrize(
    "origin", ["*", "http://*", "app.example", "http://app.example/", "file://x", "http://"]
)
def test_origins_that_cannot_be_meant(origin: str) -> None:
    with pytest.raises(UsageError, match="not an origin"):
        Settings("a", allow_origins=(origin,))


def test_keys_and_folders_that_cannot_be_meant(tmp_path: Path) -> None:
    for wrong in ("short", "with\nline", "ключ-ключ"):
        with pytest.raises(UsageError, match="API key"):
            Settings("a", api_key=wrong)
    with pytest.raises(UsageError, match="is not a folder"):
        Settings("a", allow_files=(tmp_path / "none",))


@pytest.mark.parametrize(("host", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True),
                                            ("127.9.9.9", True), ("0.0.0.0", False), ("::", False),
                                            ("192.168.1.5", False), ("box", False), ("", False)])  # fmt: skip
def test_other_computers_need_a_key(host: str, local: bool) -> None:
    check_exposure(host, KEY)
    if local:
        check_exposure(host, None)
    else:
        with pytest.raises(UsageError, match="from other computers"):
            check_exposure(host, None)
