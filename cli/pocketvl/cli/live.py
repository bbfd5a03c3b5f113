"""`pocketvl live`: a question about what a camera or a video shows, answered again whenever that changes."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from pocketvl.cli import options
from pocketvl.cli.answers import summary, write_text
from pocketvl.cli.console import clock, note
from pocketvl.cli.frames import frames
from pocketvl.cli.sessions import open_session
from pocketvl.runtime.chat.live import LiveView
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.media.change import CHANGED

_MAX_TOKENS = 64
_LOOK = 0.1  # seconds after which it is seen that a film has ended


def live(
    bundle: options.BundleArgument,
    video: Annotated[
        Path, typer.Option(metavar="FILE|DEVICE", help="A video file, or a camera such as /dev/video0.")
    ],
    question: Annotated[str, typer.Option(help="What to ask whenever something else is seen.")] = (
        "What do you see?"
    ),
    change: Annotated[
        int, typer.Option(help="Levels of 255 that a part must differ by; 0: every frame.", min=0, max=256)
    ] = CHANGED,
    max_frames: Annotated[int, typer.Option(help="Frames that stay in the conversation.", min=1)] = 1,
    max_turns: Annotated[int, typer.Option(help="Earlier answers that stay in it.", min=0)] = 0,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.", min=1)] = _MAX_TOKENS,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    repetition_penalty: options.Penalty = None,
    seed: options.Seed = None,
    system: options.System = None,
    min_pixels: options.SessionMinPixels = None,
    max_pixels: options.SessionMaxPixels = None,
    stop_repetition: options.StopRepetition = True,
    threads: options.Threads = None,
) -> None:
    """Answer as a camera or a video goes on; Ctrl-C ends it."""
    with open_session(
        bundle,
        threads=threads,
        system=system,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        add_vision_id=False,
        stop_repetition=stop_repetition,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
        keep_vision=True,
    ) as (session, sampler):
        with LiveView(session, max_frames=max_frames, max_turns=max_turns, least_change=change) as view:
            note("Ctrl-C ends")
            answers, began = 0, time.monotonic()
            try:
                with _shown_to(view, video) as film:
                    for _ in film.changes():
                        _answer(view, sampler, question, max_tokens, time.monotonic() - began)
                        answers += 1
            except KeyboardInterrupt:
                write_text("\n")
        seconds = time.monotonic() - began
        counts = view.counts
        note(
            f"{answers} answers in {seconds:.1f} s ({answers / seconds:.2f}/s); of {counts.given} frames"
            f" {counts.encoded} were encoded, {counts.unchanged} showed nothing else, {counts.replaced} were"
            " overtaken"
        )


class _Film:
    """A thread that shows the frames of a source to a view."""

    def __init__(self, view: LiveView, source: Path) -> None:
        self._view, self._source = view, source
        self._stopped, self._ended = threading.Event(), threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="frames", daemon=True)
        self._thread.start()

    def changes(self) -> Iterator[None]:
        """Once for each change, until the source ends. Raises what reading it raised."""
        while True:
            ended = self._ended.is_set()
            if self._view.wait_for_change(_LOOK):
                yield
            elif ended and self._view.is_idle:
                break
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for frame in frames(self._source):
                if self._stopped.is_set():
                    break
                self._view.see(frame)
        except Exception as error:  # raised by changes()
            self._failure = error
        finally:
            self._ended.set()


@contextmanager
def _shown_to(view: LiveView, source: Path) -> Iterator[_Film]:
    film = _Film(view, source)
    try:
        yield film
    finally:
        film.stop()


def _answer(view: LiveView, sampler: Sampler, question: str, max_tokens: int, seconds: float) -> None:
    write_text(f"[{clock(seconds)}] ")
    answer = view.ask(question, max_tokens=max_tokens, sampler=sampler, on_text=write_text)
    write_text("\n")
    note(summary(answer))
