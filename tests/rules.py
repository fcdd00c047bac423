#!/usr/bin/env python3
"""The house rules a machine can check. Prints `file:line: rule: what is wrong` and exits 1 on any violation.

A rule is a function from a Tree (path -> Source) to violations, a row of RULES, and a row of BAD: a text it must object
to (`rules.py --self-test`). The folders and what each may include are read from the table in CONTRIBUTING.md, so that
the page people read is the one that is enforced. What is left out: rules that need a compiler's understanding are
approximated on text with comments and strings blanked; .clang-tidy does the rest.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from typing import Callable, Iterator, NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHECKER = "tests/rules.py"  # holds the forbidden words it looks for

# Values in, values out: no environment, clocks, exits or mutable statics here, and files only in scenarios/.
PURE = ("base", "topology", "traces", "costmodel", "sim", "viz", "scenarios")

# Libraries and the places that may include them (a folder or a file); the first pattern that matches an include counts.
LIBRARIES = [
    (r"nlohmann/", ("base/json.cc",)),
    (r"boost/", ("topology/graph.cc",)),
    (r"CLI/", ("cli/options.cc",)),
    (r"(gtest|gmock)/", ("tests/",)),
    (r"benchmark/", ("bench/",)),
    (r"simgrid/|xbt/", ("sim/network/simgrid/",)),
    (r"mpi\.h|nccl\.h|cblas\.h", ("executor/",)),
    (r"cuda|cublas|cudnn|nvtx3/", ("kernels/", "executor/cuda/")),
]

# Within sim/: what lies below may not include what lies above, and training and serving do not know each other.
SIM_ABOVE = ("sim/training/", "sim/serving/", "sim/forecast/")
SIM_BELOW = ("sim/engine/", "sim/network/", "sim/pipeline/", "sim/routing/")

# Precompiled headers hide a missing standard include: names, and the header each is from.
STANDARD_NAMES = {
    "algorithm": "sort stable_sort nth_element max_element min_element minmax_element lower_bound upper_bound clamp all_of "
                 "any_of none_of find_if count_if fill copy_if remove_if transform unique reverse rotate equal is_sorted",
    "cmath": "sqrt log log2 log1p exp pow ceil floor round lround llround isfinite isnan hypot cos sin tanh erf",
    "functional": "function hash greater less", "memory": "unique_ptr shared_ptr make_unique make_shared",
    "numeric": "accumulate iota gcd lcm", "limits": "numeric_limits", "tuple": "tuple tie make_tuple apply",
    "bit": "bit_cast bit_width popcount countr_zero has_single_bit", "charconv": "from_chars to_chars",
    **{name: name for name in "array deque filesystem list map mutex optional queue set span string string_view thread "
                              "unordered_map unordered_set variant vector".split()},
}

# Tables of named things: (file, or folder with a row in its files; row pattern; where each name must appear: (folder or
# file, pattern of the line)).
TABLES = [
    ("cli/main.cc", r'^    \{"([a-z-]+)",', [("docs/cli.md", r"^(#+ .*|\| *`?(moecast )?){}\b")]),
    ("sim/pipeline/pipeline.cc", r'^ +\{"([a-z0-9-]+)",', [("docs/", r"(?<![\w-]){}(?![\w-])"), ("tests/", r'"{}"')]),
    ("costmodel/attention/", r'^    \.name = "([a-z0-9-]+)",', [("docs/", r"`{}`"), ("tests/", r'"{}"')]),
    ("costmodel/gating/", r'^    \.name = "([a-z0-9_]+)",', [("docs/", r"`{}`"), ("tests/", r'"{}"')]),
    ("traces/request_formats/", r'\.name = "([a-z]+)",', [("docs/traffic.md", r"^\| {} \|"), ("tests/", r"(?<!\w){}(?!\w)")]),
    ("costmodel/collectives/algorithms.cc", r'^    \{k\w+, "([a-z-]+)",',
     [("docs/model-collectives.md", r"(?<![\w-]){}(?![\w-])")]),
]

# Functions that only tests need: tables that they go over row by row, and decodes of given contexts.
TESTED_ALONE = {"AssumedFigures", "AttentionKinds", "DecodeOf"}

# Words of a declaration that is no mutable variable.
NOT_A_VARIABLE = {"const", "constexpr", "constinit", "using", "namespace", "struct", "class", "enum", "union", "typedef",
                  "friend", "template", "concept", "return", "static", "goto"}


class Violation(NamedTuple):
    path: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


class Source:
    """A file: its text, and its code with comments and the insides of strings blanked (lines stay in place)."""

    LITERALS = re.compile(
        r'R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<!\w)\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/', re.DOTALL)

    def __init__(self, path: str, text: str):
        self.path, self.text = path, text
        self.is_code = path.endswith((".cc", ".h", ".cu"))
        self.folder = path.split("/")[0]
        self.code = self.LITERALS.sub(self._blank, text) if self.is_code else ""
        self.includes = []  # (line, path, quoted)
        if self.is_code:
            for m in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)', text, re.MULTILINE):
                self.includes.append((self.line_at(m.start()), m[2], m[1] == '"'))

    @staticmethod
    def _blank(m: re.Match) -> str:
        quote = '"' if m[0][0] in '"R' else ""
        return quote + re.sub(r"[^\n]", " ", m[0])[2 * len(quote):] + quote

    def line_at(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1

    def find(self, pattern: str) -> Iterator[tuple[int, re.Match]]:
        """Matches in the code, with their lines."""
        for m in re.finditer(pattern, self.code, re.MULTILINE):
            yield self.line_at(m.start()), m


Tree = dict[str, Source]
Found = Iterator[tuple[str, int, str]]  # path, line, message


def code(tree: Tree, folders: tuple[str, ...] = ()) -> Iterator[Source]:
    return (s for s in tree.values() if s.is_code and (not folders or s.folder in folders))


def forbid(tree: Tree, folders: tuple[str, ...], pattern: str, message: str, allowed: tuple[str, ...] = ()) -> Found:
    for s in code(tree, folders):
        if s.path not in allowed:
            for line, m in s.find(pattern):
                yield s.path, line, f"{m[0].strip()}: {message}"


def may_include(tree: Tree) -> dict[str, set[str]]:
    """The folder table of CONTRIBUTING.md: rows `| folder/ | what lives there | may include | ... |`."""
    table: dict[str, set[str]] = {}
    text = tree["CONTRIBUTING.md"].text if "CONTRIBUTING.md" in tree else ""
    for m in re.finditer(r"^\| `?(\w+)/`? \|[^|]*\| ([\w ,-]+) \|", text, re.MULTILINE):
        table[m[1]] = set(re.findall(r"\w+", m[2])) | {m[1]}
    everything = set(table)
    return {folder: everything if "all" in allowed else allowed for folder, allowed in table.items()}


def includes(tree: Tree) -> Found:
    """A file includes project headers by their path from the root, and only of folders below its own."""
    table = may_include(tree)
    if not table:
        yield "CONTRIBUTING.md", 1, "the folder table is missing"
    for s in code(tree):
        if s.folder not in table:
            yield s.path, 1, f"the folder {s.folder}/ is not in the table of CONTRIBUTING.md"
            continue
        for line, path, quoted in s.includes:
            if not quoted:
                continue
            folder = path.split("/")[0]
            if folder not in table:
                yield s.path, line, f'"{path}" does not start with a folder of the project'
            elif folder not in table[s.folder]:
                yield s.path, line, f"{s.folder}/ may not include {folder}/"
            elif s.path.startswith(SIM_BELOW) and path.startswith(SIM_ABOVE):
                yield s.path, line, f"{path} lies above"
            elif s.path.startswith("sim/training/") and path.startswith("sim/serving/") or \
                    s.path.startswith("sim/serving/") and path.startswith("sim/training/"):
                yield s.path, line, "training and serving do not include each other"


def libraries(tree: Tree) -> Found:
    """A library is included in one place."""
    for s in code(tree):
        for line, path, _ in s.includes:
            places = next((places for pattern, places in LIBRARIES if re.match(pattern, path)), None)
            if places and not s.path.startswith(places):
                yield s.path, line, f"<{path}> belongs in {' '.join(places)} only"


def pragma_once(tree: Tree) -> Found:
    """Every header is guarded."""
    for s in code(tree):
        if s.path.endswith(".h") and not re.search(r"^#pragma once$", s.code, re.MULTILINE):
            yield s.path, 1, "a header without #pragma once"


def streams(tree: Tree) -> Found:
    """Text is made in strings; printing and files are the command line's, through base/file.h."""
    folders = tuple(f for f in PURE if f != "scenarios")
    pattern = (r"#\s*include\s*<(iostream|fstream|sstream|ostream|istream|iomanip|filesystem)>"
               r"|\bstd::(cout|cerr|clog|\w*stringstream|[io]?fstream|filesystem)\b"
               r"|\b(v?f?printf|f?puts|putchar|fwrite|fread|fopen|f?open|freopen|tmpfile|mkstemp)\s*\(")
    yield from forbid(tree, folders, pattern, "no streams and no files here", ("base/file.cc", "base/check.cc"))
    for s in code(tree, folders):
        for line, path, _ in s.includes:
            if path == "base/file.h" and s.path != "base/file.cc":
                yield s.path, line, "only scenarios/, executor/ and cli/ open files; take the text"


