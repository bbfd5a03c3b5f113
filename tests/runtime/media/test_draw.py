"""Boxes drawn onto images, and files that replace no image that was asked about."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.media.draw import FORMATS, check_output, draw_shapes, write_image
from pocketvl.runtime.text.answer_text import Box, Quad

GREY = (128, 128, 128)


def changed(image: Image.Image) -> np.ndarray:
    """(height, width): where a grey image was drawn on."""
    return np.any(np.array(image) != GREY, axis=2)


def grey(width: int = 100, height: int = 80) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def test_a_box_is_outlined_where_it_is() -> None:
    image = grey()
    drawn = changed(draw_shapes(image, [Box("", 0, 20, 30, 70, 60)]))
    ys, xs = np.nonzero(drawn)
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == pytest.approx((20, 30, 70, 60), abs=1)
    assert not drawn[35:55, 25:65].any()
    assert drawn[30, 20:70].all()
    assert drawn[30:60, 70].all()
    assert not changed(image).any()  # a copy was drawn on


def test_an_image_that_was_reduced_is_drawn_on_in_proportion() -> None:
    box = [Box("", 0, 200, 300, 700, 600)]
    reduced = changed(draw_shapes(grey(), box, size=(800, 1000)))
    assert (reduced == changed(draw_shapes(grey(), [Box("", 0, 20, 30, 70, 60)]))).all()


def test_a_quad_is_outlined_from_corner_to_corner() -> None:
    drawn = changed(draw_shapes(grey(), [Quad("", 0, ((50, 10), (90, 40), (50, 70), (10, 40)))]))
    assert drawn[40, 10]
    assert drawn[40, 90] | drawn[40, 89]
    assert drawn[25, 30]  # the middle of its last side
    assert not drawn[12, 12]


def test_labels_are_beside_the_box_and_inside_the_image() -> None:
    for box in (Box("cat", 0, 20, 40, 70, 60), Box("cat", 0, 0, 0, 9, 9), Box("c" * 99, 0, 90, 70, 99, 79)):
        without = draw_shapes(grey(), [Box("", 0, box.x1, box.y1, box.x2, box.y2)])
        drawn = draw_shapes(grey(), [box])
        assert drawn.size == (100, 80)
        assert changed(drawn).sum() > changed(without).sum() + 30


def test_each_label_has_a_colour() -> None:
    boxes = [Box("a", 0, 5, 30, 20, 60), Box("b", 0, 40, 30, 60, 60), Box("a", 0, 70, 30, 90, 60)]
    drawn = draw_shapes(grey(), boxes)
    first, second, third = (drawn.getpixel((int(box.x1), 55)) for box in boxes)
    assert first == third
    assert first != second


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_any_image_can_be_drawn_on(mode: str) -> None:
    assert draw_shapes(grey().convert(mode), [Box("é 图", 0, 20, 30, 70, 60)]).mode == "RGB"


@pytest.mark.parametrize("suffix", [*FORMATS, ".PNG"])
def test_the_ending_says_the_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_bytes(b"an older file")
    check_output(path, [])
    write_image(grey(), path)
    with Image.open(path) as image:
        assert (image.size, image.format) == ((100, 80), FORMATS[suffix.lower()])
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_nothing_is_half_written(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"an older file")
    with pytest.raises(OSError, match="cannot write mode HSV"):
        write_image(Image.new("HSV", (4, 4)), path)
    with pytest.raises(UsageError, match="cannot hold 70000x1 pixels"):
        write_image(Image.new("RGB", (70000, 1)), tmp_path / "out.jpg")
    assert path.read_bytes() == b"an older file"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_an_image_that_is_asked_about_is_not_replaced(tmp_path: Path) -> None:
    asked = tmp_path / "asked.png"
    grey().save(asked)
    link, hard = tmp_path / "link.png", tmp_path / "hard.png"
    link.symlink_to(asked)
    os.link(asked, hard)
    for source in (str(asked), asked, asked.as_uri(), f"{tmp_path}/../{tmp_path.name}/asked.png"):
        for path in (asked, link, hard):
            with pytest.raises(UsageError, match="is the image that is asked about"):
                check_output(path, [b"", source])
    check_output(tmp_path / "other.png", [str(asked), grey(), "data:image/png;base64,AAAA"])


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for path, message in (
        (tmp_path / "out.gif", "does not say which kind"),
        (tmp_path / "out", "does not say which kind"),
        (tmp_path / "no" / "out.png", "folder of .* does not exist"),
        (tmp_path / "folder.png", "is no file"),
    ):
        with pytest.raises(UsageError, match=message):
            check_output(path, [])
