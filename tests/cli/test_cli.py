"""The command line as a user calls it: exit statuses, JSON, and sentences instead of tracebacks."""

import base64
import io
import itertools
import json
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime.bundle.open import Bundle
from tests.support.command_line import run


@pytest.fixture(scope="module")
def checkpoint(small_checkpoint: Path) -> Path:
    return small_checkpoint


@pytest.fixture(scope="module")
def bundle(small_bundle: Bundle) -> Path:
    return small_bundle.folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_ask_prints_json(bundle: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(
        capsys, "ask", bundle, "What is this?", "--image", photo, "--json", "--max-tokens", 4
    )
    answer = json.loads(out)
    assert status == 0
    assert set(answer) >= {"answer", "token_ids", "prompt_token_ids", "next_position", "statistics"}
    assert 1 <= len(answer["token_ids"]) <= 4


def test_images_by_url_and_by_path_are_the_same(
    bundle: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = photo.with_name("a #1.png")
    named.write_bytes(photo.read_bytes())
    data = base64.urlsafe_b64encode(photo.read_bytes()).decode().rstrip("=")
    urls = (photo, f"file://localhost{named}", named.as_uri(), f"data:image/png;base64,{data}")
    images = itertools.chain.from_iterable(("--image", url) for url in urls)
    status, out, _ = run(capsys, "ask", bundle, "Same?", *images, "--json", "--max-tokens", 1)
    statistics = json.loads(out)["statistics"]
    assert (status, statistics["images_encoded"], statistics["images_cached"]) == (0, 1, 3)


def test_what_is_not_read_by_the_letter_is_told(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.full((60, 60), 4000, np.uint16)).save(tmp_path / "dim.png")
    arguments = ("ask", bundle, "Bright?", "--image", tmp_path / "dim.png", "--max-tokens", 1)
    _, _, err = run(capsys, *arguments)
    assert "dim.png has samples of 16 bits that use only 12 of them" in err
    _, out, _ = run(capsys, *arguments, "--json")
    assert len(json.loads(out)["notes"]) == 1


def test_script_asks_turns_in_one_session(
    bundle: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    buffer = io.BytesIO()
    Image.open(photo).save(buffer, "JPEG")
    url = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    turns = [
        [{"type": "image_url", "image_url": {"url": photo.name}}, {"type": "text", "text": "What is this?"}],
        "And now?",
        [{"type": "text", "text": "And this?"}, {"type": "image_url", "image_url": {"url": url}}],
    ]
    script = tmp_path / "script.json"
    script.write_text(json.dumps(turns))
    status, out, _ = run(
        capsys, "ask", bundle, "--script", script, "--json", "--max-tokens", 3, "--temperature", 0
    )
    answers = json.loads(out)
    assert status == 0
    assert len(answers) == 3
    for earlier, later in itertools.pairwise(answers):
        prompt = earlier["prompt_token_ids"]
        assert later["prompt_token_ids"][: len(prompt)] == prompt
        assert later["next_position"] > earlier["next_position"]


def test_ask_streams_text_and_says_what_it_took(
    bundle: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "ask", bundle, "What is this?", "--image", photo, "--max-tokens", 8)
    assert status == 0
    assert out.strip()
    assert "decode" in err


def test_inspect_shows_components_and_checks_hashes(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "inspect", bundle, "--check")
    assert status == 0
    assert "text_decoder" in out
    assert "files checked, all equal" in out
    status, out, _ = run(capsys, "inspect", bundle, "--json")
    assert json.loads(out)["recipe"] == "fp32"


TWO_TARGETS = ("--target", "onnx", "--target", "executorch")
BAD_USAGE = {
    "no question": (["ask", "{bundle}"], "Give a question"),
    "script and question": (["ask", "{bundle}", "Hi", "--script", "x.json"], "leave out the others"),
    "missing script": (
        ["ask", "{bundle}", "--script", "nowhere.json"],
        "nowhere.json does not exist",
    ),
    "top-p": (["ask", "{bundle}", "Hi", "--top-p", "2"], "top_p"),
    "min over max": (["ask", "{bundle}", "Hi", "--min-pixels", "9", "--max-pixels", "5"], "min_pixels 9"),
    "unknown recipe": (["export", "{checkpoint}", "-o", "{new}", "--recipe", "int3"], "int3"),
    "unknown method": (["export", "{checkpoint}", "-o", "{new}", "--method", "magic"], "magic"),
    "unknown target": (["export", "{checkpoint}", "-o", "{new}", "--target", "toaster"], "toaster"),
    "second target": (
        ["export", "{checkpoint}", "-o", "{new}", *TWO_TARGETS, "--recipe", "fp16"],
        "in float16, which ExecuTorch bundles do not",
    ),
    "buckets": (["export", "{checkpoint}", "-o", "{new}", "--buckets", "4,three"], "--buckets"),
    "unknown option": (["ask", "{bundle}", "Hi", "--loud"], "No such option"),
}

FAILURES = {
    "no bundle": (["ask", "{new}", "Hi"], "does not exist"),
    "no model": (["export", "{new}", "-o", "{new}2"], "does not exist"),
    "missing image": (["ask", "{bundle}", "Hi", "--image", "gone.png"], "gone.png"),
    "address": (
        ["ask", "{bundle}", "Hi", "--image", "https://example.org/a.png"],
        "https://example.org/a.png is a network address, and pocketvl downloads nothing",
    ),
    "other host": (["ask", "{bundle}", "Hi", "--image", "file://server/a.png"], "another computer"),
    "no base64": (["ask", "{bundle}", "Hi", "--image", "data:image/png,abc"], "does not hold base64"),
    "prompt over the context": (["ask", "{bundle}", "words " * 900], "context holds 320"),
    "output exists": (["export", "{checkpoint}", "-o", "{bundle}"], "--overwrite"),
}


@pytest.mark.parametrize("name", [*BAD_USAGE, *FAILURES])
def test_mistakes_get_a_sentence_and_a_status(
    name: str, bundle: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, sentence = (BAD_USAGE | FAILURES)[name]
    names = {"bundle": bundle, "checkpoint": checkpoint, "new": tmp_path / "new"}
    status, _, err = run(capsys, *(word.format(**names) for word in arguments))
    assert status == (2 if name in BAD_USAGE else 1)
    assert sentence in err
    assert not (tmp_path / "new").exists()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return header + struct.pack(">I", 100) + b"IDAT"


BAD_IMAGES = {
    "empty.png": (b"", "0 bytes"),
    "words.jpg": (b"these are words", "not an image"),
    "huge.png": (png_header(30000, 30000), "pixels (the limit for"),
}


@pytest.mark.parametrize("name", list(BAD_IMAGES))
def test_bad_images_are_refused_by_name(
    name: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, sentence = BAD_IMAGES[name]
    path = tmp_path / name
    path.write_bytes(data)
    status, _, err = run(capsys, "ask", bundle, "Hi", "--image", path)
    assert status == 1
    assert name in err
    assert sentence in err


def test_a_long_thin_image_is_refused_and_a_single_pixel_answered(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (10, 3000)).save(tmp_path / "thin.png")
    status, _, err = run(capsys, "ask", bundle, "Hi", "--image", tmp_path / "thin.png")
    assert status == 1
    assert "200 times" in err
    Image.new("RGB", (1, 1), "red").save(tmp_path / "pixel.png")
    status, _, _ = run(capsys, "ask", bundle, "Hi", "--image", tmp_path / "pixel.png", "--max-tokens", 1)
    assert status == 0


@pytest.mark.parametrize("damage", ["truncated", "missing", "manifest"])
def test_damaged_bundles_never_reach_native_code(
    damage: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    artifact = broken / "text_decoder.pte"
    if damage == "truncated":
        artifact.write_bytes(artifact.read_bytes()[:-100])
    elif damage == "missing":
        artifact.unlink()
    else:
        text = (broken / "manifest.json").read_text()
        (broken / "manifest.json").write_text(text.replace('"target"', '"targets"'))
    status, _, err = run(capsys, "ask", broken, "Hi")
    assert status == 1
    assert {"truncated": "bytes, but the manifest says", "missing": "is missing", "manifest": "targets"}[
        damage
    ] in err


def test_a_changed_byte_is_found_by_its_hash(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    data = bytearray((broken / "text_decoder.pte").read_bytes())
    data[len(data) // 2] ^= 1
    (broken / "text_decoder.pte").write_bytes(bytes(data))
    assert run(capsys, "inspect", broken)[0] == 0
    status, _, err = run(capsys, "inspect", broken, "--check")
    assert status == 1
    assert "sha256" in err


def test_chat_talks_until_the_end_of_input(bundle: Path, photo: Path) -> None:
    lines = f"/image '{photo}'\nWhat is this?\nAnd now?\n/reset\nHello\n/quit\n"
    done = subprocess.run(
        [sys.executable, "-m", "pocketvl.cli", "chat", str(bundle), "--max-tokens", "3"],
        input=lines,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("decode") == 3


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_streams_may_be_closed(bundle: Path, photo: Path, closed: str) -> None:
    """ExecuTorch writes to sys.stderr, which is None then."""
    words = [
        sys.executable,
        "-m",
        "pocketvl.cli",
        "ask",
        bundle,
        "What?",
        "--image",
        photo,
        "--max-tokens",
        2,
    ]
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *map(str, words)], check=False)
    assert done.returncode == 0


def test_help_and_version_start_without_torch() -> None:
    program = (
        "import sys\nfrom pocketvl.cli.main import main\n"
        "try:\n    main(['--version'])\nfinally:\n    print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "False", done.stderr
