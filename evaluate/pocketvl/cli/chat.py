"""`pocketvl chat`: a conversation in a terminal."""

import os
import shlex
import sys

from pocketvl.cli import options
from pocketvl.cli.ask import summary
from pocketvl.cli.console import error, note
from pocketvl.runtime.errors import PocketVLError
from pocketvl.runtime.sampling import Sampler
from pocketvl.runtime.session import DEFAULT_MAX_TOKENS, ChatSession

_HELP = "/image PATH... adds pictures to the next question, /reset starts anew, /quit or Ctrl-D leaves"


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
    threads: options.Threads = None,
) -> None:
    """Talk about pictures over several turns; Ctrl-C stops an answer."""
    with options.open_session(
        bundle, threads=threads, system=system, min_pixels=min_pixels, max_pixels=max_pixels
    ) as (session, manifest):
        sampler = options.make_sampler(manifest, temperature, top_k, top_p, repetition_penalty, seed=seed)
        note(_HELP)
        _converse(session, sampler, max_tokens)


def _converse(session: ChatSession, sampler: Sampler, max_tokens: int) -> None:
    pictures: list[str] = []
    while (line := _read_line(f"[{session.free_context} tokens free] > ")) is not None:
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
                pictures += map(os.path.expanduser, paths)  # a URL stays as it is
            case [_, *_]:
                note(_HELP)
            case _ if line.strip():
                _answer(session, sampler, max_tokens, pictures, line)
                pictures.clear()


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
        note(summary(answer))
        for sentence in answer.notes:
            note(sentence)


def _read_line(prompt: str) -> str | None:
    try:
        return input(prompt)
    except (EOFError, KeyboardInterrupt):
        _write("\n")
        return None


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
