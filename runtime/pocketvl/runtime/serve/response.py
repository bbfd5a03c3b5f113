"""Answers in the shape of OpenAI's chat completions, whole and in chunks."""

import dataclasses
import json
import time
import uuid
from typing import Any

from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.text.tokenizer import Tokenizer

_FINISHED = {"stop": "stop", "tool_calls": "tool_calls"}
_LEAST = -9999.0  # as OpenAI's API
DONE = b"data: [DONE]\n\n"


class Completion:
    """The id, the time and the model's name that all parts of one response have in common.

    The key "pocketvl" is this server's own: boxes in pixels, notes about images, the exact stop reason.
    """

    def __init__(self, model: str, tokenizer: Tokenizer | None = None, top_logprobs: int = 0) -> None:
        """tokenizer: for the texts of tokens, where log probabilities are wanted."""
        self._tokenizer, self._top = tokenizer, top_logprobs
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, answer: Answer) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
        calls = _tool_calls(answer)
        if calls:
            message |= {"content": answer.text or None, "tool_calls": calls}
        choice = {
            "index": 0,
            "message": message,
            "logprobs": self._logprobs(answer),
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
        chunk = self._chunk(
            {"tool_calls": calls} if calls else {}, finish_reason(answer), self._logprobs(answer)
        )
        return {**chunk, "pocketvl": details(answer)}

    def usage(self, answer: Answer) -> dict[str, Any]:
        """The chunk after the last, if a request wants it."""
        return {**self._head, "object": "chat.completion.chunk", "choices": [], "usage": usage(answer)}

    def _logprobs(self, answer: Answer) -> dict[str, Any] | None:
        """Of answers that have them: one entry for each token that is text."""
        entries = getattr(answer, "logprobs", ())
        if not entries or self._tokenizer is None:
            return None
        content = []
        for entry in entries:
            if self._tokenizer.token_bytes(entry.token_id):
                top = [_entry(each, self._tokenizer) for each in entry.top[: self._top]]
                content.append({**_entry(entry, self._tokenizer), "top_logprobs": top})
        return {"content": content, "refusal": None}

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
    return _FINISHED.get(answer.stop_reason, "length")


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
        "quads": [dataclasses.asdict(quad) for quad in getattr(answer, "quads", ())],
        "notes": list(answer.notes),
        "time_to_first_token": round(answer.statistics.time_to_first_token, 4),
    }


def _tool_calls(answer: Answer) -> list[dict[str, Any]]:
    """Of answers that have them."""
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.raw},
        }
        for call in getattr(answer, "tool_calls", ())
    ]


def _entry(token: Any, tokenizer: Tokenizer) -> dict[str, Any]:
    """A part of a character has its bytes alone; JSON has no -inf."""
    data = tokenizer.token_bytes(token.token_id, skip_special=False)
    text = data.decode("utf-8", errors="replace")
    return {"token": text, "logprob": max(token.logprob, _LEAST), "bytes": list(data)}
