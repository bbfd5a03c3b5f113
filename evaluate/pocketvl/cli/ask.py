"""`pocketvl ask`: one question, or a script of turns in one session."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pocketvl.cli import options
from pocketvl.cli.console import note, print_json
from pocketvl.runtime.answer import Answer
from pocketvl.runtime.errors import PromptError, UsageError
from pocketvl.runtime.files import read_text
from pocketvl.runtime.session import DEFAULT_MAX_TOKENS, Content


def ask(
    bundle: options.BundleArgument,
    question: Annotated[str | None, typer.Argument(help="What to ask.")] = None,
    image: options.Images = None,
    script: Annotated[
        Path | None,
        typer.Option(help="JSON list of user turns, each a text or an OpenAI-style content list."),
    ] = None,
    as_json: options.Json = False,
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
    """Answer a question about pictures; --script asks several turns in one conversation."""
    turns = _turns(question, image or [], script)
    with options.open_session(
        bundle, threads=threads, system=system, min_pixels=min_pixels, max_pixels=max_pixels
    ) as (session, manifest):
        sampler = options.make_sampler(manifest, temperature, top_k, top_p, repetition_penalty, seed=seed)
        answers = []
        for turn in turns:
            on_text = None if as_json else _write
            answers.append(session.ask(turn, max_tokens=max_tokens, sampler=sampler, on_text=on_text))
            if not as_json:
                _write("\n")
                note(summary(answers[-1]))
            for sentence in answers[-1].notes:
                note(sentence)
    if as_json:
        print_json([as_dict(answer) for answer in answers] if script else as_dict(answers[0]))


def as_dict(answer: Answer) -> dict[str, Any]:
    """An answer as --json prints it."""
    rates = {
        "prefill_tokens_per_second": answer.statistics.prefill_rate,
        "decode_tokens_per_second": answer.statistics.decode_rate,
    }
    return {
        "answer": answer.text,
        "token_ids": list(answer.token_ids),
        "prompt_token_ids": list(answer.prompt_token_ids),
        "next_position": answer.next_position,
        "stop_reason": answer.stop_reason,
        "notes": list(answer.notes),
        "statistics": {**dataclasses.asdict(answer.statistics), **rates},
    }


def summary(answer: Answer) -> str:
    """One line of statistics."""
    s = answer.statistics
    vision = f"vision {s.vision_seconds:.2f} s ({s.images_encoded} encoded, {s.images_cached} cached), "
    return (
        (vision if s.images_encoded or s.images_cached else "")
        + f"prefill {s.prefill_tokens} tokens at {s.prefill_rate:.0f}/s, decode {s.decode_tokens + 1} tokens"
        f" at {s.decode_rate:.1f}/s, first token after {s.time_to_first_token:.2f} s, {answer.stop_reason}"
    )


def _turns(question: str | None, images: list[str], script: Path | None) -> list[Content]:
    if script is not None:
        if question is not None or images:
            raise UsageError("--script holds the questions and pictures; leave out the others.")
        return read_script(script)
    if question is None:
        raise UsageError("Give a question, or --script FILE.json.")
    pictures = [{"type": "image", "image": path} for path in images]
    return [[*pictures, {"type": "text", "text": question}]]


def read_script(path: Path) -> list[Content]:
    """The user turns of a script."""
    try:
        turns = json.loads(read_text(path, UsageError))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(turns, list) or not turns:
        raise UsageError(f"{path} must hold a list with at least one user turn.")
    for index, turn in enumerate(turns):
        if not isinstance(turn, (str, list)):
            raise PromptError(
                f"Turn {index} of {path} must be a text or a list of parts, not {type(turn).__name__}."
            )
    return [
        turn if isinstance(turn, str) else [_beside(part, path.parent) for part in turn] for turn in turns
    ]


def _beside(part: Any, folder: Path) -> Any:
    """A path is looked up from here first, as a shell user means it, then beside the script."""
    if not isinstance(part, dict) or part.get("type") != "image_url":
        return part
    image_url = part.get("image_url")
    url = image_url.get("url") if isinstance(image_url, dict) else image_url
    if not isinstance(url, str) or ":" in url[:8] or len(url) > 4096 or Path(url).exists():
        return part
    beside = folder / url
    return {"type": "image", "image": beside} if beside.exists() else part


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
