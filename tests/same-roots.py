#!/usr/bin/env python3
"""Whether two tars hold the same root file system: types, modes, owners, contents, links and attributes of all files.

    python3 tests/same-roots.py ONE.tar OTHER.tar [PATTERN...]

What fits a PATTERN (of a whole path without its first slash) may differ; `sorted:PATTERN` is for a text whose lines
may be in another order, `names:PATTERN` for a file whose other names may be files of their own, `days:PATTERN` for a
list of passwords, whose days of the last change may differ. Times are not compared. What differs is printed; the exit
code is 1 then.
"""
import fnmatch
import hashlib
import sys
import tarfile


def without_day(line):
    fields = line.split(b":")
    return b":".join(fields[:2] + fields[3:])


def read(path, is_sorted, is_apart, has_days):
    files, links = {}, []
    with tarfile.open(path) as tar:
        for member in tar:
            name = member.name.removeprefix("./").removeprefix("/").rstrip("/") or "."
            content = ""
            if member.isreg():
                data = tar.extractfile(member).read()
                lines = sorted(data.splitlines()) if is_sorted(name) else [data]
                lines = [without_day(line) for line in data.splitlines()] if has_days(name) else lines
                content = hashlib.sha256(b"\n".join(lines)).hexdigest()
            elif member.issym():
                content = member.linkname
            elif member.isdev():
                content = f"{member.devmajor}:{member.devminor}"
            if member.islnk():
                links.append((name, member.linkname.removeprefix("./").removeprefix("/")))
                continue
            attributes = sorted((k, v) for k, v in member.pax_headers.items() if "xattr" in k or "acl" in k)
            kind = "file" if member.isreg() else member.type
            files[name] = (kind, f"{member.mode:o}", f"{member.uid}:{member.gid}", content, attributes)
    # Which of its names a file is stored under is the archive's affair.
    for name, target in links:
        files[name] = files[target]
    groups = {}
    for name, target in links:
        if is_apart(name):
            continue
        groups.setdefault(target, {target}).add(name)
    return files, sorted(sorted(group) for group in groups.values())


def main():
    one, other, *patterns = sys.argv[1:]
    by_line = [pattern.removeprefix("sorted:") for pattern in patterns if pattern.startswith("sorted:")]
    apart = [pattern.removeprefix("names:") for pattern in patterns if pattern.startswith("names:")]
    by_day = [pattern.removeprefix("days:") for pattern in patterns if pattern.startswith("days:")]
    may_differ = [pattern for pattern in patterns if not pattern.startswith(("sorted:", "names:", "days:"))]
    fits = lambda name, patterns: any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    is_sorted = lambda name: fits(name, by_line)
    is_apart = lambda name: fits(name, apart)
    has_days = lambda name: fits(name, by_day)
    (left, left_links), (right, right_links) = (read(path, is_sorted, is_apart, has_days) for path in (one, other))
    differs = 0
    for name in sorted(left.keys() | right.keys()):
        a, b = left.get(name), right.get(name)
        if a == b or fits(name, may_differ):
            continue
        differs += 1
        if a is None or b is None:
            print(f"only in {other if a is None else one}: {name} {(a or b)[:3]}")
        else:
            print(f"differs: {name}", *[f"{x} | {y}" for x, y in zip(a, b) if x != y])
    if left_links != right_links:
        differs += 1
        print("hard links differ:", [group for group in left_links + right_links if group not in left_links or group not in right_links])
    sys.exit(1 if differs else 0)


main()
