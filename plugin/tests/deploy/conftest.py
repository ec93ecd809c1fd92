"""The chart, and what Helm's own engine renders of it for each file of values in ``ci/``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[3] / "deploy"
CHART = DEPLOY / "helm" / "nestvec"
CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    **{path.stem: yaml.safe_load(path.read_text()) for path in sorted((CHART / "ci").glob("*.yaml"))},
}

Resource = dict[str, Any]


@pytest.fixture(scope="session")
def helm() -> Any:
    """Helm's Go library, through its Python binding."""
    import helm_python

    return helm_python


@pytest.fixture(scope="session")
def rendered(helm: Any) -> dict[str, list[Resource]]:
    """The resources of a release ``rel`` in the namespace ``ns``, by case."""
    with helm.Chart.load(CHART) as chart:
        return {
            case: _resources(chart.render(values, name="rel", namespace="ns"))
            for case, values in CASES.items()
        }


def _resources(files: dict[str, str]) -> list[Resource]:
    texts = [text for name, text in sorted(files.items()) if not name.endswith("NOTES.txt")]
    return [resource for text in texts for resource in yaml.safe_load_all(text) if resource]
