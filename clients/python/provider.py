"""A provider that does what the model's name says, in the languages of OpenAI, Anthropic, Gemini, Cohere, Ollama and MLflow."""

import base64
import http.server
import itertools
import json
import struct
import threading
import time

import provider_gemini as gemini

TOOL_CALLS = [("call_1", "weather", {"city": "Rome"}), ("call_2", "weather", {"city": "Oslo"})]
WORDS = ["Hel", "lo ", "wörld"]


def assert_ids(route, ids):
    """The calls' ids are the provider's, or made by the gateway where it has none."""
    assert len(set(ids)) == 2 if route in ("flash", "llama") else ids == [id for id, _, _ in TOOL_CALLS]


class Provider:
    def __init__(self):
        self.received = []
        self.disconnects = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_files(self):
                """OpenAI's files, of which the gateway knows nothing: what was asked is told in the answer."""
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                file = {"id": "file-1", "object": "file", "bytes": len(body), "created_at": 1, "filename": "a", "purpose": "batch", "status": "uploaded"}
                outer.received.append({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body})
                answers = {"GET": {"object": "list", "data": [file], "has_more": False}, "POST": file, "DELETE": {"id": "file-1", "object": "file", "deleted": True}}
                send(self, 200, answers[self.command])

            do_GET = do_DELETE = do_files

            def do_POST(self):
                if self.path == "/v1/files":
                    return self.do_files()
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.received.append({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body})
                try:
                    outer.answer(self, body)
                except (BrokenPipeError, ConnectionResetError):
                    outer.disconnects += 1
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()

    def answer(self, handler, body):
        if "/models/" in handler.path:
            return self.answer_gemini(handler, body)
        model = body.get("model", "")
        anthropic = handler.path == "/v1/messages"
        if model == "rate-limited":
            return send(handler, 429, error(anthropic, "rate_limit_error", "slow down"), {"retry-after": "7"})
        if model == "broken":
            return send(handler, 500, error(anthropic, "api_error", "broken"))
        if model == "picky":
            return send(handler, 400, error(anthropic, "invalid_request_error", "messages: too many cooks"))
        if model == "slow":
            time.sleep(2)
        if handler.path == "/v2/embed":
            return send(handler, 200, {"id": "e1", "embeddings": {"float": [[0.25, -0.5] for _ in body["texts"]]}, "texts": body["texts"], "meta": {"billed_units": {"input_tokens": 3}}, "response_type": "embeddings_by_type"})
        if handler.path == "/v1/embed":
            numbers = [[0.25, -0.5] for _ in body["texts"]]
            typed = "embedding_types" in body
            return send(handler, 200, {"id": "e1", "embeddings": {"float": numbers} if typed else numbers, "texts": body["texts"], "meta": {"billed_units": {"input_tokens": 3}}, "response_type": "embeddings_by_type" if typed else "embeddings_floats"})
        if handler.path == "/v2/rerank":
            return send(handler, 200, {"id": "r1", "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}], "meta": {"billed_units": {"search_units": 1}}})
        if handler.path == "/v2/chat":
            return stream(handler, cohere_events(body), model) if body.get("stream") else send(handler, 200, cohere_answer(body))
        if handler.path == "/invocations":
            return send(handler, 200, served(body))
        if handler.path == "/v1/responses/input_tokens":
            return send(handler, 200, {"object": "response.input_tokens", "input_tokens": 11})
        if handler.path == "/v1/responses":
            return stream(handler, responses_events(body), model) if body.get("stream") else send(handler, 200, responses_answer(body))
        if handler.path == "/v1/embeddings":
            return send(handler, 200, vectors(body))
        if handler.path == "/v1/completions":
            return send(handler, 200, {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": model, "choices": [{"index": 0, "text": "and so on", "logprobs": None, "finish_reason": "stop"}], "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}})
        if handler.path == "/api/chat":
            lines = list(ollama_lines(body))
            return stream(handler, lines, model, "application/x-ndjson") if body.get("stream", True) else send(handler, 200, ollama_answer(body))
        if body.get("stream"):
            events = anthropic_events(body) if anthropic else openai_events(body)
            return stream(handler, events, model)
        return send(handler, 200, anthropic_answer(body) if anthropic else openai_answer(body))

    def answer_gemini(self, handler, body):
        model, method = gemini.model_of(handler.path), gemini.method_of(handler.path)
        for name, status, message in [("rate-limited", 429, "slow down"), ("broken", 500, "broken"), ("picky", 400, "too many cooks")]:
            if model == name:
                return send(handler, status, gemini.error(status, message))
        if method == "countTokens":
            return send(handler, 200, {"totalTokens": 7})
        if method in ("embedContent", "batchEmbedContents"):
            return send(handler, 200, gemini.vectors(body))
        words = WORDS * (2 if model == "broken-stream" else 1)
        if method == "streamGenerateContent":
            return stream(handler, gemini.events(body, words, TOOL_CALLS), model)
        return send(handler, 200, gemini.answer(body, words, TOOL_CALLS))


def error(anthropic, kind, message):
    inner = {"type": kind, "message": message}
    return {"type": "error", "error": inner} if anthropic else {"error": {**inner, "param": None, "code": None}}


def send(handler, status, value, headers=None):
    body = json.dumps(value).encode()
    handler.send_response(status)
    for name, content in {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, content)
    handler.end_headers()
    handler.wfile.write(body)


def stream(handler, events, model, content_type="text/event-stream"):
    handler.send_response(200)
    handler.send_header("content-type", content_type)
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    for index, event in enumerate(events):
        if model == "broken-stream" and index == 4:
            handler.wfile.flush()
            handler.connection.close()
            raise ConnectionResetError
        if model == "endless":
            time.sleep(0.02)
        data = event.encode()
        handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        handler.wfile.flush()
    handler.wfile.write(b"0\r\n\r\n")


def calls_tools(body):
    last = body["messages"][-1]
    answered = last["role"] == "tool" or (isinstance(last["content"], list) and last["content"][0].get("type") == "tool_result")
    return bool(body.get("tools")) and not answered


def text_for(body):
    asked = body.get("response_format", {})
    if "json_schema" in (asked.get("type"), *asked) or body.get("output_config", {}).get("format") or body.get("format"):
        return json.dumps({"name": "Ann", "age": 7})
    return "".join(WORDS)


OPENAI_USAGE = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19, "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}
ANTHROPIC_USAGE = {"input_tokens": 8, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0, "output_tokens": 7}


def openai_answer(body):
    message = {"role": "assistant", "content": text_for(body), "refusal": None}
    if calls_tools(body):
        calls = [{"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}} for id, name, arguments in TOOL_CALLS]
        message = {"role": "assistant", "content": None, "refusal": None, "tool_calls": calls}
    finish = "tool_calls" if calls_tools(body) else "stop"
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-plain", "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}], "usage": OPENAI_USAGE}


