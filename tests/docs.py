#!/usr/bin/env python3
"""Holds what the documentation shows to what the program prints.

A fenced block of README.md or docs/ whose first line is `$ moecast ARGUMENTS` (or `$ ./dev run ARGUMENTS`) shows what that
command line prints, pipes to head or sed included. The pages of WHOLE are made as a whole.

  tests/docs.py MOECAST          compares, exit code 1 where something differs
  tests/docs.py MOECAST --write  writes what differs
"""

import functools
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"```\n(\$ (?:moecast|\./dev run)([^\n]*)\n)(.*?)```", re.DOTALL)
WHOLE = {"docs/clusters.md": "topo --fields", "docs/scenarios.md": "scenario --fields",
         "docs/traffic-fields.md": "traffic fields", "docs/serving-fields.md": "scenario --fields --kind serving"}
# What `./dev run` alone runs.
DEFAULT = "validate training"


@functools.cache
def printed(moecast, arguments):
    return ran(f"moecast {arguments}", moecast)


def ran(command, moecast, given=None):
    path = f"{pathlib.Path(moecast).resolve().parent}:{os.environ['PATH']}"
    run = subprocess.run(["bash", "-o", "pipefail", "-c", command], input=given, env={**os.environ, "PATH": path},
                         capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"{command}: exit code {run.returncode}\n{run.stderr}")
    return run.stdout


# Several blocks show parts of what one command prints, which runs once.
def output(moecast, arguments):
    own, pipe, filters = (arguments or DEFAULT).partition(" | ")
    whole = printed(moecast, own)
    return ran(filters, moecast, whole) if pipe else whole


def up_to_date(moecast, page, text):
    if page in WHOLE:
        return output(moecast, WHOLE[page])
    return BLOCK.sub(lambda m: f"```\n{m[1]}{output(moecast, m[2].strip())}```", text)


def main():
    moecast, write = sys.argv[1], "--write" in sys.argv[2:]
    stale = []
    blocks = 0
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        page, text = str(path.relative_to(ROOT)), path.read_text()
        blocks += len(BLOCK.findall(text))
        made = up_to_date(moecast, page, text)
        if made == text:
            continue
        stale.append(page)
        if write:
            path.write_text(made)
    if write:
        print("written: " + (", ".join(stale) or "nothing differed"))
        return
    if stale:
        sys.exit("not what the program prints (./dev docs writes it): " + ", ".join(stale))
    print(f"{blocks} blocks and {len(WHOLE)} pages are what the program prints")


main()
