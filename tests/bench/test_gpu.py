"""`python bench/gpu.py` on tiny networks without a GPU: every contestant, every network, and what is counted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kedja as kj
from bench import gpu
from bench.device import measure
from bench.device.child import Child, environment
from bench.device.contestant import CONTESTANTS, Task
from bench.device.measure import Deadline, Figures, Row
from bench.device.nets import NETS, TINY, Residual
from bench.device.peaks import data_sheet
from bench.device.table import as_json, as_markdown, as_text
from bench.process import WorkerDied
from bench.spread import Spread

COMMAND = Path(gpu.__file__)
ABOUT = {
    "measured": "now", "settings": {"tiny": False},
    "machine": {"cpu": "c", "system": "s", "python": "p", "packages": {"jax": "1"}},
}  # fmt: skip


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command as a user starts it, from another folder, with nothing of this project on the path."""
    keep = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, str(COMMAND), *arguments], capture_output=True, text=True, cwd=COMMAND.anchor,
        env=keep | environ, timeout=120,
    )  # fmt: skip


def contestant(name: str, workload: str, precision: str):
    """A contestant in this process, on a tiny network."""
    task = Task(name, workload, precision, TINY[workload].batches[0], 2, tiny=True, device="cpu")
    module = __import__(CONTESTANTS[name][0], fromlist=["make"])
    return module.make(task)


# --- what is counted --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["resnet50", "vgg16"])
def test_networks_are_those_of_the_zoo(name):
    """Parameters and multiply-adds of the lists of layers are those of the networks of the same name."""
    table = getattr(kj.zoo, name)().summary(batch_size=None)
    assert NETS[name].parameters() == table.parameters
    assert sum(NETS[name].multiply_adds()) == table.multiply_adds


@pytest.mark.long
def test_flops_of_a_step_are_those_torch_counts():
    """PyTorch's own counter, over forward and backward of the residual network, comes to the same number."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    made = contestant("torch_eager", "resnet50", "float32")
    x, y = made.batches[0]
    with FlopCounterMode(display=False) as counter:
        torch.autograd.backward(made.loss(x, y))
    assert counter.get_total_flops() == TINY["resnet50"].flops() * len(x)


def test_tiny_networks_have_all_kinds_of_layers():
    """What --tiny tries out is what the large ones are made of."""

    def kinds(layers):
        inner = [k for layer in layers if isinstance(layer, Residual) for k in (*kinds(layer.body), *kinds(layer.past))]
        return {type(layer) for layer in layers} | set(inner)

    for name, net in NETS.items():
        assert kinds(net.layers) == kinds(TINY[name].layers)


@pytest.mark.parametrize(
    ("device", "expected"),
    [("NVIDIA H200", 989.4), ("NVIDIA H100 PCIe", 756), ("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA L40S", 362)],
)
def test_data_sheets(device, expected):
    """The name that CUDA gives finds its own row, also where it begins like another's."""
    assert data_sheet(device, "bf16") == expected


# --- the contestants --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("workload", "precision"),
    [
        ("mlp", "tf32"),
        *(pytest.param(*pair, marks=pytest.mark.long) for pair in (
            ("resnet50", "float32"), ("resnet50", "bf16"), ("vgg16", "float32"), ("vgg16", "bf16"),
            ("mlp", "bf16"), ("mlp", "float32"),
        )),
    ],
)  # fmt: skip
def test_contestants_compute_the_same(workload, precision):
    """From the same start over the same batches, losses agree far closer than a GPU's may; reset goes back to it."""
    found = []
    for name in ("kedja", "jax", "torch_eager"):
        made = contestant(name, workload, precision)
        made.train(2)
        made.reset()
        timing, losses = made.train(4)
        assert timing.steps == 4 and 0 < timing.seconds <= timing.call
        found.append(losses)
    assert found[0][0] > found[0][1]  # it learns
    close = 3e-3 if precision == "bf16" else 1e-5
    assert found[0] == pytest.approx(found[1], rel=close) and found[0] == pytest.approx(found[2], rel=close)


# --- the command ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "names", [["kedja", "jax"], pytest.param(["kedja", "jax", "torch_compile"], marks=pytest.mark.long)], ids=len
)
def test_the_command_measures_every_contestant(tmp_path, names):
    """One process each; times, shares, ratios and agreement stand in the JSON and in the page."""
    asked = ["--contestants", ",".join(names)] if len(names) < 3 else []
    done = run(
        "--device", "cpu", "--tiny", "--workloads", "mlp", "--precision", "bf16", "--steps", "2", "--repeats", "2",
        *asked, "--json", str(tmp_path / "g.json"), "--markdown", str(tmp_path / "g.md"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "g.json").read_text())
    (result,) = document["results"]
    rows = {row["contestant"]: row for row in result["rows"]}
    assert list(rows) == names and result["device"] == "cpu"
    for name, row in rows.items():
        assert row["status"] == "ok" and row["agrees"] and row["step"]["count"] >= 2
        assert row["tflops"] == pytest.approx(result["flops_per_step"] / row["step"]["median"] / 1e12)
        assert row["of_measured_peak"] == pytest.approx(row["tflops"] / max(result["ceilings"].values()))
        assert row["of_data_sheet"] is None and row["compile_seconds"] >= 0
        assert name in (tmp_path / "g.md").read_text() and name in done.stdout
    assert len(rows["jax"]["ratios"]) == 2 and "Tiny networks" in (tmp_path / "g.md").read_text()


