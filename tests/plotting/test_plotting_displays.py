"""Pictures of a network, and its table in a notebook: the right numbers on labelled axes."""

from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression

import fastnn
from fastnn.plotting import plot_decision_boundary, plot_history, plot_parameter_histograms, plot_weight_images

matplotlib.use("Agg")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))


@pytest.fixture(autouse=True)
def close_figures():
    from matplotlib import pyplot

    yield
    pyplot.close("all")


def one_output():
    """A network that says sigmoid(x_0): the boundary is the line x_0 = 0."""
    network = fastnn.Network.mlp(2, [], 1, output="sigmoid", seed=0)
    network.set_weights([np.array([[1.0], [0.0]]), np.zeros(1)])
    return network


def boundary_points(ax):
    return np.concatenate([path.vertices for collection in ax.collections for path in collection.get_paths()][:1])


# --- decision boundary ----------------------------------------------------------------------------------------------


def test_boundary_of_one_output():
    ax = plot_decision_boundary(one_output(), X, X[:, 0] > 0, resolution=60)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("feature 0", "feature 1")
    np.testing.assert_allclose(boundary_points(ax)[:, 0], 0, atol=0.01)
    image = ax.images[0]
    assert image.get_array().shape == (60, 60)
    left, right, bottom, top = image.get_extent()
    assert left < X[:, 0].min() and right > X[:, 0].max() and bottom < X[:, 1].min() and top > X[:, 1].max()
    grid = np.column_stack([np.full(60, right), np.linspace(bottom, top, 60)])
    np.testing.assert_allclose(image.get_array()[:, -1], one_output().predict(grid)[:, 0], rtol=1e-5)
    negative, positive = ax.collections[-2:]
    np.testing.assert_array_equal(negative.get_offsets(), X[X[:, 0] <= 0])
    np.testing.assert_array_equal(positive.get_offsets(), X[X[:, 0] > 0])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0", "1"]
    ax.figure.canvas.draw()


def test_regions_of_several_classes():
    network = fastnn.Network.mlp(2, [], 3, output="softmax", seed=0)
    network.set_weights([np.array([[9.0, -9.0, 0.0], [0.0, 0.0, 9.0]]), np.zeros(3)])
    ax = plot_decision_boundary(network, X, ax=Figure().subplots())
    assert len(ax.collections) == 3  # a line around each class
    rgb = ax.images[0].get_array()
    blue, orange, green = rgb[0, -1], rgb[0, 0], rgb[-1, rgb.shape[1] // 2]
    assert blue.argmax() == 2 and orange.argmax() == 0 and green.argmax() == 1
    assert ax.get_legend() is None


def test_an_estimators_own_labels():
    y = np.where(X[:, 0] > 0, "yes", "no")
    ax = plot_decision_boundary(LogisticRegression().fit(X, y), X, y, ax=Figure().subplots())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["no", "yes"]
    np.testing.assert_array_equal(ax.collections[-1].get_offsets(), X[y == "yes"])


@pytest.mark.parametrize(
    "model, x, y, message",
    [
        (one_output(), np.ones((3, 3)), None, r"X must have shape \(n, 2\), got \(3, 3\)"),
        (one_output(), np.ones((3, 2)), [1, 2], r"y must have as many samples as X \(3\), got 2"),
        (fastnn.Network.mlp(3, [], 1), np.ones((3, 2)), None, "model must have 2 inputs, got 3"),
    ],
)
def test_wrong_boundaries(model, x, y, message):
    with pytest.raises(ValueError, match=message):
        plot_decision_boundary(model, x, y)
    with pytest.raises(ValueError, match="resolution must be an integer >= 2, got 1"):
        plot_decision_boundary(one_output(), X, resolution=1)


# --- weight images --------------------------------------------------------------------------------------------------


def test_weight_images_begin_with_the_largest_and_share_a_scale():
    network = fastnn.Network.mlp(12, [5], 2, seed=0)
    weights = network.get_weights()[0]
    weights *= np.array([1.0, 5.0, 2.0, 4.0, 3.0]) / np.linalg.norm(weights, axis=0)
    axes = plot_weight_images(network, image_shape=(3, 4), n_images=3)
    assert [ax.get_title() for ax in axes] == ["unit 1", "unit 3", "unit 4"]
    for ax, unit in zip(axes, [1, 3, 4], strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), weights[:, unit].reshape(3, 4))
        limit = np.abs(weights[:, [1, 3, 4]]).max()
        assert ax.images[0].get_clim() == (-limit, limit)
    assert axes[0].figure.axes[-1].get_ylabel() == "weight"
    axes[0].figure.canvas.draw()


