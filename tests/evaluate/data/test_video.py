"""Datasets with videos: how a row names them, what it is refused for, and that they are asked about."""

import json
from pathlib import Path
from typing import Any

import pytest

from pocketvl.evaluate import evaluate_bundle
from pocketvl.evaluate.data import open_dataset
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.errors import ImageError, UsageError
from pocketvl.runtime.media.video.options import VideoOptions
from tests.support.videos import grey_frame, write_video


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_video(tmp_path / "a.mp4", 12)
    (tmp_path / "frames").mkdir()
    for number in range(3):
        grey_frame(number).save(tmp_path / "frames" / f"{number}.png")
    return tmp_path


def written(folder: Path, *rows: dict[str, Any]) -> str:
    lines = [json.dumps({"question": "What moves?", "answer": "nothing"} | row) for row in rows]
    path = folder / "clips.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_a_row_names_its_videos(folder: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"video": "a.mp4"},
        {"video": "frames"},
        {"video": ["frames/0.png", "frames/1.png"]},
        {"video": {"video": "a.mp4", "fps": 1}},
        {"videos": ["a.mp4", {"video": "frames", "nframes": 2}], "image": "frames/0.png"},
        {},
    ]
    questions = open_dataset(written(folder, *rows), strict=True).questions
    sources = [[video.source for video in question.videos] for question in questions]
    assert sources == [
        [folder / "a.mp4"],
        [folder / "frames"],
        [(folder / "frames/0.png", folder / "frames/1.png")],
        [folder / "a.mp4"],
        [folder / "a.mp4", folder / "frames"],
        [],
    ]
    assert questions[3].videos[0].options == VideoOptions(fps=1.0)
    assert len({video.identity for question in questions for video in question.videos}) == 5


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"video": "gone.mp4"}, r"line 1, video: .*gone\.mp4 does not exist.* Paths count from"),
        ({"video": "a.mp4", "videos": ["a.mp4"]}, "video: stands beside videos"),
        ({"videos": "a.mp4"}, "videos: is no list of videos"),
        ({"videos": []}, "videos: is no list of videos"),
        ({"video": 3}, "video: is neither a path nor a list of frames"),
        ({"video": []}, "neither a path nor a list"),
        ({"video": {"fps": 1}}, "neither a path nor a list"),
        ({"video": {"video": "a.mp4", "speed": 1}}, "video, 'speed': is not known; known are fps"),
        ({"video": {"video": "a.mp4", "fps": 0}}, r"line 1, video\.fps must be a number"),
    ],
)
def test_what_cannot_be_used(folder: Path, row: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        open_dataset(written(folder, row), strict=True)


def test_a_file_that_is_no_video_is_found_by_strict(folder: Path) -> None:
    (folder / "a.mp4").write_text("no video")
    data = written(folder, {"video": "a.mp4"})
    assert len(open_dataset(data).questions) == 1
    with pytest.raises(ImageError, match=r"clips\.jsonl, line 1: .*cannot be read as a video"):
        open_dataset(data, strict=True)


def test_a_changed_video_changes_the_fingerprint(folder: Path) -> None:
    data = written(folder, {"video": "a.mp4"})
    before = open_dataset(data).fingerprint
    write_video(folder / "a.mp4", 13)
    assert open_dataset(data).fingerprint != before


def test_questions_about_videos_are_answered_and_compared(small_onnx_bundle: Bundle, folder: Path) -> None:
    small = {"resized_height": 56, "resized_width": 56}
    data = written(folder, {"video": {"video": "a.mp4", "nframes": 4, **small}}, {"video": "frames"})
    output = folder / "out"
    bundle = str(small_onnx_bundle.folder)
    result = evaluate_bundle(bundle, data, against=bundle, output=output, max_tokens=4, threads=1)
    (report,) = result.datasets
    assert (report.scored, len(report.bad_rows)) == (2, 0)
    assert report.fidelity is not None
    assert (report.fidelity.questions, report.fidelity.top1) == (2, 1.0)
    assert abs(report.fidelity.kl_mean) < 1e-6


def test_transformers_is_no_reference_for_videos(
    small_onnx_bundle: Bundle, small_checkpoint: Path, folder: Path
) -> None:
    data = written(folder, {"video": "a.mp4"})
    with pytest.raises(UsageError, match="compared with a bundle"):
        evaluate_bundle(
            str(small_onnx_bundle.folder),
            data,
            against=str(small_checkpoint),
            output=folder / "out",
            threads=1,
        )


def test_a_moment_is_in_another_slice_of_each_clip() -> None:
    dataset = open_dataset("generated/moment:18")
    shown = []
    for question in dataset.questions:
        (video,) = question.videos
        plain = [len(set(frame.convert("L").getdata())) == 1 for frame in video.source]
        assert plain.count(False) == 2
        shown.append(plain.index(False) // 2)
    assert shown == [slice_ for slice_ in range(6) for _ in range(3)]
    assert len({question.videos[0].identity for question in dataset.questions}) == 18
    assert not any(q.videos for q in open_dataset("generated:1").questions)
