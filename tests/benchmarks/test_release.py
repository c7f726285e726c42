"""What was built and tried for a release: failures are told, and the page is that of its numbers."""

import json
import sys
from pathlib import Path

from benchmarks.release.__main__ import Checks
from benchmarks.release.page import make_page

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def test_a_program_that_fails_is_a_failure(tmp_path, capsys):
    checks = Checks()
    assert checks.run("fine", [sys.executable, "-c", "print('a'); print('b')"], tmp_path).split() == ["a", "b"]
    assert checks.run("bad", [sys.executable, "-c", "print('why'); raise SystemExit(3)"], tmp_path) == ""
    assert checks.run("absent", [tmp_path / "nothing"], tmp_path) == ""
    assert checks.run("endless", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, limit_s=0.5) == ""
    assert [check.passed for check in checks] == [True, False, False, False]
    assert (checks[0].said, checks[1].said) == ("b", "why")
    assert "FAILED bad" in capsys.readouterr().out


def test_the_page_is_that_of_its_numbers():
    found = json.loads((DOCS / "results-release.json").read_text(encoding="utf-8"))
    assert make_page(found) == (DOCS / "results-release.md").read_text(encoding="utf-8")
    assert found["environments"]
    checks = [*found["built"], *(check for one in found["environments"] for check in one["checks"])]
    assert all(check["passed"] for check in checks)
    checks[0]["passed"] = False
    assert "**failed**" in make_page(found)
