"""What `pocketvl export --dry-run` says: sizes, memory and time of exports that could begin."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from rich.markup import escape
from rich.table import Table

from pocketvl.cli.console import clock, megabytes, note, out, print_json

if TYPE_CHECKING:
    from pocketvl.export.pipeline import ExportJob


def dry_run(jobs: Mapping[Path, "ExportJob"], *, as_json: bool) -> None:
    """jobs: by the folder that each bundle would go to; the first calibrates for all. Raises SpaceError and
    CalibrationError as the export would."""
    facts = []
    for number, (folder, job) in enumerate(jobs.items()):
        facts.append(_facts(folder, job, calibrates=number == 0))
    if as_json:
        print_json(facts)
        return
    for sentence in dict.fromkeys(said for each in facts for said in each["notes"]):  # once for all targets
        note(sentence)
    for each in facts:
        _print(each)


def _facts(folder: Path, job: "ExportJob", *, calibrates: bool) -> dict[str, Any]:
    from pocketvl.export.calibration.samples import describe_notes, load_samples
    from pocketvl.export.estimate import check_space, nearest_existing
    from pocketvl.quant.recipe import GENERATED

    warning = check_space(job.estimate, folder)
    cost = job.cost()
    notes = list(job.notes)
    calibration = None
    if job.plan.recipe.calibrated:
        data = job.plan.recipe.calibration
        named = data.data or GENERATED
        if named.partition(":")[0] != GENERATED:
            unlike = tuple(dict.fromkeys(note for sample in load_samples(data) for note in sample.notes))
            notes += [describe_notes(unlike)] if unlike else []
        calibration = {"data": named, "samples": data.samples, "layers": len(job.plan.calibrated)}
        if not calibrates:
            cost = replace(cost, calibration=0.0)
    seconds = asdict(cost)
    together = seconds.pop("together")
    return {
        "target": job.target.name,
        "output": str(folder),
        "recipe": job.plan.recipe.name,
        "method": job.plan.method_name,
        "components": job.estimate.artifacts,
        "disk_bytes": job.estimate.disk,
        "disk_free_bytes": shutil.disk_usage(nearest_existing(folder.absolute())).free,
        "memory_bytes": job.estimate.memory,
        "memory_available_bytes": psutil.virtual_memory().available,
        "calibration": calibration,
        "seconds": {**seconds, "total": cost.total},
        "together": together,
        "notes": notes,
        "warning": warning,
    }


def _print(facts: dict[str, Any]) -> None:
    seconds = facts["seconds"]
    table = Table("", "", show_header=False, title=escape(f"{facts['target']}: {facts['output']}"))
    table.columns[1].justify = "right"
    table.add_row("recipe", escape(f"{facts['recipe']} ({facts['method']})"))
    for component, size in facts["components"].items():
        table.add_row(component, megabytes(size))
    table.add_row("disk, of what is free", _of(facts["disk_bytes"], facts["disk_free_bytes"]))
    memory = _of(facts["memory_bytes"], facts["memory_available_bytes"])
    table.add_row("memory at the peak, of what is free", memory)
    calibration = facts["calibration"]
    if calibration is not None:
        what = f"{calibration['layers']} layers over {calibration['samples']} of {calibration['data']}"
        table.add_row("calibrated", escape(what))
        table.add_row("time, calibrating", f"about {clock(seconds['calibration'])}")
    table.add_row("time, vision encoder", f"about {clock(seconds['vision'])}")
    table.add_row("time, decoder and head", f"about {clock(seconds['text'])}")
    both = ", both at the same time" if facts["together"] else ""
    table.add_row(f"time, in all{both}", f"about {clock(seconds['total'])}")
    out.print(table)
    if facts["warning"] is not None:
        note(facts["warning"])
    out.print("Times are of two idle cores of a laptop. Nothing was written.", soft_wrap=True)


def _of(size: int, free: int) -> str:
    return f"{megabytes(size)} of {free / 1e9:,.1f} GB"
