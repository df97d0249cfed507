#!/usr/bin/env python3
"""Builds the conformance cases of a set and judges them, with the set's own runner as a library.

  cases.py SET --builder CMD --registry HOST:PORT --work DIR --json OUT [-k REGEX] [-j N] [--cache]
  cases.py SET --tables CRATE=CMD... --json OUT          tables and parse corpora

What the runner leaves out is judged here too: a case without a recorded result by its `expect`, its asserts, and
whether the image can be read and its digests agree. Names of such cases are counted in a family of their own,
`unrecorded:FAMILY`."""
import argparse
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time

# Which program answers which table; the others belong to crates that do not exist yet.
TABLES = {
    "expose": "dockerfile", "ignorefile": "dockerfile", "instruction": "dockerfile", "json_exec": "dockerfile",
    "lex": "dockerfile", "match": "dockerfile", "parse": "dockerfile", "words": "dockerfile", "gitref": "dockerfile",
    "imageref": "oci", "lint": "lint",
}


def with_parents_of_links(run):
    """The set is kept by a version control that knows no empty directories; hard links may be all that is in one."""
    put_tree = run.put_tree

    def put(case, source, into, meta):
        for path, what in meta.items():
            if what.get("type") == "hardlink":
                os.makedirs(os.path.dirname(os.path.join(into, path)), exist_ok=True)
        put_tree(case, source, into, meta)

    run.put_tree = put


def serve_submodules(cases, work):
    """The repositories of some cases have a submodule whose server is long gone; its commits lie in them."""
    gone = {}
    for case in cases:
        for name in (case.get("git") or {}).values():
            with tarfile.open(os.path.join(case["_dir"], name)) as tar:
                if "./.gitmodules" not in tar.getnames():
                    continue
                text = tar.extractfile("./.gitmodules").read().decode()
                path, url = (re.search(r"^\s*%s = (.*)$" % key, text, re.M).group(1) for key in ("path", "url"))
                port, place = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/.*)", url).groups()
                if port in gone:
                    continue
                root = gone[port] = os.path.join(work, "submodules-" + port)
                prefix = "./.git/modules/%s/" % path
                for member in tar.getmembers():
                    if member.isfile() and member.name.startswith(prefix):
                        out = root + place + "/" + member.name[len(prefix):]
                        os.makedirs(os.path.dirname(out), exist_ok=True)
                        with open(out, "wb") as file:
                            file.write(tar.extractfile(member).read())
                # What a server without a program of git's needs.
                subprocess.run(["git", "--git-dir=" + root + place, "-c", "core.bare=true", "update-server-info"], check=True,
                               env={"PATH": os.environ["PATH"], "GIT_WORK_TREE": root})
    for port, root in gone.items():
        handler = functools.partial(QuietHandler, directory=root)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def judge_unrecorded(run, case, built):
    if built["timeout"]:
        return "timeout", ["timed out"]
    failed = built["rc"] != 0
    if case["expect"] == "error":
        return ("pass", []) if failed else ("fail", ["built, but an error was expected"])
    if failed:
        return "fail", ["build failed rc=%s: %s" % (built["rc"], " | ".join(built["out"].strip().splitlines()[:3])[:500])]
    try:
        images = run.summaries(built["tar"])
    except Exception as error:  # Whatever is wrong with the archive is a finding.
        return "fail", ["output unreadable: %s: %s" % (type(error).__name__, error)]
    wrong = [a for a in case.get("asserts", []) if not run.check_assert(a, images[0], built)]
    return ("fail" if wrong else "pass"), ["assert failed: %s" % json.dumps(a) for a in wrong]


def run_cases(run, options):
    run.USE_CACHE = options.cache
    with_parents_of_links(run)

    def one(case):
        work = os.path.join(options.work, re.sub(r"[^A-Za-z0-9_.-]", "_", case["_full"]))
        recorded = os.path.join(case["_dir"], "expected.json")
        built = run.build(case, options, work)
        if os.path.exists(recorded):
            name = case["_full"]
            status, hard, _ = run.judge(case, built, json.load(open(recorded, encoding="utf-8")))
        else:
            name = "unrecorded:" + case["_full"]
            status, hard = judge_unrecorded(run, case, built)
        shutil.rmtree(work, ignore_errors=True)
        return {"name": name, "status": status, "hard": hard, "soft": [], "secs": built["secs"]}

    cases = run.load_cases("dev", options.k)
    os.makedirs(options.work, exist_ok=True)
    serve_submodules(cases, options.work)
    return run.pool(options, cases, one)


def ask(command, rows):
    """One answer for each row."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    answers = subprocess.run(command, shell=True, input=text, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in answers.splitlines()]


def read_text(*parts):
    with open(os.path.join(*parts), encoding="utf-8", newline="") as file:
        return file.read()


def run_tables(options):
    commands = dict(text.split("=", 1) for text in options.tables)
    results = []

    def add(name, right, detail):
        results.append({"name": name, "status": "pass" if right else "fail", "hard": [] if right else [detail]})

    for table, crate in TABLES.items():
        rows = json.load(open(os.path.join(options.set, "tables", table + ".json"), encoding="utf-8"))["rows"]
        answers = ask(commands[crate], [dict(row["in"], table=table) for row in rows])
        assert len(answers) == len(rows), table
        for at, (row, answer) in enumerate(zip(rows, answers)):
            want = row["out"]
            right = "error" in answer if "error" in want else all(answer.get(key) == want[key] for key in want)
            add("table-%s/%d" % (table, at), right, "%s gives %s, not %s" % tuple(map(json.dumps, (row["in"], answer, want))))
    for kind in ("ok", "negative"):
        place = os.path.join(options.set, "parse", kind)
        names = sorted(os.listdir(place))
        rows = [{"table": "parse", "dockerfile": read_text(place, name, "Dockerfile")} for name in names]
        for name, answer in zip(names, ask(commands["dockerfile"], rows)):
            if kind == "negative":
                right = "error" in answer
            else:
                right = answer.get("ast", "").strip() == read_text(place, name, "result").strip()
            add("parse-%s/%s" % (kind, name), right, json.dumps(answer)[:300])
    return results


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("set")
    for flag in ("builder", "registry", "work"):
        parser.add_argument("--" + flag)
    parser.add_argument("--json", required=True)
    parser.add_argument("--tables", nargs="+")
    parser.add_argument("--cache", action="store_true")
    parser.add_argument("-k")
    parser.add_argument("-j", dest="jobs", type=int, default=2)
    options = parser.parse_args()
    options.timeout, options.intact, options.verbose, options.show = 120, False, False, 2
    sys.path.insert(0, options.set)
    import run

    begin = time.time()
    results = run_tables(options) if options.tables else run_cases(run, options)
    with open(options.json, "w", encoding="utf-8") as out:
        json.dump({"results": results}, out, indent=1)
    print("%d cases, %.0f s" % (len(results), time.time() - begin))


main()
