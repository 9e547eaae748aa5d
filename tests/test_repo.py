"""House rules that a reader relies on and no other test notices."""

import ast
import inspect
import re
import subprocess
from pathlib import Path

import pytest

from fastlm import _core

ROOT = Path(__file__).parent.parent

# From the ground up; a file imports from its own floor and from those below. Folders stand for all they hold.
FLOORS = [
    ["_core", "_checkout", "_lazy", "_version", "text", "files", "batch", "workers"],
    ["autodiff"],
    ["heads"],
    ["models"],
    ["training"],
    ["scoring", "generation", "prefix_state", "explain"],
    ["language_model", "loading", "arpa", "coding"],
    ["auto"],
    ["compat"],
    ["cli", "demo", "__init__", "__main__"],
]
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}
MOST_ENTRIES = 32        # of the listing of fastlm/
LONGEST_FUNCTION = 40    # lines of a body, its docstring not counted

# First words of docstrings that are no verbs, beside all that end in -s, -ed or -ing; and verbs that end so.
NO_VERB = (r"After|All|And?|Any|As|At|Before|Between|Both|By|Causal|Code|Each|Eight|Every|Few|First|For|From|Half|Here|"
           r"How|If|In|Inside|Its?|Like|Many|More|Most|No|None|Not|Of|On|One|Only|Or|Others?|Out|Per|Some|Such|Text|Than|"
           r"That|Then?|Their|There|These|They|This|Those|To|True|Two|Until|What|When|Where|Whether|Which|While|Who|"
           r"Whose|Why|With|Within|Without|Yes|An?|The")
ENDING_LIKE_OTHERS = {"Address", "Bring", "Compress", "Discuss", "Embed", "Express", "Feed", "Need", "Pass", "Process",
                      "Seed"}

# Words that kernels may not hold: they would allocate, print, end the process or keep state.
FORBIDDEN = (r"Python\.h|arrayobject\.h|stdio\.h|\b(?:malloc|calloc|realloc|free|alloca|printf|fprintf|"
             r"sprintf|puts|fopen|exit|_exit|abort|assert|setlocale|strtod|rand|srand|getenv|pthread_\w+)\s*\(|"
             r"#\s*pragma\s+omp")


def tracked():
    """Files of the project as git sees them, new ones included; relative to the root."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is not a git checkout")
    return [Path(name) for name in listing.splitlines() if (ROOT / name).is_file()]


def text_of(path):
    return (ROOT / path).read_text(encoding="utf-8")


def without_comments(text):
    """C source without comments and strings."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"', " ", text, flags=re.DOTALL)


def kernels():
    files = sorted(path for kind in ("c", "h", "inc") for path in (ROOT / "csrc").rglob(f"*.{kind}"))
    assert len(files) > 25
    return files


def name_of(kernel):
    """The path of a kernel file below csrc/."""
    return kernel.relative_to(ROOT / "csrc").as_posix()


@pytest.mark.parametrize("path", kernels(), ids=name_of)
def test_kernels_do_not_allocate_print_or_exit(path):
    assert re.findall(FORBIDDEN, without_comments(text_of(path))) == []


def test_the_search_for_forbidden_words_finds_them():
    code = 'x = malloc (3); // free(x)\n#include <Python.h>\n/* abort() */ char *s = "exit(1)"; rows_free(x);'
    assert re.findall(FORBIDDEN, without_comments(code)) == ["malloc (", "Python.h"]


@pytest.mark.parametrize("path", kernels(), ids=name_of)
def test_kernels_keep_no_state(path):
    """A static that is not a function and not const would be shared between threads."""
    code = without_comments(text_of(path))
    for declaration in re.findall(r"\bstatic\b[^;={]*[;={]", code):
        assert "(" in declaration or re.search(r"\bconst\b", declaration), declaration
    depth = 0
    for line in code.splitlines():
        if depth == 0 and not line.startswith("#"):
            variable = re.match(r"(?!static|const|extern|typedef|struct|union|enum)[a-z]\w*(?:\s+\w+)*"
                                r"[\s*]+\w+(?:\[\w*\])*\s*(?:=|;)", line)
            assert not variable, line
        depth += line.count("{") - line.count("}")


