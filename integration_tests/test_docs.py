"""The README and the pages in docs/: their snippets run, in order, each page in an empty folder.

A page's Python blocks are one program; SQL blocks run on its ``papers.db``; of console blocks, nestvec and
curl run, and print the lines that stand below them, where … is anything. A block with a title is a file of
the folder. A comment before a block says more:

    <!-- not run: REASON -->             it is not executed; its options and statements are still checked
    <!-- params: {"q": "heat"} -->       values for its parameters
    <!-- fails: SqlNotSupported -->      each of its statements raises this error
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
import yaml
from click.testing import CliRunner
from integration_tests.fixtures.services import Serve

import nestvec
from nestvec.cli import cli
from nestvec.service.server import bind, open_embedder, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec.shell.split import script_pieces
from nestvec_schemas import errors

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "examples/README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
DATABASE = "papers.db"
PRINTED = "127.0.0.1:8080"
"""The service's address in the pages; a free port stands for it here."""

ELSEWHERE = {
    "milvus-lite": "is Milvus Lite's own server",
    "tritonserver": "is Triton itself",
    "pip": "installs packages",
    "make": "is tested by the Makefile's own targets",
    "docker": "needs a container engine",
    "python": "is tested where the program is",
}
"""Programs that console blocks may call and that are not run here, with the reason."""

_BLOCK = re.compile(
    r"^(?P<comments>(?:<!--[^\n]*-->\n)*)```(?P<language>\w+)(?P<about>[^\n]*)\n(?P<text>.*?)^```$",
    re.M | re.S,
)
_COMMENT = re.compile(r"<!-- (not run|params|fails): (.*?) -->")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and what stands before it."""

    language: str
    text: str
    line: int
    title: str = ""
    directives: dict[str, str] = field(default_factory=dict)

    @property
    def steps(self) -> list[tuple[list[list[str]], list[str]]]:
        """A console block's lines behind ``$``, as commands of words, and the lines that each line prints.

        A command goes on while a quotation is open, or behind a backslash."""
        lines: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                lines.append((line[2:], []))
            elif lines and not lines[-1][1] and _goes_on(lines[-1][0]):
                lines[-1] = (lines[-1][0].removesuffix("\\") + "\n" + line, [])
            elif lines and line.strip():
                lines[-1][1].append(line.strip())
        return [
            ([shlex.split(part, comments=True) for part in line.split(" && ")], printed)
            for line, printed in lines
        ]

    @property
    def commands(self) -> list[list[str]]:
        return [command for commands, _ in self.steps for command in commands]


def _goes_on(command: str) -> bool:
    if command.endswith("\\"):
        return True
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return False


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    page_blocks = []
    for match in _BLOCK.finditer(text):
        title = re.search(r'title="([^"]+)"', match["about"])
        line = text.count("\n", 0, match.start("language")) + 1
        directives = dict(_COMMENT.findall(match["comments"]))
        page_blocks.append(
            Block(match["language"], match["text"], line, title[1] if title else "", directives)
        )
    return page_blocks


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def nestvec_commands(block: Block) -> list[list[str]]:
    return (
        [command[1:] for command in block.commands if command[:1] == ["nestvec"]]
        if block.language == "console"
        else []
    )


@pytest.fixture(scope="module")
def shelf(exiting: Path, ranking: Path, words: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Encoders by the names that the pages give them: ``minilm`` with exit 3, ``reranker``, ``splade``."""
    models = tmp_path_factory.mktemp("docs") / "models"
    for source in (exiting / "minilm", ranking / "reranker", words / "splade"):
        shutil.copytree(source, models / source.name)
    return models


@pytest.fixture(scope="module")
def service(shelf: Path, serve: Serve) -> str:
    return serve(shelf)


