// What the scripted provider says in the languages of Gemini, Cohere and Ollama: whole or streamed, text or a tool's call.

const tokens = { input_tokens: 12, output_tokens: 7 };
const sse = (value, name) => `${name ? `event: ${name}\n` : ""}data: ${JSON.stringify(value)}\n\n`;

/** What is said at a path: a whole answer, or the events of a stream with their type; nothing where the language is another. */
export function others(path, asked, words, call) {
  const [model, method] = path.includes("/models/") ? path.split("/models/")[1].split("?")[0].split(":") : [];
  if (model) return method === "streamGenerateContent" ? { events: [...geminiEvents(asked, words, call)] } : { whole: geminiChunk(geminiParts(asked, words, call), "STOP") };
  if (path === "/v2/chat") return asked.stream ? { events: [...cohereEvents(asked, words, call)] } : { whole: cohereAnswer(asked, words, call) };
  if (path === "/api/chat") return asked.stream === false ? { whole: ollamaAnswer(asked, words, call) } : { events: [...ollamaLines(asked, words, call)], type: "application/x-ndjson" };
}

function geminiParts(asked, words, call) {
  const last = asked.contents.at(-1).parts.at(-1);
  if (asked.tools && !last.functionResponse) return [{ functionCall: { name: call.name, args: call.input } }];
  if (asked.generationConfig?.responseMimeType === "application/json") return [{ text: '{"name": "Ann", "age": 7}' }];
  return words.map((text) => ({ text }));
}

function geminiChunk(parts, finishReason) {
  const usageMetadata = { promptTokenCount: 12, candidatesTokenCount: 7, totalTokenCount: 19 };
  return { candidates: [{ content: { parts, role: "model" }, index: 0, finishReason }], usageMetadata, modelVersion: "gemini", responseId: "resp-1" };
}

function* geminiEvents(asked, words, call) {
  for (const part of geminiParts(asked, words, call)) yield sse(geminiChunk([part]));
  yield sse(geminiChunk([{ text: "" }], "STOP"));
}

const usesTools = (asked) => Boolean(asked.tools) && asked.messages.at(-1).role !== "tool";

const cohereCall = (call, given) => ({ id: call.id, type: "function", function: { name: call.name, arguments: given } });

function cohereAnswer(asked, words, call) {
  const message = usesTools(asked) ? { role: "assistant", tool_calls: [cohereCall(call, JSON.stringify(call.input))] } : { role: "assistant", content: [{ type: "text", text: words.join("") }] };
  return { id: "co-1", finish_reason: usesTools(asked) ? "TOOL_CALL" : "COMPLETE", message, usage: { tokens } };
}

function* cohereEvents(asked, words, call) {
  const event = (type, message, more) => sse({ type, ...more, ...(message && { delta: { message } }) }, type);
  yield event("message-start", { role: "assistant", content: [], tool_calls: [] }, { id: "co-1" });
  if (usesTools(asked)) {
    yield event("tool-call-start", { tool_calls: cohereCall(call, "") }, { index: 0 });
    yield event("tool-call-delta", { tool_calls: { function: { arguments: JSON.stringify(call.input) } } }, { index: 0 });
    yield event("tool-call-end", undefined, { index: 0 });
  } else {
    yield event("content-start", { content: { type: "text", text: "" } }, { index: 0 });
    for (const text of words) yield event("content-delta", { content: { text } }, { index: 0 });
    yield event("content-end", undefined, { index: 0 });
  }
  yield event("message-end", undefined, { delta: { finish_reason: usesTools(asked) ? "TOOL_CALL" : "COMPLETE", usage: { tokens } } });
}

const ollamaHead = { model: "llama", created_at: "2026-01-01T00:00:00.5Z" };
const ollamaEnd = { done: true, done_reason: "stop", prompt_eval_count: 12, eval_count: 7, total_duration: 9 };
const ollamaCall = (call) => ({ role: "assistant", content: "", tool_calls: [{ function: { name: call.name, arguments: call.input } }] });

function ollamaAnswer(asked, words, call) {
  const message = usesTools(asked) ? ollamaCall(call) : { role: "assistant", content: words.join("") };
  return { ...ollamaHead, message, ...ollamaEnd };
}

function* ollamaLines(asked, words, call) {
  const said = usesTools(asked) ? [ollamaCall(call)] : words.map((content) => ({ role: "assistant", content }));
  for (const message of said) yield `${JSON.stringify({ ...ollamaHead, message, done: false })}\n`;
  yield `${JSON.stringify({ ...ollamaHead, message: { role: "assistant", content: "" }, ...ollamaEnd })}\n`;
}
