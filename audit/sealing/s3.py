"""A sink in S3 whose objects nobody can change or delete before their time: Object Lock.

`s3://bucket/prefix?region=eu-central-1&retention_days=2557&mode=COMPLIANCE`. Credentials come by boto3's own chain, the
endpoint from AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL. The objects have the same paths as a directory's files, so a copy
of the bucket is a directory of checkpoints.

In a bucket with versions a later write or a delete only hides what was there. So reading asks for all versions and
takes the oldest of an object: what somebody put over it afterwards, or a delete marker, counts for nothing.

A call is made once and within seconds. What fails is tried again by the next pass of the sealer, which waits for it no
longer than that, however long S3 is away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from audit.sealing.sink import SUFFIX, SinkConflict, SinkFailed, folder_of, path_of
from audit.verifier.notes import MOST_NOTE_BYTES, Checkpoint
from forge.metrics.aws import count_calls

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS, READ_SECONDS = 2, 3
RETENTION_DAYS = 2557
"""Seven years."""

MODES = ("COMPLIANCE", "GOVERNANCE")
READERS = 8
"""Notes that are read at once when all are."""

MOST_CALLS = 40
"""So many listings to find the newest; more are needed only where somebody filled the bucket with something else."""

_AT_ONCE = 500
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_FORM = "s3://bucket/prefix?region=…&retention_days=…&mode=COMPLIANCE|GOVERNANCE"


class S3Sink:
    """A bucket with Object Lock, or a part of it. Raises ImproperlyConfigured for an address that names none."""

    is_readable = True

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.bucket, self.prefix = parts.netloc, parts.path.strip("/")
        self.region = options.pop("region", None)
        self.mode = options.pop("mode", "COMPLIANCE")
        days = options.pop("retention_days", str(RETENTION_DAYS))
        if (
            options
            or parts.scheme != "s3"
            or parts.fragment
            or not _BUCKET.fullmatch(self.bucket)
            or self.mode not in MODES
            or not re.fullmatch("[1-9][0-9]{0,4}", days)
        ):
            raise ImproperlyConfigured(f"{address!r} names no sink: {_FORM}")
        self.retention = timedelta(days=int(days))
        self.name = f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def __str__(self) -> str:
        return self.name

    def publish(self, checkpoint: Checkpoint, note: str) -> None:
        key, body = self._key(str(path_of(checkpoint.origin, checkpoint.size))), note.encode()
        with self._failing() as client:
            try:
                client.put_object(
                    Bucket=self.bucket,
                    Key=key,
                    Body=body,
                    ContentType="text/plain; charset=utf-8",
                    ChecksumAlgorithm="SHA256",
                    IfNoneMatch="*",
                    ObjectLockMode=self.mode,  # type: ignore[arg-type]
                    ObjectLockRetainUntilDate=datetime.now(UTC) + self.retention,
                )
            except ClientError as error:
                if _code(error) != "PreconditionFailed":
                    raise
                if self._kept(client, key) != note:
                    raise SinkConflict(f"{self.name} holds another note for size {checkpoint.size}: {key}") from None

    def newest(self, origin: str) -> str | None:
        with self._failing() as client:
            found = _Listing(client, self.bucket).last(self._key(f"{folder_of(origin)}/"))
            return None if found is None else self._read(client, *found)

    def notes(self) -> Iterator[tuple[str, str]]:
        """Every checkpoint, ordered by path: by origin, then by size. Raises SinkFailed."""
        with self._failing(attempts=5) as client, ThreadPoolExecutor(READERS) as readers:
            places = _oldest(_pages(client, Bucket=self.bucket, Prefix=self._key("")))
            while some := list(islice(places, _AT_ONCE)):
                notes = readers.map(lambda place: self._read(client, *place), some)
                yield from ((f"{self.name}/{key}", note) for (key, _), note in zip(some, notes, strict=True))

    def _key(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path

    def _kept(self, client: S3Client, key: str) -> str | None:
        """The note that was written first under the key."""
        places = _oldest(_pages(client, Bucket=self.bucket, Prefix=key))
        return next((self._read(client, *place) for place in places if place[0] == key), None)

    def _read(self, client: S3Client, key: str, version: str) -> str:
        answer = client.get_object(Bucket=self.bucket, Key=key, VersionId=version)
        return answer["Body"].read(MOST_NOTE_BYTES + 1).decode(errors="replace")

    @contextmanager
    def _failing(self, *, attempts: int = 1) -> Iterator[S3Client]:
        """A client, for a bucket that locks its objects; what goes wrong with it is SinkFailed."""
        try:
            client = _client(self.region, settings.AWS_ENDPOINT_URL_S3 or settings.AWS_ENDPOINT_URL, attempts)
            _check_lock(client, self.bucket)
            yield client
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and _code(error) == "ObjectLockConfigurationNotFoundError":
                why = "the bucket has no Object Lock, so what is published could be taken back; make one that has"
                raise SinkFailed(f"{self.name}: {why}") from error
            raise SinkFailed(f"{self.name}: {error}") from error


class _Listing:
    """Looks for the newest checkpoint level by level, a listing for each; counts them."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client, self._bucket = client, bucket
        self._calls = 0

    def last(self, prefix: str) -> tuple[str, str] | None:
        """Key and oldest version of the last checkpoint below `prefix`; raises SinkFailed after MOST_CALLS."""
        folders: list[str] = []
        pages = []
        for page in _pages(self._client, Bucket=self._bucket, Prefix=prefix, Delimiter="/"):
            self._calls += 1
            if self._calls > MOST_CALLS:
                raise SinkFailed(f"s3://{self._bucket}/{prefix} is full of what is no checkpoint of this log")
            folders += [one["Prefix"] for one in page.get("CommonPrefixes", ())]
            pages.append(page)
        here = list(_oldest(iter(pages)))
        if here:
            return here[-1]
        return next((found for folder in reversed(folders) if (found := self.last(folder))), None)


def _oldest(pages: Iterator[Any]) -> Iterator[tuple[str, str]]:
    """(key, oldest version) of each checkpoint, keys ascending; S3 lists the versions of a key newest first."""
    last: tuple[str, str] | None = None
    for page in pages:
        for version in page.get("Versions", ()):
            key = version["Key"]
            if not key.endswith(SUFFIX):
                continue
            if last is not None and last[0] != key:
                yield last
            last = key, version["VersionId"]
    if last is not None:
        yield last


def _pages(client: S3Client, **where: Any) -> Iterator[Any]:
    return iter(client.get_paginator("list_object_versions").paginate(**where))


@lru_cache(maxsize=16)
def _client(region: str | None, endpoint: str | None, attempts: int) -> S3Client:
    """A client of its own session: boto3's default one is not safe between threads."""
    client = boto3.session.Session().client(
        "s3",
        region_name=region,
        endpoint_url=endpoint,
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"total_max_attempts": attempts, "mode": "standard"},
            max_pool_connections=READERS,
        ),
    )
    count_calls(client.meta.events)
    return client


@lru_cache(maxsize=64)
def _check_lock(client: S3Client, bucket: str) -> None:
    """Raise ClientError where the bucket does not lock objects. It is asked once: a lock cannot be taken off again."""
    client.get_object_lock_configuration(Bucket=bucket)


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")
