"""The table of docs/zoo.md: sizes, distances from PyTorch, and the time for one image. Run: python -m bench.zoo"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import kedja as kj
from bench.machine import describe_machine

sys.path.append(str(Path(__file__).parent.parent / "tests"))

PAPER = {  # parameters: scope 7; torchvision's documentation for those that are not there
    "lenet5": 61_706, "alexnet": 61_100_840, "vgg11": 132_863_336, "vgg13": 133_047_848, "vgg16": 138_357_544,
    "vgg19": 143_667_240, "googlenet": 6_624_904, "googlenet, paper": 6_998_552, "resnet18": 11_689_512,
    "resnet34": 21_797_672, "resnet50": 25_557_032, "densenet121": 7_978_856, "efficientnet_lite0": 4_652_008,
    "small_vgg": None, "small_resnet": None, "small_densenet": None,
}  # fmt: skip
HEAD = (
    "| network | image | parameters | paper | multiply-adds | output, float32 | output | gradient | gradient, training "
    "| ms an image |"
)


def best_time(net: Any, x: Any) -> tuple[float, float]:
    """Seconds of the first call, compiling, and of the fastest of five later ones (at most ten seconds of them)."""
    run = kj.compile(lambda x: net(x), engine="xla")
    begin = time.perf_counter()
    run(x).numpy()
    first, times = time.perf_counter() - begin, []
    while len(times) < 5 and sum(times) < 10:
        begin = time.perf_counter()
        run(x).numpy()
        times.append(time.perf_counter() - begin)
    return first, min(times)


def row(name: str) -> str:
    """One line of the table."""
    import torch

    from zoo.compared import PAIRS, compared

    torch.set_num_threads(1)
    network, _, form = name.partition(", ")
    net = getattr(kj.zoo, network)(**({"form": form} if form else {}))
    table, sizes = net.summary(batch_size=None), net.known_shapes()[0][1:]
    single = compared(PAIRS[name], training=False, dtype="float32", gradients=False)["output"]
    still, moving = (compared(PAIRS[name], training=training) for training in (False, True))
    x = np.random.default_rng(0).normal(size=(1, *sizes)).astype(np.float32)
    first, later = best_time(net.build(seed=0), x)
    paper = "–" if PAPER[name] is None else f"{PAPER[name]:,}"
    cells = [
        name, "×".join(map(str, sizes)), f"{table.parameters:,}", paper, f"{table.multiply_adds / 1e9:.4g} G",
        f"{single:.0e}", f"{still['output']:.0e}", f"{still['gradient']:.0e}", f"{moving['gradient']:.0e}",
        f"{1000 * later:.3g}",
    ]  # fmt: skip
    print(f"{name}: compiled in {first:.1f} s", file=sys.stderr, flush=True)
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """The rows of the networks named, or of all."""
    print(HEAD)
    print("| --- | --- " + "| ---: " * 8 + "|")
    for name in sys.argv[1:] or PAPER:
        print(row(name), flush=True)
    print(describe_machine(), file=sys.stderr)


if __name__ == "__main__":
    main()
