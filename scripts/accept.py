"""Runs the table of long checks and keeps what was measured in build/accept.json (see `accept_table.py`)."""

from __future__ import annotations

import argparse
import json
import operator
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from accept_table import CHECKS, Check

STORE = Path("build/accept.json")
OPERATORS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "==": operator.eq}


def main() -> int:
    given = arguments()
    checks = [check for check in CHECKS if not given.names or check.name in given.names]
    results: dict[str, Any] = json.loads(STORE.read_text("utf-8")) if STORE.exists() else {}
    if not given.list:
        for check in checks:
            old = results.get(check.name, {})
            if given.again or not (old.get("passed") and (old["command"], old["bar"]) == (check.command, check.bar)):
                results[check.name] = run(check, places(given))
                save(results)
    print_table(checks, results)
    return 0 if all(results.get(c.name, {}).get("passed") is not False for c in checks) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/accept", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these checks")
    parser.add_argument("--again", action="store_true", help="also those that passed before")
    parser.add_argument("--list", action="store_true", help="run nothing, print the table")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PATH")
    given = parser.parse_args()
    unknown = set(given.names) - {check.name for check in CHECKS}
    if unknown:
        parser.error(f"no check is named {', '.join(sorted(unknown))}; --list shows them")
    return given


def places(given: argparse.Namespace) -> dict[str, str]:
    """`{data:NAME}` and `{peer:NAME}` to paths."""
    found = {"{python}": sys.executable}
    for kind in ("data", "peer"):
        for pair in getattr(given, kind):
            name, _, path = pair.partition("=")
            found[f"{{{kind}:{name}}}"] = str(Path(path).resolve())
    return found


def run(check: Check, known: dict[str, str]) -> dict[str, Any]:
    """One check's result; `passed` is None where it was skipped."""
    words = [re.sub(r"\{[^}]+\}", lambda match: known.get(match[0], match[0]), word) for word in check.command.split()]
    lacking = [word for word in words if re.search(r"\{(data|peer):", word)]
    result = {"command": check.command, "bar": check.bar, "commit": commit(), "passed": None, "measured": None}
    if lacking:
        kind, name = re.findall(r"\{(data|peer):([^}]+)\}", lacking[0])[0]
        return {**result, "note": f"SKIPPED: give --{kind} {name}=PATH"}
    print(f"== {check.name}: {check.command}", flush=True)
    start = time.monotonic()
    done = subprocess.run(words, check=False, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    print(done.stdout, end="", flush=True)
    numbers = re.findall(r"^measured: ([-\d.e+]+)", done.stdout, flags=re.MULTILINE)
    measured = float(numbers[-1]) if numbers else None
    passed = done.returncode == 0 and meets(measured, check.bar)
    return {**result, "measured": measured, "passed": passed, "seconds": round(time.monotonic() - start)}


def meets(measured: float | None, bar: str) -> bool:
    if not bar:
        return True
    sign, limit = bar.split()
    return measured is not None and bool(OPERATORS[sign](measured, float(limit)))


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True)
    return done.stdout.strip()


def save(results: dict[str, Any]) -> None:
    STORE.parent.mkdir(exist_ok=True)
    part = STORE.with_suffix(".part")
    part.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    part.replace(STORE)


def print_table(checks: list[Check], results: dict[str, Any]) -> None:
    rows = [("check", "bar", "measured", "", "command")]
    for check in checks:
        result = results.get(check.name, {})
        verdict = {True: "ok", False: "FAILED", None: result.get("note", "not run")}[result.get("passed")]
        measured = result.get("measured")
        rows.append((check.name, check.bar, "" if measured is None else f"{measured:g}", verdict, check.command))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        print(" | ".join([f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)] + [row[4]]))


if __name__ == "__main__":
    sys.exit(main())
