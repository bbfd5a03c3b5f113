"""A golden of a saved conversation: the file as Python and as Kotlin write it, put together by hand."""

import base64
import hashlib
import json
import struct
from typing import Any

from tests.golden.positions import by_rule
from tests.golden.written import SPECIAL, Json

# Ids of the tiny checkpoint.
_START, _END, _VISION_START, _VISION_END, _IMAGE, _VIDEO = 1011, 1012, 1019, 1020, 1022, 1023
_HIDDEN, _VOCABULARY, _MAX_CONTEXT, _CACHED = 16, 1024, 320, 5
_DATA_TYPES = {"I64": "q", "F32": "f", "F16": "e", "U8": "B"}

Tensor = tuple[str, list[int], list[Any]]


def saved_chat() -> Json:
    files = {
        name: hashlib.sha256(name.encode()).hexdigest()
        for name in ("chat_template.jinja", "text_decoder.pte", "tokenizer.json", "vision_encoder.pte")
    }
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    images = {"a" * 64: (1, 4, 4), "b" * 64: (2, 4, 4)}
    image, video = [_IMAGE] * 4, [_VIDEO] * 8
    first = [_START, 70, 71, _END, 198, _START, 72, _VISION_START, *image, _VISION_END, 73, 74, _END, 198]
    said = [75, _IMAGE, 76]  # a placeholder that the model generated
    second = [_END, _START, _VISION_START, *image, _VISION_END, 77, _VISION_START, *video, _VISION_END, 78]
    ids = [*first, *said, *second, 79, 80, 198, 81, 82, 83]
    of_slots = [-1] * len(ids)
    start = len(first) + len(said)
    for number, begin, count in (0, 8, 4), (1, start + 3, 4), (2, start + 10, 8):
        of_slots[begin : begin + count] = [number] * count
    grids = [images["a" * 64], images["a" * 64], images["b" * 64]]
    # In by_rule's ids a block counts, and what the model generated does not.
    seen = [SPECIAL["image_pad"] if number >= 0 else 1 for number in of_slots]
    positions = by_rule(seen, grids, 0)
    tool = {
        "name": "tap",
        "description": "Tap the screen – größer.",
        "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
    }
    conversation: Json = {
        "version": 1,
        "bundle": hashlib.sha256(lines.encode()).hexdigest(),
        "target": "executorch",
        "options": {
            "min_pixels": None, "max_pixels": 7056, "add_vision_id": False, "stop_repetition": True,
        },
        "messages": _messages(),
        "tools": [tool],
        "parallel_tool_calls": True,
        "turns": [
            _turn(1, 0, 0, 0),
            _turn(3, start, 1, len(first)),
            _turn(5, start + len(second) + 2, 2, start + len(second)),
            _turn(8, len(ids), 2, len(ids) - 3),
        ],
        "image_sizes": [[56, 60], [112, 120]],
        "images": [{"key": key, "grid": list(grid)} for key, grid in images.items()],
        "media": [0, 0, 1],
        "cached_slots": _CACHED,
    }  # fmt: skip
    tensors: dict[str, Tensor] = {
        "token_ids": ("I64", [len(ids)], ids),
        "media": ("I64", [len(ids)], of_slots),
        "positions": ("I64", [3, len(ids)], [each for axis in positions for each in axis]),
        "embeddings.0": ("F32", [4, _HIDDEN], [number / 8 for number in range(4 * _HIDDEN)]),
        "embeddings.1": ("F32", [8, _HIDDEN], [-number / 8 for number in range(8 * _HIDDEN)]),
        "cache.keys": ("F16", [1, _CACHED, 2], [number / 2 for number in range(2 * _CACHED)]),
        "cache.values": ("F32", [_CACHED, 1], [-1.5, 0.0, 1e-30, 3e38, 7.0]),
    }
    return {
        "about": "A saved conversation as each language writes it: the bytes differ in how JSON is written,"
        " what they say does not. Both are read in every language. manifest: what the bundle's must have."
        " expected: what is read.",
        "manifest": {
            "files": files,
            "target": "executorch",
            "hidden_size": _HIDDEN,
            "vocab_size": _VOCABULARY,
            "max_context": _MAX_CONTEXT,
            "special_tokens": {
                "image_pad": _IMAGE, "video_pad": _VIDEO, "vision_start": _VISION_START,
                "vision_end": _VISION_END, "im_end": _END,
            },
        },
        "expected": {
            "content_sha256": conversation["bundle"], "messages": conversation["messages"],
            "turns": conversation["turns"], "token_ids": ids, "media": [0, 0, 1], "positions": positions,
            "next_position": max(map(max, positions)) + 1, "cached_slots": _CACHED,
        },
        "python": _file(conversation, tensors, compact=False),
        "kotlin": _file(conversation, tensors, compact=True),
    }  # fmt: skip


