"""Bits of single layers as few readable rules."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pocketvl.quant.recipe import Bits, Rule

_INDEX = re.compile(r"\.(\d+)\.")
_Numbered = tuple[str, str]  # what stands before and behind a layer's number


def merge_rules(bits: Mapping[str, Bits]) -> tuple[Rule, ...]:
    """Rules that give exactly these bits, layer -> bits, first match wins.

    Exceptions come first, neighbours with equal bits as one (text_decoder.layers.1[2-5].v_proj); then what
    most layers of a kind have (text_decoder.layers.*.v_proj); then what most of a component have.
    """
    components: dict[str, dict[str, Bits]] = {}
    for layer, chosen in bits.items():
        components.setdefault(layer.partition(".")[0], {})[layer] = chosen
    exceptions: list[Rule] = []
    kinds: list[Rule] = []
    rest: list[Rule] = []
    for name, layers in components.items():
        common = _most(list(layers.values()))
        for numbered, members in _kinds(layers).items():
            usual = _most(list(members.values()))
            exceptions += _exceptions(numbered, members, usual)
            if usual != common:
                kinds.append(Rule("{}*{}".format(*numbered), usual))
        exceptions += [
            Rule(layer, chosen)
            for layer, chosen in layers.items()
            if not _INDEX.search(layer) and chosen != common
        ]
        rest.append(Rule(name if list(layers) == [name] else f"{name}.*", common))
    return (*exceptions, *kinds, *rest)


def _kinds(layers: Mapping[str, Bits]) -> dict[_Numbered, dict[int, Bits]]:
    """Layers of a component that differ in their number alone."""
    kinds: dict[_Numbered, dict[int, Bits]] = {}
    for layer, chosen in layers.items():
        found = _INDEX.search(layer)
        if found:
            ends = layer[: found.start(1)], layer[found.end(1) :]
            kinds.setdefault(ends, {})[int(found[1])] = chosen
    return kinds


def _exceptions(numbered: _Numbered, members: Mapping[int, Bits], usual: Bits) -> Iterator[Rule]:
    before, behind = numbered
    for bits in dict.fromkeys(members.values()):
        if bits != usual:
            for pattern in number_patterns([number for number, own in members.items() if own == bits]):
                yield Rule(f"{before}{pattern}{behind}", bits)


def number_patterns(numbers: Sequence[int]) -> Iterator[str]:
    """Shell-style patterns that match exactly these numbers: 3, 10, 11, 12 -> "3", "1[0-2]"."""
    decades: dict[int, list[int]] = {}
    for number in sorted(numbers):
        decades.setdefault(number // 10, []).append(number % 10)
    for tens, digits in decades.items():
        yield f"{tens or ''}{_digits(digits)}"


def _digits(digits: Sequence[int]) -> str:
    if len(digits) == 1:
        return str(digits[0])
    if len(digits) > 2 and digits[-1] - digits[0] == len(digits) - 1:
        return f"[{digits[0]}-{digits[-1]}]"
    return f"[{''.join(map(str, digits))}]"


def _most(bits: Sequence[Bits]) -> Bits:
    """The commonest; of equally common ones the first."""
    return Counter(bits).most_common(1)[0][0]
