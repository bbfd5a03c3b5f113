"""Edits of the embedding table and of what describes it, for manifest_checks.py beside this."""

from collections.abc import Iterator

from tests.golden.manifest_edits import BIG, TABLE, Check


def table_checks() -> Iterator[Check]:
    """Where embeddings are."""
    for name, value, refused in (
        (
            "storage",
            "int3",
            "storage 'int3' is none of float32, float16, int8, offset_int8, int4, signed_int4",
        ),
        ("storage", "float16", "a float table has no scales"),
        ("storage", "signed_int4", None),
        ("storage", "int8", None),
        ("scales_dtype", "float64", "scales_dtype 'float64' is none of float32, bfloat16, float16"),
        ("scales_dtype", "float16", None),
        ("scales_dtype", None, "an integer table needs scales_offset, scales_dtype and group_size"),
        (
            "scales_dtype",
            "float32",
            "ends its embedding table at byte 208 of text_decoder.pte, which has 150",
        ),
        ("scales_offset", None, "an integer table needs"),
        ("scales_offset", -1, "offsets must not be negative, rows and columns at least 1"),
        ("scales_offset", 0, None),
        ("scales_offset", 86, None),
        ("scales_offset", 87, "ends its embedding table at byte 151"),
        ("scales_offset", BIG - 1, "ends its embedding table at byte "),
        ("data_offset", 86, None),
        ("data_offset", 87, "ends its embedding table at byte 151"),
        ("data_offset", -1, "offsets must not be negative"),
        ("data_offset", BIG - 1, "ends its embedding table at byte "),
        ("data_offset", BIG, "data_offset must be an integer of at most 64 bits"),
        ("data_offset", -BIG, "data_offset must be an integer of at most 64 bits"),
        ("group_size", 8, None),
        ("group_size", 3, "group_size 3 does not divide 8 columns"),
        ("group_size", 16, "group_size 16 does not divide 8 columns"),
        ("group_size", 0, "group_size 0 does not divide 8 columns"),
        ("group_size", -4, "group_size -4 does not divide 8 columns"),
        ("rows", 15, "has an embedding table of 15 x 8, but the model needs 16 x 8"),
        ("rows", 0, "rows and columns at least 1"),
        ("columns", 0, "rows and columns at least 1"),
        ("columns", -8, "rows and columns at least 1"),
        ("columns", 16, "has an embedding table of 16 x 16, but the model needs 16 x 8"),
        ("file", "token_embedding.bin", "token_embedding.bin is used but not listed under files"),
        ("file", "", " is used but not listed under files"),
        ("file", "vision_encoder.pte", "of vision_encoder.pte, which has 30"),
    ):
        yield [*TABLE, name], value, refused
