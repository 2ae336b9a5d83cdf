"""Residual addition + RMSNorm: what holds for every such op."""

from tests.ops.norm_cases import ADD_RMS_NORM
from tests.ops.residual_properties import ResidualProperties


class TestAddRMSNorm(ResidualProperties):
    norm = ADD_RMS_NORM
