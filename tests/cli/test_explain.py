"""`kedja explain heatmap`: a table on stdout, a picture in a new file, and one line for what cannot be."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kedja as kj
from kedja.cli import main


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run of digits as `kedja train` makes it, a CNN as `net.save` does, a digit and a file that is none."""
    folder = tmp_path_factory.mktemp("explain")
    how = ["--hidden", "12", "--epochs", "2", "--seed", "0", "--quiet", "--out", str(folder / "run")]
    assert main(["train", "digits", *how]) == 0
    net = kj.Sequential([kj.nn.Conv2D(4, 3, "relu"), kj.nn.GlobalAveragePool(), kj.nn.Dense(2)])
    net.build((None, 8, 8, 3), seed=0).save(folder / "cnn")
    digit = kj.data.load("digits").images[7, :, :, 0]
    Image.fromarray((255 - 255 * digit / digit.max()).astype(np.uint8)).resize((80, 80)).save(folder / "digit.png")
    (folder / "bad.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def asked(place, tmp_path, monkeypatch, capsys):
    """Runs the command in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(network, image, *more):
        code = main(["explain", "heatmap", str(place / network), str(place / image), *more])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_a_dense_run_is_asked_by_its_input(asked):
    """No layer with maps: integrated gradients; the picture goes beside, under a new name each time."""
    code, out, err = asked("run", "digit.png", "--invert")
    assert code == 0 and "integrated gradients" in out and "drawn in heatmap-digit.png" in err
    assert Image.open("heatmap-digit.png").size[0] > 300
    assert asked("run", "digit.png", "--invert")[2].strip() == "drawn in heatmap-digit-2.png"


def test_a_network_of_convolutions_gets_grad_cam(asked):
    """Several classes and methods in one picture, in a file of the given kind."""
    assert "Grad-CAM" in asked("cnn", "digit.png")[1]
    code, out, _ = asked("cnn", "digit.png", "--class", "0", "--class", "1", "--method", "cam", "--method", "occlusion",
                         "--out", "map.svg")  # fmt: skip
    assert code == 0 and [line.split()[0] for line in out.splitlines()[2:6]] == ["CAM", "CAM", "occlusion", "occlusion"]
    assert Path("map.svg").read_text(encoding="utf-8").count("occlusion") == 2
    assert asked("cnn", "digit.png", "--top", "2", "--layer", "conv2d_1")[0] == 0


@pytest.mark.parametrize(("words", "says"), [
    (("cnn", "bad.png"), "bad.png cannot be read as an image"),
    (("cnn", "none.png"), "there is no image"),
    (("nowhere", "digit.png"), "is not a saved kedja model"),
    (("run", "digit.png", "--class", "ten"), "unknown class 'ten'. Known: 0, 1, 2"),
    (("cnn", "digit.png", "--class", "2"), "no class 2: the model has 2 classes"),
    (("run", "digit.png", "--method", "grad_cam"), "no layer of the model makes maps"),
    (("cnn", "digit.png", "--method", "gradcam"), "Did you mean 'grad_cam'"),
    (("cnn", "digit.png", "--out", "map.txt"), "ends in .pdf, .png, .svg"),
    (("cnn", "digit.png", "--layer", "conv"), "unknown layer 'conv'"),
])  # fmt: skip
def test_bad_input_is_one_line(asked, words, says):
    """Exit code 2, one line that names it, and no picture."""
    code, out, err = asked(*words)
    assert code == 2 and not out and says in err and err.count("\n") == 1


def test_other_words_are_answered(asked, capsys):
    """What is explained is heatmap so far, and of the zoo what is in it; an existing file is kept."""
    assert main(["explain", "heatmp", "run", "x.png"]) == 2 and "Did you mean 'heatmap'" in capsys.readouterr().err
    assert main(["explain", "heatmap", "zoo:resnet5", __file__]) == 2
    assert "Did you mean 'resnet50'" in capsys.readouterr().err
    assert asked("cnn", "digit.png", "--out", "a.png")[0] == 0
    assert "not overwritten" in asked("cnn", "digit.png", "--out", "a.png")[2]
