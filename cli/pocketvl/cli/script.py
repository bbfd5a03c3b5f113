"""A script for `pocketvl ask`: JSON with turns or a whole conversation, see docs/scripts.md."""

from pathlib import Path
from typing import Any

from pocketvl.cli.json_file import read_json
from pocketvl.runtime.chat.options import Content
from pocketvl.runtime.errors import PromptError, UsageError
from pocketvl.runtime.text.messages import are_results, is_conversation
from pocketvl.runtime.text.tools.tool import ToolSet, tool_set

MAX_SCRIPT_BYTES = 64 << 20  # images as data: URLs take their size and a third
_PATH_CHARACTERS = 4096


def read_script(path: Path) -> list[Content]:
    """What to ask, one after the other. Raises UsageError for a file that is no script, else PromptError."""
    value = read_json(path, MAX_SCRIPT_BYTES)
    if isinstance(value, dict):
        if set(value) != {"messages"}:
            raise UsageError(
                f"{path} must be a list of turns or messages, or an object with 'messages' alone."
            )
        value = value["messages"]
        if not is_conversation(value):
            raise UsageError(f"'messages' of {path} must be a list of objects with a role and content.")
    if not isinstance(value, list) or not value:
        raise UsageError(f"{path} must hold a list with at least one user turn.")
    if is_conversation(value):
        return [[_beside_in_message(message, path.parent) for message in value]]
    for index, turn in enumerate(value):
        if not isinstance(turn, (str, list)):
            raise PromptError(
                f"Turn {index} of {path} must be a text or a list of parts, not {type(turn).__name__}."
            )
        if is_conversation(turn) and not are_results(turn):
            raise PromptError(f"Turn {index} of {path} is a list of messages; a script holds one such list.")
    return [_beside_in_turn(turn, path.parent) for turn in value]


def read_tools(path: Path) -> ToolSet:
    """A JSON list of tools in OpenAI's shape, or an object with it as 'tools' alone. Raises UsageError."""
    value = read_json(path, MAX_SCRIPT_BYTES)
    if isinstance(value, dict) and set(value) == {"tools"}:
        value = value["tools"]
    if not isinstance(value, list) or not value:
        raise UsageError(f'{path} must hold a list of tools, [{{"type": "function", "function": {{...}}}}].')
    try:
        return tool_set(value)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _beside_in_turn(turn: Any, folder: Path) -> Any:
    if isinstance(turn, str):
        return turn
    if is_conversation(turn):
        return [_beside_in_message(message, folder) for message in turn]
    return _beside_in_parts(turn, folder)


def _beside_in_message(message: Any, folder: Path) -> Any:
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    return {**message, "content": _beside_in_parts(message["content"], folder)}


def _beside_in_parts(parts: list[Any], folder: Path) -> list[Any]:
    return [_beside_in_part(part, folder) for part in parts]


def _beside_in_part(part: Any, folder: Path) -> Any:
    if not isinstance(part, dict):
        return part
    changed = dict(part)
    for key in ("image", "url", "image_url"):
        value = part.get(key)
        if isinstance(value, str):
            changed[key] = _beside(value, folder)
        elif isinstance(value, dict) and isinstance(value.get("url"), str):
            changed[key] = {**value, "url": _beside(value["url"], folder)}
    video = part.get("video")
    if isinstance(video, str):
        changed["video"] = _beside(video, folder)
    elif isinstance(video, list):
        changed["video"] = [_beside(frame, folder) if isinstance(frame, str) else frame for frame in video]
    return changed


def _beside(name: str, folder: Path) -> str | Path:
    """A path is looked up from here first, as a shell user means it, then beside the script."""
    if ":" in name[:8] or len(name) > _PATH_CHARACTERS:
        return name
    try:
        if not Path(name).exists() and (folder / name).exists():
            return folder / name
    except (OSError, ValueError):  # no path at all
        pass
    return name