def test_square_images_and_fewer_units_than_asked_for():
    axes = plot_weight_images(fastnn.Network.mlp(9, [2], 1, seed=0))
    assert len(axes) == 2
    assert axes[0].images[0].get_array().shape == (3, 3)


def test_wrong_weight_images():
    network = fastnn.Network.mlp(12, [5], 2, seed=0)
    with pytest.raises(ValueError, match=r"image_shape must be \(height, width\) with 12 pixels, got None"):
        plot_weight_images(network)
    with pytest.raises(ValueError, match=r"image_shape must be .* got \(5, 5\)"):
        plot_weight_images(network, image_shape=(5, 5))
    with pytest.raises(ValueError, match="network must have a dense layer"):
        plot_weight_images(fastnn.Network([fastnn.Input(4), fastnn.Activation("relu")]))
    with pytest.raises(ValueError, match="axes must hold 5 axes, got 1"):
        plot_weight_images(network, image_shape=(3, 4), axes=[Figure().subplots()])
    with pytest.raises(ValueError, match="n_images must be an integer >= 1, got 0"):
        plot_weight_images(network, image_shape=(3, 4), n_images=0)


# --- histograms -----------------------------------------------------------------------------------------------------


def test_histograms_count_every_weight_and_gradient():
    network = fastnn.Network.mlp(4, [50], 3, seed=0)
    gradient = RNG.normal(size=network.n_parameters)
    axes = plot_parameter_histograms(network, gradient)
    names = ["layer 1 kernel", "layer 1 bias", "layer 2 kernel", "layer 2 bias"]
    assert [ax.get_title() for ax in axes] == [*names, *[""] * 4]
    assert [ax.get_xlabel() for ax in axes] == ["weight"] * 4 + ["gradient"] * 4
    assert axes[0].get_ylabel() == axes[4].get_ylabel() == "how many"
    for ax, tensor in zip(axes, [*network.get_weights(), *network.unflatten(gradient)], strict=True):
        counts = [bar.get_height() for bar in ax.patches]
        edges = [bar.get_x() for bar in ax.patches] + [ax.patches[-1].get_x() + ax.patches[-1].get_width()]
        assert sum(counts) == tensor.size
        assert edges[0] == pytest.approx(tensor.min(), abs=0.6) and edges[-1] == pytest.approx(tensor.max(), abs=0.6)
    axes[0].figure.canvas.draw()


def test_histograms_of_weights_alone():
    assert len(plot_parameter_histograms(fastnn.Network.mlp(4, [5], 3, seed=0))) == 4


def test_wrong_histograms():
    network = fastnn.Network.mlp(4, [5], 3, seed=0)
    with pytest.raises(ValueError, match=r"vector must have shape \(43,\), got \(3,\)"):
        plot_parameter_histograms(network, np.zeros(3))
    with pytest.raises(ValueError, match="axes must hold 4 axes, got 1"):
        plot_parameter_histograms(network, axes=[Figure().subplots()])


# --- the learning rate ----------------------------------------------------------------------------------------------


def make_history(rates):
    n = len(rates)
    return fastnn.History(history={"loss": [1.0] * n}, epoch=list(range(n)), learning_rate=rates)


@pytest.mark.parametrize(
    "rates, labels, scale",
    [
        ([0.1, 0.1], ["loss"], None),
        ([0.1, 0.05], ["loss", "learning rate"], "linear"),
        ([0.1, 0.001], ["loss", "learning rate"], "log"),
        ([0.1, 0.0], ["loss", "learning rate"], "linear"),
        ([float("nan"), 0.1], ["loss"], None),
    ],
)
def test_the_learning_rate_has_a_panel_where_it_changed(rates, labels, scale):
    axes = plot_history(make_history(rates))
    assert [ax.get_ylabel() for ax in axes] == labels
    if scale:
        assert axes[-1].get_yscale() == scale
        assert list(axes[-1].lines[0].get_ydata()) == rates
    axes[0].figure.canvas.draw()


# --- HTML -----------------------------------------------------------------------------------------------------------


class Cells(HTMLParser):
    """The texts of a table, row by row; raises if a tag is not closed."""

    def __init__(self):
        super().__init__()
        self.rows, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_html_holds_the_layer_table():
    network = fastnn.Network.mlp(1000, [20], 3, dropout=0.25, output="softmax", seed=0)
    cells = Cells()
    cells.feed(network._repr_html_())
    assert cells.open == []
    assert cells.rows == [
        ["layer", "output", "parameters", "flops"],
        ["Input", "1000", "0", "0"],
        ["Dense relu", "20", "20,020", "40,000"],
        ["Dropout 0.25", "20", "0", "0"],
        ["Dense softmax", "3", "63", "120"],
        ["total", "", "20,083", "40,120"],
    ]
    assert "float32" in network._repr_html_()
    assert "Dropout 0.25" in network.summary()
