"""What the scripted provider says in Gemini's language. No ids and a proof on the first call, as Gemini does it."""

import json

SIGNATURE = "c2lnbmVkIGJ5IGdlbWluaQ=="
USAGE = {"promptTokenCount": 12, "cachedContentTokenCount": 4, "candidatesTokenCount": 5, "thoughtsTokenCount": 2, "totalTokenCount": 19}
STATUS = {400: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}


def model_of(path):
    return path.split("/models/")[1].split(":")[0]


def method_of(path):
    return path.split("?")[0].rsplit(":", 1)[1]


def error(status, message):
    return {"error": {"code": status, "message": message, "status": STATUS[status]}}


def calls_tools(body):
    last = body["contents"][-1]["parts"][-1]
    return bool(body.get("tools")) and "functionResponse" not in last


def parts(body, words, tool_calls):
    thoughts = [{"text": "hm", "thought": True}] if body.get("generationConfig", {}).get("thinkingConfig") else []
    if calls_tools(body):
        calls = [{"functionCall": {"name": name, "args": arguments}} for _, name, arguments in tool_calls]
        calls[0]["thoughtSignature"] = SIGNATURE
        return thoughts + calls
    if body.get("generationConfig", {}).get("responseMimeType") == "application/json":
        return thoughts + [{"text": json.dumps({"name": "Ann", "age": 7})}]
    return thoughts + [{"text": word} for word in words]


def chunk(parts, finish=None):
    candidate = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "usageMetadata": USAGE, "modelVersion": "gemini-plain", "responseId": "resp-1"}


def answer(body, words, tool_calls):
    return chunk(parts(body, words, tool_calls), "STOP")


def events(body, words, tool_calls):
    for part in parts(body, words, tool_calls):
        yield f"data: {json.dumps(chunk([part]))}\r\n\r\n"
    yield f"data: {json.dumps(chunk([{'text': ''}], 'STOP'))}\r\n\r\n"


def vectors(body):
    if "requests" in body:
        return {"embeddings": [{"values": [0.25, -0.5]} for _ in body["requests"]]}
    return {"embedding": {"values": [0.25, -0.5]}}
