"""Embedding inside people's own pipelines: a callable for batches of Ray Data, pandas and Spark.

import nestvec.ray
ds.map_batches(nestvec.ray.Embed("minilm", dims=[64, 384]), batch_format="pyarrow")
"""

from __future__ import annotations

from nestvec.bulk.embed_batches import Embed

__all__ = ["Embed"]
