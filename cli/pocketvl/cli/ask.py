"""`pocketvl ask`: one question, or a script of turns in one session."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvl.cli import options
from pocketvl.cli.answer_options import answer_options
from pocketvl.cli.answers import as_dict, print_notes, write_text
from pocketvl.cli.console import print_json
from pocketvl.cli.drawing import check_drawing, draw_answer
from pocketvl.cli.parts import Part, image_parts, video_parts
from pocketvl.cli.script import read_script, read_tools
from pocketvl.cli.sessions import open_session
from pocketvl.runtime.chat.options import DEFAULT_MAX_TOKENS, Content
from pocketvl.runtime.decoding.logprobs import MAX_ALTERNATIVES
from pocketvl.runtime.errors import UsageError


def ask(
    bundle: options.BundleArgument,
    question: Annotated[str | None, typer.Argument(help="What to ask.")] = None,
    image: options.Images = None,
    video: options.Videos = None,
    fps: options.Fps = None,
    nframes: options.Frames = None,
    script: Annotated[
        Path | None,
        typer.Option(
            help="JSON list of user turns (a text or a list of parts each) or messages; see docs/scripts.md."
        ),
    ] = None,
    tools: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON list of tools the model may call; see docs/agents.md."),
    ] = None,
    parallel_tool_calls: Annotated[
        bool, typer.Option("--parallel-tool-calls", help="Let it make several calls at once.")
    ] = False,
    draw: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the image with the answer's boxes: .png, .jpg or .webp."),
    ] = None,
    as_json: options.Json = False,
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
    logprobs: Annotated[
        int,
        typer.Option(
            help="With --json: likeliest tokens to list at each token.", min=0, max=MAX_ALTERNATIVES
        ),
    ] = 0,
    resume: options.Resume = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the conversation afterwards, for --resume.")
    ] = None,
    threads: options.Threads = None,
) -> None:
    """Answer a question about images and videos; --script asks several turns in one conversation."""
    turns = _turns(question, [*image_parts(image or []), *video_parts(video or [], fps, nframes)], script)
    if logprobs and not as_json:
        raise UsageError("--logprobs are part of --json; add that.")
    if draw is not None:
        check_drawing(draw, turns)
    if parallel_tool_calls and tools is None:
        raise UsageError("--parallel-tool-calls goes with --tools FILE.json.")
    how = answer_options(max_tokens, stop, json_schema, regex, lookup)
    how["logprobs"] = logprobs
    if tools is not None:
        how["tools"] = read_tools(tools).tools
        how["parallel_tool_calls"] = parallel_tool_calls
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
        answers = []
        for turn in turns:
            on_text = None if as_json else write_text
            answers.append(session.ask(turn, on_text=on_text, **how))
            if not as_json:
                write_text("\n")
                print_notes(answers[-1])
        if draw is not None:
            draw_answer(draw, answers, turns, session.conversation.image_sizes)
        if save is not None:
            session.save(save)
    if as_json:
        print_json([as_dict(answer) for answer in answers] if script else as_dict(answers[0]))


def _turns(question: str | None, media: list[Part], script: Path | None) -> list[Content]:
    if script is not None:
        if question is not None or media:
            raise UsageError("--script holds the questions, images and videos; leave out the others.")
        return read_script(script)
    if question is None:
        raise UsageError("Give a question, or --script FILE.json.")
    return [[*media, {"type": "text", "text": question}]]
