"""Folders of images: classes, sizes, modes, damaged files, and the cache of what was decoded."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError, UnknownNameError

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def folder(tmp_path):
    """Two classes of three 6×4 images each, and their pixels in the order of names."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 4, 6, 3), dtype=np.uint8)
    for i, array in enumerate(pixels):
        place = tmp_path / "pets" / ("cat", "dog")[i // 3]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(place / f"{i}.png")
    return tmp_path / "pets", pixels


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder of these tests."""
    monkeypatch.setenv("KEDJA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_images_are_the_pixels_of_the_files(folder):
    """x is what was saved, divided by 255; y the number of the folder; classes are folders in order."""
    path, pixels = folder
    source = kj.data.images(path)
    x, y = source.take(range(6))
    assert np.array_equal(x, (pixels / np.float32(255)).astype(np.float32)) and y.tolist() == [0, 0, 0, 1, 1, 1]
    assert source.class_names == ("cat", "dog") and x.dtype == np.float32
    assert np.array_equal(kj.data.images(path, scale=False).take([4])[0][0], pixels[4])


def test_sizes_and_modes_are_those_of_pillow(folder):
    """Resized and made grey as Pillow does it."""
    path, _ = folder
    x, _ = kj.data.images(path, size=(8, 5), mode="L", scale=False).take([3])
    with Image.open(path / "dog" / "3.png") as image:
        expected = np.asarray(image.convert("L").resize((5, 8), Image.Resampling.BILINEAR))
    assert x.shape == (1, 8, 5, 1) and np.array_equal(x[0, :, :, 0], expected)


@pytest.mark.parametrize("memory", [1 << 20, 0])
def test_the_second_epoch_decodes_nothing(folder, memory, monkeypatch):
    """What was decoded once comes out of memory or out of a file, the same numbers."""
    source = kj.data.images(folder[0], memory=memory)
    rows = np.array([5, 0, 3, 1, 2, 4])
    first = source.take(rows)[0]
    monkeypatch.setattr(source, "pixels_of", lambda path: pytest.fail(f"{path} was decoded again"))
    assert np.array_equal(source.take(rows)[0], first)


def test_a_complete_cache_file_serves_later_runs(folder, cache, monkeypatch):
    """The file of pixels is found again, and another folder's is not taken for it."""
    first = kj.data.images(folder[0], memory=0).take(range(6))[0]
    assert len(list((cache / "images").glob("*.npy"))) == 1
    again = kj.data.images(folder[0], memory=0)
    monkeypatch.setattr(again, "pixels_of", lambda path: pytest.fail("decoded again"))
    assert np.array_equal(again.take(range(6))[0], first)
    assert kj.data.images(folder[0], size=(2, 2), memory=0).take([0])[0].shape == (1, 2, 2, 3)


def test_an_unfinished_cache_file_is_removed(folder, cache):
    """Half a cache does not stay behind."""
    source = kj.data.images(folder[0], memory=0)
    source.take([0])
    assert len(os.listdir(cache / "images")) == 1
    source.close()
    del source
    assert os.listdir(cache / "images") == []


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(folder, monkeypatch, tmp_path):
    """No place on the disk: images are decoded again."""
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("KEDJA_CACHE", str(tmp_path / "taken"))
    source = kj.data.images(folder[0], memory=0)
    first, again = source.take([1, 4])[0], source.take([1, 4])[0]
    assert np.array_equal(first, again) and np.array_equal(again, kj.data.images(folder[0]).take([1, 4])[0])


def damage(path: Path) -> None:
    """Cut an image in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_damaged_image_stops_with_its_name(folder):
    """By default the first file that cannot be read is named."""
    damage(folder[0] / "dog" / "4.png")
    source = kj.data.images(folder[0])
    with pytest.raises(DataError, match=r"dog/4\.png cannot be read as an image"):
        source.take(range(6))


@pytest.mark.parametrize("memory", [1 << 20, 0])
def test_damaged_images_are_left_out_and_counted(folder, memory):
    """errors="skip": a warning with count and names, and the rows that are left."""
    path, pixels = folder
    damage(path / "cat" / "1.png")
    (path / "dog" / "3.png").write_text("no image")
    with pytest.warns(UserWarning, match=r"2 of 6 images cannot be read and are left out \(cat/1\.png, dog/3\.png\)"):
        source = kj.data.images(path, errors="skip", memory=memory)
    x, y = source.take(range(4))
    assert np.array_equal(x, (pixels[[0, 2, 4, 5]] / np.float32(255)).astype(np.float32)) and y.tolist() == [0, 0, 1, 1]
    assert [Path(p).name for p in source.skipped] == ["1.png", "3.png"]


def test_nothing_readable_is_an_error(folder):
    """Skipping everything is no data set."""
    for file in folder[0].rglob("*.png"):
        file.write_text("no image")
    with pytest.raises(DataError, match="can be read"):
        kj.data.images(folder[0], errors="skip")


def test_mixed_sizes_are_named(folder):
    """Without size= the first image of another size is named, with both sizes and the remedy."""
    Image.new("RGB", (9, 9)).save(folder[0] / "dog" / "5.png")
    with pytest.raises(DataError, match=r"dog/5\.png is 9×9, and cat/0\.png is 4×6: say size=\(height, width\)"):
        kj.data.images(folder[0]).take(range(6))


def test_more_than_eight_bits_are_refused(folder):
    """Pillow would cut 16 bits to 8 without a word."""
    Image.fromarray(np.full((4, 6), 40_000, np.uint16)).save(folder[0] / "cat" / "0.png")
    with pytest.raises(DataError, match="more than 8 bits"):
        kj.data.images(folder[0]).take([0])


def test_folders_that_are_no_classes_are_refused(folder, tmp_path):
    """Loose images, an empty class, a class of other files, and no folder at all."""
    (tmp_path / "pets" / "bird").mkdir()
    with pytest.raises(DataError, match="bird has nothing in it"):
        kj.data.images(folder[0])
    (tmp_path / "pets" / "bird" / "notes.txt").write_text("")
    with pytest.raises(DataError, match="1 files, none of them an image"):
        kj.data.images(folder[0])
    with pytest.raises(DataError, match="3 images and no folders"):
        kj.data.images(folder[0] / "cat")
    with pytest.raises(DataError, match="cannot be read"):
        kj.data.images(tmp_path / "none")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"mode": "CMYK"}, "unknown mode"), ({"errors": "ignore"}, "unknown errors"), ({"size": 32}, "size is")],
)
def test_options_that_are_none_are_refused(folder, options, message):
    """An option of another spelling is answered."""
    with pytest.raises((DataError, UnknownNameError), match=message):
        kj.data.images(folder[0], **options)


def test_a_network_learns_from_a_folder_as_from_arrays(folder):
    """fit on the folder and fit on its pixels give the same weights."""
    path, pixels = folder
    nets = [kj.Sequential([kj.nn.Flatten(), kj.nn.Dense(2)]) for _ in range(2)]
    how = {"loss": "cross_entropy", "epochs": 3, "batch_size": 4, "seed": 1, "engine": "reference"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nets[0].fit(kj.data.images(path), **how)
    nets[1].fit(pixels / np.float32(255), np.array([0, 0, 0, 1, 1, 1]), **how)
    assert all(np.array_equal(a, b) for a, b in zip(nets[0].get_weights(), nets[1].get_weights(), strict=True))
