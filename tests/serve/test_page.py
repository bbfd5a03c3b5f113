"""The page at /, as a browser shows it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pocketvl.export.tiny.tasks import make_example
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.serve.page import load_page
from tests.support.devtools import Tab, headless
from tests.support.servers import KEY, Serving, serving
from tests.transformers_js.browser import find_browser

BROWSER = find_browser()
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no browser that can run without a window")


def test_it_loads_nothing_from_elsewhere() -> None:
    html = load_page().html.decode()
    assert not re.findall(r"""(?:src|href|action)\s*=\s*["']?[a-z]+:|@import|url\(""", html)
    addresses = re.findall(r"https?://[^\s\"'`]+", html)
    assert addresses == ["http://www.w3.org/2000/svg"], "a namespace, which is not opened"


def test_it_may_run_nothing_but_itself() -> None:
    policy = load_page().headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_everything_to_press_has_a_name() -> None:
    html = load_page().html.decode()
    labelled = set(re.findall(r'<label for="(\w+)"', html))
    for control in re.findall(r"<(?:input|textarea)[^>]*>", html):
        name = re.search(r'id="(\w+)"', control)
        assert name is not None
        assert name[1] in labelled or f'<label class="pick">Choose images{control}</label>' in html
    assert all(text.strip() for text in re.findall(r"<button[^>]*>([^<]*)</button>", html))


@pytest.fixture(scope="module")
def server(tiny_onnx_bundle: Bundle) -> Iterator[Serving]:
    with serving(tiny_onnx_bundle, 0.02) as server:
        yield server


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    assert BROWSER is not None
    with headless(BROWSER) as tab:
        yield tab


def ask(tab: Tab, question: str) -> None:
    tab.run(f"document.getElementById('question').value = {json.dumps(question)}")
    tab.run("document.getElementById('ask').click()")


def answered(tab: Tab, count: int) -> str:
    tab.until(f"document.querySelectorAll('article.assistant .facts').length === {count}")
    return str(tab.run("[...document.querySelectorAll('article.assistant p')].at(-2).textContent"))


@needs_browser
def test_an_image_is_asked_about_and_pointed_at(server: Serving, tab: Tab, tmp_path: Path) -> None:
    example = make_example("point", 0)
    example.images[0].save(tmp_path / "shapes.png")
    tab.open(f"{server.url}/")
    tab.until("model !== null")
    tab.choose_files("#file", tmp_path / "shapes.png")
    tab.until("pending.length === 1")
    ask(tab, example.question)
    said = answered(tab, 1)
    assert re.fullmatch(r"\(\d+,\d+\),\(\d+,\d+\)", said)
    asked = {"model": "a-model", "messages": tab.run("messages.slice(0, 1)")}
    box = httpx.post(f"{server.url}/v1/chat/completions", json=asked).json()["pocketvl"]["boxes"][0]
    drawn = tab.run("(({x, y}) => [x.baseVal.value, y.baseVal.value])(document.querySelector('rect'))")
    assert drawn == pytest.approx([box["x1"], box["y1"]], rel=1e-3)
    ask(tab, "How many shapes are there?")  # the conversation goes on
    assert answered(tab, 2).isdigit()
    assert "reused" in tab.run("document.querySelectorAll('.facts')[1].textContent")
    assert tab.run("messages.length") == 4
    assert tab.errors == []


@needs_browser
def test_an_answer_is_stopped(server: Serving, tab: Tab) -> None:
    tab.open(f"{server.url}/?")
    tab.until("model !== null")
    for click in ("stop", "new"):
        before = server.text.steps
        ask(tab, "Where is " + "the " * 100 + "circle?")
        tab.until("running !== null")
        tab.run(f"document.getElementById('{click}').click()")
        tab.until("running === null")
        assert tab.run("messages.length") == 0
        assert server.text.steps - before < 10
    assert tab.run("document.querySelectorAll('article').length") == 0
    assert tab.errors == []


@needs_browser
def test_an_error_is_shown_and_the_question_kept(server: Serving, tab: Tab) -> None:
    tab.open(f"{server.url}/??")
    tab.until("model !== null")
    ask(tab, "long " * 9000)
    tab.until("document.querySelector('article .wrong') !== null")
    assert "context holds" in tab.run("document.querySelector('article .wrong').textContent")
    assert tab.run("document.getElementById('question').value").startswith("long long")


@needs_browser
def test_a_key_is_asked_for(tiny_onnx_bundle: Bundle, tab: Tab) -> None:
    with serving(tiny_onnx_bundle, api_key=KEY) as server:
        tab.open(f"{server.url}/")
        tab.until("!document.getElementById('key-row').hidden")
        tab.run(f"document.getElementById('key').value = {json.dumps(KEY)}")
        tab.run("document.getElementById('key').dispatchEvent(new Event('change'))")
        tab.until("model !== null")
        ask(tab, "Hello")
        answered(tab, 1)


@needs_browser
def test_a_page_of_another_origin_reaches_nothing(server: Serving, tab: Tab) -> None:
    tab.open("data:text/html,<title>elsewhere</title>")
    for kind in ("application/json", "text/plain"):
        request = f"{{method: 'POST', body: '{{}}', headers: {{'Content-Type': '{kind}'}}}}"
        call = f"fetch('{server.url}/v1/chat/completions', {request})"
        assert tab.run(f"{call}.then(() => 'answered', () => 'refused')") == "refused"
