"""Whether a checkpoint's chat template works in a bundle: asked of the runtime itself, before any work."""

from collections.abc import Mapping, Sequence
from typing import Any

from pocketvl.export.checkpoint.checkpoint import Checkpoint
from pocketvl.runtime.errors import CheckpointError, PocketVLError
from pocketvl.runtime.text.messages import media_of, parse_messages
from pocketvl.runtime.text.prompt import PromptEncoder
from pocketvl.runtime.text.tokenizer import Tokenizer

_SYSTEM = {"role": "system", "content": "Answer briefly."}
_QUESTION = {"role": "user", "content": "What is this?"}
_WITH_IMAGE = {
    "role": "user",
    "content": [{"type": "image", "image": "image.png"}, {"type": "text", "text": "What is this?"}],
}
_ANSWER = {"role": "assistant", "content": "A circle."}


def check_chat_template(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Writes a question, one about an image, a system turn and a second question.

    Returns notes about those of the latter two that cannot be written. Raises CheckpointError where one of
    the questions cannot: the template fails, or is beyond what the runtime takes (see its text/template.py).
    """
    if not checkpoint.chat:
        return ()
    try:
        tokenizer = Tokenizer(checkpoint.tokenizer_file)
        tokenizer.check(checkpoint.special_tokens, checkpoint.geometry.text.vocab_size)
        prompts = PromptEncoder(tokenizer, checkpoint.special_tokens, checkpoint.chat_template)
        for messages in ([_QUESTION], [_WITH_IMAGE]):
            _encode(prompts, messages)
    except PocketVLError as error:
        raise CheckpointError(
            f"With the tokenizer and chat template of {checkpoint.name} no question could be asked: {error}"
            " Put a working one into the checkpoint's folder and export again."
        ) from None
    notes = []
    try:
        _encode(prompts, [_SYSTEM, _WITH_IMAGE])
    except PocketVLError as error:
        notes.append(f"The bundle will take no system turn: {error}")
    try:
        prompts.encode_continuation(parse_messages([_QUESTION, _ANSWER]), parse_messages([_QUESTION]), ())
    except PocketVLError as error:
        notes.append(f"The bundle will take no second question in a conversation: {error}")
    return tuple(notes)


def _encode(prompts: PromptEncoder, messages: Sequence[Mapping[str, Any]]) -> None:
    parsed = parse_messages(messages)
    prompts.encode(parsed, [4] * len(media_of(parsed)))
