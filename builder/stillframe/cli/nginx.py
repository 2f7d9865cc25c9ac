"""`stillframe nginx`: prints a configuration with which nginx serves a tree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stillframe.cli.shared_options import FILE, FOLDER, host_option, option_group
from stillframe.cli.streams import print_product

if TYPE_CHECKING:
    from stillframe.hosting.nginx import NginxSettings


def _make_settings(*, tree: Path, script: Path | None, module: str | None, **given: Any) -> NginxSettings:
    from stillframe.hosting.nginx import NginxSettings, find_module, find_service_url, script_file

    return NginxSettings(
        tree=tree.resolve(),
        service_url=find_service_url(tree),
        script=(script or script_file()).resolve(),
        module=find_module() if module is None else module,
        **given,
    )


_nginx_options = option_group(
    "settings",
    _make_settings,
    click.argument("tree", metavar="DIR", type=FOLDER),
    host_option,
    click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Port to listen on."),
    click.option("--server-name", default="_", show_default=True, help="Host name to answer for; _ for any."),
    click.option(
        "--root-path", default="/dicomweb", show_default=True, help='Path of the service root; "" for the host itself.'
    ),
    click.option(
        "--module",
        default=None,
        metavar="FILE",
        help='The njs module, ngx_http_js_module.so; "" if nginx has it built in.  [default: where packages put it]',
    ),
    click.option(
        "--script",
        type=FILE,
        default=None,
        metavar="FILE",
        help="Copy of nginx.js that nginx loads.  [default: the installed one]",
    ),
    click.option(
        "--http-part",
        "complete",
        is_flag=True,
        callback=lambda _context, _parameter, part: not part,
        help="Print only what belongs in the http block of an nginx that runs already.",
    ),
)


@click.command(short_help="Print an nginx configuration for a tree.")
@_nginx_options
def nginx(settings: NginxSettings) -> int:
    """Print a configuration with which nginx serves the tree DIR as the preview server does.

    What stillframe site has put into DIR is served beside the service.

    Start nginx with it as nginx -p FOLDER -c FILE. In FOLDER, nginx writes its own files while it runs, and looks for
    FILE if that is no absolute path.
    """
    from stillframe.hosting.nginx import render_nginx

    print_product(render_nginx(settings))
    return 0
