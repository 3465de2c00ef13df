"""The machine in general words: what a reader needs to compare figures, nothing that names this very machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["busy_seconds", "describe_machine", "version_of"]

PACKAGES = ("kedja", "numpy", "jax", "jaxlib", "torch", "keras", "flax", "scikit-learn", "onnxruntime")


def describe_machine() -> dict[str, Any]:
    """CPU model, cores, operating system, Python and package versions, and how busy the machine already is."""
    description: dict[str, Any] = {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": _system(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {package: version for package in PACKAGES if (version := version_of(package))},
    }
    if hasattr(os, "getloadavg"):
        description["load_before"] = round(os.getloadavg()[0], 2)
    return description


def busy_seconds() -> float | None:
    """Core-seconds all processes of the machine have used since it started, or None where that is not told."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, stat.read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        return asked.stdout.strip() or platform.machine()
    return platform.processor() or platform.machine()


def _system() -> str:
    """The distribution rather than the kernel, whose release often carries a builder's name."""
    if platform.system() != "Linux":
        return f"{platform.system()} {platform.release()}"
    try:
        return f"Linux, {platform.freedesktop_os_release()['PRETTY_NAME']}"
    except (OSError, KeyError):
        return "Linux"


def version_of(package: str) -> str | None:
    """The version that is installed, if one is."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
