// A scripted provider of each language, and a gateway in front of it.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { others } from "./others.mjs";

export const key = "tg_clients";

const words = ["Hel", "lo ", "wörld"];
const call = { id: "call_1", name: "weather", input: { city: "Rome" } };
const usage = {
  openai: { prompt_tokens: 12, completion_tokens: 7, total_tokens: 19 },
  anthropic: { input_tokens: 12, output_tokens: 7 },
};

export async function start() {
  const received = [];
  const provider = createServer((request, response) => {
    let body = "";
    request.on("data", (piece) => (body += piece));
    request.on("end", () => {
      const asked = JSON.parse(body);
      received.push({ path: request.url, headers: request.headers, body: asked });
      answer(request.url, asked, response);
    });
  });
  const url = `http://127.0.0.1:${await listen(provider)}`;
  const port = await freePort();
  const file = join(mkdtempSync(join(tmpdir(), "tollgate-")), "tollgate.yaml");
  writeFileSync(file, configuration(url));
  const gateway = spawn(process.env.TOLLGATE_BIN, ["serve", "--config", file, "--listen", `127.0.0.1:${port}`], { stdio: "ignore" });
  const gatewayUrl = `http://127.0.0.1:${port}`;
  await ready(gatewayUrl);
  const stop = async () => {
    gateway.kill("SIGTERM");
    provider.closeAllConnections();
    await new Promise((done) => provider.close(done));
  };
  return { url: gatewayUrl, received, stop };
}

const configuration = (url) => `
direct_use: true
providers:
  - {name: openai, type: openai, api_key: sk-up-1, base_url: "${url}/v1"}
  - {name: anthropic, type: anthropic, api_key: sk-ant-1, base_url: "${url}"}
  - {name: gemini, type: gemini, api_key: AIza-1, base_url: "${url}"}
  - {name: cohere, type: cohere, api_key: co-1, base_url: "${url}"}
  - {name: ollama, type: custom, dialect: ollama, base_url: "${url}"}
  - {name: elsewhere, type: custom, api_key: sk-up-2, base_url: "${url}/v1"}
routes:
  - {name: gpt, model: {provider: openai, name: plain}}
  - {name: claude, model: {provider: anthropic, name: plain}}
  - {name: flash, model: {provider: gemini, name: plain}}
  - {name: command, model: {provider: cohere, name: plain}}
  - {name: llama, model: {provider: ollama, name: plain}}
  - {name: chat-only, model: {provider: elsewhere, name: plain}}
  - {name: vectors, route_type: llm/v1/embeddings, model: {provider: openai, name: plain}}
keys:
  - {name: clients, hash: "sha256:${createHash("sha256").update(key).digest("hex")}"}
`;

function listen(server) {
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done(server.address().port)));
}

async function freePort() {
  const server = createServer();
  const port = await listen(server);
  await new Promise((done) => server.close(done));
  return port;
}

async function ready(url) {
  for (let tries = 0; tries < 500; tries += 1) {
    const answer = await fetch(`${url}/readyz`).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((done) => setTimeout(done, 10));
  }
  throw new Error("the gateway is not ready");
}

function answer(path, asked, response) {
  const anthropic = path === "/v1/messages";
  if (asked.model === "picky") return send(response, 400, anthropic ? { type: "error", error: { type: "invalid_request_error", message: "no" } } : { error: { message: "no", type: "invalid_request_error", param: null, code: null } });
  if (path === "/v1/embeddings") return send(response, 200, vectors(asked));
  const other = others(path, asked, words, call);
  if (other?.whole) return send(response, 200, other.whole);
  if (other) {
    response.writeHead(200, { "content-type": other.type ?? "text/event-stream" });
    return response.end(other.events.join(""));
  }
  if (!asked.stream) return send(response, 200, anthropic ? anthropicAnswer(asked) : openaiAnswer(asked));
  response.writeHead(200, { "content-type": "text/event-stream" });
  const events = [...(anthropic ? anthropicEvents(asked) : openaiEvents(asked))];
  if (asked.model === "broken-stream") {
    response.write(events.slice(0, 4).join(""));
    return setTimeout(() => response.destroy(), 20);
  }
  response.end(events.join(""));
}

function send(response, status, value) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}

const usesTools = (asked) => {
  const { role, content } = asked.messages.at(-1);
  return Boolean(asked.tools) && role !== "tool" && content?.[0]?.type !== "tool_result";
};
const textFor = (asked) => (asked.response_format?.json_schema || asked.output_config?.format ? '{"name": "Ann", "age": 7}' : words.join(""));

function openaiAnswer(asked) {
  const message = usesTools(asked)
    ? { role: "assistant", content: null, tool_calls: [{ id: call.id, type: "function", function: { name: call.name, arguments: JSON.stringify(call.input) } }] }
    : { role: "assistant", content: textFor(asked) };
  return { id: "chatcmpl-1", object: "chat.completion", created: 1, model: "gpt", choices: [{ index: 0, message, finish_reason: usesTools(asked) ? "tool_calls" : "stop" }], usage: usage.openai };
}

function* openaiEvents(asked) {
  const chunk = (delta, finish = null) => `data: ${JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "gpt", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
  yield chunk({ role: "assistant", content: "" });
  if (usesTools(asked)) {
    yield chunk({ tool_calls: [{ index: 0, id: call.id, type: "function", function: { name: call.name, arguments: "" } }] });
    yield chunk({ tool_calls: [{ index: 0, function: { arguments: JSON.stringify(call.input) } }] });
  } else {
    for (const word of words) yield chunk({ content: word });
  }
  yield chunk({}, usesTools(asked) ? "tool_calls" : "stop");
  if (asked.stream_options?.include_usage) yield `data: ${JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "gpt", choices: [], usage: usage.openai })}\n\n`;
  yield "data: [DONE]\n\n";
}

function anthropicAnswer(asked) {
  const block = usesTools(asked) ? { type: "tool_use", ...call } : { type: "text", text: textFor(asked) };
  return { id: "msg_1", type: "message", role: "assistant", model: "claude", content: [block], stop_reason: usesTools(asked) ? "tool_use" : "end_turn", stop_sequence: null, usage: usage.anthropic };
}

function* anthropicEvents(asked) {
  const event = (value) => `event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`;
  const message = anthropicAnswer(asked);
  yield event({ type: "message_start", message: { ...message, content: [], stop_reason: null } });
  if (usesTools(asked)) {
    yield event({ type: "content_block_start", index: 0, content_block: { type: "tool_use", ...call, input: {} } });
    yield event({ type: "content_block_delta", index: 0, delta: { type: "input_json_delta", partial_json: JSON.stringify(call.input) } });
  } else {
    yield event({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } });
    for (const text of words) yield event({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } });
  }
  yield event({ type: "content_block_stop", index: 0 });
  yield event({ type: "message_delta", delta: { stop_reason: message.stop_reason, stop_sequence: null }, usage: { output_tokens: 7 } });
  yield event({ type: "message_stop" });
}

function vectors(asked) {
  const numbers = [0.25, -0.5];
  const embedding = asked.encoding_format === "base64" ? Buffer.from(new Float32Array(numbers).buffer).toString("base64") : numbers;
  return { object: "list", model: asked.model, data: [{ object: "embedding", index: 0, embedding }], usage: { prompt_tokens: 1, total_tokens: 1 } };
}
