"""Goldens of KV slots: which of them serve a new prompt."""

from tests.golden.written import Json

Slots = list[list[int | str | None]]


def text(*ids: int) -> Slots:
    return [[token, None] for token in ids]


def image(key: str, count: int = 3) -> Slots:
    """Placeholders, which are equal for all images of one size."""
    return [[9, key]] * count


def prefix() -> Json:
    """By hand."""
    question = [*text(1, 2), *image("cat"), *text(3, 4)]
    answered = [*question, *text(5, 6)]
    cases: list[tuple[str, Slots, Slots, int, str | None]] = [
        ("the first question", [], question, 0, "nothing is held"),
        ("the next question", answered, [*answered, *text(7, 8)], 9, None),
        ("a stop token that is not held", answered, [*answered, *text(7)], 9, None),
        ("an edited question", answered, [*text(1, 2), *image("cat"), *text(3, 8)], 6, None),
        ("an answer made anew", answered, question, 6, None),
        ("the same prompt again", question, question, 6, None),
        ("another image of that size", answered, [*text(1, 2), *image("dog"), *text(3, 4)], 2, None),
        ("no image", answered, text(1, 2, 3, 4), 2, None),
        (
            "an image more",
            answered,
            [*text(1, 2), *image("cat"), *image("dog"), *text(3, 4)],
            5,
            None,
        ),
        ("prefill was cancelled within an image", question[:4], question, 4, None),
        ("a generated placeholder is no image", [*text(1, 2), *text(9, 9)], question, 2, None),
        ("another system turn", answered, [*text(7, 2), *image("cat"), *text(3, 4)], 0, "another beginning"),
        ("a single token, which is held", text(1, 2), text(1), 0, "a single token"),
        ("a single token, which is not held", text(1, 2), text(2), 0, "another beginning"),
    ]
    return {
        "about": "Slots are [token id, key of the image it belongs to]. kept: slots that stay; all after them"
        " are fed, the last token in any case. why: null where some stay.",
        "cases": [
            {"name": name, "held": held, "wanted": wanted, "kept": kept, "why": why}
            for name, held, wanted, kept, why in cases
        ],
    }
