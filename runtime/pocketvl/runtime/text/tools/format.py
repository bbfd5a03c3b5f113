"""Tools, calls and results as text, in the form that Qwen2-VL was trained on.

It is qwen_agent's, prompt type "qwen": the tools are described in the system turn; a call, its result and the
reply stand in one turn of the assistant, each after a marker between two U+273F signs:

    <|im_start|>assistant
    ✿FUNCTION✿: tap
    ✿ARGS✿: {"x": 10, "y": 20}
    ✿RESULT✿: done
    ✿RETURN✿: The button is pressed.<|im_end|>

The markers are ordinary text, so whatever else is said must not hold them: in a conversation with tools, the
sign becomes U+2740 in texts and results, and an escape in JSON.
"""

import json
from collections.abc import Iterable, Sequence

from pocketvl.runtime.text.messages import GoesOn, Message, ObjectRef, Part, Text
from pocketvl.runtime.text.tools.tool import InvalidToolCall, Tool, ToolCall, ToolSet

SIGN = "\N{BLACK FLORETTE}"  # U+273F
FUNCTION, ARGS, RESULT, RETURN = (f"{SIGN}{word}{SIGN}" for word in ("FUNCTION", "ARGS", "RESULT", "RETURN"))
_OTHER_SIGN = "\N{WHITE FLORETTE}"  # U+2740
_DEFAULT_SYSTEM = "You are a helpful assistant."  # the chat template's own

_ONE_BY_ONE = f"""\
## When you need to call a tool, please insert the following command in your reply, which can be called zero \
or multiple times according to your needs:

{FUNCTION}: The tool to use, should be one of [NAMES]
{ARGS}: The input of the tool
{RESULT}: Tool results
{RETURN}: Reply based on tool results. Images need to be rendered as ![](url)"""

_PARALLEL = f"""\
## Insert the following command in your reply when you need to call N tools in parallel:

{FUNCTION}: The name of tool 1, should be one of [NAMES]
{ARGS}: The input of tool 1
{FUNCTION}: The name of tool 2
{ARGS}: The input of tool 2
...
{FUNCTION}: The name of tool N
{ARGS}: The input of tool N
{RESULT}: The result of tool 1
{RESULT}: The result of tool 2
...
{RESULT}: The result of tool N
{RETURN}: Reply based on tool results. Images need to be rendered as ![](url)"""


def in_tool_format(
    messages: Sequence[Message], tools: ToolSet, *, beginning: bool = True
) -> tuple[Message, ...]:
    """Messages with calls, results and tools as text; of the roles system, user and assistant alone.

    beginning: whether a conversation begins with them; else they follow what was fed before, results after
    an assistant's calls and a line break. Results at the end leave the assistant's turn open, where it goes
    on. Without tools, calls and results nothing is changed.
    """
    if not tools and not any(_is_about_tools(message) for message in messages):
        return tuple(messages)
    turns: list[tuple[str, list[Part]]] = []
    for message in messages:
        parts = [_plain(part) for part in message.parts]
        if message.role == "tool":
            _add_result(turns, parts)
        elif message.role == "assistant" and _waits(turns):
            turns[-1][1][-1:] = [Text(": "), *parts]
        else:
            turns.append((message.role, parts))
    if tools and beginning:
        _add_tools(turns, tools)
    return tuple(Message(role, _joined(parts)) for role, parts in turns)


def describe_tools(tools: ToolSet) -> str:
    """What the system turn says of them."""
    descriptions = "\n\n".join(map(_describe, tools))
    commands = (_PARALLEL if tools.parallel else _ONE_BY_ONE).replace("NAMES", ",".join(tools.names))
    return f"# Tools\n\n## You have access to the following tools:\n\n{descriptions}\n\n{commands}"


def harmless(text: str) -> str:
    """`text` without signs that could make a marker."""
    return text.replace(SIGN, _OTHER_SIGN)


def _describe(tool: Tool) -> str:
    parameters = _escaped(json.dumps(tool.parameters, ensure_ascii=False))
    description = f"{tool.name}: {harmless(tool.description)} Parameters: {parameters}"
    return f"### {tool.name}\n\n{description} Format the arguments as a JSON object."


def _plain(part: Part) -> Part:
    match part:
        case Text(text):
            return Text(harmless(text))
        case ObjectRef(text):
            return ObjectRef(harmless(text))
        case ToolCall(name=name, raw=raw):
            return _Call(f"{FUNCTION}: {harmless(name)}\n{ARGS}: {_escaped(raw) or '{}'}")
        case InvalidToolCall(name=name, raw=raw):
            return _Call(f"{FUNCTION}: {harmless(name)}\n{ARGS}: {harmless(raw)}")
    return part


class _Call(Text):
    """A call's text, which begins a line of its own."""


def _add_result(turns: list[tuple[str, list[Part]]], parts: list[Part]) -> None:
    first = not turns  # it follows what was fed before, which ends with a line break
    if first:
        turns.append(("assistant", []))
    said = turns[-1][1]
    if _waits(turns):
        del said[-2:]
    said += [Text(f"{RESULT}: " if first else f"\n{RESULT}: "), *parts, Text(f"\n{RETURN}"), GoesOn()]


def _waits(turns: list[tuple[str, list[Part]]]) -> bool:
    """Whether the last turn is the assistant's, open after results."""
    return bool(turns) and turns[-1][1][-1:] == [GoesOn()]


def _add_tools(turns: list[tuple[str, list[Part]]], tools: ToolSet) -> None:
    if not turns or turns[0][0] != "system":
        turns.insert(0, ("system", [Text(_DEFAULT_SYSTEM)]))
    turns[0][1].append(Text("\n\n" + describe_tools(tools)))


def _joined(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Neighbouring texts as one: a message of a single text is a plain string to every template."""
    joined: list[Part] = []
    for part in parts:
        before = joined[-1] if joined else None
        if isinstance(part, Text) and isinstance(before, Text):
            line_break = "\n" if isinstance(part, _Call) and before.text else ""
            joined[-1] = Text(before.text + line_break + part.text)
        else:
            joined.append(Text(part.text) if isinstance(part, Text) else part)
    return tuple(joined)


def _is_about_tools(message: Message) -> bool:
    return message.role == "tool" or any(
        isinstance(part, ToolCall | InvalidToolCall) for part in message.parts
    )


def _escaped(json_text: str) -> str:
    return json_text.replace(SIGN, f"\\u{ord(SIGN):04x}")
