"""Messages to token ids: the bundle's chat template, with images as runs of placeholder tokens.

What a user writes never becomes a special token. Before rendering, each character that could begin
one is replaced in the messages' text by a stand-in, a character that occurs nowhere else; the rendered
text is searched for special tokens; then the stand-ins are turned back, and what looked like
<|im_start|> is encoded as the ordinary text it is. Nothing is refused, and ordinary text gets exactly
the ids that encoding the rendered template as a whole gives.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from pocketvl.runtime.bundle.geometry import SpecialTokens
from pocketvl.runtime.errors import PromptError
from pocketvl.runtime.text.grounding import Shape, markup
from pocketvl.runtime.text.messages import (
    GoesOn,
    ImagePart,
    Media,
    Message,
    ObjectRef,
    Part,
    Text,
    VideoPart,
    media_of,
)
from pocketvl.runtime.text.template import ChatTemplate
from pocketvl.runtime.text.tokenizer import Tokenizer
from pocketvl.runtime.text.tools.tool import InvalidToolCall, ToolCall


class PromptEncoder:
    """Encodes conversations for one bundle.

    Without a template (a base model) a prompt is a completion: texts and images one after the other,
    roles without a meaning. `media_tokens` is, for each image or clip in order, its number of tokens.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        special: SpecialTokens,
        template: str | None,
        *,
        add_vision_id: bool = False,
    ) -> None:
        """`add_vision_id` numbers the images as "Picture 1: ", if the template knows how.

        Raises PromptError if the template cannot be used, see template.py, or does not know how.
        """
        self._tokenizer = tokenizer
        self._special = special
        self._source = template or ""
        self._template = None if template is None else ChatTemplate(template)
        self._vision_id = {"add_vision_id": True} if add_vision_id else {}
        if add_vision_id and (self._template is None or "add_vision_id" not in self._template.variables):
            raise PromptError("This bundle's chat template cannot number images; leave out add_vision_id.")

    def encode(
        self, messages: Sequence[Message], media_tokens: Sequence[int], answer_next: bool = True
    ) -> list[int]:
        """Ids of a whole conversation; `answer_next` opens the assistant's turn at the end.

        An assistant's message that GoesOn is left open instead.

        Shapes must be in thousandths. Raises PromptError, also where nothing is left to answer.
        """
        self._check_markup(messages)
        if self._template is None:
            return self._complete(messages, media_tokens)
        plain = _StandIns(self._tokenizer, messages, self._source)
        open_end = _goes_on(messages)
        rendered = self._render(plain.messages(messages), answer_next and not open_end)
        if open_end:
            rendered = self._up_to(plain.goes_on, rendered)
        ids = self._tokenizer.encode_template(rendered, plain.originals)
        return self._expand(ids, media_of(messages), media_tokens)

    def encode_continuation(
        self, history: Sequence[Message], new: Sequence[Message], media_tokens: Sequence[int]
    ) -> list[int]:
        """Ids that follow the last answer's own ids when `new` is appended to `history`.

        `history` ends with that answer, whose text and ids stand in the KV cache already without the
        token that closed it: the ids returned begin with closing it and end with opening the next
        answer. They are the tail of encode(history + new). A message of the assistant as the first of `new`
        goes on in that answer's turn. `media_tokens` is for `new` alone. Raises PromptError if history does
        not end with an answer, or if the template rewrites earlier turns.
        """
        if not history or history[-1].role != "assistant":
            raise PromptError("A conversation continues after an answer; start with the whole of it instead.")
        self._check_markup(new)
        if self._template is None:
            return self._complete(new, media_tokens)
        plain = _StandIns(self._tokenizer, [*history, *new], self._source)
        before = plain.messages(history[:-1])
        answer, following = plain.answer_and(new)
        open_end = _goes_on(new)
        rendered = self._render([*before, answer, *following], answer_next=not open_end)
        head, mark, tail = rendered.partition(plain.answer)
        if not mark or plain.answer in tail or head != self._render(before, answer_next=True):
            raise PromptError(
                "The chat template writes earlier turns differently once a new one follows;"
                " encode the whole conversation again."
            )
        if open_end:
            tail = self._up_to(plain.goes_on, tail)
        ids = self._tokenizer.encode_template(tail, plain.originals)
        return self._expand(ids, media_of(new), media_tokens)

    def _up_to(self, mark: str, rendered: str) -> str:
        head, found, _ = rendered.partition(mark)
        if not found:
            raise PromptError(
                "The chat template leaves out the end of the assistant's turn, which must go on after a"
                " tool's result; check the bundle's chat_template.jinja."
            )
        return head

    def _render(self, messages: list[dict[str, Any]], answer_next: bool) -> str:
        assert self._template is not None
        return self._template.render(messages, add_generation_prompt=answer_next, **self._vision_id)

    def _complete(self, messages: Sequence[Message], media_tokens: Sequence[int]) -> list[int]:
        """Neighbouring texts are encoded as one, as a single string would be."""
        ids: list[int] = []
        parts = [part for message in messages for part in message.parts]
        for is_text, group in itertools.groupby(parts, lambda part: isinstance(part, Text)):
            if is_text:
                ids += self._tokenizer.encode_text("".join(p.text for p in group if isinstance(p, Text)))
                continue
            for part in group:
                ids += self._part_ids(part)
        return self._expand(ids, media_of(messages), media_tokens)

    def _part_ids(self, part: Part) -> list[int]:
        if isinstance(part, GoesOn | ToolCall | InvalidToolCall):
            raise PromptError("A model without a chat template calls no tools; leave out calls and results.")
        if isinstance(part, ImagePart | VideoPart):
            pad = self._special.image_pad if isinstance(part, ImagePart) else self._special.video_pad
            return [self._special.vision_start, pad, self._special.vision_end]
        if isinstance(part, Shape):
            return self._tokenizer.encode_template(_marked(part.kind, markup(part)))
        start, end = (self._tokenizer.encode_template(mark) for mark in _marks("object_ref"))
        return [*start, *self._tokenizer.encode_text(part.text), *end]

    def _check_markup(self, messages: Sequence[Message]) -> None:
        for part in (part for message in messages for part in message.parts):
            if isinstance(part, ObjectRef | Shape):
                for mark in _marks(part.kind if isinstance(part, Shape) else "object_ref"):
                    if self._tokenizer.token_id(mark) is None:
                        raise PromptError(f"This bundle's tokenizer has no {mark}; say it in plain text.")

    def _expand(self, ids: list[int], media: Sequence[Media], media_tokens: Sequence[int]) -> list[int]:
        """Each image's single placeholder becomes as many as it has tokens."""
        if len(media) != len(media_tokens):
            raise PromptError(
                f"The messages hold {len(media)} images and videos, but sizes were given for"
                f" {len(media_tokens)}; give one for each."
            )
        if not ids:
            raise PromptError(
                "These messages make an empty prompt, to which there is no answer; say something, or check"
                " chat_template.jinja."
            )
        pads = (self._special.image_pad, self._special.video_pad)
        found = [index for index in ids if index in pads]
        wanted = [pads[isinstance(item, VideoPart)] for item in media]
        if found != wanted:
            raise PromptError(
                f"The chat template wrote {len(found)} image placeholders for {len(wanted)} images and"
                " videos, or in another order; check chat_template.jinja."
            )
        counts = iter(media_tokens)
        expanded: list[int] = []
        for index in ids:
            expanded += [index] * next(counts) if index in pads else [index]
        return expanded