def environment(tree: Tree) -> Found:
    """No stage reads the environment or starts programs."""
    yield from forbid(tree, PURE, r"\b(secure_)?(getenv|setenv|putenv|system|popen)\s*\(", "values come as arguments")


def clocks(tree: Tree) -> Found:
    """Predictions do not depend on when they are made."""
    pattern = (r"#\s*include\s*<(chrono|ctime|time\.h|sys/time\.h)>|\bstd::chrono\b"
               r"|\b(clock_gettime|gettimeofday|clock)\s*\(|(?<![\w.>:])(std::)?time\s*\((nullptr|NULL|0|&)")
    yield from forbid(tree, PURE, pattern, "no clocks here")


def exits(tree: Tree) -> Found:
    """The user's faults are UserError, ours MOECAST_CHECK."""
    pattern = r"(?<![\w.>])(std::|::)?(_?exit|_Exit|quick_exit|abort|terminate)\s*\("
    yield from forbid(tree, PURE, pattern, "throw UserError or use MOECAST_CHECK", ("base/check.cc",))


def mutable_statics(tree: Tree) -> Found:
    """No state outlives a call: static and global variables are constants."""
    constant = re.compile(r"\b(const|constexpr|constinit)\b(?![^=({]*\*\s*\w+\s*$)")
    for s in code(tree, PURE):
        for line, m in s.find(r"\b(static|thread_local)\b(?!_)([^;={(]*)([;={(])([^;{]*)"):
            declared, ends, rest = m[2], m[3], m[4]
            name = re.search(r"(\w+)\s*(\[[^]]*\]\s*)*$", declared)
            # A function: its name is in upper camel case, or it has no arguments or named ones, or a body follows.
            function = ends == "(" and (not name or name[1][0].isupper() or "operator" in declared or
                                        re.match(r"\)|(const )?[\w:<>]+[&*]? \w+[,)]", rest) or
                                        s.code[m.end():m.end() + 1] == "{")
            if not function and not constant.search(declared):
                yield s.path, line, f"{m[0].split(ends)[0].strip()}: mutable static"
        # clang-format leaves what is at namespace scope in the first column.
        for line, m in s.find(r"^(inline +|extern +)?([A-Za-z_][\w:<>,*& ]*[ >*&])(\w[\w:]*)(\[\w*\])* *(=|;|\{.*\};)"):
            if not m[3].endswith("operator") and not NOT_A_VARIABLE & set(m[2].split()):
                yield s.path, line, f"{m[0].strip()}: mutable global"


