"""Image and class -> raw, signed evidence maps, and what may be done with them."""

from . import maps, pooling
from .methods import Evidence, cam, counterfactual, grad_cam, guided_grad_cam, saliency, smooth_grad

__all__ = [
    "Evidence",
    "cam",
    "counterfactual",
    "grad_cam",
    "guided_grad_cam",
    "maps",
    "pooling",
    "saliency",
    "smooth_grad",
]
