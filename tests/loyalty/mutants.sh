#!/bin/bash
# Mutation tests of loyalty/ in a copy of their own: mutants.sh [MODULE ...], all of them without any. Ends with a table.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
copy=$(mktemp -d "${TMPDIR:-/tmp}/tillside-mutants.XXXXXX")
modules=("$@")
[ ${#modules[@]} -gt 0 ] || modules=("*")

python3 -m venv "$copy/venv"
"$copy/venv/bin/pip" install --quiet 'mutmut>=3.8' msgspec pytest hypothesis 2> /dev/null
mkdir "$copy/tests"
cp -r "$root/loyalty" "$root/docs" "$copy/"
cp -r "$root/tests/__init__.py" "$root/tests/loyalty" "$root/tests/vectors" "$copy/tests/"
# Properties are asked of few examples, the same each time, and none is made smaller: a mutant is run with every test
# that reaches it, until one fails.
cat > "$copy/tests/conftest.py" <<'PYTHON'
import functools
import sys

from hypothesis import HealthCheck, Phase, settings


def pytest_sessionstart():
    # What was worked out before the change would hide it.
    for name, module in list(sys.modules.items()):
        if name.startswith("loyalty."):
            for each in vars(module).values():
                if isinstance(each, functools._lru_cache_wrapper):
                    each.cache_clear()


settings.register_profile(
    "mutants",
    max_examples=10,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("mutants")
PYTHON
{
  echo '[tool.mutmut]'
  echo 'source_paths = ["loyalty"]'
  echo 'also_copy = ["docs"]'
  echo "only_mutate = [$(printf '"loyalty/%s.py",' "${modules[@]}")]"
  echo 'pytest_add_cli_args_test_selection = ["tests/loyalty"]'
  echo 'pytest_add_cli_args = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:unraisableexception", "--import-mode=importlib",'
  # One is slow, the second asks drivers too, and the last one sees what a changed module imports.
  echo '  "--ignore=tests/loyalty/test_naive.py", "--ignore=tests/loyalty/test_identification_checks.py",'
  echo '  "--deselect=tests/loyalty/test_identification_json.py::test_the_standard_library_is_enough"]'
  echo 'timeout_constant = 5.0'
} > "$copy/pyproject.toml"

cd "$copy"
nice "$copy/venv/bin/mutmut" run --max-children 1 > run.log || tail -n 20 run.log
"$copy/venv/bin/mutmut" results --all true | sed -nE 's/^ *loyalty\.([a-z_]+)\..*: (.*)$/\1 \2/p' | sort | uniq -c
echo "what was not noticed: cd $copy && venv/bin/mutmut results, then venv/bin/mutmut show NAME"
