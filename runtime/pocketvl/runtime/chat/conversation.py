"""A conversation as a value: to fork it, keep a reference; to take a turn back, go to the one before."""

from dataclasses import dataclass

from pocketvl.runtime.decoding.feed import EMPTY, Feed
from pocketvl.runtime.text.grounding import Size
from pocketvl.runtime.text.messages import Message


@dataclass(frozen=True)
class Conversation:
    """Messages, and all tokens that they became, the images' embeddings among them.

    feed: without the stop token of the last answer, which the next turn writes as its template does.
    image_sizes: height and width in pixels of all images, as they were given.
    before: the conversation without its last question and answer; None at the start.
    answer_start: the slot of feed where its last answer begins; 0 at the start.
    """

    messages: tuple[Message, ...] = ()
    feed: Feed = EMPTY
    image_sizes: tuple[Size, ...] = ()
    before: "Conversation | None" = None
    answer_start: int = 0
