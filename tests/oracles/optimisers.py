"""Sequences of steps on given gradients, as PyTorch, Keras and the cases of ONNX take them; and as ours do."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

import kedja as kj

torch.set_num_threads(1)

Array = np.ndarray


def by_torch(
    name: str,
    start: Array,
    gradients: Sequence[Array],
    each: Callable[[int], Mapping[str, float]] | None = None,
    **options: Any,
) -> list[Array]:
    """The parameter after each step of torch.optim.<name>, in float64; `each` gives the options of step t = 1, 2, …"""
    together = by_torch_together(name, [start], [[g] for g in gradients], each=each, **options)
    return [found[0] for found in together]


def by_torch_together(
    name: str,
    starts: Sequence[Array],
    gradients: Sequence[Sequence[Array]],
    *,
    each: Callable[[int], Mapping[str, float]] | None = None,
    before: Callable[[Sequence[torch.nn.Parameter]], object] | None = None,
    after: Callable[[torch.nn.Module], object] | None = None,
    groups: Sequence[Mapping[str, float]] | None = None,
    **options: Any,
) -> list[list[Array]]:
    """All parameters after each step; `before` clips, `after` sees the module they form, `groups` has own options."""
    module = torch.nn.Module()
    module.parts = torch.nn.ParameterList([torch.nn.Parameter(torch.tensor(s)) for s in starts])
    ps = list(module.parts)
    rule = getattr(torch.optim, name)(
        ps if groups is None else [{"params": [p], **own} for p, own in zip(ps, groups, strict=True)], **options
    )
    found = []
    for time, row in enumerate(gradients, 1):
        for p, g in zip(ps, row, strict=True):
            p.grad = torch.tensor(g)
        if before is not None:
            before(ps)
        if each is not None:
            for group in rule.param_groups:
                group.update(each(time))
        rule.step()
        if after is not None:
            after(module)
        found.append([p.detach().numpy().copy() for p in ps])
    return found


def by_keras(name: str, start: Array, gradients: Sequence[Array], rates: Sequence[float], **options: Any):
    """The parameter after each step of keras.optimizers.<name> at these learning rates, in float64.

    Keras's Adam adds ε before the bias of √ŝ is taken out; ours, as PyTorch's, after: its ε is converted at each step.
    """
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    rule = getattr(keras.optimizers, name)(rates[0], **options)
    p = keras.Variable(start, dtype="float64")
    rule.build([p])
    found = []
    for time, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        rule.learning_rate = rate
        if name in ("Adam", "AdamW"):
            rule.epsilon = options["epsilon"] * (1 - rule.beta_2**time) ** 0.5
        rule.apply([keras.ops.convert_to_tensor(g, dtype="float64")], [p])
        found.append(keras.ops.convert_to_numpy(p.value).copy())
    return found


def by_ours(
    rule: Any, start: Array, gradients: Sequence[Array], rates: Sequence[float] | None = None, **how: Any
) -> list[Array]:
    """The parameter after each step of ours, at the learning rates that `rates` says."""
    each = None if rates is None else lambda time: {"learning_rate": rates[time - 1]}
    return [found["p"] for found in by_ours_together(rule, {"p": start}, [[g] for g in gradients], each=each, **how)]


def by_ours_together(
    rule: Any,
    starts: Mapping[str, Array],
    gradients: Sequence[Sequence[Array]],
    *,
    each: Callable[[int], Mapping[str, Any]] | None = None,
    dtype: str = "float64",
    engine: str = "reference",
    memory: Mapping[str, Any] | None = None,
    averages: list[dict[str, Array]] | None = None,
) -> list[dict[str, Array]]:
    """All parameters by path after each step, through one program whatever the numbers.

    `each` gives arguments to set before step t = 1, 2, …; `memory` values the slots begin with; into `averages` go
    the averaged weights after each step.
    """
    with kj.default_dtype(dtype):
        parameters = {path: kj.Parameter(s, dtype=dtype, name=path) for path, s in starts.items()}
    kept = rule.make_slots(parameters)
    for name, value in (memory or {}).items():
        kept[name].store(np.array(value, kept[name].dtype))

    def step(gs: Sequence[Any], *numbers: Any) -> None:
        rule.with_scalars(numbers).update(parameters, gs, kept)

    program = kj.compile(step, engine=engine)
    found = []
    for time, row in enumerate(gradients, 1):
        for name, value in (each(time) if each is not None else {}).items():
            setattr(rule, name, value)
        with kj.default_dtype(dtype):
            program(list(row), *rule.scalar_values())
        found.append({path: p.numpy().copy() for path, p in parameters.items()})
        if averages is not None:
            averages.append(kj.optim.averaged(kept, parameters))
    assert len(program.reports) == 1  # nothing is compiled again
    if memory is not None:
        found[-1] |= {name: v.value for name, v in kept.items()}
    return found


def by_torch_lbfgs(function, start: np.ndarray, iterations: int, **options: float) -> tuple[list[np.ndarray], int]:
    """The point after each iteration of torch.optim.LBFGS with its line search, and how often it asked the function."""
    x = torch.nn.Parameter(torch.tensor(start))
    rule = torch.optim.LBFGS([x], max_iter=1, max_eval=1000, line_search_fn="strong_wolfe", **options)
    asked = 0

    def loss():
        nonlocal asked
        asked += 1
        rule.zero_grad()
        value = function(x)
        value.backward()
        return value

    path = [np.array(start)]
    for _ in range(iterations):
        rule.step(loss)
        path.append(x.detach().numpy().copy())
    return path, asked - (iterations - 1)  # it asks again at the beginning of every call
