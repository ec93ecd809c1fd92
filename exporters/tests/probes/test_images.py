from __future__ import annotations

import hashlib

from nestvec_exporters.probes.images import PROBE_IMAGES, probe_images


def test_images_are_many_different_and_the_same_every_time() -> None:
    drawn = probe_images()
    assert len({one.tobytes() for one in drawn}) == len(drawn) == PROBE_IMAGES
    assert len({one.size for one in drawn}) > 10
    assert {one.mode for one in drawn} == {"RGB"}
    first = hashlib.sha256(drawn[0].tobytes()).hexdigest()
    probe_images.cache_clear()
    assert hashlib.sha256(probe_images()[0].tobytes()).hexdigest() == first
