"""From a hint to pixels, without training: edges, cuts, proposals, priors and the dense CRF."""

from . import crf, edges, grabcut, priors, proposals

__all__ = ["crf", "edges", "grabcut", "priors", "proposals"]
