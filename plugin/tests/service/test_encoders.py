from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nestvec.service.encoders import open_encoders, resolve_encoder
from nestvec_schemas.errors import EncoderNotFound, ManifestTooNew


def test_an_empty_repository_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(EncoderNotFound, match=r"there is no encoder.*nestvec export CHECKPOINT"):
        open_encoders(tmp_path)


def test_only_the_named_encoders_are_opened(write_encoder: Callable[..., Path]) -> None:
    write_encoder("tiny")
    models = write_encoder("other").parent
    assert list(open_encoders(models, ("other",))) == ["other"]
    with pytest.raises(EncoderNotFound, match=r"of this name.*othr.*Did you mean 'other'\?"):
        open_encoders(models, ("othr",))


def test_a_newer_manifest_is_refused(models_folder: Path) -> None:
    manifest = models_folder / "tiny" / "encoder.json"
    manifest.write_text(manifest.read_text().replace('"format":5', '"format":6'))
    with pytest.raises(ManifestTooNew, match=r"later manifest format than 5: 6\. Upgrade nestvec"):
        open_encoders(models_folder)


def test_choosing(write_encoder: Callable[..., Path]) -> None:
    write_encoder("tiny")
    both = open_encoders(write_encoder("other").parent)
    one = {"tiny": both["tiny"]}
    assert resolve_encoder(one, None) == "tiny"
    assert resolve_encoder(both, "other") == "other"
    with pytest.raises(EncoderNotFound, match=r"has 2 encoders and the request names none.*encoder=NAME"):
        resolve_encoder(both, None)
    with pytest.raises(EncoderNotFound, match=r"no encoder of this name: tine.*Did you mean 'tiny'\?"):
        resolve_encoder(both, "tine")