def random_sources(tree: Tree) -> Found:
    """The standard library's distributions and shuffles differ between implementations: base/random.h."""
    pattern = (r"#\s*include\s*<random>|\bstd::(\w+_distribution|mt19937\w*|minstd_rand0?|default_random_engine"
               r"|random_device|shuffle|sample)\b|\brand\s*\(|\bsrand(om)?\s*\(")
    yield from forbid(tree, (), pattern, "use base/random.h")


def unordered_iteration(tree: Tree) -> Found:
    """The order of an unordered container is not the same everywhere: look up in it, do not walk it."""
    declared = r"\bunordered_(?:multi)?(?:map|set)\s*<.*>[&*]?\s+(\w+)\s*[;={(,)]"
    for s in code(tree):
        header = tree.get(re.sub(r"\.cc$", ".h", s.path))
        names = {m[1] for t in {s, header} - {None} for _, m in t.find(declared)}
        for alias in {m[1] for _, m in s.find(r"\busing (\w+) = std::unordered_")}:
            names |= {m[1] for _, m in s.find(rf"\b{alias}[&*]?\s+(\w+)\s*[;={{(,)]")}
        for line, m in s.find(r"\bfor \([^;()]*:\s*([^;{]*?)\)\s|(\w+)\.c?begin\(\)"):
            walked = re.search(r"(\w+)\s*$", m[1] or m[2])
            if walked and walked[1] in names or "unordered_" in m[0]:
                yield s.path, line, f"{m[0].strip()}: walks an unordered container"


