"""Conversations that go on: saved and resumed, and about a film."""

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pocketvl.cli.frames import frames
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.errors import ImageError
from tests.support.command_line import run


@pytest.fixture(scope="module")
def bundle(small_onnx_bundle: Bundle) -> Path:
    return small_onnx_bundle.folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (90, 70), "red").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red, then blue, half a second each."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(10):
            pixels = np.zeros((64, 96, 3), np.uint8)
            pixels[:, :, 0 if number < 5 else 2] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_saved_conversation_is_gone_on_with(
    bundle: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "saved"
    options = ("--max-tokens", 3, "--json")
    status, _, _ = run(capsys, "ask", bundle, "What?", "--image", photo, *options, "--save", saved)
    assert status == 0
    photo.unlink()
    status, out, _ = run(capsys, "ask", bundle, "And?", "--resume", saved, *options)
    statistics = json.loads(out)["statistics"]
    assert (status, statistics["images_encoded"]) == (0, 0)
    assert statistics["reused_tokens"] > statistics["prefill_tokens"]
    damaged = bytearray(saved.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    saved.write_bytes(damaged)
    status, _, said = run(capsys, "ask", bundle, "And?", "--resume", saved)
    assert (status, said) == (1, f"error: {saved} is damaged or no saved conversation; save it again.")


@pytest.mark.parametrize("option", [("--system", "Hi"), ("--max-pixels", 784), ("--add-vision-id",)])
def test_a_resumed_conversation_has_its_own_options(
    bundle: Path, option: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, said = run(capsys, "ask", bundle, "And?", "--resume", "saved", *option)
    assert status == 2
    assert "--resume goes on with" in said


def test_chat_saves_and_answers_anew(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = tmp_path / "my chat"
    typed = f"/again\nHello\n/again\n/save {tmp_path}/nowhere/x\n/save '{saved}'\n/save\n/quit\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    status, _, said = run(capsys, "chat", bundle, "--max-tokens", 3, "--temperature", 0)
    assert status == 0
    assert "There is no answer to make anew; ask a question first." in said
    assert said.count("prefill 1 token") == 1
    assert "cannot be saved as" in said
    assert f"saved; go on with --resume '{saved}'" in said
    monkeypatch.setattr(sys, "stdin", io.StringIO("/again\n"))
    status, _, said = run(capsys, "chat", bundle, "--max-tokens", 3, "--resume", saved)
    assert (status, said.count("prefill 1 token")) == (0, 1)


def test_live_answers_whenever_the_film_changes(
    bundle: Path, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, said = run(capsys, "live", bundle, "--video", film, "--max-tokens", 2)
    assert status == 0
    assert out.count("[0:0") == 2
    assert "2 answers in" in said
    assert "2 were encoded" in said


def heed_ctrl_c() -> None:
    """Which a background job of a shell ignores."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_ends_live(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.gif"
    one, *others = [Image.new("RGB", (64, 64), (level, 0, 0)) for level in range(0, 250, 2)]
    one.save(path, save_all=True, append_images=others, duration=1000)
    words = [sys.executable, "-m", "pocketvl", "live", str(bundle), "--video", str(path), "--max-tokens", "2"]
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509  no threads here
    )
    assert process.stdout is not None
    process.stdout.read(1)  # of the first answer
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "answers in" in said
    assert "Traceback" not in said


def test_what_is_no_film_is_refused(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    for source, sentence in (
        (text, "cannot be read as a video"),
        (tmp_path / "nothing.mp4", "does not exist"),
        (tmp_path, "is a folder"),
        ("/dev/null", "cannot be read as a video"),
    ):
        status, _, said = run(capsys, "live", bundle, "--video", source)
        assert status == 1
        assert sentence in said


def test_frames_come_at_their_time(film: Path) -> None:
    began = time.monotonic()
    shown = list(frames(film))
    assert time.monotonic() - began > 0.8
    assert {frame.shape for frame in shown} == {(64, 96, 3)}
    assert shown[0][:, :, 0].mean() > 150
    assert shown[-1][:, :, 0].mean() < 50


def test_a_sound_is_no_film(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(ImageError, match="no pictures"):
        list(frames(path))
