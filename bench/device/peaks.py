"""What makers say their GPUs can do: dense TFLOP/s (without sparsity) as float32, tf32 and bf16 with float32 sums."""

from __future__ import annotations

__all__ = ["data_sheet"]

# The first name that is found in the device's serves, so the longer ones come first. From NVIDIA's data sheets.
SHEET: tuple[tuple[str, dict[str, float]], ...] = (
    ("GB200", {"float32": 80, "tf32": 1250, "bf16": 2500}),
    ("B200", {"float32": 75, "tf32": 1125, "bf16": 2250}),
    ("GH200", {"float32": 67, "tf32": 494.7, "bf16": 989.4}),
    ("H200 NVL", {"float32": 60, "tf32": 417.5, "bf16": 835.5}),
    ("H200", {"float32": 67, "tf32": 494.7, "bf16": 989.4}),
    ("H100 NVL", {"float32": 60, "tf32": 417.5, "bf16": 835.5}),
    ("H100 PCIe", {"float32": 51.2, "tf32": 378, "bf16": 756}),
    ("H100", {"float32": 66.9, "tf32": 494.7, "bf16": 989.4}),
    ("A100", {"float32": 19.5, "tf32": 156, "bf16": 312}),
    ("A800", {"float32": 19.5, "tf32": 156, "bf16": 312}),
    ("A40", {"float32": 37.4, "tf32": 74.8, "bf16": 149.7}),
    ("A30", {"float32": 10.3, "tf32": 82, "bf16": 165}),
    ("A10G", {"float32": 31.5, "tf32": 35, "bf16": 70}),
    ("A10", {"float32": 31.2, "tf32": 62.5, "bf16": 125}),
    ("L40S", {"float32": 91.6, "tf32": 183, "bf16": 362}),
    ("L40", {"float32": 90.5, "tf32": 90.5, "bf16": 181}),
    ("L4", {"float32": 30.3, "tf32": 60, "bf16": 121}),
    ("RTX 4090", {"float32": 82.6, "tf32": 82.6, "bf16": 165.2}),
    ("RTX 3090", {"float32": 35.6, "tf32": 35.6, "bf16": 71}),
    ("V100", {"float32": 15.7}),
    ("T4", {"float32": 8.1}),
)


def data_sheet(device: str, precision: str) -> float | None:
    """TFLOP/s by the data sheet, or None for a device that is not in the table or cannot do it.

    >>> data_sheet("NVIDIA H100 80GB HBM3", "bf16"), data_sheet("Tesla T4", "bf16"), data_sheet("cpu", "float32")
    (989.4, None, None)
    """
    for name, peaks in SHEET:
        if name.lower() in device.lower():
            return peaks.get(precision)
    return None
