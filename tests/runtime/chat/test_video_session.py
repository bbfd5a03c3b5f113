"""Videos in a conversation: what is encoded, cached, kept and refused, and when."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import ContextError, PromptError, UsageError, VideoError
from tests.support.images import random_image
from tests.support.videos import write_video

SMALL = {"resized_height": 56, "resized_width": 56}  # four tokens a slice


@pytest.fixture(scope="module")
def engine(small_onnx_bundle: Bundle) -> Iterator[Engine]:
    engine = open_engine(small_onnx_bundle, 1)
    yield engine
    engine.close()


@pytest.fixture
def session(small_onnx_bundle: Bundle, engine: Engine) -> ChatSession:
    return ChatSession(small_onnx_bundle, engine)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames in 1.2 seconds."""
    return write_video(tmp_path_factory.mktemp("videos") / "a.mp4", 12)


def about(video: Any, **options: Any) -> list[dict[str, Any]]:
    return [{"type": "video", "video": video, **SMALL, **options}, {"type": "text", "text": "What moves?"}]


def pads(session: ChatSession, bundle: Bundle) -> int:
    return session.conversation.feed.token_ids.count(bundle.manifest.special_tokens.video_pad)


def test_a_slice_of_two_frames_is_encoded_once(session: ChatSession, video: Path) -> None:
    first = session.ask(about(video, nframes=8), max_tokens=2).statistics
    assert (first.slices_encoded, first.slices_cached, first.images_encoded) == (4, 0, 0)
    assert first.vision_seconds > 0
    session.reset()
    second = session.ask(about(video, nframes=8), max_tokens=2).statistics
    assert (second.slices_encoded, second.slices_cached, second.prefill_tokens) == (0, 4, 1)


def test_slices_that_two_videos_share_are_encoded_once(session: ChatSession) -> None:
    frames = [random_image(56, 56, seed) for seed in range(6)]
    session.ask(about(frames), max_tokens=1)
    again = session.ask(about([*frames[2:4], *frames[:2], random_image(56, 56, 9)]), max_tokens=1).statistics
    assert (again.slices_encoded, again.slices_cached) == (1, 2)


def test_what_the_cache_holds_of_one_video_is_not_taken_for_another(
    small_onnx_bundle: Bundle, engine: Engine
) -> None:
    """They have equal tokens; a video of equal slices in another order is another video."""
    frames = [random_image(56, 56, seed) for seed in range(4)]
    swapped = [*frames[2:], *frames[:2]]
    fresh = ChatSession(small_onnx_bundle, engine).ask(about(swapped), max_tokens=6)
    ChatSession(small_onnx_bundle, engine).ask(about(frames), max_tokens=6)
    again = ChatSession(small_onnx_bundle, engine).ask(about(swapped), max_tokens=6)
    assert again.token_ids == fresh.token_ids
    assert again.statistics.prefill_tokens > 4


def test_a_still_image_and_a_video_of_it_are_two_things(
    session: ChatSession, small_onnx_bundle: Bundle
) -> None:
    still = random_image(56, 56, 3)
    answer = session.ask([{"type": "image", "image": still}, *about([still])], max_tokens=1)
    special = small_onnx_bundle.manifest.special_tokens
    assert (
        answer.prompt_token_ids.count(special.image_pad)
        == answer.prompt_token_ids.count(special.video_pad)
        == 4
    )
    media = session.conversation.feed.media
    assert np.array_equal(media[0].embeddings, media[1].embeddings)  # the same two frames
    assert media[0].key != media[1].key


def test_videos_beside_images_go_with_a_text(
    session: ChatSession, small_onnx_bundle: Bundle, video: Path
) -> None:
    options = {"video": video, "nframes": 2, **SMALL}
    first = session.ask("What?", images=[random_image(56, 56)], videos=[options, options], max_tokens=1)
    special = small_onnx_bundle.manifest.special_tokens
    kinds = [t for t in first.prompt_token_ids if t in (special.image_pad, special.video_pad)]
    assert kinds == [special.image_pad] * 4 + [special.video_pad] * 8
    session.reset()
    parts = [{"type": "image", "image": random_image(56, 56)}, *about(video, nframes=2)[:1] * 2]
    again = session.ask([*parts, {"type": "text", "text": "What?"}], max_tokens=1)
    assert again.prompt_token_ids == first.prompt_token_ids
    with pytest.raises(UsageError, match="give each video as a part"):
        session.stream(about(video), videos=[video])


