"""`pocketvl chat`: a conversation in a terminal."""

import os
import shlex

from pocketvl.cli import options
from pocketvl.cli.answer_options import answer_options
from pocketvl.cli.answers import print_notes, write_text
from pocketvl.cli.console import error, note
from pocketvl.cli.line import complete_with_tab, read_line
from pocketvl.cli.sessions import open_session
from pocketvl.runtime.chat.options import DEFAULT_MAX_TOKENS, AnswerOptions
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.errors import PocketVLError

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
    min_pixels: options.SessionMinPixels = None,
    max_pixels: options.SessionMaxPixels = None,
    add_vision_id: options.VisionId = False,
    stop_repetition: options.StopRepetition = True,
    stop: options.Stop = None,
    json_schema: options.JsonSchema = None,
    regex: options.Regex = None,
    lookup: options.Lookup = True,
    threads: options.Threads = None,
) -> None:
    """Talk about images over several turns; Ctrl-C stops an answer."""
    how = answer_options(max_tokens, stop, json_schema, regex, lookup)
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
        how["sampler"] = sampler
        session.check(**how)
        note(_HELP)
        complete_with_tab(_COMMANDS)
        _converse(session, how)


def _converse(session: ChatSession, how: AnswerOptions) -> None:
    images: list[str] = []
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
                images.clear()
            case ["/image", *paths] if paths:
                expanded = map(os.path.expanduser, paths)  # a URL stays as it is
                images += [path for path in expanded if _add(session, path)]
            case [_, *_]:
                note(_HELP)
            case _ if line.strip():
                _answer(session, how, images, line)
                images.clear()


def _add(session: ChatSession, path: str) -> bool:
    """Whether the image can be asked about; says what it will take."""
    try:
        width, height, tokens = session.measure_image(path)
    except PocketVLError as failure:
        error(str(failure))
        return False
    note(f"{path}: seen as {width}x{height} pixels, {tokens} tokens; now ask")
    return True


def _answer(session: ChatSession, how: AnswerOptions, images: list[str], question: str) -> None:
    """Ask and print; a turn that fails or is stopped leaves the conversation as it was."""
    content = [*({"type": "image", "image": path} for path in images), {"type": "text", "text": question}]
    try:
        answer = session.ask(content, on_text=write_text, **how)
    except KeyboardInterrupt:
        write_text("\n")
        note("stopped; this turn is forgotten")
    except PocketVLError as failure:
        error(f"{failure} Ask again, with its images.")
    else:
        write_text("\n")
        print_notes(answer)
