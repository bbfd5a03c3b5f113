"""Which KV slots serve a new prompt."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pocketvl.runtime.decoding.feed import text_feed
from pocketvl.runtime.decoding.kv_cache import KVCache
from pocketvl.runtime.decoding.prefix import Rebuild, Reuse, Slot, plan_prefill

GOLDEN = Path(__file__).parents[2] / "golden" / "prefix.json"
SLOTS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from([None, "a", "b"])), max_size=10)


def test_golden() -> None:
    for case in json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]:
        held, wanted = ([(token, key) for token, key in case[name]] for name in ("held", "wanted"))
        expected = Reuse(case["kept"]) if case["why"] is None else Rebuild(case["why"])
        assert plan_prefill(held, wanted) == expected, case["name"]


@given(SLOTS, SLOTS, SLOTS)
def test_what_is_kept_is_equal_and_a_token_is_left_to_feed(
    common: list[Slot], held: list[Slot], wanted: list[Slot]
) -> None:
    held, wanted = [*common, *held], [*common, *wanted]
    kept = plan_prefill(held, wanted).kept
    assert held[:kept] == wanted[:kept]
    assert kept == 0 or kept < len(wanted)
    more = kept + 1
    assert more >= len(wanted) or held[:more] != wanted[:more] or len(held) < more


def test_a_cache_plans_for_what_it_holds() -> None:
    cache, feed = KVCache(), text_feed([1, 2, 3], 0)
    assert cache.plan(feed) == Rebuild("nothing is held")
    cache.append(feed.token_ids, feed.media_keys, feed.positions)
    assert cache.plan(text_feed([1, 2, 4, 5], 0)) == Reuse(2)
