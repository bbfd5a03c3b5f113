"""Writes texts and conversations with the ids that Python gives, for the Kotlin tests that compare many.

    python -m tests.kotlin.write_text_cases FOLDER OUT [--texts 50000] [--conversations 20000] [--seed 1]
    android_demo/jvm.sh test FullComparisonTest -D pocketvl.text.cases=OUT

FOLDER has tokenizer.json and, for conversations, chat_template.jinja. OUT becomes a folder with texts.jsonl,
conversations.jsonl and a copy of the tokenizer.
"""

import argparse
import json
import random
import shutil
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Library

from pocketvl.runtime.bundle.geometry import SpecialTokens
from pocketvl.runtime.text.messages import Message, parse_messages, with_thousandths
from pocketvl.runtime.text.prompt import PromptEncoder
from pocketvl.runtime.text.tokenizer import Tokenizer
from pocketvl.runtime.text.tools.format import in_tool_format
from pocketvl.runtime.text.tools.tool import tool_set
from tests.golden.texts import random_texts

TOOLS: list[dict[str, Any]] = [
    {
        "name": "tap",
        "description": "Tap ✿ the screen.",
        "parameters": {
            "type": "object",
            "properties": {"x": {"type": "number", "minimum": 0.5, "maximum": 1e-7}},
        },
    },
    {
        "name": "look",
        "parameters": {"type": "object", "properties": {"✿\n": {"enum": ["a", 1, 2.0, None, True]}}},
    },
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--texts", type=int, default=50_000)
    parser.add_argument("--conversations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    shutil.copy(options.folder / "tokenizer.json", options.out)
    library = Library.from_file(str(options.folder / "tokenizer.json"))
    special = [token.content for token in library.get_added_tokens_decoder().values()]
    texts = list(random_texts(options.seed, options.texts, special))
    marked = [library.encode(text, add_special_tokens=False).ids for text in texts]
    library.encode_special_tokens = True
    plain = [library.encode(text, add_special_tokens=False).ids for text in texts]
    with (options.out / "texts.jsonl").open("w", encoding="utf-8") as file:
        for text, ids, with_marks in zip(texts, plain, marked, strict=True):
            print(json.dumps({"text": text, "plain": ids, "marked": with_marks}), file=file)
    template = options.folder / "chat_template.jinja"
    if template.is_file():
        shutil.copy(template, options.out)
        with (options.out / "conversations.jsonl").open("w", encoding="utf-8") as file:
            for case in Conversations(options.folder, options.seed, texts).cases(options.conversations):
                print(json.dumps(case), file=file)


class Conversations:
    """Random conversations, their beginnings and how they go on."""

    def __init__(self, folder: Path, seed: int, texts: list[str]) -> None:
        self._source = random.Random(seed)
        self._texts = [text for text in texts if len(text) < 80]
        tokenizer = Tokenizer(folder / "tokenizer.json")
        names = ("image_pad", "video_pad", "vision_start", "vision_end", "im_end", "endoftext")
        ids = [tokenizer.token_id(f"<|{name}|>") or 0 for name in names]
        special = SpecialTokens(*ids[:4], eos=tuple(ids[4:]), im_end=ids[4])
        template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
        self._encoders = {
            numbered: PromptEncoder(tokenizer, special, template, add_vision_id=numbered)
            for numbered in (False, True)
        }
        self._complete = PromptEncoder(tokenizer, special, None)
        self.special = special

    def cases(self, count: int) -> Any:
        yield {"special": [*vars(self.special).values()]}
        for _ in range(count):
            yield self._case()

    def _case(self) -> dict[str, Any]:
        source = self._source
        tools = [] if source.random() < 0.6 else source.sample(TOOLS, source.randint(1, 2))
        parallel = source.random() < 0.5
        messages = self._messages(tools)
        numbered, answer_next = source.random() < 0.3, source.random() < 0.8
        known = tool_set(tools, parallel)
        parsed = _in_thousandths(messages)
        shaped = in_tool_format(parsed, known)
        counts = [source.randint(1, 5) for _ in range(_media(messages))]
        case = {
            "messages": messages,
            "tools": tools,
            "parallel": parallel,
            "add_vision_id": numbered,
            "answer_next": answer_next,
            "media_tokens": counts,
            "ids": self._encoders[numbered].encode(shaped, counts, answer_next),
        }
        if not tools and not any(message["role"] == "tool" for message in messages):
            case["completion"] = _tried(lambda: self._complete.encode(parsed, counts))
        cuts = [i for i, message in enumerate(messages) if i and message["role"] == "assistant"]
        if cuts:
            cut = source.choice(cuts) + 1
            history, new = parsed[:cut], parsed[cut:]
            later = counts[_media(messages[:cut]) :]
            case["cut"] = cut
            case["tail"] = self._encoders[numbered].encode_continuation(
                in_tool_format(history, known), in_tool_format(new, known, beginning=False), later
            )
        return case

    def _messages(self, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
        source = self._source
        messages: list[dict[str, Any]] = []
        if source.random() < 0.4:
            messages.append({"role": "system", "content": source.choice(self._texts)})
        for _ in range(source.choice((1, 1, 2, 3))):
            messages.append({"role": "user", "content": self._content(messages)})
            if source.random() < 0.6:
                messages += self._answer(tools)
        return messages

    def _answer(self, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
        source, text = self._source, self._source.choice(self._texts)
        if not tools or source.random() < 0.3:
            return [{"role": "assistant", "content": text}]
        calls = []
        for i in range(source.randint(1, 2)):
            raw = source.choice(('{"x": 1}', "", '{"x": "✿"} so', "no json ✿"))
            calls.append({"id": f"c{i}", "type": "function", "function": {"name": "tap", "arguments": raw}})
        first = {"role": "assistant", "content": source.choice((None, text)), "tool_calls": calls}
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": source.choice(self._texts)}
            for call in calls
        ]
        source.shuffle(results)
        replies = (
            [{"role": "assistant", "content": source.choice(self._texts)}] if source.random() < 0.8 else []
        )
        return [first, *results, *replies] if replies else [first]

    def _content(self, before: list[dict[str, Any]]) -> Any:
        source = self._source
        if source.random() < 0.4:
            return source.choice(self._texts)
        parts: list[dict[str, Any]] = []
        for _ in range(source.randint(1, 4)):
            kind = source.choice(("text", "text", "image", "video", "object_ref", "box", "quad", "pixels"))
            if kind in ("text", "object_ref"):
                parts.append({"type": kind, "text": source.choice(self._texts)})
            elif kind in ("image", "video"):
                parts.append({"type": kind, kind: "any"})
            elif kind == "pixels" and any(part["type"] == "image" for part in parts):
                parts.append({"type": "box", "pixels": [1, 2.5, source.randint(2, 56), 56]})
            elif kind == "quad":
                parts.append({"type": "quad", "quad": [source.randint(0, 1000) for _ in range(8)]})
            else:
                parts.append({"type": "box", "box": [1, 2.5, source.randint(2, 1000), 999.5]})
        return parts


def _in_thousandths(messages: list[dict[str, Any]]) -> tuple[Message, ...]:
    parsed = parse_messages(messages)
    images = sum(part.get("type") == "image" for message in messages for part in _parts(message))
    return with_thousandths(parsed, [(56, 56)] * images, 0)


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    return message["content"] if isinstance(message["content"], list) else []


def _media(messages: list[dict[str, Any]]) -> int:
    return sum(part["type"] in ("image", "video") for message in messages for part in _parts(message))


def _tried(encode: Any) -> Any:
    try:
        return encode()
    except Exception as error:
        return str(error)


if __name__ == "__main__":
    main()
