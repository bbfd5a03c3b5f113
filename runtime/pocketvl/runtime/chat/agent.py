"""The loop around tools: ask, call the functions that the answer calls, give back what they return."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Unpack

from PIL import Image

from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.chat.conversation import Conversation
from pocketvl.runtime.chat.options import AnswerOptions, Content
from pocketvl.runtime.decoding.stopping import StopReason
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.text.tools.tool import AnyToolCall, GivenTool, InvalidToolCall, tool_set

DEFAULT_MAX_CALLS = 8


class Asks(Protocol):
    """What the loop needs of a ChatSession."""

    conversation: Conversation

    def ask(
        self,
        content: Content,
        *,
        on_text: Callable[[str], None] | None = None,
        **options: Unpack[AnswerOptions],
    ) -> Answer: ...


@dataclass(frozen=True)
class CallRecord:
    """One call and what came of it. error: what the function raised, or why it was not called."""

    call: AnyToolCall
    result: Any
    error: str | None = None


@dataclass(frozen=True)
class AgentAnswer:
    """stop_reason: the last answer's, or tool_limit if it calls more often than it may, which is left undone.

    text: of the last answer. answers: all of them in order. calls: those that were answered.
    """

    text: str
    stop_reason: StopReason | Literal["tool_limit"]
    answers: tuple[Answer, ...]
    calls: tuple[CallRecord, ...]


class Agent:
    """A session whose answers may call functions.

        agent = Agent(model.chat(), [weather, take_photo])
        print(agent.ask("Do I need an umbrella?").text)

    A function returns text, a Pillow image, or anything that JSON can say. What it raises is told to the
    model as text, and so is why a call cannot be made; the model may then try again.
    """

    def __init__(
        self,
        session: Asks,
        tools: Sequence[GivenTool],
        *,
        max_calls: int = DEFAULT_MAX_CALLS,
        parallel: bool = False,
        raise_errors: bool = False,
    ) -> None:
        """tools: typed functions, see typed_function.py. max_calls: in one ask(). parallel: whether the model
        may make several calls at once. raise_errors: let through what functions raise, instead of telling the
        model. Raises UsageError."""
        self._session = session
        self._tools = tool_set(tools, parallel)
        for tool in self._tools:
            if tool.function is None:
                raise UsageError(f"The tool {tool.name} has no function to call; give a typed function.")
        if not self._tools or max_calls < 1:
            raise UsageError("An agent needs at least one tool, and max_calls of at least 1.")
        self._max_calls = max_calls
        self._raise_errors = raise_errors

    def ask(
        self,
        content: Content,
        *,
        on_text: Callable[[str], None] | None = None,
        on_call: Callable[[CallRecord], None] | None = None,
        **options: Unpack[AnswerOptions],
    ) -> AgentAnswer:
        """One user turn, to its final answer. on_call is told of each call after it was made.

        Options hold for each answer. If anything raises, the conversation is as it was before. Raises what
        ChatSession.ask does.
        """
        if "tools" in options or "parallel_tool_calls" in options:
            raise UsageError("An agent's tools are given when it is made; leave them out of ask().")
        before = self._session.conversation
        try:
            return self._run(content, on_text, on_call, options)
        except BaseException:
            self._session.conversation = before
            raise

    def _run(
        self,
        content: Content,
        on_text: Callable[[str], None] | None,
        on_call: Callable[[CallRecord], None] | None,
        options: AnswerOptions,
    ) -> AgentAnswer:
        first: AnswerOptions = {**options, "tools": self._tools.tools}
        first["parallel_tool_calls"] = self._tools.parallel
        later: AnswerOptions = {**options, "images": ()}
        answers = [self._session.ask(content, on_text=on_text, **first)]
        records: list[CallRecord] = []
        while calls := answers[-1].tool_calls:
            if len(records) + len(calls) > self._max_calls:
                return AgentAnswer(answers[-1].text, "tool_limit", tuple(answers), tuple(records))
            results: list[dict[str, Any]] = []
            for call in calls:
                record = self._call(call)
                records.append(record)
                results.append({"role": "tool", "tool_call_id": call.id, "content": _content(record)})
                if on_call is not None:
                    on_call(record)
            answers.append(self._session.ask(results, on_text=on_text, **later))
        return AgentAnswer(answers[-1].text, answers[-1].stop_reason, tuple(answers), tuple(records))

    def _call(self, call: AnyToolCall) -> CallRecord:
        if isinstance(call, InvalidToolCall):
            return CallRecord(call, None, call.reason)
        tool = self._tools.get(call.name)
        assert tool is not None  # the session checked the name
        try:
            return CallRecord(call, tool.call(call.arguments))
        except Exception as error:  # whatever the function raises
            if self._raise_errors:
                raise
            return CallRecord(call, None, str(error) or type(error).__name__)


def _content(record: CallRecord) -> Any:
    """A result as a message's content."""
    if record.error is not None:
        return f"Error: {record.error}"
    if isinstance(record.result, Image.Image):
        return [{"type": "image", "image": record.result}]
    if isinstance(record.result, str):
        return record.result
    try:
        return json.dumps(record.result, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"The tool {record.call.name} returned a {type(record.result).__name__} that cannot be told to"
            f" the model ({error}); return text, a Pillow image, or what JSON can say."
        ) from None
