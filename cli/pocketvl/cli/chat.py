"""`pocketvl chat`: a conversation in a terminal."""

import os
import shlex
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pocketvl.cli import options
from pocketvl.cli.answer_options import answer_options
from pocketvl.cli.answers import print_notes, write_text
from pocketvl.cli.console import error, note
from pocketvl.cli.line import complete_with_tab, read_line
from pocketvl.cli.parts import Part, image_parts, video_parts
from pocketvl.cli.sessions import open_session
from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.chat.options import DEFAULT_MAX_TOKENS, AnswerOptions
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.errors import PocketVLError

_COMMANDS = ("/image ", "/video ", "/again", "/save ", "/reset", "/quit")
_HELP = (
    "/image PATH... and /video PATH... add to the next question (Tab completes), /again makes the last answer"
    " anew, /save FILE keeps the conversation for --resume FILE, /reset starts anew, Ctrl-C stops an answer"
    " or clears the line, /quit or Ctrl-D leaves"
)


def chat(
    bundle: options.BundleArgument,
    max_tokens: options.MaxTokens = DEFAULT_MAX_TOKENS,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    repetition_penalty: options.Penalty = None,
    seed: options.Seed = None,
    system: options.System = None,
    min_pixels: options.SessionMinPixels = None,
    max_pixels: options.SessionMaxPixels = None,
    add_vision_id: options.VisionId = False,
    stop_repetition: options.StopRepetition = True,
    stop: options.Stop = None,
    json_schema: options.JsonSchema = None,
    regex: options.Regex = None,
    lookup: options.Lookup = False,
    fps: options.Fps = None,
    nframes: options.Frames = None,
    resume: options.Resume = None,
    threads: options.Threads = None,
) -> None:
    """Talk about images and videos over several turns; Ctrl-C stops an answer."""
    how = answer_options(max_tokens, stop, json_schema, regex, lookup)
    as_videos = partial(video_parts, fps=fps, nframes=nframes)
    as_videos(["any"])  # what cannot be meant is refused at once
    with open_session(
        bundle,
        threads=threads,
        system=system,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        add_vision_id=add_vision_id,
        stop_repetition=stop_repetition,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
        resume=resume,
    ) as (session, sampler):
        how["sampler"] = sampler
        session.check(**how)
        note(_HELP)
        complete_with_tab(_COMMANDS)
        _converse(session, how, as_videos)


def _converse(
    session: ChatSession, how: AnswerOptions, as_videos: Callable[[Sequence[str]], list[Part]]
) -> None:
    media: list[Part] = []
    while (line := read_line(f"[{session.free_context} tokens free] > ")) is not None:
        try:
            words = shlex.split(line) if line.startswith("/") else []
        except ValueError as failure:
            error(f"{failure} in {line}")
            continue
        match words:
            case ["/quit"]:
                return
            case ["/reset"]:
                session.reset()
                media.clear()
            case ["/again"]:
                _print_answer(partial(session.regenerate, **how))
            case ["/save", path]:
                _save(session, path)
            case ["/image" | "/video" as command, *paths] if paths:
                expanded = list(map(os.path.expanduser, paths))  # a URL stays as it is
                parts = image_parts(expanded) if command == "/image" else as_videos(expanded)
                media += [part for part in parts if _add(session, part)]
            case [_, *_]:
                note(_HELP)
            case _ if line.strip():
                _answer(session, how, media, line)
                media.clear()


def _add(session: ChatSession, part: Part) -> bool:
    """Whether the image or video can be asked about; says what it will take."""
    path = part[part["type"]]
    try:
        if part["type"] == "image":
            width, height, tokens = session.measure_image(path)
            seen = ""
        else:
            options = {key: value for key, value in part.items() if key not in ("type", "video")}
            frames, width, height, tokens = session.measure_video(path, **options)
            seen = f"{frames} frames of "
    except PocketVLError as failure:
        error(str(failure))
        return False
    note(f"{path}: seen as {seen}{width}x{height} pixels, {tokens} tokens; now ask")
    return True


def _save(session: ChatSession, path: str) -> None:
    try:
        file = Path(path).expanduser()
        session.save(file)
    except (PocketVLError, RuntimeError) as failure:  # of no home folder
        error(str(failure))
    else:
        note(f"saved; go on with --resume {shlex.quote(str(file))}")


def _answer(session: ChatSession, how: AnswerOptions, media: list[Part], question: str) -> None:
    """Ask and print; a turn that fails or is stopped leaves the conversation as it was."""
    content = [*media, {"type": "text", "text": question}]
    _print_answer(partial(session.ask, content, **how), "Ask again, with its images and videos.")


def _print_answer(ask: Callable[..., Answer], after_failure: str = "") -> None:
    try:
        answer = ask(on_text=write_text)
    except KeyboardInterrupt:
        write_text("\n")
        note("stopped; this turn is forgotten")
    except PocketVLError as failure:
        error(f"{failure} {after_failure}".strip())
    else:
        write_text("\n")
        print_notes(answer)
