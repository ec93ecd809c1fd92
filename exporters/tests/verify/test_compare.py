from __future__ import annotations

import numpy as np
import pytest

from nestvec_exporters.probes.texts import PROBE_COUNT, probe_texts
from nestvec_exporters.verify.compare import TOLERANCES, compare_vectors
from nestvec_schemas.errors import VerificationFailed
from nestvec_schemas.manifest import Precision
from nestvec_schemas.vectors import Vectors


def vectors(noise: float = 0.0) -> Vectors:
    generator = np.random.default_rng(0)
    exact = generator.normal(size=(20, 32))
    return (exact + noise * generator.normal(size=exact.shape)).astype(np.float32)


def test_equal_vectors_pass_and_are_measured() -> None:
    found = compare_vectors(vectors(), vectors(), "fp32")
    assert found.sentences == 20
    assert found.cosine_min == pytest.approx(1)
    assert found.cosine_mean == pytest.approx(1)


def test_what_fp32_may_not_differ_int8_may() -> None:
    assert compare_vectors(vectors(), vectors(0.03), "int8").cosine_min < TOLERANCES["fp32"].min_cosine
    with pytest.raises(VerificationFailed, match=r"fp32 must reach a cosine of 0\.9999"):
        compare_vectors(vectors(), vectors(0.03), "fp32")


def test_int8_has_a_floor_and_names_the_way_out() -> None:
    with pytest.raises(VerificationFailed, match="--precision fp32; nothing was written"):
        compare_vectors(vectors(), vectors(0.5), "int8")


def test_one_bad_vector_among_good_ones_fails() -> None:
    exported = vectors()
    exported[3] = -exported[3]
    with pytest.raises(VerificationFailed, match=r"-1\.0000 at least"):
        compare_vectors(vectors(), exported, "fp32")


@pytest.mark.parametrize("precision", TOLERANCES)
def test_vectors_of_the_right_direction_and_the_wrong_length_fail(precision: Precision) -> None:
    advice = "Choose another checkpoint.*" if precision == "fp32" else "Export it with --precision .*fp32"
    with pytest.raises(VerificationFailed, match=rf"not as long.*50\.0% away.*{advice}; nothing was written"):
        compare_vectors(vectors(), vectors() * np.float32(1.5), precision)


@pytest.mark.parametrize("precision", TOLERANCES)
def test_what_is_not_a_number_fails(precision: Precision) -> None:
    exported = vectors()
    exported[0, 0] = np.nan
    with pytest.raises(VerificationFailed):
        compare_vectors(vectors(), exported, precision)


def test_another_shape_fails() -> None:
    with pytest.raises(VerificationFailed, match=r"\(20, 16\) against \(20, 32\)"):
        compare_vectors(vectors(), vectors()[:, :16], "fp32")


def test_the_texts_are_real_and_one_is_longer_than_any_limit() -> None:
    assert len(probe_texts()) == PROBE_COUNT
    assert len(set(probe_texts())) == PROBE_COUNT
    assert len(probe_texts()[-1].split()) > 1000
