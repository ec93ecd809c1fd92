"""Merge checkpoints by task arithmetic: a base plus differences from it, each with a coefficient.

Ilharco et al. 2023 (task vectors); coefficients per layer as in Zhang et al. 2024 (aTLAS). Importing this
imports no torch.
"""

from nestvec_exporters.merge.merge import MERGE_RECORD, merge_checkpoints
from nestvec_exporters.merge_expression import parse_expression
from nestvec_exporters.options import BASE, CoefficientFit, Merge

__all__ = ["BASE", "MERGE_RECORD", "CoefficientFit", "Merge", "merge_checkpoints", "parse_expression"]
