"""What the installed pymilvus does not have, refused by name; these tests run with 2.6 and with 3."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest
from pymilvus import DataType, MilvusException

from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.pymilvus_features import (
    TEXT,
    client_method,
    data_type,
    is_input_error,
    is_retriable,
    unknown_type,
)
from nestvec.milvus.steps import call, drive
from nestvec_schemas.errors import StoreRefused

MAJOR = int(version("pymilvus").partition(".")[0])


def test_a_type_by_its_name() -> None:
    assert data_type("FLOAT_VECTOR") is DataType.FLOAT_VECTOR
    with pytest.raises(StoreRefused, match=rf"have fields of type FLOAT256: pymilvus {version('pymilvus')}"):
        data_type("FLOAT256")


def test_text_fields_are_of_pymilvus_3() -> None:
    if MAJOR >= 3:
        assert TEXT is not None
        assert data_type("TEXT") is TEXT
    else:
        assert TEXT is None
        with pytest.raises(
            StoreRefused, match=r"does not have fields of type TEXT: .*Install pymilvus 3\.0 or later"
        ):
            data_type("TEXT")


def test_a_call_that_the_client_does_not_have() -> None:
    def steps() -> Any:
        return (yield call("freezing papers", "freeze_collection", "papers"))

    with pytest.raises(StoreRefused, match="does not have the call freeze_collection"):
        drive(object(), steps())  # type: ignore[arg-type]
    assert client_method([], "append")


def test_a_collection_with_a_field_of_an_unknown_type() -> None:
    with pytest.raises(StoreRefused, match="the type of a field of this"), milvus_errors("reading papers"):
        DataType(240)
    with pytest.raises(ValueError, match="another"), milvus_errors("reading papers"):
        raise ValueError("another")
    assert unknown_type(ValueError("2400")) is None


def test_what_a_server_says_of_an_error() -> None:
    plain = MilvusException(1, "no")
    assert not is_retriable(plain)
    assert not is_input_error(plain)
    if MAJOR >= 3:
        assert is_retriable(MilvusException(1, "no", retriable=True))
        assert is_input_error(MilvusException(1, "no", is_input_error=True))
