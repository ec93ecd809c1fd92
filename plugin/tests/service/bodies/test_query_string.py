from __future__ import annotations

import pytest

from nestvec.service.api import sparse
from nestvec.service.bodies.query_string import CheckQuery, query_check
from nestvec.service.bodies.route import BodyRoute
from nestvec_schemas.errors import BodyInvalid


@pytest.fixture(scope="module")
def check() -> CheckQuery:
    """The check of /embed_sparse: it has a field of its own beside those of every path."""
    (route,) = (route for route in sparse.router.routes if isinstance(route, BodyRoute))
    return query_check(route.dependant)


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"encoder=minilm&dim=64",
        b"encoder=minilm%402&top=5&words=true&overlong=mean",
        b"prompt=&exit=-1",
        b"api-version=2024-02-01&api-version=2024-02-01",
        b"prompt=%C3%A9",
        b"deadline=8.5",
    ],
)
def test_what_is_right_or_left_to_others_passes(check: CheckQuery, query: bytes) -> None:
    check(query)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (b"dim=8&dim=16", "query.dim is invalid: it is there twice"),
        (b"dim=many", "query.dim is invalid: Input should be a valid integer, in digits: many"),
        (b"dim=8.0", "Input should be a valid integer, in digits: 8.0"),
        (b"top=%208", "query.top is invalid: Input should be a valid integer"),
        (b"dim=1_000", "query.dim is invalid"),
        (b"dim=" + b"1" * 1000, "query.dim is invalid"),
        (b"dims=8", "does not know: dims. Did you mean 'dim'?"),
        (b"dimensions=8", "does not know: dimensions. Did you mean 'dim'?"),
        (b"encodr=minilm", "does not know: encodr. Did you mean 'encoder'?"),
        (b"prompt_name=query", "does not know: prompt_name. Did you mean 'prompt'?"),
        (b"Prompt=query", "does not know: Prompt. Did you mean 'prompt'?"),
        (b"Exit=3", "does not know: Exit. Did you mean 'exit'?"),
        (b"truncate_dim=8", "does not know: truncate_dim. Did you mean 'dim'?"),
        (b"encoder=" + b"x" * 5000, "longer than 4096 bytes: 5008"),
        (b"&".join(b"a%d=1" % n for n in range(40)), "more than 32 fields"),
        (b"prompt=%ff", "the query string is not UTF-8"),
        (b"prompt=\xc3\xa9", "the query string is not UTF-8, in percent encoding"),
    ],
)
def test_what_is_refused(check: CheckQuery, query: bytes, message: str) -> None:
    for _ in range(2):  # a refusal is not remembered as right
        with pytest.raises(BodyInvalid) as caught:
            check(query)
        assert message in str(caught.value)
        assert len(str(caught.value)) < 500
