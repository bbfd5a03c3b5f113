"""A conversation as a value: to fork it, keep a reference; to take a turn back, go to the one before."""

from dataclasses import dataclass, replace

from pocketvl.runtime.decoding.feed import EMPTY, Feed
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.text.grounding import Size
from pocketvl.runtime.text.messages import Message
from pocketvl.runtime.text.tools.tool import NO_TOOLS, AnyToolCall, ToolSet


@dataclass(frozen=True)
class Conversation:
    """Messages, and all tokens that they became, the images' embeddings among them.

    feed: without the stop token of the last answer, which the next turn writes as its template does.
    image_sizes: height and width in pixels of all images, as they were given.
    before: the conversation without its last question and answer; None at the start.
    answer_start: the slot of feed where its last answer begins; 0 at the start.
    tools: those that its system turn describes.
    """

    messages: tuple[Message, ...] = ()
    feed: Feed = EMPTY
    image_sizes: tuple[Size, ...] = ()
    before: "Conversation | None" = None
    answer_start: int = 0
    tools: ToolSet = NO_TOOLS

    def with_tools(self, tools: ToolSet | None) -> "Conversation":
        """For a turn that names these, or None to go on as before. Raises UsageError where it is too late."""
        if tools is None or tools == self.tools:
            return self
        if len(self.feed):
            raise UsageError(
                "The tools are part of a conversation's beginning and cannot change in it; give the same"
                " ones, reset() first, or pass the whole conversation as messages."
            )
        return replace(self, tools=tools)

    @property
    def open_calls(self) -> tuple[AnyToolCall, ...]:
        """Those of the last answer, whose results may come next."""
        return self.messages[-1].calls if self.messages else ()
