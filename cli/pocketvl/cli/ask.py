"""`pocketvl ask`: one question, or a script of turns in one session."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pocketvl.cli import options
from pocketvl.cli.console import note, print_json
from pocketvl.cli.script import read_script
from pocketvl.runtime.answer import Answer
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.session import DEFAULT_MAX_TOKENS, Content


def ask(
    bundle: options.BundleArgument,
    question: Annotated[str | None, typer.Argument(help="What to ask.")] = None,
    image: options.Images = None,
    script: Annotated[
        Path | None,
        typer.Option(
            help="JSON list of user turns (a text or a list of parts each) or messages; see docs/scripts.md."
        ),
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
    add_vision_id: options.VisionId = False,
    stop_repetition: options.StopRepetition = True,
    threads: options.Threads = None,
) -> None:
    """Answer a question about pictures; --script asks several turns in one conversation."""
    turns = _turns(question, image or [], script)
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
        answers = []
        for turn in turns:
            on_text = None if as_json else _write
            answers.append(session.ask(turn, max_tokens=max_tokens, sampler=sampler, on_text=on_text))
            if not as_json:
                _write("\n")
                print_notes(answers[-1])
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
        "boxes": [dataclasses.asdict(box) for box in answer.boxes],
        "notes": list(answer.notes),
        "statistics": {**dataclasses.asdict(answer.statistics), **rates},
    }


def summary(answer: Answer) -> str:
    """One line of statistics."""
    s = answer.statistics
    vision = f"vision {s.vision_seconds:.2f} s ({s.images_encoded} encoded, {s.images_cached} cached), "
    return (
        (vision if s.images_encoded or s.images_cached else "")
        + f"prefill {_counted(s.prefill_tokens, s.prefill_rate, 0)}, decode"
        f" {_counted(len(answer.token_ids), s.decode_rate, 1)}, first token after"
        f" {s.time_to_first_token:.2f} s, {answer.stop_reason}"
    )


def _counted(tokens: int, rate: float, digits: int) -> str:
    """ "7 tokens at 31.5/s"; without a rate where nothing was timed, as with a single token."""
    unit = "token" if tokens == 1 else "tokens"
    return f"{tokens} {unit}" + (f" at {rate:.{digits}f}/s" if rate else "")


def print_notes(answer: Answer) -> None:
    """What is known beside the text: boxes in pixels, how images were read, statistics."""
    for box in answer.boxes:
        label = f"{box.label}: " if box.label else ""
        note(
            f"box: {label}({box.x1:.0f},{box.y1:.0f}) to ({box.x2:.0f},{box.y2:.0f}) pixels"
            f" of image {box.image} (counted from 0)"
        )
    for sentence in answer.notes:
        note(sentence)
    note(summary(answer))


def _turns(question: str | None, images: list[str], script: Path | None) -> list[Content]:
    if script is not None:
        if question is not None or images:
            raise UsageError("--script holds the questions and pictures; leave out the others.")
        return read_script(script)
    if question is None:
        raise UsageError("Give a question, or --script FILE.json.")
    pictures = [{"type": "image", "image": path} for path in images]
    return [[*pictures, {"type": "text", "text": question}]]


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