def test_positions_go_on_after_the_slices(session: ChatSession, video: Path) -> None:
    before = session.ask("Hi", max_tokens=1).next_position
    answer = session.ask(about(video, nframes=12), max_tokens=1)
    slots = len(session.conversation.feed)
    assert answer.next_position == slots - 6 * 4 + 6  # 24 tokens moved it on by 6
    assert answer.next_position > before


def test_a_video_is_measured_without_encoding_it(session: ChatSession, video: Path) -> None:
    assert session.measure_video(video, nframes=6, **SMALL) == (6, 56, 56, 12)
    frames, width, height, tokens = session.measure_video(video)
    assert (frames, tokens) == (4, 2 * width * height // 784)
    with pytest.raises(PromptError, match="unknown key 'frames'"):
        session.measure_video(video, frames=6)


class _Refusing:
    """A vision engine that may not be asked."""

    def encode(self, *_: object) -> object:
        raise AssertionError("a frame was encoded")

    def release(self) -> None:
        pass


def test_what_does_not_fit_is_refused_before_a_frame_is_encoded(
    small_onnx_bundle: Bundle, engine: Engine, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "long.mp4", 200, rate=1)
    session = ChatSession(small_onnx_bundle, Engine(_Refusing(), engine.text))
    with pytest.raises(
        ContextError, match=r"context holds 320; .*long\.mp4 .* would fit with nframes"
    ) as caught:
        session.ask([{"type": "video", "video": video}, {"type": "text", "text": "What?"}])
    assert "max_pixels" in str(caught.value)
    assert len(session.conversation.feed) == 0


def test_what_is_said_to_fit_does(session: ChatSession, tmp_path: Path) -> None:
    video = write_video(tmp_path / "long.mp4", 200, rate=1)
    with pytest.raises(ContextError) as caught:
        session.ask([{"type": "video", "video": video}], max_tokens=5)
    said = str(caught.value).split("would fit with ")[1]
    words = said.replace(",", " ").replace(";", " ").split()
    options = {"nframes": int(words[1])}
    if "with max_pixels" in said.split(" or ")[0]:
        options["max_pixels"] = int(said.split("with max_pixels ")[1].split()[0].rstrip(";"))
    answer = session.ask([{"type": "video", "video": video, **options}], max_tokens=5)
    assert answer.statistics.slices_encoded + answer.statistics.slices_cached == options["nframes"] // 2


def test_damage_within_leaves_the_conversation_as_it_was(session: ChatSession) -> None:
    session.ask("Hi", max_tokens=1)
    before = session.conversation
    with pytest.raises(VideoError, match="frame 3 of 4"):
        session.ask(about([*[random_image(56, 56, seed) for seed in range(3)], random_image(60, 56)]))
    assert session.conversation is before
    assert session.ask("And now?", max_tokens=1).token_ids


def test_notes_of_a_video_come_with_its_answer(session: ChatSession, tmp_path: Path) -> None:
    for number in range(2):
        Image.new("RGB", (56, 56)).save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").touch()
    (note,) = session.ask(about(tmp_path), max_tokens=1).notes
    assert "1 of 3 entries are no images" in note


def test_fps_of_frames_without_times_is_noted(session: ChatSession) -> None:
    frames = [random_image(56, 56, seed) for seed in range(2)]
    answer = session.ask(about(frames, fps=1), max_tokens=1)
    assert answer.notes == ("The list of frames has no times, so fps 1 changes nothing.",)


class _Cancelling:
    """Cancels the session in its second call; the calls before are those of the engine."""

    def __init__(self, engine: Engine) -> None:
        self._vision = engine.vision
        self.session: ChatSession | None = None
        self.calls = 0

    def encode(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.calls == 2 and self.session is not None:
            self.session.cancel()
        return self._vision.encode(*arguments)

    def release(self) -> None:
        self._vision.release()


def test_a_long_video_can_be_cancelled(small_onnx_bundle: Bundle, engine: Engine, video: Path) -> None:
    vision = _Cancelling(engine)
    vision.session = session = ChatSession(small_onnx_bundle, Engine(vision, engine.text))
    session.ask("Hi", max_tokens=1)
    before = session.conversation
    answer = session.ask(about(video, nframes=12), max_tokens=1)
    assert (answer.stop_reason, answer.text, vision.calls) == ("cancelled", "", 2)
    assert session.conversation is before
    again = session.ask(about(video, nframes=12), max_tokens=1).statistics
    assert (again.slices_encoded, again.slices_cached) == (4, 2)