def openai_events(body):
    def chunk(delta, finish=None):
        return "data: " + json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-plain", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}) + "\n\n"

    yield chunk({"role": "assistant", "content": ""})
    if calls_tools(body):
        for index, (id, name, arguments) in enumerate(TOOL_CALLS):
            text = json.dumps(arguments)
            yield chunk({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}]})
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": text[:5]}}]})
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": text[5:]}}]})
    else:
        for word in WORDS * (100 if body["model"] == "endless" else 1):
            yield chunk({"content": word})
    yield chunk({}, "tool_calls" if calls_tools(body) else "stop")
    if body.get("stream_options", {}).get("include_usage"):
        yield "data: " + json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-plain", "choices": [], "usage": OPENAI_USAGE}) + "\n\n"
    yield "data: [DONE]\n\n"


def blocks(body):
    thinking = [{"type": "thinking", "thinking": "hm", "signature": "sig"}] if body.get("thinking") or body["model"] == "thinking" else []
    if calls_tools(body):
        return thinking + [{"type": "tool_use", "id": id, "name": name, "input": arguments} for id, name, arguments in TOOL_CALLS]
    return thinking + [{"type": "text", "text": text_for(body)}]


def anthropic_answer(body):
    reason = "tool_use" if calls_tools(body) else "end_turn"
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-plain", "content": blocks(body), "stop_reason": reason, "stop_sequence": None, "usage": ANTHROPIC_USAGE}


