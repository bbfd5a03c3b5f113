"""How an answer is shown: its text as it comes, what is known beside it, and as JSON."""

import dataclasses
import json
import sys
from typing import Any

from pocketvl.cli.console import note
from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.decoding.logprobs import Logprobs, TokenLogprob
from pocketvl.runtime.text.tools.tool import AnyToolCall, InvalidToolCall, ToolCall


def write_text(text: str) -> None:
    """To stdout at once: the pieces of an answer."""
    sys.stdout.write(text)
    sys.stdout.flush()


def print_notes(answer: Answer) -> None:
    """What is known beside the text: boxes in pixels, how images were read, statistics."""
    for box in answer.boxes:
        label = f"{box.label}: " if box.label else ""
        note(
            f"box: {label}({box.x1:.0f},{box.y1:.0f}) to ({box.x2:.0f},{box.y2:.0f}) pixels"
            f" of image {box.image} (counted from 0)"
        )
    for quad in answer.quads:
        corners = ", ".join(f"({x:.0f},{y:.0f})" for x, y in quad.corners)
        label = f"{quad.label}: " if quad.label else ""
        note(f"quad: {label}{corners} pixels of image {quad.image} (counted from 0)")
    for call in answer.tool_calls:
        if isinstance(call, ToolCall):
            note(f"tool call {call.id}: {call.name} {json.dumps(call.arguments, ensure_ascii=False)}")
        else:
            note(f"tool call {call.id} cannot be made: {call.reason} It was: {call.name} {call.raw}")
    for sentence in answer.notes:
        note(sentence)
    note(summary(answer))


def summary(answer: Answer) -> str:
    """One line of statistics."""
    s = answer.statistics
    seen = []
    if s.images_encoded or s.images_cached:
        seen.append(f"{s.images_encoded} encoded, {s.images_cached} cached")
    if s.slices_encoded or s.slices_cached:
        seen.append(f"video slices: {s.slices_encoded} encoded, {s.slices_cached} cached")
    return (
        (f"vision {s.vision_seconds:.2f} s ({'; '.join(seen)}), " if seen else "")
        + f"prefill {_counted(s.prefill_tokens, s.prefill_rate, 0)}, decode"
        f" {_counted(len(answer.token_ids), s.decode_rate, 1)}"
        + (f" ({s.accepted_tokens} of {s.drafted_tokens} drafts right)" if s.drafted_tokens else "")
        + f", first token after {s.time_to_first_token:.2f} s, {answer.stop_reason}"
    )


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
        "stop_string": answer.stop_string,
        "logprobs": [_logprobs(one) for one in answer.logprobs],
        "boxes": [dataclasses.asdict(box) for box in answer.boxes],
        "quads": [dataclasses.asdict(quad) for quad in answer.quads],
        "tool_calls": [_call_as_dict(call) for call in answer.tool_calls],
        "notes": list(answer.notes),
        "statistics": {**dataclasses.asdict(answer.statistics), **rates},
    }


def _logprobs(one: Logprobs) -> dict[str, Any]:
    return {**_token(one), "top": [_token(each) for each in one.top]}


def _token(one: TokenLogprob) -> dict[str, Any]:
    """The bytes, too, which the text lacks where a token is part of a character."""
    text = one.token.decode("utf-8", errors="replace")
    return {"token_id": one.token_id, "token": text, "bytes": list(one.token), "logprob": one.logprob}


def _call_as_dict(call: AnyToolCall) -> dict[str, Any]:
    """In the shape of OpenAI's chat API, whose arguments are text; and why it cannot be made, if so."""
    function = {"name": call.name, "arguments": call.raw}
    reason = {"reason": call.reason} if isinstance(call, InvalidToolCall) else {}
    if isinstance(call, ToolCall):
        function["arguments"] = json.dumps(call.arguments, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": function, **reason}


def _counted(tokens: int, rate: float, digits: int) -> str:
    """ "7 tokens at 31.5/s"; without a rate where nothing was timed, as with a single token."""
    unit = "token" if tokens == 1 else "tokens"
    return f"{tokens} {unit}" + (f" at {rate:.{digits}f}/s" if rate else "")
