"""`pocketvl chat`: a conversation in a terminal."""

import os
import shlex

from pocketvl.cli import options
from pocketvl.cli.answers import print_notes, write_text
from pocketvl.cli.console import error, note
from pocketvl.cli.line import complete_with_tab, read_line
from pocketvl.cli.parts import Part, image_parts, video_parts
from pocketvl.cli.sessions import open_session
from pocketvl.runtime.chat.options import DEFAULT_MAX_TOKENS
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.errors import PocketVLError

_COMMANDS = ("/image ", "/video ", "/reset", "/quit")
_HELP = (
    "/image PATH... and /video PATH... add to the next question (Tab completes), /reset starts anew, Ctrl-C"
    " stops an answer or clears the line, /quit or Ctrl-D leaves"
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
    fps: options.Fps = None,
    nframes: options.Frames = None,
    threads: options.Threads = None,
) -> None:
    """Talk about images and videos over several turns; Ctrl-C stops an answer."""
    video_parts(["any"], fps, nframes)  # what cannot be meant is refused at once
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
    ) as (session, sampler):
        note(_HELP)
        complete_with_tab(_COMMANDS)
        _converse(session, sampler, max_tokens, fps, nframes)


def _converse(
    session: ChatSession, sampler: Sampler, max_tokens: int, fps: float | None, nframes: int | None
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
            case ["/image" | "/video" as command, *paths] if paths:
                expanded = list(map(os.path.expanduser, paths))  # a URL stays as it is
                is_image = command == "/image"
                parts = image_parts(expanded) if is_image else video_parts(expanded, fps, nframes)
                media += [part for part in parts if _add(session, part)]
            case [_, *_]:
                note(_HELP)
            case _ if line.strip():
                _answer(session, sampler, max_tokens, media, line)
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


def _answer(
    session: ChatSession, sampler: Sampler, max_tokens: int, media: list[Part], question: str
) -> None:
    """Ask and print; a turn that fails or is stopped leaves the conversation as it was."""
    content = [*media, {"type": "text", "text": question}]
    try:
        answer = session.ask(content, max_tokens=max_tokens, sampler=sampler, on_text=write_text)
    except KeyboardInterrupt:
        write_text("\n")
        note("stopped; this turn is forgotten")
    except PocketVLError as failure:
        error(f"{failure} Ask again, with its images and videos.")
    else:
        write_text("\n")
        print_notes(answer)