def long_files(tree: Tree) -> Found:
    """What has grown over 500 lines is split."""
    for s in tree.values():
        lines = s.text.count("\n")
        if (s.is_code or s.path.endswith(".py")) and lines > 500:
            yield s.path, 501, f"{lines} lines; split it at 500"


def long_lines(tree: Tree) -> Found:
    """100 columns, as .clang-format has it; raw strings of tests show files as they are."""
    for s in tree.values():
        for number, line in enumerate(s.text.splitlines(), 1):
            if s.is_code and not s.path.startswith("tests/") and len(line) > 100:
                yield s.path, number, f"{len(line)} columns; break it at 100"


def type_names(tree: Tree) -> Found:
    """A type is named by what it is."""
    pattern = r"\b(class|struct|using|enum) +\w*(Managers?|Helpers?|Utils?|Impl)\b(?=[^;]*[{=:])"
    yield from forbid(tree, (), pattern, "name it by what it is")


def todos(tree: Tree) -> Found:
    """What is left open says why: TODO(reason)."""
    for s in tree.values():
        for m in re.finditer(r"\bTODO\b(?!\([^)]+\))", s.text):
            yield s.path, s.line_at(m.start()), "TODO without a reason in parentheses"


def places_of_one_machine(tree: Tree) -> Found:
    """The text holds no path of a machine."""
    pattern = re.compile(r"(?<![\w.])/(work|home|root|Users)/|(\.\./)?\bshared/(?=ground-truth|[A-Z]+\.md)")
    for s in tree.values():
        for m in pattern.finditer(s.text):
            yield s.path, s.line_at(m.start()), f"{m[0]}: a place of one machine"


def table_rows(tree: Tree) -> Found:
    """Every row of a table of named things is documented (and tested)."""
    for table, row, wanted in TABLES:
        files = [s for p, s in tree.items() if s.is_code and (p == table or table.endswith("/") and p.startswith(table))]
        if not files:
            yield table, 1, "this table is missing"
            continue
        rows = [(s, m) for s in files for m in re.finditer(row, s.text, re.MULTILINE)]
        if not rows:
            yield table, 1, f"no row looks like {row}"
        for source, m in rows:
            for place, line in wanted:
                pattern = re.compile(line.replace("{}", re.escape(m[1])), re.MULTILINE)
                if not any(p.startswith(place) and p != CHECKER and pattern.search(s.text) for p, s in tree.items()):
                    yield source.path, source.line_at(m.start()), f'"{m[1]}" is not in {place}'


