"""Integers of attributes that onnxruntime would take for others."""

from pocketvl.runtime.onnx.messages import members

# onnxruntime keeps most attributes as 32-bit integers, of which it cuts the rest off: 2**32 heads become 0,
# by which it divides.
_LOW, _HIGH = -(1 << 31), (1 << 31) - 1
_HEADS = ("num_heads", "kv_num_heads")


def check_attribute(content: memoryview) -> None:
    """Raises ValueError for an attribute, given by its bytes, whose integers should not reach onnxruntime."""
    name, single = "", 0
    for member, value in members("attribute", content):
        match member.name, value:
            case "name", str(text):
                name = text
            case "i", int(number):
                single = number
        if isinstance(value, int) and not _LOW <= value <= _HIGH:
            raise ValueError(f"an attribute is {value}, outside of {_LOW}..{_HIGH}")
    if name in _HEADS and single < 1:
        raise ValueError(f"the attribute {name} is {single}, but must be at least 1")
