"""What options of `ask` and `chat` say about each answer."""

from collections.abc import Sequence
from pathlib import Path

from pocketvl.cli.json_file import read_json
from pocketvl.runtime.chat.options import AnswerOptions
from pocketvl.runtime.errors import UsageError

_MAX_SCHEMA_BYTES = 1 << 20


def answer_options(
    max_tokens: int, stop: Sequence[str] | None, json_schema: Path | None, regex: str | None, lookup: bool
) -> AnswerOptions:
    """Raises UsageError for a file that holds no JSON schema."""
    schema = None
    if json_schema is not None:
        schema = read_json(json_schema, _MAX_SCHEMA_BYTES)
        if not isinstance(schema, (dict, bool)):
            raise UsageError(f"{json_schema} must hold an object, or true or false, as a JSON schema does.")
    return AnswerOptions(
        max_tokens=max_tokens, stop=stop or (), json_schema=schema, regex=regex, lookup=lookup
    )
