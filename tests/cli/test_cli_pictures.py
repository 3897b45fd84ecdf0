"""`fastnn train` and `fastnn predict` on pictures: the bundled digits, and folders of files."""

import re

import numpy as np
import pytest

import fastnn
from fastnn import pictures
from fastnn.cli import main

Image = pytest.importorskip("PIL.Image")


def make_picture(path, kind, seed, mode="L"):
    """Draw a bright bar, lying or standing, on noise."""
    pixels = np.random.default_rng(seed).integers(0, 60, (20, 24)).astype(np.uint8)
    if kind == "lying":
        pixels[8:12] = 220
    else:
        pixels[:, 10:14] = 220
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def bars(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed in range(12):
        make_picture(tmp_path / "bars" / "lying" / f"{seed}.png", "lying", seed)
        make_picture(tmp_path / "bars" / "standing" / "more" / f"{seed}.JPG", "standing", 100 + seed)
    (tmp_path / "bars" / "lying" / "notes.txt").write_text("no picture")
    (tmp_path / "bars" / ".hidden").mkdir()
    return tmp_path / "bars"


def usage_error(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err


TRAIN = ("--size", "8", "--epochs", "25", "--batch-size", "8", "--validation-size", "0", "--quiet")


def test_digits_with_convolutions(capsys):
    assert main(["train", "digits", "--model", "cnn", "--epochs", "3"]) == 0
    out = capsys.readouterr().out
    assert "network: convolutions of 16, 32 filters, 38,282 parameters; Adam at 0.003 falling to 0" in out
    assert float(re.search(r"test accuracy: ([\d.]+) %", out)[1]) > 92


def test_a_folder_gives_a_model_that_names_pictures(bars, capsys):
    assert main(["train", "bars", *TRAIN]) == 0
    out = capsys.readouterr().out
    assert "pictures: 8 x 8, grey; classes: lying, standing" in out
    assert "model: bars.safetensors" in out
    make_picture(bars.parent / "new, one.png", "standing", 999)
    assert main(["predict", "bars.safetensors", "new, one.png", "bars/lying/0.png"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "picture,prediction,probability of lying,probability of standing"
    assert rows[0].startswith('"new, one.png",standing,')
    assert rows[1].startswith("bars/lying/0.png,lying,")
    assert main(["predict", "bars.safetensors", "new, one.png", "--output", "out.csv"]) == 0
    assert (bars.parent / "out.csv").read_text().splitlines()[1] == rows[0]


def test_the_model_in_python(bars, capsys):
    assert main(["train", "bars", *TRAIN[2:], "--size", "8", "10", "--colours", "colour", "-o", "model"]) == 0
    model = pictures.PictureModel.load("model")
    assert (model.size, model.channels, model.classes) == ((8, 10), 3, ("lying", "standing"))
    probabilities = model.predict([bars / "lying" / "1.png"])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert fastnn.Network.load("model").layers == model.network.layers
    capsys.readouterr()


def test_dense_layers_on_pictures(bars, capsys):
    assert main(["train", "bars", *TRAIN, "--model", "mlp", "--hidden", "8"]) == 0
    assert "network: 64-8-2 relu" in capsys.readouterr().out
    assert main(["predict", "bars.safetensors", "bars/lying/0.png"]) == 0


def test_broken_pictures_are_named(bars, capsys):
    (bars / "lying" / "0.png").write_bytes((bars / "lying" / "1.png").read_bytes()[:60])
    assert re.search(r"'bars.lying.0.png' is no picture that can be read", usage_error(capsys, "train", "bars"))
    (bars / "lying" / "0.png").write_text("text")
    assert re.search(r"'bars.lying.0.png' is no picture that can be read", usage_error(capsys, "train", "bars"))


def test_empty_folders_and_lone_classes(bars, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert "pictures for each of at least two classes, found no folder" in usage_error(capsys, "train", "empty")
    make_picture(tmp_path / "one" / "cat" / "1.png", "lying", 0)
    assert "at least two classes, found only 'cat'" in usage_error(capsys, "train", "one")
    (bars / "empty").mkdir()
    assert "the folder 'empty' in 'bars' holds no pictures" in usage_error(capsys, "train", "bars")
    make_picture(bars / "empty" / "1.png", "lying", 0)
    assert "the class 'empty' must have at least 2 pictures" in usage_error(capsys, "train", "bars")
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bars", "--size", "0"], "--size must be an integer from 1 to 4096, got 0"),
        (["bars", "--size", "1", "2", "3"], "--size must be one number, or height and width, got 1 2 3"),
        (["bars", "--target", "price"], "--target does not go with a folder of pictures"),
        (["bars", "--scale", "minmax"], "--scale does not go with a folder of pictures"),
        (["bars", "--hidden", "3"], "--hidden goes with the model mlp, not cnn"),
        (["bars", "-o", "no/such/model"], "--output must be a file in a folder that exists"),
        (["digits", "--size", "9"], "--size goes with a folder of pictures, got 'digits'"),
        (["picture"], "NAME, where it is no file or folder, must be one of 'digits', 'iris'"),
        (["iris", "--model", "cnn"], "--model cnn goes with images: digits, or a folder; got 'iris'"),
        (["digits", "--model", "cnn", "--scale", "minmax"], "--scale goes with the model mlp, not cnn"),
    ],
)
def test_wrong_usage(bars, capsys, arguments, message):
    assert message in usage_error(capsys, "train", *arguments)


def test_wrong_predictions(bars, capsys):
    assert main(["train", "bars", *TRAIN[:-1], "--epochs", "1", "--quiet"]) == 0
    capsys.readouterr()
    (bars / "broken.png").write_text("no picture")
    assert re.search(
        "'bars.broken.png' is no picture", usage_error(capsys, "predict", "bars.safetensors", "bars/broken.png")
    )
    assert "--keep goes with a table" in usage_error(capsys, "predict", "bars.safetensors", "x.png", "--keep", "a")
    assert "must end in .csv for pictures" in usage_error(
        capsys, "predict", "bars.safetensors", "bars/lying/0.png", "-o", "out.parquet"
    )
    assert main(["predict", "bars.safetensors", "missing.png"]) == 1
    assert "missing.png" in capsys.readouterr().err


def test_pillow_is_named_where_it_is_missing(bars, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    assert 'pip install "fastnn[images]"' in usage_error(capsys, "train", "bars")


class TestReading:
    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_every_mode_gives_red_green_blue(self, tmp_path, mode):
        white = (
            Image.fromarray(np.full((4, 4), 65535, np.uint16)) if mode == "I;16" else Image.new("RGB", (4, 4), "white")
        )
        path = tmp_path / ("picture.tif" if mode == "CMYK" else "picture.png")
        (white if mode == "I;16" else white.convert(mode)).save(path)
        picture = pictures.read_picture(path, (2, 3))
        assert picture.shape == (2, 3, 3)
        assert picture.dtype == np.uint8
        assert (picture == 255).all()

    @pytest.mark.parametrize("dtype", [np.int32, np.float32])
    def test_numbers_without_a_brightest_are_refused(self, tmp_path, dtype):
        Image.fromarray(np.full((4, 4), 40_000).astype(dtype)).save(tmp_path / "a.tif")
        with pytest.raises(ValueError, match=r"a\.tif' is no picture that can be read: numbers of 32 bits"):
            pictures.read_picture(tmp_path / "a.tif", (4, 4))

    def test_links_that_lead_nowhere_or_in_circles(self, tmp_path):
        """The first picture of a moving one counts; a folder that holds itself is read once."""
        for name in ("é ☃", "b"):
            (tmp_path / name).mkdir()
            frames = [Image.new("L", (1, 1), value) for value in (255, 0)]
            frames[0].save(tmp_path / name / "moves.gif", save_all=True, append_images=frames[1:], duration=10)
            (tmp_path / name / "circle").symlink_to(tmp_path / name, target_is_directory=True)
            (tmp_path / name / "nowhere.png").symlink_to("nothing.png")
        folder = pictures.read_folder(tmp_path, (2, 2))
        assert folder.classes == ("b", "é ☃")
        assert [path.name for path in folder.paths] == ["moves.gif"] * 2
        assert (folder.X == 255).all()

    def test_what_is_transparent_is_white(self, tmp_path):
        Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "a.png")
        assert (pictures.read_picture(tmp_path / "a.png", (4, 4)) == 255).all()

    def test_a_camera_that_was_turned(self, tmp_path):
        pixels = np.zeros((4, 8), np.uint8)
        pixels[:, :4] = 255  # bright on the left
        image = Image.fromarray(pixels)
        exif = image.getexif()
        exif[0x0112] = 3  # upside down
        image.save(tmp_path / "a.png", exif=exif)
        picture = pictures.read_picture(tmp_path / "a.png", (4, 8))
        assert (picture[:, 4:] > picture[:, :4]).all()

    def test_brightness_of_colours(self):
        colours = np.array([[[[255, 0, 0]], [[0, 255, 0]], [[0, 0, 255]], [[255, 255, 255]]]], np.uint8)
        np.testing.assert_allclose(pictures.as_features(colours, 1).ravel(), [0.299, 0.587, 0.114, 1], rtol=1e-6)
        np.testing.assert_array_equal(pictures.as_features(colours, 3), colours / np.float32(255))

    def test_files_of_other_kinds(self, tmp_path):
        fastnn.Network.mlp(2, [], 1).save(tmp_path / "a")
        with pytest.raises(fastnn.FileFormatError, match="no model of pictures"):
            pictures.PictureModel.load(tmp_path / "a")
        flat = [fastnn.Input(3), fastnn.Dense(2, "softmax")]
        pictures.PictureModel(fastnn.Network(flat), ("a", "b")).save(tmp_path / "a")
        with pytest.raises(fastnn.FileFormatError, match=r"samples of shape \(3,\), which are no pictures"):
            pictures.PictureModel.load(tmp_path / "a")
        image = [fastnn.Input((2, 2, 1)), fastnn.Flatten(), fastnn.Dense(2, "softmax")]
        pictures.PictureModel(fastnn.Network(image), ("a", "b", "c")).save(tmp_path / "a")
        with pytest.raises(fastnn.FileFormatError, match=r"must name the network's outputs \(2,\)"):
            pictures.PictureModel.load(tmp_path / "a")
