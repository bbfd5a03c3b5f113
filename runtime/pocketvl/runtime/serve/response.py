"""Answers in the shape of OpenAI's chat completions, whole and in chunks."""

import dataclasses
import json
import time
import uuid
from typing import Any

from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.decoding.stopping import StopReason

_ENDS_OF_ITSELF: tuple[StopReason, ...] = ("stop",)
DONE = b"data: [DONE]\n\n"


class Completion:
    """The id, the time and the model's name that all parts of one response have in common.

    The key "pocketvl" is this server's own: boxes in pixels, notes about images, the exact stop reason.
    """

    def __init__(self, model: str) -> None:
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, answer: Answer) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
        calls = _tool_calls(answer)
        if calls:
            message |= {"content": answer.text or None, "tool_calls": calls}
        choice = {
            "index": 0,
            "message": message,
            "logprobs": _logprobs(answer),
            "finish_reason": finish_reason(answer),
        }
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": usage(answer),
            "pocketvl": details(answer),
        }

    def first(self) -> dict[str, Any]:
        return self._chunk({"role": "assistant", "content": ""})

    def text(self, piece: str) -> dict[str, Any]:
        return self._chunk({"content": piece})

    def last(self, answer: Answer) -> dict[str, Any]:
        """With what is known only in the end: tool calls, log probabilities, boxes."""
        calls = [{"index": i, **call} for i, call in enumerate(_tool_calls(answer))]
        chunk = self._chunk({"tool_calls": calls} if calls else {}, finish_reason(answer), _logprobs(answer))
        return {**chunk, "pocketvl": details(answer)}

    def usage(self, answer: Answer) -> dict[str, Any]:
        """The chunk after the last, if a request wants it."""
        return {**self._head, "object": "chat.completion.chunk", "choices": [], "usage": usage(answer)}

    def _chunk(
        self, delta: dict[str, Any], finish: str | None = None, logprobs: Any = None
    ) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}


def server_sent(value: dict[str, Any]) -> bytes:
    """One event of a stream."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def finish_reason(answer: Answer) -> str:
    """OpenAI has one word for whatever cuts an answer short."""
    if _tool_calls(answer):
        return "tool_calls"
    return "stop" if answer.stop_reason in _ENDS_OF_ITSELF else "length"


def usage(answer: Answer) -> dict[str, Any]:
    prompt, generated = len(answer.prompt_token_ids), len(answer.token_ids)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": generated,
        "total_tokens": prompt + generated,
        "prompt_tokens_details": {"cached_tokens": cached_tokens(answer)},
    }


def cached_tokens(answer: Answer) -> int:
    """Tokens of the prompt that were in the KV cache already."""
    if not answer.token_ids:
        return 0
    return len(answer.prompt_token_ids) - answer.statistics.prefill_tokens


def details(answer: Answer) -> dict[str, Any]:
    return {
        "stop_reason": answer.stop_reason,
        "boxes": [dataclasses.asdict(box) for box in answer.boxes],
        "notes": list(answer.notes),
        "time_to_first_token": round(answer.statistics.time_to_first_token, 4),
    }


def _tool_calls(answer: Answer) -> list[dict[str, Any]]:
    """Of answers that have them."""
    return [
        {
            "id": getattr(call, "id", None) or f"call_{i}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
        }
        for i, call in enumerate(getattr(answer, "tool_calls", None) or ())
    ]


def _logprobs(answer: Answer) -> dict[str, Any] | None:
    """Of answers that have them: one entry for each token."""
    entries = getattr(answer, "logprobs", None)
    return {"content": [dataclasses.asdict(entry) for entry in entries], "refusal": None} if entries else None
