"""What a run saved, as it lies in the spool."""

from __future__ import annotations

import os

from fakes.daemon import frames_in
from respool.wire import codec
from respool.wire.frames import Kind


def records(run, kind=Kind.CHECKPOINT):
    frames = frames_in(run._keeper.attached.directory)
    found = [frame for frame in frames if frame.kind == kind]
    return [codec.unpack(frame.payload) for frame in found]


def blobs(run):
    return os.listdir(os.path.join(run._keeper.attached.directory, "blobs"))


def content(saved, *which, **more):
    with saved.open(*which, **more) as file:
        return file.read()


def text(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def save(run, step, data=b"state", **options):
    with run.checkpoint(step, **options) as file:
        file.write(data)
    return file
