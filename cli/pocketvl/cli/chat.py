"""`pocketvl chat`: a conversation in a terminal."""

import os
import shlex
import sys

from pocketvl.cli import options
from pocketvl.cli.ask import print_notes
from pocketvl.cli.console import error, note
from pocketvl.cli.line import complete_with_tab, read_line
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.errors import PocketVLError
from pocketvl.runtime.session import DEFAULT_MAX_TOKENS, ChatSession

_COMMANDS = ("/image ", "/reset", "/quit")
_HELP = (
    "/image PATH... adds images to the next question (Tab completes), /reset starts anew, Ctrl-C stops an"
    " answer or clears the line, /quit or Ctrl-D leaves"
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
    min_pixels: options.MinPixels = None,
    max_pixels: options.MaxPixels = None,
    add_vision_id: options.VisionId = False,
    stop_repetition: options.StopRepetition = True,
    threads: options.Threads = None,
) -> None:
    """Talk about pictures over several turns; Ctrl-C stops an answer."""
    with options.open_session(
        bundle,
        threads=threads,
        system=system,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        add_vision_id=add_vision_id,
        stop_repetition=stop_repetition,
    ) as (session, manifest):
        sampler = options.make_sampler(manifest, temperature, top_k, top_p, repetition_penalty, seed=seed)
        note(_HELP)
        complete_with_tab(_COMMANDS)
        _converse(session, sampler, max_tokens)


def _converse(session: ChatSession, sampler: Sampler, max_tokens: int) -> None:
    pictures: list[str] = []
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
                pictures.clear()
            case ["/image", *paths] if paths:
                expanded = map(os.path.expanduser, paths)  # a URL stays as it is
                pictures += [path for path in expanded if _add(session, path)]
            case [_, *_]:
                note(_HELP)
            case _ if line.strip():
                _answer(session, sampler, max_tokens, pictures, line)
                pictures.clear()


def _add(session: ChatSession, path: str) -> bool:
    """Whether the image can be asked about; says what it will take."""
    try:
        width, height, tokens = session.measure_image(path)
    except PocketVLError as failure:
        error(str(failure))
        return False
    note(f"{path}: seen as {width}x{height} pixels, {tokens} tokens; now ask")
    return True


def _answer(
    session: ChatSession, sampler: Sampler, max_tokens: int, pictures: list[str], question: str
) -> None:
    """Ask and print; a turn that fails or is stopped leaves the conversation as it was."""
    content = [*({"type": "image", "image": path} for path in pictures), {"type": "text", "text": question}]
    try:
        answer = session.ask(content, max_tokens=max_tokens, sampler=sampler, on_text=_write)
    except KeyboardInterrupt:
        _write("\n")
        note("stopped; this turn is forgotten")
    except PocketVLError as failure:
        error(f"{failure} Ask again, with its pictures.")
    else:
        _write("\n")
        print_notes(answer)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