class _StandIns:
    """Characters that stand in for those with which special tokens begin, and one for the answer."""

    def __init__(self, tokenizer: Tokenizer, messages: Sequence[Message], template: str) -> None:
        parts = [part for message in messages for part in message.parts]
        texts = [part.text for part in parts if isinstance(part, Text | ObjectRef)]
        unused = _unused_characters({*template}.union(*texts))
        self.answer, self.goes_on = next(unused), next(unused)
        originals = sorted(tokenizer.first_characters)
        self._table = str.maketrans({char: next(unused) for char in originals})
        self.originals = dict(zip(self._table.values(), originals, strict=True))

    def messages(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """What the template sees: content is a string where a message is one text, else a list of parts."""
        return [{"role": message.role, "content": self._content(message)} for message in messages]

    def answer_and(self, new: Sequence[Message]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The answer's message, with what goes on in its turn, and the messages after it."""
        answer = Message("assistant", (Text(""),))
        if new and new[0].role == "assistant":
            answer, new = new[0], new[1:]
        content = self._content(answer)
        if isinstance(content, str):
            content = self.answer + content
        else:
            content = [{"type": "text", "text": self.answer}, *content]
        return {"role": "assistant", "content": content}, self.messages(new)

    def _content(self, message: Message) -> str | list[dict[str, str]]:
        match message.parts:
            case (Text(text),):
                return text.translate(self._table)
            case (Text(text), GoesOn()):
                return text.translate(self._table) + self.goes_on
        return [self._part(part) for part in message.parts]

    def _part(self, part: Part) -> dict[str, str]:
        if isinstance(part, Text):
            return {"type": "text", "text": part.text.translate(self._table)}
        if isinstance(part, ObjectRef):
            return {"type": "text", "text": _marked("object_ref", part.text.translate(self._table))}
        if isinstance(part, Shape):
            return {"type": "text", "text": _marked(part.kind, markup(part))}
        if isinstance(part, GoesOn):
            return {"type": "text", "text": self.goes_on}
        assert isinstance(part, ImagePart | VideoPart)  # calls of tools are text by now
        return {"type": "image" if isinstance(part, ImagePart) else "video"}


def _goes_on(messages: Sequence[Message]) -> bool:
    return bool(messages) and messages[-1].parts[-1:] == (GoesOn(),)


def _marks(kind: str) -> tuple[str, str]:
    return f"<|{kind}_start|>", f"<|{kind}_end|>"


def _marked(kind: str, text: str) -> str:
    start, end = _marks(kind)
    return f"{start}{text}{end}"


def _unused_characters(used: set[str]) -> Iterator[str]:
    """Noncharacters, then private ones, that occur nowhere in the conversation."""
    for code in itertools.chain(range(0xFDD0, 0xFDF0), range(0xF0000, 0xFFFFE)):
        if chr(code) not in used:
            yield chr(code)
    raise PromptError("The messages use every private character of Unicode; leave some of them out.")