class Page:
    """Runs a page's blocks in the folder that it is made in."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.names: dict[str, Any] = {}

    def run(self, block: Block) -> None:
        if "not run" in block.directives:
            return
        text = block.text.replace(PRINTED, self.service.removeprefix("http://"))
        if block.title:
            Path(block.title).parent.mkdir(exist_ok=True)
            Path(block.title).write_text(text)
        elif block.language == "python":
            exec(compile(text, f"line {block.line}", "exec"), self.names)
        elif block.language == "sql":
            self.close()
            self._sql(block, text)
        elif block.language == "console":
            self.close()
            address = self.service.removeprefix("http://")
            for commands, printed in block.steps:
                shown = [
                    self._command([word.replace(PRINTED, address) for word in command])
                    for command in commands
                ]
                for line in printed:
                    pattern = ".*".join(map(re.escape, line.replace(PRINTED, address).split("…")))
                    assert re.search(pattern, shown[-1]), f"{line}\n{shown[-1]}"

    def close(self) -> None:
        """Let go of what the Python blocks opened, as the end of a program does."""
        for value in self.names.values():
            if type(value).__name__ in ("MilvusClient", "Connection"):
                with contextlib.suppress(Exception):
                    value.close()

    def _sql(self, block: Block, text: str) -> None:
        params = json.loads(block.directives.get("params", "{}"))
        with nestvec.connect(DATABASE, service=self.service) as connection:
            for statement in script_pieces(text):
                used = {name: value for name, value in params.items() if f":{name}" in statement}
                if "fails" not in block.directives:
                    connection.execute(statement, used)
                    continue
                with pytest.raises(nestvec.dbapi.Error) as raised:
                    connection.execute(statement, used)
                assert type(raised.value.__cause__) is getattr(errors, block.directives["fails"]), statement

    def _command(self, command: list[str]) -> str:
        """Run a command; what it printed, empty where it is not run."""
        if command[0] == "nestvec":
            return "" if command[1] in ("serve", "export") else self._nestvec(command[1:])
        if command[0] == "curl":
            done = subprocess.run([*command, "--fail-with-body"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout
        assert command[0] in ELSEWHERE, command
        return ""

    def _nestvec(self, arguments: list[str]) -> str:
        done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0, f"{arguments}: {done.output}"
        return done.output


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in [name for name in os.environ if name.startswith("NESTVEC_") and name != "NESTVEC_DATA"]:
        monkeypatch.delenv(name)
    return tmp_path


def runs(page: Path) -> bool:
    return any("not run" not in block.directives and block.language != "text" for block in blocks(page))


@pytest.mark.parametrize("page", [page for page in PAGES[1:] if runs(page)], ids=name_of)
def test_a_page_s_snippets_run_in_order(page: Path, folder: Path, service: str, shelf: Path) -> None:
    (folder / "models").symlink_to(shelf)
    shutil.copy(ROOT / "examples/papers.jsonl", folder)
    ran = Page(service)
    try:
        for block in blocks(page):
            try:
                ran.run(block)
            except BaseException as error:
                error.add_note(f"{page.name}, line {block.line}")
                raise
    finally:
        ran.close()


def test_the_service_s_headers_are_on_its_page(service: str) -> None:
    sent = {"x-request-id": "docs-1"}
    body = {"inputs": ["heat flow"]}
    answer = httpx.post(f"{service}/embed?encoder=minilm", json=body, headers=sent, timeout=60)
    assert answer.headers["x-request-id"] == "docs-1"
    page = (ROOT / "docs/service.md").read_text()
    assert all(f"`{name}`" in page for name in answer.headers if name.startswith("x-"))


class Fresh(Page):
    """The same where nothing is prepared: it exports and serves what the page says."""

    def __init__(self, checkpoint: Path) -> None:
        super().__init__("")
        self.checkpoint, self.stack = checkpoint, contextlib.ExitStack()

    def _command(self, command: list[str]) -> str:
        if command[:2] == ["nestvec", "export"]:
            # The same files, from a package: no model hub is asked.
            local = {"sentence-transformers/all-MiniLM-L6-v2": str(self.checkpoint)}
            return self._nestvec([local.get(word, word) for word in command[1:]])
        if command[:2] == ["nestvec", "serve"]:
            models = Path(command[command.index("--models") + 1])
            embedder = open_embedder(models, (), ServiceSettings())
            self.service = self.stack.enter_context(serve_in_thread(embedder, bind("127.0.0.1", 0)))
            return ""
        return super()._command(command)

    def end(self) -> None:
        self.close()
        self.stack.close()


def test_the_readme_s_snippets_run_in_order_in_an_empty_folder(
    folder: Path, minilm_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = Fresh(minilm_checkpoint)
    try:
        for block in blocks(README):
            ran.run(block)
    finally:
        ran.end()
    assert "'id': 1" in capsys.readouterr().out
    assert {"models", "papers.db"} <= {path.name for path in folder.iterdir()}


def _requirements(extra: str) -> set[str]:
    """The distributions of an extra, those of other extras that it names included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["optional-dependencies"][extra] if extra else project["dependencies"]
    distributions = set()
    for requirement in wanted:
        name = re.match(r"[\w.-]+", requirement)
        assert name is not None
        if name[0] == "nestvec":
            inner = re.search(r"\[(.*?)\]", requirement)
            assert inner is not None
            distributions |= {more for part in inner[1].split(",") for more in _requirements(part)}
        else:
            distributions.add(_normal(name[0]))
    return distributions


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _imports(page: Path) -> set[str]:
    modules = set()
    for block in blocks(page):
        if block.language == "python":
            for node in ast.walk(ast.parse(block.text)):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                modules |= {name.partition(".")[0] for name in names}
    return modules - set(sys.stdlib_module_names) - {"nestvec", "nestvec_schemas", "nestvec_exporters"}