def test_the_command_needs_little():
    """Before a contestant is built, NumPy, which JAX brings, is all that is loaded beside the standard library."""
    code = (
        "import sys; before = set(sys.modules); import bench.gpu; "
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    )
    root = COMMAND.parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.stdout.split() == ["bench", "numpy"], done.stderr


def test_without_a_gpu_it_says_so(tmp_path):
    """The large networks are not started on a CPU unless that is asked for."""
    done = run(
        "--contestants", "kedja", "--workloads", "mlp", "--tiny", "--precision", "tf32", "--batch", "4", "--json",
        str(tmp_path / "g.json"), "--markdown", str(tmp_path / "g.md"), JAX_PLATFORMS="cpu",
    )  # fmt: skip
    assert done.returncode == 2 and "--device cpu --tiny" in done.stdout


def test_a_budget_that_is_spent_leaves_the_rest_out(tmp_path, capsys):
    """Nothing is begun after the time is over, and what was left out is named."""
    given = ["--tiny", "--device", "cpu", "--budget", "0", "--workloads", "mlp", "--json", str(tmp_path / "g.json")]
    assert gpu.main([*given, "--markdown", str(tmp_path / "g.md")]) == 0
    assert "no time was left for: mlp bf16 batch 8, mlp tf32 batch 8" in capsys.readouterr().out
    assert json.loads((tmp_path / "g.json").read_text())["left_out"] == ["mlp bf16 batch 8", "mlp tf32 batch 8"]


@pytest.mark.parametrize("wrong", [["--workloads", "lenet"], ["--steps", "3"], ["--batch", "0"]])
def test_wrong_arguments(wrong, capsys):
    """They are refused before anything is started."""
    with pytest.raises(SystemExit, match="2"):
        gpu.main(wrong)
    assert wrong[0] in capsys.readouterr().err


def test_a_contestant_that_dies_leaves_its_last_words():
    """An unknown request ends the process; the error says who it was and what it wrote."""
    task = Task("jax", "mlp", "float32", 4, 2, tiny=True, device="cpu")
    with Child(task, 100) as child:
        child.ready()
        with pytest.raises(WorkerDied, match="jax ended with status 1(.|\n)*ValueError: a contestant can do"):
            child.ask("sing")


def test_nothing_compiled_is_taken_from_earlier_runs():
    """Compile times are those of a first start, and memory on a GPU is taken as needed."""
    found = environment(Task("kedja", "mlp", "bf16", 4, 2))
    assert found["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false" and found["KEDJA_COMPILE_CACHE"] == "0"
    assert found["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] == "1"
    assert environment(Task("kedja", "mlp", "bf16", 4, 2, device="cpu"))["JAX_PLATFORMS"] == "cpu"


# --- the table --------------------------------------------------------------------------------------------------------
@pytest.fixture
def figures() -> Figures:
    """An invented measurement: 1 TFLOP a step in 2 ms."""
    found = Figures("mlp", "MLP", 64, "bf16", 20, 10**12, "NVIDIA H200", "gpu", {"jax": 700.0, "kedja": 650.0})
    found.rows = [
        Row("kedja", "fit", step=Spread.of([0.002]), losses=[2.0, 1.0], first_seconds=9.0, memory=2**31),
        Row("jax", step=Spread.of([0.003]), ratio=Spread.of([1.5]), ratios=[1.5], losses=[2.0, 1.2]),
        Row("torch_compile", "needs torch", status="not installed"),
    ]
    return found


def test_the_table_by_hand(figures):
    """500 TFLOP/s, of 700 measured and 989.4 on the data sheet; a loss that is a tenth of the first off is marked."""
    measure._judge(figures)
    assert [row.agrees for row in figures.rows] == [True, False, None]
    page = as_markdown(ABOUT, [figures])
    ours = "| kedja | 2 (2 … 2) | 3.2e+04 | 500 | 71.4 % | 50.5 % |  | 0.0e+00 | 9.0 s | 2.00 GiB | fit |"
    assert ours in page and "1.50× (1.50 … 1.50) | 1.0e-01, DIFFERS" in page
    assert "| torch_compile | not installed |" in page and "kedja: fit" in as_text(figures)
    row = json.loads(as_json(ABOUT, [figures]))["results"][0]["rows"][0]
    assert row["examples_per_second"] == 32000 and row["of_data_sheet"] == pytest.approx(500 / 989.4)


def test_a_deadline_bounds_each_wait():
    """An answer may take no longer than what is left."""
    assert Deadline(10).limit() <= 10 < Deadline(None).limit()
