"""Image and class -> raw, signed evidence maps, and what may be done with them.

Every function leaves the model as it found it: no hooks, flags, gradients or statistics are changed.
"""

from . import maps, pooling
from ._answers import Evidence
from .gap import cam
from .inputs import counterfactual, guided_grad_cam, integrated_gradients, saliency, smooth_grad
from .layers import grad_cam

__all__ = [
    "Evidence",
    "cam",
    "counterfactual",
    "grad_cam",
    "guided_grad_cam",
    "integrated_gradients",
    "maps",
    "pooling",
    "saliency",
    "smooth_grad",
]
