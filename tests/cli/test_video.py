"""Videos on the command line: ask, chat's commands, scripts, and what is refused."""

import json
import os
from functools import partial
from pathlib import Path

import pytest

from pocketvl.cli.chat import _converse
from pocketvl.cli.parts import video_parts
from pocketvl.cli.script import read_script
from pocketvl.runtime import load
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.decoding.sampling import Sampler
from tests.support.command_line import run
from tests.support.videos import grey_frame, write_video


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "a.mp4", 20)


def test_videos_beside_an_image(
    small_onnx_bundle: Bundle, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey_frame(3, 56, 56).save(tmp_path / "a.png")
    status, out, _ = run(
        capsys, "ask", small_onnx_bundle.folder, "What moves?", "--image", tmp_path / "a.png", "--video",
        video, "--video", video, "--nframes", 2, "--max-pixels", 3136, "--json", "--max-tokens", 2,
    )  # fmt: skip
    assert status == 0
    answer = json.loads(out)
    found = {key: answer["statistics"][key] for key in ("images_encoded", "slices_encoded", "slices_cached")}
    assert found == {"images_encoded": 1, "slices_encoded": 1, "slices_cached": 1}
    special = small_onnx_bundle.manifest.special_tokens
    kinds = [token for token in answer["prompt_token_ids"] if token in (special.image_pad, special.video_pad)]
    assert kinds == [special.image_pad] * 4 + [special.video_pad] * 4


def test_the_summary_counts_slices(
    small_onnx_bundle: Bundle, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(
        capsys, "ask", small_onnx_bundle.folder, "What?", "--video", video, "--fps", 1, "--max-pixels", 3136
    )
    assert (status, "(video slices: 2 encoded, 0 cached)" in err) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "expected", "sentence"),
    [
        (["--video", "gone.mp4"], 1, "gone.mp4 does not exist"),
        (["--video", "{video}"], 1, "would fit with nframes"),
        (["--video", "{video}", "--nframes", "200"], 1, "give 2 to 20"),
        (["--fps", "1"], 2, "--fps and --nframes are about a video"),
        (["--video", "{video}", "--fps", "0"], 2, "--video.fps must be a number of frames a second"),
        (["--video", "{video}", "--fps", "1", "--nframes", "2"], 2, "both fps and nframes"),
        (["--video", "/dev/zero"], 1, "is a device"),
    ],
)
def test_what_is_refused(
    small_onnx_bundle: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    expected: int,
    sentence: str,
) -> None:
    video = write_video(tmp_path / "a.mp4", 20, rate=1)
    words = [word.format(video=video) for word in arguments]
    status, _, err = run(capsys, "ask", small_onnx_bundle.folder, "What moves?", *words)
    assert (status, sentence in err) == (expected, True), err
    assert "Traceback" not in err


def test_a_script_finds_videos_and_frames_beside_it(tmp_path: Path, video: Path) -> None:
    grey_frame(0).save(tmp_path / "0.png")
    parts = [{"type": "video", "video": "a.mp4", "fps": 1}, {"type": "video", "video": ["0.png", "gone.png"]}]
    (tmp_path / "script.json").write_text(json.dumps([parts]), encoding="utf-8")
    (turn,) = read_script(tmp_path / "script.json")
    assert [part["video"] for part in turn] == [video, [tmp_path / "0.png", "gone.png"]]  # type: ignore[index]


def test_chat_adds_videos_to_the_next_question(
    small_onnx_bundle: Bundle,
    video: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = iter([f"/video {video} {os.devnull}", "What moves?", "/video", "/quit"])
    monkeypatch.setattr("pocketvl.cli.chat.read_line", lambda _: next(lines))
    with load(small_onnx_bundle.folder, threads=1) as model:
        as_videos = partial(video_parts, fps=1.0, nframes=None)
        _converse(model.chat(max_pixels=3136), {"sampler": Sampler(), "max_tokens": 2}, as_videos)
    said = capsys.readouterr().err
    assert f"{video}: seen as 4 frames of 56x28 pixels, 4 tokens; now ask" in said
    assert f"{os.devnull} is a device" in said
    assert "video slices: 2 encoded" in said
    assert "/image PATH... and /video PATH..." in said