def first_include(source: Source) -> str:
    return source.includes[0][1] if source.includes else ""


def own_header_first(tree: Tree) -> Found:
    """A .cc includes its own header first, which shows that the header compiles alone."""
    for s in code(tree):
        header = re.sub(r"\.cc$", ".h", s.path)
        if s.path.endswith(".cc") and header in tree and first_include(s) != header:
            yield s.path, 1, f'"{header}" is not the first include'


def standard_includes(tree: Tree) -> Found:
    """What a file names of the standard library, it or a header of ours that it includes brings."""
    header_of = {name: header for header, names in STANDARD_NAMES.items() for name in names.split()}
    used = re.compile(r"\bstd::(" + "|".join(header_of) + r")\b|(?<![\w:])u?int(?:8|16|32|64)_t\b")

    brought: dict[str, set[str]] = {}

    def brings(path: str) -> set[str]:
        if path not in brought:
            brought[path] = set()  # a circle ends here
            brought[path] = {name for _, name, _ in tree[path].includes if name not in tree}.union(
                *(brings(name) for _, name, _ in tree[path].includes if name in tree))
        return brought[path]

    for s in code(tree):
        there = brings(s.path)
        for line, m in s.find(used.pattern):
            header = header_of.get(m[1], "cstdint")
            if header not in there:
                yield s.path, line, f"{m[0]} without #include <{header}>"
                there = there | {header}


def for_tests_alone(tree: Tree) -> Found:
    """A free function that a header declares is used by something else than tests: its name is somewhere but where a
    line at the margin declares or defines it. Units are a vocabulary, whole as it is."""
    used, declared = set(TESTED_ALONE), {}
    for s in code(tree, PURE + ("cli", "executor")):
        for number, line in enumerate(s.code.split("\n"), 1):
            name = re.match(r"(?!struct|class|using)[A-Za-z_][^(]*?[&*\s](\w+)\(", line)
            used.update(re.findall(r"\w+", line[name.end():] if name else line))
            if name and s.path.endswith(".h") and s.path != "base/units.h":
                declared.setdefault(name[1], (s.path, number))
    for name, (path, number) in declared.items():
        if name not in used:
            yield path, number, f"{name}: nothing but tests calls it"


RULES: list[Callable[[Tree], Found]] = [
    includes, libraries, pragma_once, streams, environment, clocks, exits, mutable_statics, random_sources,
    unordered_iteration, long_files, long_lines, type_names, todos, places_of_one_machine, table_rows, own_header_first,
    standard_includes, for_tests_alone,
]


def headers_alone(tree: Tree, root: pathlib.Path, compiler: str) -> Found:
    """Every header compiles alone: the first include of some .cc does, the others are compiled here. Not those of
    tests/, which bring GoogleTest: they are no one's interface."""
    first = {first_include(s) for s in code(tree) if s.path.endswith(".cc")}
    headers = [s.path for s in code(tree) if s.path.endswith(".h") and s.path not in first and s.folder != "tests"]

    def errors(path: str) -> str:
        run = subprocess.run([compiler, "-std=c++20", "-fsyntax-only", "-I.", "-include", path, "-x", "c++", os.devnull],
                             cwd=root, capture_output=True, text=True)
        return "" if run.returncode == 0 else run.stderr

    with concurrent.futures.ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        for path, wrong in zip(headers, pool.map(errors, headers)):
            if wrong:
                yield path, 1, "does not compile alone:\n" + wrong


