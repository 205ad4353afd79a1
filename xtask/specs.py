"""Checks what the gateway says against the providers' published schemas: `specs.py EXCHANGES SCHEMAS`.

EXCHANGES has a line of JSON for each translated call (`cargo xtask specs` writes it); SCHEMAS is a folder of `openai.schemas.json`,
`anthropic.schemas.json` and `gemini.schemas.json`, each with `$defs` and `entry_points`. Fails if anything is not as they say.
"""

import collections
import json
import pathlib
import sys

from jsonschema import Draft202012Validator

# What reaches a provider's own service, by its dialect.
REQUESTS = {
    "openai_chat": ("openai", "request_chat"),
    "openai_completions": ("openai", "request_completions"),
    "openai_embeddings": ("openai", "request_embeddings"),
    "openai_responses": ("openai", "request_responses"),
}
# Copies of OpenAI's API want what is not in its documents.
OPENAIS = ("openai", "azure")

# What clients get: whole, and event by event.
ANSWERS = {
    "openai_chat": ("openai", "chat", "chat_chunk"),
    "openai_completions": ("openai", "completions", "completions"),
    "openai_embeddings": ("openai", "embeddings", None),
    "openai_responses": ("openai", "responses", "responses_event"),
    "anthropic_messages": ("anthropic", "message", "message_event"),
    "gemini_generate": ("gemini", "generate", "generate"),
    "gemini_embeddings": ("gemini", "embed", None),
}


def excuse(dialect, error):
    """Why a document is not to be believed, if so."""
    reasons = [
        # A message whose content is a list is both an `Item` and an `EasyInputMessage`.
        ("is valid under each of", "ambiguous: one of several forms, and it is more than one"),
        # Clients ask for base64, and get it.
        ("is not of type 'array'", "vectors in base64") if dialect == "openai_embeddings" else None,
        # Absent is not the same as zero.
        ("'usage' is a required property", "a provider that tells no usage of embeddings") if dialect == "openai_embeddings" else None,
        # Some leave out bytes, or have them in base64: what a provider says of tokens is passed on.
        ("'bytes' is a required property", "log-probabilities as the provider gave them"),
        ("'logprob' is a required property", "log-probabilities as the provider gave them"),
        ("logprobs/", "log-probabilities as the provider gave them"),
        # The recorded call has none, or has sound in a form that is served and not described.
        ("[] should be non-empty", "a call without messages"),
        ("'input_audio'", "sound in another form than WAV and MP3"),
        # What another provider's model said before has no id of OpenAI's.
        ("'output_text', 'text'", "an earlier answer without an id"),
    ]
    texts = [f"{'/'.join(map(str, leaf.absolute_path))} {leaf.message}" for leaf in leaves(error)]
    return next((reason for known in reasons if known for word, reason in [known] if any(word in text for text in texts)), None)


def leaves(error):
    if not error.context:
        yield error
    for inner in error.context or ():
        yield from leaves(inner)


class Checker:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.validators = {}
        self.checked = collections.Counter()
        self.excused = collections.Counter()
        self.faults = {}

    def validator(self, document, entry):
        if (document, entry) not in self.validators:
            schemas = json.loads((self.folder / f"{document}.schemas.json").read_text())
            root = {"$schema": schemas["$schema"], "$defs": schemas["$defs"], "$ref": f"#/$defs/{schemas['entry_points'][entry]}"}
            self.validators[document, entry] = Draft202012Validator(root)
        return self.validators[document, entry]

    def check(self, what, document, entry, value, exchange):
        self.checked[what, document, entry] += 1
        for error in self.validator(document, entry).iter_errors(value):
            if reason := excuse(exchange["client"], error):
                self.excused[reason] += 1
                continue
            last = max(leaves(error), key=lambda leaf: len(leaf.absolute_path))
            place = "/".join("*" if isinstance(part, int) else part for part in last.absolute_path)
            key = (what, entry, exchange["client"], exchange["upstream"], place)
            self.faults.setdefault(key, []).append((exchange["id"], last.message[:200]))

    def exchange(self, exchange):
        upstream, client = exchange["upstream"], exchange["client"]
        if upstream in REQUESTS and exchange["provider"] in OPENAIS:
            self.check("request", *REQUESTS[upstream], exchange["request"], exchange)
        if client not in ANSWERS or exchange["status"] != 200:
            return
        document, whole, event = ANSWERS[client]
        if not exchange["streamed"] or not event:
            return self.check("answer", document, whole, json.loads(exchange["answer"]), exchange)
        for line in exchange["answer"].splitlines():
            if line.startswith("data:") and line.strip() != "data: [DONE]":
                value = json.loads(line[5:])
                # An error within a stream is what the clients' libraries take it for, and in no document.
                if "error" not in value or "response" in value:
                    self.check("event", document, event, value, exchange)


def main():
    checker = Checker(sys.argv[2])
    with open(sys.argv[1]) as lines:
        for line in lines:
            checker.exchange(json.loads(line))
    for (what, document, entry), count in sorted(checker.checked.items()):
        print(f"{count:7} {what}s as {document}'s `{entry}`")
    for reason, count in sorted(checker.excused.items()):
        print(f"{count:7} excused: {reason}")
    for key, found in checker.faults.items():
        print(f"{len(found):7} WRONG {key}: for example {found[0]}")
    sys.exit(1 if checker.faults else 0)


main()
