"""How many letters two texts differ by."""


def levenshtein(one: str, other: str) -> int:
    """Fewest insertions, deletions and substitutions of characters that turn one text into the other.

    Levenshtein 1966, by Wagner and Fischer's table (J. ACM 21, 1974), of which one row is kept.
    """
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, start=1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(other, start=1):
            substituted = diagonal + (left != right)
            diagonal = row[j]
            row[j] = min(substituted, row[j] + 1, row[j - 1] + 1)
    return row[-1]