def anthropic_events(body):
    def event(value):
        return f"event: {value['type']}\ndata: {json.dumps(value)}\n\n"

    yield event({"type": "message_start", "message": {**anthropic_answer(body), "content": [], "stop_reason": None, "usage": {**ANTHROPIC_USAGE, "output_tokens": 1}}})
    yield event({"type": "ping"})
    for index, block in enumerate(blocks(body)):
        if block["type"] == "text":
            start, deltas = {**block, "text": ""}, [{"type": "text_delta", "text": word} for word in WORDS * (100 if body["model"] == "endless" else 1)]
        elif block["type"] == "thinking":
            start, deltas = {**block, "thinking": "", "signature": ""}, [{"type": "thinking_delta", "thinking": "hm"}, {"type": "signature_delta", "signature": "sig"}]
        else:
            text = json.dumps(block["input"])
            start, deltas = {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in (text[:5], text[5:])]
        yield event({"type": "content_block_start", "index": index, "content_block": start})
        for delta in deltas:
            yield event({"type": "content_block_delta", "index": index, "delta": delta})
        yield event({"type": "content_block_stop", "index": index})
    reason = "tool_use" if calls_tools(body) else "end_turn"
    yield event({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": 7}})
    yield event({"type": "message_stop"})


OLLAMA_END = {"done": True, "done_reason": "stop", "prompt_eval_count": 12, "eval_count": 7}


def ollama_calls(body):
    return [{"function": {"index": index, "name": name, "arguments": arguments}} for index, (_, name, arguments) in enumerate(TOOL_CALLS)]


def ollama_answer(body):
    message = {"role": "assistant", "content": "", "tool_calls": ollama_calls(body)} if calls_tools(body) else {"role": "assistant", "content": text_for(body)}
    return {"model": body["model"], "created_at": "2026-01-01T00:00:00.5Z", "message": message, **OLLAMA_END}


def ollama_lines(body):
    def line(message, more):
        return json.dumps({"model": body["model"], "created_at": "2026-01-01T00:00:00.5Z", "message": {"role": "assistant", "content": "", **message}, **more}) + "\n"

    if calls_tools(body):
        for call in ollama_calls(body):
            yield line({"tool_calls": [call]}, {"done": False})
    else:
        for word in WORDS:
            yield line({"content": word}, {"done": False})
    yield line({}, OLLAMA_END)


RESPONSES_USAGE = {"input_tokens": 12, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 19}


def responses_answer(body):
    item = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [{"type": "output_text", "text": "".join(WORDS), "annotations": [], "logprobs": []}]}
    return {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "error": None, "incomplete_details": None, "model": "gpt-plain", "output": [item], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": RESPONSES_USAGE, "previous_response_id": body.get("previous_response_id")}


def responses_events(body):
    numbers = itertools.count()

    def event(kind, **more):
        return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': next(numbers), **more})}\n\n"

    answer = responses_answer(body)
    item, part = answer["output"][0], answer["output"][0]["content"][0]
    place = {"output_index": 0, "item_id": "msg_1", "content_index": 0}
    yield event("response.created", response={**answer, "status": "in_progress", "output": [], "usage": None})
    yield event("response.output_item.added", output_index=0, item={**item, "status": "in_progress", "content": []})
    yield event("response.content_part.added", **place, part={**part, "text": ""})
    for word in WORDS:
        yield event("response.output_text.delta", **place, delta=word, logprobs=[])
    yield event("response.output_text.done", **place, text=part["text"], logprobs=[])
    yield event("response.content_part.done", **place, part=part)
    yield event("response.output_item.done", output_index=0, item=item)
    yield event("response.completed", response=answer)


COHERE_USAGE = {"billed_units": {"input_tokens": 12, "output_tokens": 7}, "tokens": {"input_tokens": 500, "output_tokens": 9}}


def cohere_answer(body):
    message = {"role": "assistant", "content": [{"type": "text", "text": text_for(body)}]}
    if calls_tools(body):
        calls = [{"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}} for id, name, arguments in TOOL_CALLS]
        message = {"role": "assistant", "tool_plan": "I look.", "tool_calls": calls}
    return {"id": "co-1", "finish_reason": "TOOL_CALL" if calls_tools(body) else "COMPLETE", "message": message, "usage": COHERE_USAGE}


def cohere_events(body):
    def event(kind, message=None, **more):
        data = {"type": kind, **more, **({"delta": {"message": message}} if message else {})}
        return f"event: {kind}\ndata: {json.dumps(data)}\n\n"

    yield event("message-start", {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}, id="co-1")
    if calls_tools(body):
        yield event("tool-plan-delta", {"tool_plan": "I look."})
        for index, (id, name, arguments) in enumerate(TOOL_CALLS):
            yield event("tool-call-start", {"tool_calls": {"id": id, "type": "function", "function": {"name": name, "arguments": ""}}}, index=index)
            yield event("tool-call-delta", {"tool_calls": {"function": {"arguments": json.dumps(arguments)}}}, index=index)
            yield event("tool-call-end", index=index)
    else:
        yield event("content-start", {"content": {"type": "text", "text": ""}}, index=0)
        for word in WORDS:
            yield event("content-delta", {"content": {"text": word}}, index=0)
        yield event("content-end", index=0)
    yield event("message-end", delta={"finish_reason": cohere_answer(body)["finish_reason"], "usage": COHERE_USAGE})
    yield "data: [DONE]\n\n"


def vectors(body):
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    numbers = [0.25, -0.5]
    embedding = base64.b64encode(struct.pack("<2f", *numbers)).decode() if body.get("encoding_format") == "base64" else numbers
    data = [{"object": "embedding", "index": index, "embedding": embedding} for index, _ in enumerate(inputs)]
    return {"object": "list", "data": data, "model": body["model"], "usage": {"prompt_tokens": 3, "total_tokens": 3}}


def served(body):
    if "messages" in body:
        return openai_answer(body)
    return {"predictions": [0, 2]}
