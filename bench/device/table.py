"""The figures as tables for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.device.measure import TOLERANCE, Figures, Row
from bench.device.peaks import data_sheet
from bench.report import columns, json_of, markdown_table

__all__ = ["as_json", "as_markdown", "as_text"]

HEADER = (
    "contestant", "ms a step", "examples/s", "TFLOP/s", "of measured peak", "of data sheet", "ratio",
    "losses differ by", "compile", "peak memory", "note",
)  # fmt: skip


def as_json(about: dict[str, Any], results: Sequence[Figures]) -> str:
    """One document; figures that are not finite become null."""
    return json_of({"format": 1, **about, "results": [found.to_dict() for found in results]})


def as_markdown(about: dict[str, Any], results: Sequence[Figures]) -> str:
    """The page beside the JSON."""
    machine = about["machine"]
    devices = sorted({found.device for found in results if found.device})
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    lines = [
        "# Large networks on a device", "",
        f"Measured {about['measured']} on {', '.join(devices) or 'no device'}; {machine['cpu']}, {machine['system']}, "
        f"{machine['python']}; {packages}.", "",
        "Ratio: the contestant's time divided by kedja's in the same round, median (min … max); above 1 kedja is "
        "faster. FLOPs are those of the network's products, counted from the shapes of its layers: forward, and "
        "backward to kernels and inputs. Compile: the first two steps, less what two steps take later.",
    ]  # fmt: skip
    if about["settings"]["tiny"]:
        lines += ["", "**Tiny networks, to try the benchmark out: these figures say nothing about speed.**"]
    for found in results:
        lines += ["", f"## {_heading(found)}", "", _peaks(found), ""]
        lines += markdown_table(HEADER, (_cells(found, row) for row in found.rows))
    return "\n".join(lines) + "\n"


def as_text(found: Figures) -> str:
    """One table for a terminal; notes stand beneath."""
    lines = [f"\n{_heading(found)}", _peaks(found)]
    lines += columns([HEADER[:-1], *(_cells(found, row)[:-1] for row in found.rows)])
    return "\n".join(lines + [f"  {row.contestant}: {row.note}" for row in found.rows if row.note])


def _heading(found: Figures) -> str:
    return f"{found.title}: {found.precision}, batch {found.batch}"


def _peaks(found: Figures) -> str:
    """What the shares are shares of."""
    if found.ceiling is None:
        return "No large product was measured."
    each = ", ".join(f"{name} {peak:.4g}" for name, peak in found.ceilings.items())
    sheet = data_sheet(found.device, found.precision)
    return (
        f"{found.flops_per_step / 1e12:.4g} TFLOP a step on {found.device}. Large products reach {found.ceiling:.4g} "
        f"TFLOP/s ({each}); the data sheet says {f'{sheet:.4g}' if sheet else 'nothing'}. Losses may differ by "
        f"{TOLERANCE[found.precision]:g} of the first."
    )


def _cells(found: Figures, row: Row) -> tuple[str, ...]:
    if row.step is None:
        return (row.contestant, row.status, *[""] * (len(HEADER) - 3), row.note)
    step, ratio = row.step.scaled(1e3), row.ratio
    achieved = found.tflops(row)
    assert achieved is not None
    differ = "" if row.difference is None else f"{row.difference:.1e}{'' if row.agrees else ', DIFFERS'}"
    return (
        row.contestant if row.status == "ok" else f"{row.contestant} ({row.status})",
        f"{step.median:.4g} ({step.minimum:.4g} … {step.maximum:.4g})",
        f"{found.batch / row.step.median:.4g}",
        f"{achieved:.3g}",
        _percent(found.share(row, True)),
        _percent(found.share(row, False)),
        f"{ratio.median:.2f}× ({ratio.minimum:.2f} … {ratio.maximum:.2f})" if ratio else "",
        differ,
        "" if row.compile_seconds is None else f"{row.compile_seconds:.1f} s",
        "" if row.memory is None else f"{row.memory / 2**30:.2f} GiB",
        _note(row),
    )


def _note(row: Row) -> str:
    """What it is, and how long a call takes beside its steps where that can be seen."""
    over = row.call_overhead or 0.0
    return row.note + (f"; {over:.2f} s of each call beside its steps" if over >= 0.005 else "")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
