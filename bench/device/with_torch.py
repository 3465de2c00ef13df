"""The peer in PyTorch: forward and loss compiled together, channels last, autocast, fused SGD."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bench.device.contestant import Contestant, Task, Timing, fastest, timed
from bench.device.nets import Conv, Dense, Flatten, Layer, Mean, Norm, Pool, Relu, Residual, Shape, after

__all__ = ["make"]


class Skip(nn.Module):
    """relu(body(x) + past(x))"""

    def __init__(self, body: nn.Module, past: nn.Module) -> None:
        super().__init__()
        self.body, self.past = body, past

    def forward(self, x: Any) -> Any:
        return torch.relu(self.body(x) + self.past(x))


class Average(nn.Module):
    """The mean of each channel."""

    def forward(self, x: Any) -> Any:
        return x.mean((2, 3))


class InOrder(nn.Module):
    """Rows, columns and channels in a row: with channels last that is the order in memory, so nothing is copied."""

    def forward(self, x: Any) -> Any:
        return x.permute(0, 2, 3, 1).flatten(1)


class Torch(Contestant):
    """The usual loop over batches that lie on the device."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.cuda = torch.cuda.is_available() and task.device != "cpu"
        self.where = torch.device("cuda" if self.cuda else "cpu")
        fast = task.precision != "float32"
        torch.set_float32_matmul_precision("high" if fast else "highest")
        torch.backends.cudnn.allow_tf32 = fast
        torch.backends.cudnn.benchmark = True
        x, y = task.net.data(task.batch)
        images, labels = torch.from_numpy(x), torch.from_numpy(y).long()
        if images.ndim == 4:
            images = images.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        self.batches = [
            (images[i : i + task.batch].to(self.where), labels[i : i + task.batch].to(self.where))
            for i in (0, task.batch)
        ]
        self.begin = task.net.start()
        built: Any = _built(task.net.layers, task.net.inputs)[0]
        self.net = built.to(self.where).to(memory_format=torch.channels_last)
        self.net.train()
        self.loss: Any = self._loss
        if task.contestant != "torch_eager":
            # A tiny network is for trying the benchmark out: then the C++ and Triton compilers are left alone.
            mode = "max-autotune" if task.contestant == "torch_max" else "default"
            how: dict[str, Any] = {"backend": "aot_eager"} if task.tiny else {"mode": mode}
            self.loss = torch.compile(self._loss, **how)
        self.reset()

    def reset(self) -> None:
        with torch.no_grad():
            for parameter, w in zip(self.net.parameters(), self.begin, strict=True):
                value = torch.from_numpy(w)
                parameter.copy_(value.permute(3, 2, 0, 1) if w.ndim == 4 else value.T if w.ndim == 2 else value)
            for module in self.net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.reset_running_stats()
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=self.task.net.rate, momentum=0.9, fused=True)

    def train(self, steps: int) -> tuple[Timing, list[float]]:
        def run() -> list[Any]:
            losses = []
            for i in range(steps):
                self.optimizer.zero_grad(set_to_none=True)
                loss = self.loss(*self.batches[i % 2])
                loss.backward()
                self.optimizer.step()
                losses.append(loss.detach().clone())
            return losses

        return timed(run, self._wait, steps)

    def ceiling(self, n: int) -> float:
        dtype = torch.bfloat16 if self.task.precision == "bf16" else torch.float32
        a, b = (torch.randn(n, n, device=self.where, dtype=dtype) for _ in range(2))
        found = torch.empty_like(a)
        return 2 * n**3 / fastest(lambda: torch.matmul(a, b, out=found), self._wait)

    def memory(self) -> int | None:
        return int(torch.cuda.max_memory_allocated()) if self.cuda else None

    def device(self) -> tuple[str, str]:
        return ("gpu", torch.cuda.get_device_name()) if self.cuda else ("cpu", "cpu")

    def _loss(self, x: Any, y: Any) -> Any:
        with torch.autocast(self.where.type, dtype=torch.bfloat16, enabled=self.task.precision == "bf16"):
            z = self.net(x)
        return nn.functional.cross_entropy(z.float(), y)

    def _wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()


def _built(layers: tuple[Layer, ...], shape: Shape) -> tuple[nn.Module, Shape]:
    """The layers for inputs of this shape, and the shape after them."""
    made: list[nn.Module] = []
    for layer in layers:
        match layer:
            case Conv():
                made.append(
                    nn.Conv2d(shape[-1], layer.filters, layer.size, layer.stride, layer.padding, bias=layer.bias)
                )
            case Norm():
                made.append(nn.BatchNorm2d(shape[-1]))
            case Relu():
                made.append(nn.ReLU())
            case Pool():
                made.append(nn.MaxPool2d(layer.size, layer.stride, layer.padding))
            case Mean():
                made.append(Average())
            case Flatten():
                made.append(InOrder())
            case Dense():
                made.append(nn.Linear(shape[-1], layer.units))
            case Residual():
                body, ends = _built(layer.body, shape)
                made.append(Skip(body, _built(layer.past, shape)[0]))
                shape = ends
                continue
        shape = after(layer, shape)
    return nn.Sequential(*made), shape


def make(task: Task) -> Contestant:
    """The contestant of this task."""
    return Torch(task)
