"""Kernels under stress: many at once, one thread, no memory, the end of the process; each child must end well."""

import os
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest

import kedja as kj
from kedja.engines.kernels.activation import RELU
from kedja.engines.xla import kernels

pytest.importorskip("llvmlite")
from kedja.engines.kernels import bands, conv, layout, plans, weights, winograd
from kedja.engines.kernels.target import host

pytestmark = pytest.mark.skipif(not kernels.available(), reason="kernels do not serve here")
PLACE = {"stride": (1, 1), "low": (1, 1), "high": (1, 1), "dilation": (1, 1)}
POOL = {"size": (2, 2), "stride": (2, 2), "low": (0, 0), "high": (0, 0), "dilation": (1, 1)}
ROUNDS = [10, pytest.param(400, marks=pytest.mark.long)]

TRAINED = """
import hashlib, sys, threading
import numpy as np
import kedja as kj

rng = np.random.default_rng(0)
x, y = rng.normal(size=(32, 12, 12, 3)).astype("float32"), rng.integers(0, 3, 32)

def trained(channels):
    n = kj.nn
    conv = [n.Conv2D(channels, 3, padding="same", activation="relu"), n.MaxPool2D(2), n.Conv2D(20, 3), n.BatchNorm()]
    net = kj.Sequential([*conv, n.Flatten(), n.Dense(3)])
    net.fit(x, y, loss="cross_entropy", optimizer=kj.optim.SGD(0.1), epochs=2, batch_size=16, seed=1, verbose=0)
    return hashlib.sha256(b"".join(np.asarray(w).tobytes() for w in net.get_weights())).hexdigest()

found = {}
def work(channels):
    found[channels] = trained(channels)

threads = [threading.Thread(target=work, args=(c,)) for c in (6, 17, 40)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(found == {c: trained(c) for c in (6, 17, 40)}, *sorted(found.values()))
"""

LEFT = """
import jax, numpy as np
import kedja as kj
from kedja.engines.xla import kernels

place = dict(stride=(1, 1), low=(1, 1), high=(1, 1), dilation=(1, 1))
x, w = jax.numpy.ones((16, 24, 24, 24)), jax.numpy.ones((3, 3, 24, 24))
run = jax.jit(lambda x, w: kernels.weights(x, kernels.conv(x, w, 1, **place), (3, 3), 1, **place))
run(x, w).block_until_ready()
kept = [run(x, w) for _ in range(4)]  # begun, and nobody waits for them
print("left", flush=True)
"""


def child(program, **environment):
    """A Python process that runs a program."""
    given = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, env=given)


def programs():
    """Compiled programs of several sizes and families, with what they are called with."""
    rng = np.random.default_rng(0)

    def array(*shape):
        return jax.numpy.asarray(rng.normal(size=shape), "float32")

    place = {**PLACE, "low": (0, 0), "high": (0, 0)}
    return [
        (
            jax.jit(lambda x, w: kernels.weights(x, kernels.conv(x, w, 1, act=RELU, **PLACE), (3, 3), 1, **PLACE)),
            (array(16, 12, 12, 4), array(3, 3, 4, 20)),
        ),
        (jax.jit(lambda x, w: kernels.conv(x, w, 1, **place)), (array(8, 14, 14, 128), array(1, 1, 128, 96))),
        (
            jax.jit(lambda g, w: kernels.transpose(g, w, (20, 20), 1, **PLACE)),
            (array(4, 20, 20, 33), array(3, 3, 5, 33)),
        ),
        (jax.jit(lambda x, w: kernels.conv(x, w, 30, **PLACE)), (array(4, 9, 11, 30), array(3, 3, 1, 30))),
        (jax.jit(lambda x, w: kernels.moments(kernels.max_pool(x, **POOL)) + w), (array(8, 40, 40, 24), array(24))),
    ]


@pytest.mark.parametrize("rounds", ROUNDS)
def test_several_programs_in_flight_from_several_threads(rounds):
    """Threads that each run all programs in another order, waiting seldom: the bits of one call alone."""
    calls = programs()
    expected = [np.asarray(run(*given)) for run, given in calls]
    wrong = []

    def work(seed):
        order = np.random.default_rng(seed)
        for _ in range(rounds):
            begun = [(i, calls[i][0](*calls[i][1])) for i in order.permutation(len(calls))]
            wrong.extend(i for i, y in begun if not np.array_equal(np.asarray(y), expected[i]))

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=240)
    assert not wrong and not any(worker.is_alive() for worker in workers)


def test_trainings_in_threads_with_pools_of_any_size(tmp_path):
    """XLA's pool of one thread, two and five, three trainings at once: the weights of each training alone."""
    kept = {"KEDJA_COMPILE_CACHE": "1", "KEDJA_CACHE": str(tmp_path)}  # each step is compiled once
    runs = [child(TRAINED, NPROC=str(n), **kept) for n in (1, 5)]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr + runs[1].stderr
    assert runs[0].stdout == runs[1].stdout and runs[0].stdout.startswith("True")


def test_a_process_may_end_while_kernels_run():
    """Calls that have begun and nobody waits for: the process ends with 0 (threads: tests/engines/test_leaving.py)."""
    runs = [child(LEFT) for _ in range(3)]
    assert [(run.returncode, run.stdout) for run in runs] == [(0, "left\n")] * 3, runs[0].stderr + runs[1].stderr


@pytest.mark.parametrize("family", [conv, weights, winograd])
def test_a_kernel_without_memory_raises_and_the_next_call_works(family):
    """A scratch larger than any memory: an error that says so, from every thread, and nothing is left behind."""
    g = plans.Geometry(4, (9, 9), (9, 9), 16, 16, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1))
    x, w = jax.numpy.ones((4, 9, 9, 16)), jax.numpy.ones((3, 3, 16, 16))
    if family is weights:
        plan, given, shape = plans.plan_weights(g, "float32", host()), (x, x), (3, 3, 16, 16)
    else:
        plan, given, shape = plans.plan_conv(g, "float32", host(), fours=family is winograd), (x, w), (4, 9, 9, 16)
    numbers = list(plan.numbers)
    numbers[family.FIELDS.index("tall")] = 1 << 42
    assert "tall" in bands.FIELDS and type(plan.kind).__module__ == family.__name__
    well = np.asarray(kernels._called(family.write, plan, given, [shape])[0])
    for _ in range(3):
        with pytest.raises(jax.errors.JaxRuntimeError, match="kedja: a kernel found no memory"):
            kernels._called(family.write, plan._replace(numbers=tuple(numbers)), given, [shape])[0].block_until_ready()
        again = np.asarray(kernels._called(family.write, plan, given, [shape])[0])
        np.testing.assert_array_equal(again, well)


def test_another_layout_of_the_frame_falls_back_to_the_plain_lowering(monkeypatch):
    """Nothing is called through an interface that is not the known one; the numbers are there all the same."""
    kernels._interface_fits.cache_clear()
    monkeypatch.setattr(layout, "fits", lambda header: False)
    monkeypatch.setattr(kernels, "_registered", lambda *what: pytest.fail("a kernel was called"))
    try:
        assert not kernels.available()
        x, w = (np.random.default_rng(0).normal(size=s).astype("f") for s in ((2, 6, 6, 3), (3, 3, 3, 4)))
        found = [kj.compile(lambda x, w: kj.relu(kj.conv(x, w)), engine=e)(x, w).numpy() for e in ("xla", "reference")]
        np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-5)
    finally:
        kernels._interface_fits.cache_clear()