def read_tree() -> Tree:
    """Every text file of the project but data and build outputs."""
    tree: Tree = {}
    endings = (".cc", ".h", ".cu", ".py", ".md", ".txt", ".cmake", ".json", ".dict")
    for folder, subfolders, files in os.walk(ROOT):
        subfolders[:] = sorted(f for f in subfolders if not f.startswith((".", "build", "__pycache__")) or f == ".ci")
        for name in sorted(files):
            path = pathlib.Path(folder, name)
            relative = path.relative_to(ROOT).as_posix()
            if relative != CHECKER and (name.endswith(endings) or relative in ("dev", ".ci/run", ".clang-tidy")):
                tree[relative] = Source(relative, path.read_text(errors="replace"))
    return tree


def violations(tree: Tree) -> list[Violation]:
    return [Violation(path, line, rule.__name__, message) for rule in RULES for path, line, message in rule(tree)]


GOOD = {  # every rule looks at this and says nothing
    "CONTRIBUTING.md": "| base/ | | - | |\n| costmodel/ | | base | |\n| traces/ | | base | |\n| sim/ | engine | base | |\n| cli/ | | all | |\n| tests/ | | all | |\n",
    "base/a.h": '#pragma once\n#include <list>\n// std::cout << getenv("HOME")\nstruct A { static int Parse(int x); };\n'
                "struct B { static B list(std::list<int> x); };\n",
    "sim/engine/a.cc": """
#include "base/a.h"
#include <span>
#include <unordered_map>
constexpr int kRows[] = {1};
static const A a("exit(1)", {1});
int F(std::span<const int> rows) {
  Random random(1);
  std::unordered_map<int, int> seen;
  for (const int x : rows) seen.find(x);
  char b[4];
}
A& A::operator=(A&&) = default;
""",
    "cli/main.cc": '    {"train", "help"},\n',
    "docs/cli.md": "## train\nzb-h1\n",
    "sim/pipeline/pipeline.cc": '    {"zb-h1", "help"},\n',
    "costmodel/attention/a.cc": 'const AttentionKind kMlaAttention{\n    .name = "mla",\n};\n',
    "costmodel/gating/a.cc": 'const Scoring kSoftmaxScoring{\n    .name = "softmax",\n};\n',
    "costmodel/collectives/algorithms.cc": '    {kSend, "direct", help},\n',
    "traces/request_formats/a.cc": 'const RequestFormat kAzureFormat{.name = "azure",\n};\n',
    "docs/traffic.md": "| azure | a CSV |\n",
    "docs/model-collectives.md": "direct `mla` `softmax`\n",
    "tests/a_test.cc": 'Run("zb-h1", "mla", "softmax", "direct", "azure"); // TODO(the next schedule): more\n',
}
BAD = [  # (rule, path, text): GOOD with this file is objected to
    (includes, "base/b.h", '#pragma once\n#include "sim/engine/a.h"\n'),
    (includes, "base/b.cc", '#include "a.h"\n'),
    (includes, "sim/engine/b.cc", '#include "sim/training/step.h"\n'),
    (includes, "sim/serving/b.cc", '#include "sim/training/step.h"\n'),
    (includes, "util/b.cc", "int F();\n"),
    (includes, "CONTRIBUTING.md", "no table\n"),
    (libraries, "base/b.cc", "#include <boost/graph/graph.hpp>\n"),
    (libraries, "sim/b.cc", "#include <nlohmann/json.hpp>\n"),
    (pragma_once, "base/b.h", "struct B {};\n"),
    (streams, "sim/b.cc", "#include <sstream>\n"),
    (streams, "sim/b.cc", 'void F() { printf("x"); }\n'),
    (streams, "sim/b.cc", '#include "base/file.h"\n'),
    (environment, "sim/b.cc", 'const char* home = std::getenv("HOME");\n'),
    (clocks, "sim/b.cc", "auto t = std::chrono::steady_clock::now();\n"),
    (clocks, "sim/b.cc", "Random random(time(nullptr));\n"),
    (exits, "base/b.cc", "void F() { std::exit(1); }\n"),
    (mutable_statics, "sim/b.cc", "int F() {\n  static int calls = 0;\n  return ++calls;\n}\n"),
    (mutable_statics, "sim/b.cc", "void F() {\n  static std::vector<int> cache;\n}\n"),
    (mutable_statics, "sim/b.cc", "void F() {\n  static Cache cache(16);\n}\n"),
    (mutable_statics, "sim/b.cc", 'void F() {\n  static const char* last = "";\n}\n'),
    (mutable_statics, "sim/b.cc", "int calls = 0;\n"),
    (mutable_statics, "sim/b.cc", "std::map<int, int> cache;\n"),
    (random_sources, "sim/b.cc", "std::normal_distribution<double> noise;\n"),
    (unordered_iteration, "sim/b.cc", "  std::unordered_map<int, int> seen;\n  for (auto& [k, v] : seen) F(k);\n"),
    (unordered_iteration, "sim/b.cc", "  std::unordered_set<int> seen;\n  std::sort(seen.begin(), seen.end());\n"),
    (long_files, "tests/b_test.cc", "\n" * 501),
    (long_lines, "sim/b.cc", "//" + " " * 99 + "\n"),
    (type_names, "sim/b.cc", "class LinkManager {\n};\n"),
    (type_names, "sim/b.cc", "struct Impl {\n};\n"),
    (todos, "docs/b.md", "TODO: later\n"),
    (places_of_one_machine, "docs/b.md", "see /home/me/notes\n"),
    (places_of_one_machine, "sim/b.cc", '// "../shared/ground-truth/h100"\n'),
    (table_rows, "docs/cli.md", "train is a word in a sentence\n"),
    (table_rows, "tests/a_test.cc", "no schedule is named\n"),
    (table_rows, "sim/pipeline/pipeline.cc", "no rows\n"),
    (table_rows, "costmodel/attention/b.cc", 'const AttentionKind kNew{\n    .name = "new",\n};\n'),
    (table_rows, "docs/model-collectives.md", "no algorithm is named\n"),
    (table_rows, "docs/traffic.md", "no format is named\n"),
    (for_tests_alone, "base/b.h", "#pragma once\nint Half(int x);\n"),
    (own_header_first, "base/a.cc", "#include <map>\n#include \"base/a.h\"\n"),
    (standard_includes, "base/b.h", "#pragma once\n#include <set>\nstd::vector<int> B();\n"),
]


