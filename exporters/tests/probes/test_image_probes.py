from __future__ import annotations

from PIL import Image

from nestvec_exporters.probes.image_probes import image_probe_sets, message_probe_sets, odd_images


def test_odd_images_have_what_breaks_decoders_and_crops() -> None:
    images = odd_images()
    assert {"L", "1", "P", "RGBA", "LA", "RGB"} == {image.mode for image in images}
    assert any(image.has_transparency_data and image.mode == "P" for image in images)
    assert any(image.getexif().get(0x0112) == 6 for image in images)
    assert max(max(image.size) / min(image.size) for image in images) > 30
    assert min(min(image.size) for image in images) < 4


def test_images_are_compared_alone_and_in_a_batch() -> None:
    alone, together = image_probe_sets(1, full=True)
    assert (alone.batch, together.batch) == (1, len(together.probes))
    assert {probe.group for probe in alone.probes} == {"images"}
    (quick,) = image_probe_sets(1, full=False)
    assert len(quick.probes) < len(alone.probes) / 2
    (sequences,) = image_probe_sets(3, full=True)
    assert all(isinstance(probe.value, tuple) and len(probe.value) == 3 for probe in sequences.probes)


def test_messages_are_texts_images_and_both() -> None:
    alone, together = message_probe_sets(("query",), full=True)
    groups = {probe.group for probe in alone.probes}
    assert groups == {"texts", "images", "messages", "prompts", "characters"}
    mixed = [probe.value for probe in together.probes]
    assert any(isinstance(value, str) for value in mixed)
    pictured = [value for value in mixed if isinstance(value, tuple)]
    assert any(isinstance(value[0], Image.Image) and value[1] == "" for value in pictured)
