#!/usr/bin/env python3
"""Breaks the model one line at a time and looks whether a test dies.

  tests/mutate.py            every mutation, one after another
  tests/mutate.py WORD...    those whose names, files or tests have one of the words
  tests/mutate.py --check    only that each text is somewhere exactly once

Works in a copy below build/mutate with a build of its own; the checkout is only read. A mutation is killed when the
tests named with it fail, abort or hang; exit code 1 where one survives, does not compile, or its text is not found exactly
once. Each names the few tests that must see it, so that one object and one test program are built; that other tests may
see it too is not looked at.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # the checkout stays as it is
import mutations  # noqa: E402
from serving_mutations import SERVING_MUTATIONS  # noqa: E402

MUTATIONS = mutations.MUTATIONS + SERVING_MUTATIONS
ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / "build" / "mutate"
BUILD = COPY / "build" / "dev"
SOURCES = ("base", "topology", "traces", "costmodel", "sim", "scenarios")
LIMIT_S = 300  # of one run of tests; the named ones take seconds


def sh(*args, timeout=None):
    return subprocess.run(args, capture_output=True, text=True, timeout=timeout, check=False)


def copy_checkout():
    """Brings the copy up to date; a file that did not change keeps its time, so little is built."""
    files = sh("git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard").stdout.split("\n")
    wanted = {f for f in files if f and (ROOT / f).is_file()}
    for f in wanted:
        source, target = ROOT / f, COPY / f
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    listed = COPY / "build" / "files.txt"
    if listed.exists():
        for f in set(listed.read_text().split("\n")) - wanted - {""}:
            (COPY / f).unlink(missing_ok=True)
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("\n".join(sorted(wanted)))


def build(folders):
    """Returns what the compiler says where it fails, else ""."""
    if not (BUILD / "build.ninja").exists():
        made = sh("cmake", "-S", str(COPY), "--preset", "dev", "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1",
                  "-DMOECAST_BENCH=OFF")
        if made.returncode != 0:
            return made.stdout + made.stderr
    made = sh("cmake", "--build", str(BUILD), "--target", *[f"{f}_tests" for f in sorted(folders)])
    return made.stdout + made.stderr if made.returncode != 0 else ""


def dead(tests):
    """Names of the tests that fail, None where none runs."""
    folder, names = tests.split(" ", 1)
    try:
        run = sh(str(BUILD / "tests" / f"{folder}_tests"), f"--gtest_filter={names}", "--gtest_brief=0",
                 timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return ["one that does not end"]
    if "[==========] Running 0 tests" in run.stdout:
        return None
    failed = re.findall(r"^\[  FAILED  \] ([\w/]+\.[\w/]+)", run.stdout, re.MULTILINE)
    if run.returncode != 0 and not failed:  # aborted
        failed = re.findall(r"^\[ RUN      \] (\S+)", run.stdout, re.MULTILINE)[-1:] or ["the program"]
    return list(dict.fromkeys(failed))


def places(root):
    """The file of each mutation, and what is wrong with those whose text is not in one place."""
    sources = {p: p.read_text() for folder in SOURCES for p in sorted((root / folder).rglob("*.*")) if p.suffix in (".cc", ".h")}
    files, faults = {}, []
    for m in MUTATIONS:
        found = [p for p, text in sources.items() for _ in range(text.count(m.text))]
        files[m] = found[0].relative_to(root) if found else None
        if len(found) != 1:
            where = ", ".join(str(p.relative_to(root)) for p in found)
            faults.append(f"{m.breaks}: {len(found)} times, not once: {m.text}" + (f" ({where})" if where else ""))
    return files, faults


def killers(m, path):
    """What kills it, or why nothing can be said."""
    whole = path.read_text()
    path.write_text(whole.replace(m.text, m.becomes))
    try:
        fault = build({m.tests.split(" ")[0]})
        if fault:
            return None, "does not compile:\n" + fault[-2000:]
        died = dead(m.tests)
        return (died, "") if died else (None, "survives " + m.tests)
    finally:
        path.write_text(whole)


def main():
    words = [w for w in sys.argv[1:] if not w.startswith("--")]
    files, faults = places(ROOT)
    chosen = [m for m in MUTATIONS if not words or any(w in f"{m.breaks} {files[m]} {m.tests}" for w in words)]
    if faults:
        sys.exit("\n".join(faults))
    if "--check" in sys.argv:
        print(f"{len(MUTATIONS)} mutations, each text found once")
        return
    copy_checkout()
    fault = build({m.tests.split(" ")[0] for m in chosen})
    if fault:
        sys.exit("the checkout does not build:\n" + fault[-4000:])
    for tests in sorted({m.tests for m in chosen}):
        died = dead(tests)
        if died is None or died:
            sys.exit(f"without a mutation {tests}: " + ("no such test" if died is None else "fails: " + " ".join(died)))
    alive = 0
    for m in chosen:
        start = time.monotonic()
        died, why = killers(m, COPY / files[m])
        took = f"{time.monotonic() - start:4.0f} s"
        if died:
            more = f" and {len(died) - 1} more" if len(died) > 1 else ""
            print(f"killed  {took}  {files[m]}: {m.breaks}: {died[0]}{more}", flush=True)
        else:
            alive += 1
            print(f"ALIVE   {took}  {files[m]}: {m.breaks}: {why}", flush=True)
    print(f"{len(chosen) - alive} of {len(chosen)} killed")
    sys.exit(1 if alive else 0)


if __name__ == "__main__":
    os.environ.setdefault("GTEST_COLOR", "no")
    main()