def _turn(messages: int, slots: int, image_sizes: int, answer_start: int) -> Json:
    return {
        "messages": messages,
        "slots": slots,
        "image_sizes": image_sizes,
        "answer_start": answer_start,
    }


def _messages() -> list[Json]:
    def part(type: str, **other: Any) -> Json:
        return {"type": type, "text": None, "numbers": None, "call": None} | other

    def text(said: str) -> Json:
        return part("text", text=said)

    def call(id: str, name: str, raw: str, arguments: Any = None, reason: str | None = None) -> Json:
        value = {"id": id, "name": name, "raw": raw, "arguments": arguments, "reason": reason}
        return part("tool_call", call=value)

    box = part("box", numbers=[100.0, 500.0, 500.0, 1000.0])
    quad = part("quad", numbers=[0.0, 0.0, 1000.0, 0.0, 1000.0, 999.5, 0.0, 1000.0])
    reason = "There is no tool 'fly'; known are tap."
    turns = [
        ("system", [text("Be brief.")]),
        ("user", [part("image"), text('What? 日本 🙂 "quoted"\n\u2028/')]),
        ("assistant", [text("A cat")]),
        ("user", [part("image"), box, quad, part("object_ref", text="sign"), part("video"), text("?")]),
        ("assistant", [text("Look:"), call("call_0", "tap", '{"x":1, "y": [1.5, true, null]}',
                                            {"x": 1, "y": [1.5, True, None]}),
                       call("call_1", "fly", "{", None, reason)]),
        ("tool", [text("done")]),
        ("tool", [text("Error: no")]),
        ("assistant", [text("Done.")]),
    ]  # fmt: skip
    return [{"role": role, "parts": parts} for role, parts in turns]


def _file(conversation: Json, tensors: dict[str, Tensor], *, compact: bool) -> str:
    """Base64. compact: without spaces and with characters as they are, as Kotlin writes JSON."""

    def dumped(value: Any) -> str:
        if not compact:
            return json.dumps(value)
        written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return written.replace("\u2028", "\\u2028")

    def stored(message: Json) -> Json:
        parts = []
        for part in message["parts"]:
            call = part["call"]
            given = call is not None and call["arguments"] is not None
            own = {"call": call | {"arguments": dumped(call["arguments"])}} if given else {}
            parts.append(part | own)
        return message | {"parts": parts}

    saved = conversation | {
        "messages": [stored(message) for message in conversation["messages"]],
        "tools": dumped(conversation["tools"]),
    }
    header: Json = {"__metadata__": {"conversation": dumped(saved)}}
    data = b""
    for name, (dtype, shape, values) in tensors.items():
        begin = len(data)
        data += struct.pack(f"<{len(values)}{_DATA_TYPES[dtype]}", *values)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, len(data)]}
    header["sha256"] = {"dtype": "U8", "shape": [32], "data_offsets": [len(data), len(data) + 32]}
    encoded = dumped(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    whole = struct.pack("<Q", len(encoded)) + encoded + data
    return base64.b64encode(whole + hashlib.sha256(whole).digest()).decode()
