#!/usr/bin/env python3
"""Compares two images, each an OCI layout in a tar, layer by layer: what is in them, and who owns it.

compare.py [--skip REGEX] [--content] LEFT.tar RIGHT.tar

Bytes of files are compared with --content only: logs, caches and keys differ from run to run.
"""
import argparse
import gzip
import hashlib
import io
import json
import re
import sys
import tarfile


def layers(path):
    """The layers of the only image in a layout, bottom first, as tars."""
    with tarfile.open(path) as layout:
        def blob(digest):
            return layout.extractfile("blobs/" + digest.replace(":", "/")).read()
        index = json.load(layout.extractfile("index.json"))
        manifest = json.loads(blob(index["manifests"][0]["digest"]))
        while "manifests" in manifest:
            manifest = json.loads(blob(manifest["manifests"][0]["digest"]))
        for layer in manifest["layers"]:
            data = blob(layer["digest"])
            yield gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def entries(data, content):
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for entry in tar:
            xattrs = {name: value for name, value in entry.pax_headers.items() if name.startswith("SCHILY.xattr.")}
            what = [entry.type.decode(), "%o" % entry.mode, entry.uid, entry.gid, entry.linkname]
            what += [entry.devmajor, entry.devminor] if entry.isdev() else []
            what.append(sorted(xattrs.items()))
            if content and entry.isfile():
                what.append(hashlib.sha256(tar.extractfile(entry).read()).hexdigest())
            found[entry.name.strip("/")] = what
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--skip", default="$.")
    parser.add_argument("--content", action="store_true")
    parser.add_argument("left")
    parser.add_argument("right")
    args = parser.parse_args()
    left, right = list(layers(args.left)), list(layers(args.right))
    differences = 0
    total = 0
    if len(left) != len(right):
        print(f"{len(left)} layers and {len(right)}")
        differences += 1
    for number, (one, other) in enumerate(zip(left, right)):
        one, other = entries(one, args.content), entries(other, args.content)
        total += len(one)
        for name in sorted(one.keys() | other.keys()):
            if one.get(name) != other.get(name) and not re.search(args.skip, name):
                differences += 1
                print(f"layer {number} {name}: {one.get(name)} and {other.get(name)}")
    print(f"{total} paths compared, {differences} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
