"""Thousands of generated requests to the whole HTTP interface: is every answer one that the schema describes?

    python -m benchmarks.schema INDEX [--cases 5000] [--minutes 15] [--seed 1]

A server over a copy of the index, with all the rights of its user but a home folder that holds that copy alone, gets
what schemathesis makes of its own schema: the edges of every parameter, random requests, right and wrong ones, and
chains of them along the schema's links (a job that was started is asked for, followed, resumed, stopped). Prints what
was asked and every answer of 500 or more, and every one that is not as described; exits with 1 if there is any.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

# Not every string is a query (`"a` is not): valid by the schema is not yet valid. Who has a session, as here, is let in
# whatever token comes with it; wrong tokens have tests of their own. To delete a job is to stop it: it stays listed.
NOT_CHECKED = "positive_data_acceptance,ignored_auth,use_after_free"
SHARE = 0.02  # of all cases, for each operation by chance; edges and chains are about as many again


@contextmanager
def server(index: Path, home: Path) -> Iterator[tuple[str, str]]:
    """A server in a process of its own; -> its address, and the token."""
    command = [sys.executable, "-m", "prvr", "serve", "--index", str(index), "--port", "0", "--no-open", "--json"]
    own = {"HOME": str(home), "PRVR_DATA": str(home / "data"), "HF_HUB_OFFLINE": "1"}
    environment = {name: value for name, value in os.environ.items() if name != "PRVR_TOKEN"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**environment, **own}) as process:
        assert process.stdout
        said = ""
        while not said.endswith("}\n"):
            said += process.stdout.readline()
        found = json.loads(said)
        yield found["url"], found["token"]
        process.terminate()


def session(url: str, token: str) -> str:
    """The cookie of one: it is let in however many wrong tokens are tried beside it."""
    body, kind = json.dumps({"token": token}).encode(), {"Content-Type": "application/json"}
    with urlopen(Request(f"{url}/v1/session", body, kind)) as answer:
        return str(answer.headers["Set-Cookie"]).partition(";")[0]


def main() -> int:
    """Run it and print what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("index", type=Path)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        index = Path(shutil.copytree(args.index, home / "library", ignore=shutil.ignore_patterns("serve")))
        with server(index, home) as (url, token):
            report = home / "report.json"
            command = [
                *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json"),
                *("--header", f"Cookie: {session(url, token)}"),
                *("--max-examples", str(max(1, round(SHARE * args.cases))), "--seed", str(args.seed)),
                *(
                    "--max-time",
                    str(round(60 * args.minutes)),
                    "--continue-on-failure",
                    "--exclude-checks",
                    NOT_CHECKED,
                ),
                *("--request-timeout", "60", "--no-shrink", "--generation-database", "none", "--no-color"),
                *("--suppress-health-check", "all", "--generation-with-security-parameters", "false"),
                *("--report", "ndjson", "--report-ndjson-path", str(report)),
            ]
            code = subprocess.run(command, cwd=home).returncode
            statuses = Counter(answers(report))
    print(f"{statuses.total():,} answers: " + ", ".join(f"{statuses[one]:,} × {one}" for one in sorted(statuses)))
    worst = sum(number for status, number in statuses.items() if status >= 500)
    print(f"{worst} of 500 or more; schemathesis ended with {code}")
    return int(bool(worst or code))


def answers(report: Path) -> Iterator[int]:
    """The status of every answer."""
    for line in report.read_text().splitlines():
        for recorder in found(json.loads(line), "interactions"):
            for interaction in recorder.values():
                if response := interaction.get("response"):
                    yield response["status_code"]


def found(within: object, name: str) -> Iterator[dict[str, dict[str, dict[str, int]]]]:
    """Everything that is called so in an event."""
    if isinstance(within, dict):
        for key, value in within.items():
            if key == name:
                yield value
            else:
                yield from found(value, name)
    elif isinstance(within, list):
        for value in within:
            yield from found(value, name)


if __name__ == "__main__":
    sys.exit(main())
