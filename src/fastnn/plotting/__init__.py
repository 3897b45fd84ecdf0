"""Pictures of training and of networks. Matplotlib comes with the extra: pip install "fastnn[plot]"."""

from fastnn.plotting.convolutions import plot_feature_maps, plot_filters
from fastnn.plotting.curves import curve_names, new_figure, plot_history
from fastnn.plotting.displays import plot_decision_boundary, plot_parameter_histograms, plot_weight_images
from fastnn.plotting.samples import plot_saliency, plot_samples
from fastnn.plotting.style import TRAINING_COLOUR, VALIDATION_COLOUR, check_matplotlib, picture_formats

__all__ = [
    "TRAINING_COLOUR",
    "VALIDATION_COLOUR",
    "check_matplotlib",
    "curve_names",
    "new_figure",
    "picture_formats",
    "plot_decision_boundary",
    "plot_feature_maps",
    "plot_filters",
    "plot_history",
    "plot_parameter_histograms",
    "plot_saliency",
    "plot_samples",
    "plot_weight_images",
]
