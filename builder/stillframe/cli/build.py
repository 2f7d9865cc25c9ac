"""`stillframe build`: its options. What it does is in `build_job`, which `stillframe --help` need not load."""

from __future__ import annotations

import click

from stillframe.cli.build_options import JobOptions, job_options, shape_options
from stillframe.cli.shared_options import PublicSide, StoreAccess, access_options, public_options, unlisted_options
from stillframe.options import BuildOptions


@click.command(short_help="Publish DICOM files, folders and .zip archives, from disk or S3.")
@click.argument("locations", metavar="[SOURCE]... DEST", nargs=-1, required=True)
@public_options("Public URL of the service root. Without it, RetrieveURLs are relative.")
@shape_options
@job_options
@unlisted_options
@access_options
def build(
    locations: tuple[str, ...],
    public: PublicSide,
    options: BuildOptions,
    job: JobOptions,
    secret: bytes,
    access: StoreAccess,
) -> int:
    """Publish the DICOM below SOURCE into DEST, a folder or s3://bucket/prefix.

    A SOURCE is a file, a folder, a .zip archive, or s3://bucket/prefix: an object, or all below a prefix. Manifests
    (--from) name more of them.

    What DEST already holds stays, and unchanged inputs are skipped. The exit code is 0 if all inputs are published or
    unchanged, 2 if some were rejected (the report lists each with its reason), and 1 if it could not finish.
    """
    from stillframe.cli.build_job import run_build

    return run_build(locations, public, options, job, secret, access)
