"""``nestvec reload``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import GroupedCommand, json_option, option, option_group

if TYPE_CHECKING:
    from nestvec.client.admin import ReloadReport


@click.command("reload", cls=GroupedCommand, short_help=COMMANDS["reload"].short_help)
@option_group(
    "Service",
    option("--service", default="http://127.0.0.1:8080", metavar="URL", help="Address of the service."),
)
@json_option
def command(service: str, json: bool) -> None:
    """Have a running service read its keys, options and encoders again, without dropping a request.

    NESTVEC_ADMIN_KEY holds a key of the file that the service has as --admin-keys. The exit code is 1 if
    something could not be read and stays as it was.

    \b
    Example:
      nestvec reload --service http://127.0.0.1:8080
    """
    from nestvec.client.admin import request_reload
    from nestvec.client.service_key import base_url
    from nestvec.terminal.tables import print_json

    report = request_reload(base_url(service))
    if json:
        print_json(report.model_dump())
    else:
        _print(report)
    if report.failed:
        raise click.exceptions.Exit(1)


def _print(report: ReloadReport) -> None:
    changes = {"added": report.added, "replaced": report.replaced, "removed": report.removed}
    for change, names in changes.items():
        for name in names:
            click.echo(f"{name}: {change}")
    for option_name in report.options:
        click.echo(f"{option_name}: changed")
    for option_name in report.needs_restart:
        click.echo(f"{option_name}: has changed, and needs a restart", err=True)
    for name, note in report.notes.items():
        click.echo(f"{name}: {note}", err=True)
    for failure in report.failed:
        click.secho(f"{failure.name}: {failure.error}", fg="red", err=True)
    if not any(changes.values()) and not report.failed:
        click.echo("Every encoder is as it was.")
