"""Reading the views of a database: a server that does not answer has not been found to have none."""

from __future__ import annotations

import pytest

from nestvec.collections.stored_views import readable_views
from nestvec_schemas.errors import StoreError, StoreInUse, StoreRefused, StoreUnreachable


def test_a_server_without_properties_of_databases_has_no_views() -> None:
    steps = readable_views()
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.throw(StoreRefused("unknown method", next_step="Upgrade Milvus."))
    assert end.value.value == {}


@pytest.mark.parametrize("kind", [StoreUnreachable, StoreInUse])
def test_a_server_that_does_not_answer_is_an_error(kind: type[StoreError]) -> None:
    steps = readable_views()
    next(steps)
    with pytest.raises(kind):
        steps.throw(kind("no answer", next_step="Start Milvus."))
