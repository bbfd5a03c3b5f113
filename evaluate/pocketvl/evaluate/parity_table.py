"""verify's checks as the Markdown that a model card shows."""

from collections.abc import Sequence

from pocketvl.evaluate.verify import Check, TaskScore


def parity_table(checks: Sequence[Check], scores: Sequence[TaskScore], against: str) -> str:
    """The worst value of each metric over its samples, then the share of right answers by task.

    against: the checkpoint, without this machine's folders.
    """
    lines = [
        f"Against {against} through transformers in float32; the worst of all samples.",
        "",
        "| component | metric | samples | worst | limit | |",
        "|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        groups.setdefault((check.component, check.metric), []).append(check)
    lines += [_row(component, metric, group) for (component, metric), group in groups.items()]
    if scores:
        lines += ["", "| task | examples | bundle | float32 |", "|---|---|---|---|"]
    lines += [f"| {s.task} | {s.examples} | {s.bundle:.1%} | {s.reference:.1%} |" for s in scores]
    return "\n".join(lines)


def _row(component: str, metric: str, group: Sequence[Check]) -> str:
    values = [check.value for check in group]
    first = group[0]
    worst = min(values) if first.at_least else max(values)
    limit = "" if first.limit is None else f"{'>=' if first.at_least else '<='} {first.limit:g}"
    mark = "" if first.limit is None else "ok" if all(check.passed for check in group) else "missed"
    return f"| {component} | {metric} | {len(group)} | {worst:.3g} | {limit} | {mark} |"
