"""What the table, the page and the plots say."""

import base64
import csv
import io
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from pocketvl.evaluate.statistics import Estimate
from pocketvl.evaluate.sweep.bit_map import Cell, bit_map
from pocketvl.evaluate.sweep.csv_table import csv_text
from pocketvl.evaluate.sweep.recommendation import recommendation
from pocketvl.evaluate.sweep.report import write_report
from pocketvl.quant.recipe import named_recipe
from tests.evaluate.sweep.results import ANSWER, sweep_result
from tests.support.checkpoints import SMALL_GEOMETRY

VOID = {"meta", "img", "link", "br", "input"}


class Page(HTMLParser):
    """Texts of cells and everything that a browser might load; refuses tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.urls: list[str] = []
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.urls += [value or "" for name, value in attributes if name in ("src", "href", "srcset", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(sweep_result(), folder)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_the_page_needs_nothing_else(page: Page, folder: Path) -> None:
    assert len(page.urls) == 3  # the plot and an image for each recipe but the reference
    assert all(url.startswith("data:image/") for url in page.urls)
    assert not page.tags & {"script", "link", "iframe"}
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "http" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_images_are_images(page: Page) -> None:
    sizes = []
    for url in page.urls:
        with Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) as image:
            sizes.append(image.size)
    assert sizes[0][0] > 1000
    assert sizes[1:] == [(168, 84), (168, 84)]


def test_answers_are_shown_as_they_are(page: Page) -> None:
    assert page.words.count(ANSWER) == 2
    assert "int4-small" in page.words
    assert any("lm_head has <384> inputs." in word for word in page.words)


def test_the_tables(page: Page) -> None:
    start = page.words.index("decode tok/s") + 1
    assert page.words[start : start + 13] == [
        *("fp32", "●", "none", "28.0", "32.00", "96.0 ± 2.0"),
        *("–", "–", "–", "–", "–", "–", "100 (90 .. 110)"),
    ]
    int4 = page.words[page.words.index("int4") :][:13]
    assert int4 == [
        *("int4", "●", "rtn", "4.0", "4.50", "94.0 ± 2.0"),
        *("−10.0 ± 1.0", "98.5", "0.012 ± 0.0012", "0.24", "99.0", "41.5", "200 (180 .. 220)"),
    ]
    int8 = page.words[page.words.index("int8") :][:12]
    assert int8[1] == "rtn"  # larger than int4 and no better, so without the mark
    assert int8[-1] == "–"
    assert any("3 of 50 questions could not be asked" in word for word in page.words)


def test_the_page_says_where_when_and_with_what(page: Page) -> None:
    text = " ".join(page.words)
    assert "Target executorch; Abacus 9, 2 threads; 2026-01-31;" in text
    assert "pocketvl 0.1.0, torch 2.13.0." in text


def test_the_page_recommends_by_the_rule_and_names_what_was_left_out(page: Page) -> None:
    assert recommendation(sweep_result()) in page.words
    assert any("1 of 51 rows left out; the scores are over 50." in word for word in page.words)
    assert "a.tsv, line 3, answer: is empty; give one." in page.words


def test_nothing_is_marked_as_best_within_the_errors(tmp_path: Path) -> None:
    result = sweep_result()
    level = [replace(r, difference=r.difference and Estimate(-0.01, 0.02, 50)) for r in result.recipes]
    write_report(replace(result, recipes=tuple(level)), tmp_path)
    words = Page((tmp_path / "report.html").read_text(encoding="utf-8")).words
    assert words.count("●") == 1  # in the legend alone


def test_the_csv_holds_plain_numbers(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((folder / "results.csv").read_text())))
    assert [row["recipe"] for row in rows] == ["fp32", "int8", "int4"]
    assert [row["reference"] for row in rows] == ["1", "0", "0"]
    assert [row["bytes"] for row in rows] == ["28000000", "8000000", "4000000"]
    assert float(rows[2]["read: accuracy"]) == 0.94
    assert float(rows[2]["difference_error"]) == 0.01
    assert float(rows[2]["kl_p99"]) == pytest.approx(0.24)
    assert (rows[0]["kl_mean"], rows[1]["decode_rate"]) == ("", "")


def test_the_same_result_gives_the_same_table() -> None:
    assert csv_text(sweep_result()) == csv_text(sweep_result())


def test_the_plot_is_written_on_its_own_too(folder: Path, page: Page) -> None:
    assert base64.b64decode(page.urls[0].split(",")[1]) == (folder / "pareto.png").read_bytes()


def test_float16_is_told_from_float32(tmp_path: Path) -> None:
    result = sweep_result()
    cells = bit_map(SMALL_GEOMETRY, named_recipe("fp16"))
    recipe = replace(result.recipes[0], bit_map=cells)
    write_report(replace(result, recipes=(recipe, *result.recipes[1:])), tmp_path)
    words = Page((tmp_path / "report.html").read_text(encoding="utf-8")).words
    legend, layers = 1, 2 * 7 + 3 * 4 + 4
    assert sum(word.endswith("f16") for word in words) == legend + layers


def test_the_map_shows_every_layer_of_the_recipe() -> None:
    shown = bit_map(SMALL_GEOMETRY, named_recipe("int4"))
    assert shown.text.columns == ("q", "k", "v", "o", "gate", "up", "down")
    assert shown.text.rows == ((Cell(4, 32),) * 7,) * 2
    assert shown.vision.rows == ((Cell(8, None),) * 4,) * 3
    assert dict(shown.single) == dict.fromkeys(
        ("patch_embed", "merger.fc1", "merger.fc2", "lm_head"), Cell(8, None)
    )