def test_suffixes_tell_what_is_compiled_by_itself():
    """A .c file is compiled by itself and never included; a .inc or .h file is included by another."""
    files = {name_of(path): text_of(path) for path in kernels()}
    included = {name for text in files.values() for name in re.findall(r'#include "([^"]+)"', text)}
    assert {name for name in included if not name.endswith((".h", ".inc"))} == set()
    assert {name for name in files if name.endswith((".h", ".inc"))} == included
    assert {Path(name).parent.as_posix() for name in files if name.endswith(".c")} == {".", "isa", "ngram"}


@pytest.mark.parametrize("path", [path for path in kernels() if path.suffix != ".h"], ids=name_of)
def test_every_kernel_file_names_itself_and_the_header_that_declares_it(path):
    opening = re.match(r"/\*.*?\*/", text_of(path), re.DOTALL)[0]
    assert opening.startswith(f"/* {name_of(path)}: ")
    header = re.search(r"(?:Declared in|table of) (fastlm|ngram|runs|cache|words|pieces|arpa)\.h",
                       opening.replace("\n * ", " "))[1]
    declared = re.findall(r"\bflm_\w+(?=\()", text_of(f"csrc/{header}.h"))
    defined = re.findall(r"^[a-z]\w*(?: \w+)*? \*?(flm_\w+)\(", text_of(path), re.MULTILINE)
    assert [name for name in defined if name not in declared] == []


def test_nothing_generated_is_tracked():
    generated = re.compile(r"\.(so|o|a|pyc|html)$|\.egg-info|^fastlm/_core\.(c|cpp)$|^build/|^dist/")
    assert [str(path) for path in tracked() if generated.search(path.as_posix())] == []


def test_no_path_of_one_machine():
    """Absolute paths that exist on every system (/dev/full, /proc, /usr/bin/env) are none."""
    folders = "home|root|work|farm|Users|tmp|opt"
    machine = re.compile(rf"(?<![\w.~$}}<:/])/(?:{folders})/\w")
    suffixes = {".py", ".pyx", ".pyi", ".pxd", ".pxi", ".c", ".h", ".inc", ".md", ".toml", ".in", ".sh", ""}
    found = [f"{path}: {line.strip()}" for path in tracked() if path.suffix in suffixes
             for line in text_of(path).splitlines() if machine.search(line)]
    assert found == []


@pytest.mark.parametrize("pattern, budget", [
    ("csrc/**/*.c", 275), ("csrc/**/*.h", 300), ("csrc/**/*.inc", 275),
    ("fastlm/**/*.py", 365), ("benchmarks/**/*.py", 275),
    ("csrc/fastlm.h", 360), ("fastlm/_core.pyx", 450), ("tests/*.py", 550),
    ("fastlm/auto/policy.py", 450),   # a list of numbers
])
def test_files_stay_short(pattern, budget):
    exceptions = {"csrc/fastlm.h", "fastlm/auto/policy.py"} - {pattern}
    paths = [path for path in ROOT.glob(pattern) if path.relative_to(ROOT).as_posix() not in exceptions]
    assert paths
    lengths = {path.name: text_of(path).count("\n") for path in paths}
    assert {name: length for name, length in lengths.items() if length > budget} == {}


def modules():
    return sorted((ROOT / "fastlm").rglob("*.py"))


def floor(name):
    """The floor of fastlm.<name>, which may be a module, a package or something inside one."""
    return FLOOR.get(name.split(".")[0])


