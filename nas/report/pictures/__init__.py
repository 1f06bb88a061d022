"""Pictures of what networks see and tell. They need torch, which the rest of a report does not."""

from nas.report.pictures.feature_maps import draw_feature_maps
from nas.report.pictures.predictions import Predictions, find_predictions

__all__ = ["Predictions", "draw_feature_maps", "find_predictions"]
