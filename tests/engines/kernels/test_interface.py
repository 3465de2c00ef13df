"""What kernels rest on: XLA's interface, its threads, the files of code; and what happens where one is missing."""

import subprocess
import sys
import threading
from pathlib import Path

import jax
import numpy as np
import pytest

from kedja.engines.kernels.activation import RELU
from kedja.engines.xla import kernels

pytest.importorskip("llvmlite")
from kedja.engines.kernels import compile as compiling
from kedja.engines.kernels import conv, layout, plans
from kedja.engines.kernels.target import host

PLACE = {"stride": (1, 1), "low": (1, 1), "high": (1, 1), "dilation": (1, 1)}
PROGRAM = """
import os
if {threads}:
    os.sched_setaffinity(0, set(list(os.sched_getaffinity(0))[:{threads}]))
import numpy as np, hashlib
import kedja as kj
rng = np.random.default_rng(0)
x, y = rng.normal(size=(32, 12, 12, 1)).astype("float32"), rng.integers(0, 3, 32)
conv = [kj.nn.Conv2D(6, 3, padding="same", activation="relu"), kj.nn.MaxPool2D(2), kj.nn.Conv2D(16, 3)]
net = kj.Sequential([*conv, kj.nn.Flatten(), kj.nn.Dense(3)])
net.fit(x, y, loss="cross_entropy", optimizer=kj.optim.SGD(0.1), epochs=3, batch_size=16, seed=1, verbose=0)
print(hashlib.sha256(b"".join(np.asarray(w).tobytes() for w in net.get_weights()[:4])).hexdigest())
"""


def header() -> str:
    """XLA's C header for foreign functions, as the installed jaxlib has it."""
    return (Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h").read_text(encoding="utf-8")


def test_the_installed_header_has_the_layout_that_handlers_read():
    """Members lie where the handler looks for them."""
    assert layout.fits(header())


@pytest.mark.parametrize(
    "old, new",
    [
        ("#define XLA_FFI_API_MINOR 3", "#define XLA_FFI_API_MINOR 99"),
        ("  XLA_FFI_ExecutionContext* ctx;\n  XLA_FFI_ExecutionStage", "  XLA_FFI_ExecutionStage"),
        ("  int64_t rank;", ""),
        ("  void* data;\n  int64_t rank;", "  int64_t rank;\n  void* data;"),
    ],
)
def test_another_interface_is_noticed(old, new):
    """A newer version, a member less or members in another order."""
    assert old in header()
    assert layout.fits(header().replace(old, new)) == (old == "  int64_t rank;")  # nothing after `data` is read


def test_without_llvmlite_the_plain_lowering_serves(monkeypatch):
    """Silently: llvmlite is not required."""
    kernels._interface_fits.cache_clear()
    monkeypatch.setattr(kernels, "find_spec", lambda name: None)
    try:
        assert not kernels.available()
        assert kernels.conv(np.ones((1, 3, 3, 1), "f"), np.ones((3, 3, 1, 1), "f"), 1, **PLACE) is None
    finally:
        kernels._interface_fits.cache_clear()


def test_the_setting_turns_kernels_off(monkeypatch):
    """$KEDJA_KERNELS=xla; a word that means nothing is refused."""
    monkeypatch.setenv("KEDJA_KERNELS", "xla")
    assert not kernels.available()
    monkeypatch.setenv("KEDJA_KERNELS", "fast")
    with pytest.raises(ValueError, match="llvm"):
        kernels.available()


def test_code_on_the_disk_is_used_and_a_damaged_file_is_not(tmp_path, monkeypatch):
    """A file that is not what was written is compiled again."""
    monkeypatch.setenv("KEDJA_CACHE", str(tmp_path))
    text = compiling.source(conv.write, conv.Conv("float32", 2, 1, True), host())
    addresses = []
    for damage in (None, b"", b"\0" * 40):
        monkeypatch.setattr(compiling, "_engines", {})
        if damage is not None:
            (file,) = tmp_path.glob("kernels/*.o")
            file.write_bytes(damage)
        machine = compiling.compiled(text, host())
        addresses.append(machine.address())
    assert all(addresses)
    assert len(list(tmp_path.glob("kernels/*.o"))) == 1


def test_many_kernels_at_once_from_several_threads():
    """Threads of ours and of XLA's pool, all in the same kernels: the numbers of one call alone."""
    rng = np.random.default_rng(0)
    x = jax.numpy.asarray(rng.normal(size=(16, 12, 12, 4)), "float32")
    w = jax.numpy.asarray(rng.normal(size=(3, 3, 4, 20)), "float32")
    run = jax.jit(lambda x, w: kernels.weights(x, kernels.conv(x, w, 1, act=RELU, **PLACE), (3, 3), 1, **PLACE))
    expected, wrong = np.asarray(run(x, w)), []

    def work() -> None:
        for _ in range(60):
            if not np.array_equal(np.asarray(run(x, w)), expected):
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert not wrong and not any(worker.is_alive() for worker in workers)


def test_bits_do_not_depend_on_threads_and_a_process_ends_well():
    """A training in processes of one thread and of all, twice: the same weights; interpreters end without an error."""
    runs = [
        subprocess.run([sys.executable, "-c", PROGRAM.format(threads=n)], capture_output=True, text=True, timeout=300)
        for n in (1, 0, 0)
    ]
    assert [run.returncode for run in runs] == [0, 0, 0], runs[0].stderr
    assert len({run.stdout for run in runs}) == 1


def test_a_batch_of_kernels_under_map():
    """`vmap` calls a kernel for each of its elements."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(3, 2, 5, 5, 2)).astype("f"), rng.normal(size=(3, 3, 2, 4)).astype("f")
    together = jax.vmap(lambda x: kernels.conv(x, w, 1, **PLACE))(x)
    for one, found in zip(x, together, strict=True):
        np.testing.assert_array_equal(np.asarray(kernels.conv(one, w, 1, **PLACE)), np.asarray(found))


def test_the_room_of_a_weight_gradient_is_bounded():
    """Parts that each have a copy of the weights do not fill the memory."""
    g = plans.Geometry(64, (8, 8), (8, 8), 512, 512, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1))
    weights = 3 * 3 * 512 * 512 * 4
    assert weights <= plans.plan_weights(g, "float32", host()).room * 4 <= max(plans.PART_BYTES, 1.1 * weights)