def self_test(compiler: str) -> int:
    def build(texts: dict[str, str]) -> Tree:
        return {path: Source(path, text) for path, text in texts.items()}

    failures = [f"objects to what is right: {v}" for v in violations(build(GOOD))]
    for rule, path, text in BAD:
        if not any(p == path or rule is table_rows for p, _, _ in rule(build(GOOD | {path: text}))):
            failures.append(f"{rule.__name__} does not object to {path}: {text!r}")
    failures += [f"{r.__name__} has no row in BAD" for r in RULES if r not in {bad[0] for bad in BAD}]
    with tempfile.TemporaryDirectory() as folder:
        alone = {"good.h": "#include <string>\nstd::string F();\n", "bad.h": "std::string F();\n"}
        for name, text in alone.items():
            pathlib.Path(folder, name).write_text(text)
        named = [p for p, _, _ in headers_alone(build(alone), pathlib.Path(folder), compiler)]
        if named != ["bad.h"]:
            failures.append(f"headers_alone objects to {named}, not to bad.h")
    print("\n".join(failures) or f"{len(RULES) + 1} rules object to {len(BAD) + 1} bad texts and to no good one")
    return 1 if failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--self-test", action="store_true", help="feed each rule a text it must object to")
    parser.add_argument("--compiler", default="g++", help="compiles each header alone")
    args = parser.parse_args()
    if args.self_test:
        return self_test(args.compiler)
    tree = read_tree()
    found = violations(tree)
    found += [Violation(p, n, "headers_alone", m) for p, n, m in headers_alone(tree, ROOT, args.compiler)]
    print("\n".join(map(str, found)) or f"{len(tree)} files keep {len(RULES) + 1} rules")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
