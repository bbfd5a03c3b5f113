"""Chat templates that would take all time or memory end with a sentence, in bounded time and memory."""

import threading
import time
import tracemalloc
from typing import Any

import pytest

from pocketvl.runtime.errors import PromptError
from pocketvl.runtime.text.template import ChatTemplate

MESSAGES = [{"role": "user", "content": "Hello"}]
NAMESPACE = "{% set n = namespace(x='a') %}{% for i in range(99) %}"
LONG = "{% set long = 'ab' * 100000 %}"

TOO_MUCH = {
    "wide text": "{{ 'a'.ljust(5000000000) }}",
    "wide text by a filter": "{{ 'a' | center(5000000000) }}",
    "a method by name": "{{ ('a' | attr('ljust'))(5000000000) }}",
    "a filter by name": "{{ ['a'] | map('center', 5000000000) | list }}",
    "a filter's block": "{% filter center(5000000000) %}a{% endfilter %}",
    "a format": "{{ '{:5000000000}'.format(1) }}",
    "a percent format": "{{ '%5000000000d' % 1 }}",
    "repeated text": "{{ 5000000000 * 'a' }}",
    "a repeated list": "{{ [1] * 5000000000 }}",
    "a power": "{{ 9 ** 9 ** 9 }}",
    "large numbers": NAMESPACE + "{% set n.y = (n.y or 9) * (n.y or 9) %}{% endfor %}",
    "chains of replace": "{% set x = 'a' * 1000 %}{{ x.replace('a', x).replace('a', x) }}",
    "replace between characters": LONG + "{{ long | replace('', long) }}",
    "join": LONG + "{{ long.join(long) }}",
    "defaults": LONG + "{{ range(99999) | map(attribute='x', default=long) | join }}",
    "doubled text": NAMESPACE + "{% set n.x = n.x ~ n.x %}{% endfor %}",
    "added text": NAMESPACE + "{% set n.x = n.x + n.x %}{% endfor %}",
    "doubled lists": NAMESPACE + "{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
    "doubled objects": NAMESPACE + "{% set n.x = {'a': n.x, 'b': n.x} %}{% endfor %}{{ n.x | tojson }}",
    "doubled namespaces": NAMESPACE
    + "{% set m = namespace() %}{% set m.a = n.x %}{% set m.b = n.x %}{% set n.x = m %}{% endfor %}{{ n.x }}",
    "doubled blocks": "{% set x = 'a' * 99999 %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 30,
    "a long block": "{% set x %}{% for i in range(99999) %}" + "a" * 9999 + "{% endfor %}{% endset %}",
    "slices": LONG + "{% for i in range(99999) %}{% set x = long[1:] %}{% endfor %}",
    "nested filters": "{% for i in range(99999) %}{{ range(99999) | select | first }}{% endfor %}",
    "stripped characters": LONG + "{{ long.strip(long) }}",
    "recursion without end": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "exponential recursion": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
    "{{ f(99) }}",
    "nested ifs": "{% if 1 %}" * 2000 + "{% endif %}" * 2000,
    "nested loops in the source": "{% for i in [1] %}" * 30 + "{% endfor %}" * 30,
    "parentheses": "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "filters without end": "{{ 'a'" + "|trim" * 5000 + " }}",
    "a long number": "{{ " + "9" * 9999 + " }}",
    "a long template": "a" * 100_000,
    "an indent": "{{ messages | tojson(indent=5000000000) }}",
    "a file": "{% include 'secret' %}",
}


class OutOfMemory:
    """An error without a message."""

    def __str__(self) -> str:
        raise MemoryError


@pytest.mark.parametrize("name", list(TOO_MUCH))
def test_a_template_that_takes_too_much_is_refused(name: str) -> None:
    tracemalloc.start()
    began = time.thread_time()
    try:
        with pytest.raises(PromptError, match=r"The chat template .*\.$"):
            ChatTemplate(TOO_MUCH[name]).render(MESSAGES, add_generation_prompt=True)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()
    assert time.thread_time() - began < 10  # measuring memory slows it down several times


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(PromptError, match=r"not valid \(line 2: No filter named 'center'\)"):
        ChatTemplate("\n{{ 'a' | center }}")
    with pytest.raises(PromptError, match=r"calls ljust\(\)"):
        ChatTemplate(TOO_MUCH["wide text"]).render(MESSAGES)
    with pytest.raises(PromptError, match="nested too deeply"):
        ChatTemplate(TOO_MUCH["parentheses"])
    with pytest.raises(PromptError, match="takes more than 1 s"):
        ChatTemplate("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}").render(
            MESSAGES
        )
    with pytest.raises(PromptError, match=r"fails on these messages \(MemoryError\)"):
        ChatTemplate("{{ x }}").render(MESSAGES, x=OutOfMemory())
    with pytest.raises(PromptError, match="refuses these messages: 'foo' is undefined"):
        ChatTemplate("{{ foo() }}").render(MESSAGES)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "{% for m in messages[:1] if m.role == 'user' %}{{ loop.index ~ m['content'] }}{% endfor %}",
            "1Hello",
        ),
        ("{% for x in 'abc' %}{{ loop.revindex }}{{ loop.cycle('x', 'y') }}{% endfor %}", "3x2y1x"),
        ("{% macro f(x) %}<{{ x }}{{ caller() }}>{% endmacro %}{% call f(1) %}!{% endcall %}", "<1!>"),
        (
            "{% set n = namespace(a=0) %}{% for i in range(3) %}{% set n.a = n.a + i %}{% endfor %}{{ n.a }}",
            "3",
        ),
        ("{{ ' a-b '.strip().split('-') | join(', ') | upper }}{{ '=' * 3 }}", "A, B==="),
        ("{{ {'a': [1, 'é']} | tojson }}{{ {'a': 1} | tojson(indent=2) }}", '{"a": [1, "é"]}{\n  "a": 1\n}'),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}{{ none }}{{ nothing }}", "a1None"),
        ("{{ messages | map(attribute='role') | list | length }}{{ [2, 1] | sort | first }}", "11"),
        ("{{ 'x' if messages is defined and 'ell' in messages[0].content else 'y' }}", "x"),
        ("{{ 'a' | center(5000000000) if 0 else 1 }}", "1"),
        ("{% set t %}{{ messages[0].content | replace('l', 'L') }}{% endset %}{{ t[-3:] }}", "LLo"),
    ],
)
def test_what_chat_templates_use_works(source: str, expected: str) -> None:
    assert ChatTemplate(source).render(MESSAGES) == expected


def test_long_conversations_may_be_long() -> None:
    messages = [{"role": "user", "content": f"{i} " + "words " * 2000} for i in range(200)]
    source = "{% for m in messages %}{{ m.role + ': ' + m.content | trim + '\n' }}{% endfor %}"
    assert len(ChatTemplate(source).render(messages)) > 2_000_000


def test_threads_share_a_template_but_not_its_bounds() -> None:
    template = ChatTemplate("{{ 'a' * count }}")
    results: list[Any] = []

    def render(count: int) -> None:
        try:
            results.append(len(template.render(MESSAGES, count=count)))
        except PromptError:
            results.append("refused")

    threads = [threading.Thread(target=render, args=(count,)) for count in (200_000,) * 4 + (5_000_000,)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results)) == ["200000"] * 4 + ["refused"]