def _extras(page: Path) -> set[str]:
    return {
        extra
        for block in blocks(page)
        if block.language == "console"
        for listed in re.findall(r'pip install [^\n]*"(?:\.|nestvec)\[(.*?)\]"', block.text)
        for extra in listed.split(",")
    }


@pytest.mark.parametrize("page", [README, ROOT / "docs/quickstart.md"], ids=name_of)
def test_what_a_page_installs_is_what_its_snippets_import(page: Path) -> None:
    extras = _extras(page)
    assert {"openvino", "lite", "export"} <= extras
    installed = set().union(*(_requirements(extra) for extra in ("", *extras)))
    sources = metadata.packages_distributions()
    for module in _imports(page):
        assert {_normal(name) for name in sources[module]} & installed, module


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_of_a_page_has_the_options_that_are_written(page: Path) -> None:
    for block in blocks(page):
        for arguments in nestvec_commands(block):
            options, command = {"--help", "-h", "--version", "-v"}, cli
            context = click.Context(cli)
            for word in arguments:
                if word.startswith("-") and not word.lstrip("-").isdigit() and word != "-":
                    assert word.partition("=")[0] in options, f"{page.name}, line {block.line}: {word}"
                elif isinstance(command, click.Group) and word in command.list_commands(context):
                    subcommand = command.get_command(context, word)
                    assert subcommand is not None
                    command = subcommand
                    options |= {
                        name for param in command.params for name in (*param.opts, *param.secondary_opts)
                    }
            assert command is not cli or set(arguments) <= options, f"{page.name}, line {block.line}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_not_run_says_why_and_is_well_formed(page: Path) -> None:
    for block in blocks(page):
        assert len(block.directives.get("not run", "a reason")) > 5
        where = f"{page.name}, line {block.line}"
        if block.language == "python":
            ast.parse(block.text, filename=where, mode="exec")
        elif block.language == "yaml":
            assert yaml.safe_load(block.text) is not None, where
        elif block.language == "console":
            assert block.commands, where


def test_the_readme_is_short_and_names_the_idea_at_once() -> None:
    text = README.read_text()
    assert len(text.encode()) <= 8_192
    assert "Matryoshka" in text[:1_000]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_s_links_to_files_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http:", "https:", "mailto:", "results/")):
            assert (page.parent / target).exists(), target
