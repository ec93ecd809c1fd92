"""Templates are rendered in bounded time and memory, without files."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from nestvec_exporters.checkpoints.untrusted import bounded_text as bounded
from nestvec_exporters.checkpoints.untrusted.bounded_text import bounded_text


def rendered(template: str) -> str:
    messages = [[{"role": "user", "content": "hello"}]]
    return bounded_text(lambda: render_jinja_template(messages, chat_template=template)[0][0])


def test_a_template_writes_its_text() -> None:
    assert rendered("{% for m in messages %}<{{ m.role }}>{{ m.content }} é{% endfor %}") == "<user>hello é"


ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
DOUBLED = (
    "{% set n = namespace(x='a') %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}"
)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (ENDLESS, "longer than 1 s"),
        (DOUBLED, "too much memory|takes longer|more than"),
        ("{{ 'a' * 5000000 }}", "more than 1,048,576 characters"),
        ("{{ 'a' * 50000000000 }}", "too much memory"),
        ("{{ raise_exception('no images') }}", "no images"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ ''.__class__.__mro__ }}", "unsafe|undefined"),
    ],
)
def test_others_are_stopped(template: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MAX_SECONDS", 1.0)
    with pytest.raises(ValueError, match=says):
        rendered(template)


def test_what_a_template_changes_stays_in_its_process(tmp_path: Path) -> None:
    changed: list[str] = []

    def render() -> str:
        changed.append("x")
        return "text"

    assert bounded_text(render) == "text"
    assert not changed