def module_name(path):
    """fastlm/a/b.py -> fastlm.a.b, and a package for its __init__."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in modules()}


def imports(path):
    """The modules of fastlm that a file imports, TYPE_CHECKING included, as they are found: a name that a package
    offers counts as the package."""
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "fastlm")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            if (node.module or "").split(".")[0] == "fastlm":
                inside = [f"{node.module}.{alias.name}" for alias in node.names]
                yield from (name if name in MODULES or name == "fastlm._core" else node.module for name in inside)


def test_every_module_has_a_floor():
    names = {path.relative_to(ROOT / "fastlm").parts[0].removesuffix(".py") for path in modules()}
    assert names - FLOOR.keys() == set()
    assert len(FLOORS) <= 10


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down(path):
    own = FLOOR[path.relative_to(ROOT / "fastlm").parts[0].removesuffix(".py")]
    for name in imports(path):
        below = FLOOR["__init__"] if name == "fastlm" else floor(name.removeprefix("fastlm."))
        assert below <= own, f"{path.name} imports {name} from a floor above"


def test_no_imports_go_in_a_circle():
    """Whatever is imported by a file is finished before the file is, for people who read and for type checkers."""
    arrows = {name: {found for found in imports(path) if found in MODULES} - {name} for name, path in MODULES.items()}
    while free := [name for name, below in arrows.items() if not below & arrows.keys()]:
        for name in free:
            del arrows[name]
    assert arrows == {}


def test_the_listing_shows_the_architecture():
    entries = {path.parts[1] for path in tracked() if path.parts[0] == "fastlm"}
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


def functions(path):
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.FunctionDef):
            yield node


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_functions_stay_short(path):
    """But the one that lists the arguments of the command line."""
    for node in functions(path):
        documented = ast.get_docstring(node) is not None and len(node.body) > 1
        length = node.end_lineno - node.body[1 if documented else 0].lineno + 1
        assert length <= LONGEST_FUNCTION or node.name == "parser", f"{node.name} has {length} lines"


def begins_with_a_verb(docstring):
    """Return whether a docstring begins with what looks like a verb in the imperative."""
    first = docstring.split(maxsplit=1)[0]
    if not re.fullmatch(r"[A-Z][a-z]+,?", first) or re.fullmatch(NO_VERB, first):
        return False
    return not first.endswith(("s", "ed", "ing")) or first in ENDING_LIKE_OTHERS


def is_property(node):
    """Return whether a function is read like an attribute, so that its docstring names a thing."""
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def binding_docstrings():
    """Return (file, docstring) of every function of the binding that has one; classes and properties are left out."""
    for path in sorted([*(ROOT / "fastlm").glob("*.pyx"), *(ROOT / "fastlm").rglob("*.pxi")]):
        lines = text_of(path).splitlines()
        for number, line in enumerate(lines):
            opening = re.match(r' +"""(?=[^"])(.*)', line)
            if opening and lines[number - 1].endswith(":"):
                begin = next(n for n in range(number - 1, -1, -1) if re.match(r" *(def|cdef|cpdef) ", lines[n]))
                if not re.match(r" *cdef class ", lines[begin]) and lines[begin - 1].strip() != "@property":
                    yield path.name, opening[1]


def test_the_search_for_verbs_tells_them_from_other_words():
    verbs = ["Return the ids.", "Pass it on.", "Count, then sort.", "Set out (N,) to x.", "Embed ids."]
    others = ["The ids.", "Returns the ids.", "log p of ids.", "out += x.", "(a, b) of c.", "Read-only view.",
              "Called before training.", "Reading on.", "What follows.", "-log p.", "`x` of y."]
    assert [text for text in verbs + others if begins_with_a_verb(text)] == verbs


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstrings_of_functions_begin_with_a_verb(path):
    """Those of modules, classes and properties may name what they document instead."""
    texts = [(node.name, ast.get_docstring(node)) for node in functions(path) if not is_property(node)]
    assert [(name, text) for name, text in texts if text and not begins_with_a_verb(text)] == []


def test_docstrings_of_the_binding_begin_with_a_verb():
    found = list(binding_docstrings())
    assert len(found) > 100 and [item for item in found if not begins_with_a_verb(item[1])] == []


def test_numpy_and_threadpoolctl_are_all_that_is_needed():
    import sys
    allowed = set(sys.stdlib_module_names) | {"numpy", "threadpoolctl", "fastlm"}
    for path in modules():
        # What stands beside another tool needs that tool.
        theirs = {path.stem} if path.parent.name == "compat" else set()
        for node in ast.parse(text_of(path)).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
                    [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed | theirs, path.name


def test_the_stub_names_what_the_binding_has():
    tree = ast.parse(text_of("fastlm/_core.pyi"))
    stub = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    stub |= {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)}
    binding = {name for name, value in vars(_core).items()
               if not name.startswith("_") and not inspect.ismodule(value)}
    assert {name for name in stub if not name.startswith("_")} == binding


def test_the_version_is_one():
    import fastlm
    assert f'version = "{fastlm.__version__}"' in text_of("pyproject.toml")
    assert f"## {fastlm.__version__}" in text_of("CHANGELOG.md")
