#!/usr/bin/env python3
"""Holds the results of a conformance run against the list of known failures.

  compare.py [--update] [--partial] LIST RESULT.json...

A line of LIST is a case's name, then `# reason`. The cases that fail in any RESULT must be exactly those listed.
--partial: only a part of the cases ran, so a listed case that did not run is no fault."""
import json
import sys


def listed(path):
    """Name → reason."""
    known = {}
    try:
        lines = open(path, encoding="utf-8").read().splitlines()
    except FileNotFoundError:
        return known
    for line in lines:
        name, _, reason = line.partition("#")
        if name.strip():
            known[name.strip()] = reason.strip()
    return known


def failures(paths):
    """Names of all cases that ran, and name → first complaint of those that failed in any run."""
    ran, failed = set(), {}
    for path in paths:
        for result in json.load(open(path, encoding="utf-8"))["results"]:
            ran.add(result["name"])
            if result["status"] not in ("pass", "skip"):
                complaint = (result.get("hard") or [result["status"]])[0]
                failed.setdefault(result["name"], " ".join(complaint.split())[:160])
    return ran, failed


def by_family(ran, failed):
    families = {}
    for name in ran:
        total, bad = families.get(name.split("/")[0], (0, 0))
        families[name.split("/")[0]] = (total + 1, bad + (name in failed))
    for family, (total, bad) in sorted(families.items()):
        print("%-24s %4d of %4d pass (%.1f %%)" % (family, total - bad, total, 100 * (total - bad) / total))


def main():
    arguments = sys.argv[1:]
    update, partial = "--update" in arguments, "--partial" in arguments
    path, *results = [argument for argument in arguments if not argument.startswith("--")]
    known = listed(path)
    ran, failed = failures(results)
    by_family(ran, failed)
    if update:
        kept = {name: reason for name, reason in known.items() if partial and name not in ran}
        kept.update({name: known.get(name) or failed[name] for name in failed})
        with open(path, "w", encoding="utf-8") as out:
            out.writelines("%s  # %s\n" % item for item in sorted(kept.items()))
        print("%d known failures written" % len(kept))
        return 0
    new = sorted(set(failed) - set(known))
    mended = sorted(name for name in set(known) - set(failed) if name in ran or not partial)
    for name in new:
        print("fails, and is not listed: %s: %s" % (name, failed[name]))
    for name in mended:
        print("passes now, delete its line: %s" % name)
    print("conformance: %d passed, %d failed (%d of them known)" % (len(ran) - len(failed), len(failed), len(failed) - len(new)))
    return 1 if new or mended or not ran else 0


sys.exit(main())
