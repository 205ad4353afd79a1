"""Chooses the recordings that come with the project from a folder of recorded calls (`*.jsonl`).

    python3 choose.py FOLDER

Writes `PROVIDER.jsonl.zst` (needs the `zstd` program) and the table of sources in `README.md`, both beside this script. Chosen
are calls whose language the gateway speaks: all of OpenAI's, Anthropic's and MLflow's up to a size, and some of hosts that speak
OpenAI's language with an accent.
"""

import collections
import json
import pathlib
import subprocess
import sys

OWN = {
    "openai": {"chat", "completions", "embeddings"},
    "anthropic": {"messages"},
    "mlflow": {"invocations"},
}
ACCENTS = {
    name: {"chat"}
    for name in ("azure", "cerebras", "deepseek", "groq", "mistral", "openrouter", "perplexity", "together")
}
ACCENT_COUNT = 12
BYTES_MAX = 120_000  # of one call; larger ones hold pictures


def fits(call, endpoints):
    return (
        call["endpoint"] in endpoints
        and call["request_body_kind"] == "json"
        and call["response_body_kind"] in ("json", "sse", "text")
        and len(json.dumps(call)) <= BYTES_MAX
    )


def varied(calls):
    """Calls that bring tags not seen yet come first."""
    seen, first, rest = collections.Counter(), [], []
    for call in calls:
        key = (call["streaming"], call["status"], tuple(sorted(call["tags"])))
        (rest if seen[key] else first).append(call)
        seen[key] += 1
    return (first + rest)[:ACCENT_COUNT]


def main():
    source, here = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent
    sources = collections.Counter()
    for provider, endpoints in {**OWN, **ACCENTS}.items():
        lines = (source / f"{provider}.jsonl").read_text().splitlines()
        calls = [call for call in map(json.loads, lines) if fits(call, endpoints)]
        if provider in ACCENTS:
            calls = varied(calls)
        text = "".join(json.dumps(call, ensure_ascii=False, separators=(",", ":")) + "\n" for call in calls)
        packed = subprocess.run(["zstd", "-19", "--long=23", "-c"], input=text.encode(), stdout=subprocess.PIPE, check=True)
        (here / f"{provider}.jsonl.zst").write_bytes(packed.stdout)
        sources.update((call["source_repo"], call["license"], call["source_commit"][:12]) for call in calls)
        print(f"{provider}: {len(calls)} calls, {len(text)} bytes, {len(packed.stdout)} packed")
    head, _ = (here / "README.md").read_text().split("| repository |")
    rows = "".join(f"| {repo} | {license} | {commit} | {count} |\n" for (repo, license, commit), count in sources.most_common())
    (here / "README.md").write_text(f"{head}| repository | licence | commit | calls |\n| --- | --- | --- | --- |\n{rows}")


if __name__ == "__main__":
    main()
