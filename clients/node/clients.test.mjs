// The official Node.js clients, each against a provider of each language.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import Anthropic from "@anthropic-ai/sdk";
import OlderAnthropic from "anthropic-older";
import OpenAI from "openai";

import { key, start } from "./stage.mjs";

let stage;
before(async () => {
  stage = await start();
});
after(() => stage.stop());

const messages = [{ role: "user", content: "Hi" }];

// A call's id is the provider's, or made by the gateway where it has none.
function assertId(model, id) {
  if (["flash", "llama"].includes(model)) assert.match(id, /^call_./);
  else assert.equal(id, "call_1");
}

describe("openai", () => {
  const client = () => new OpenAI({ baseURL: `${stage.url}/v1`, apiKey: key, maxRetries: 0 });
  const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: {} } } }];

  for (const model of ["gpt", "claude", "flash", "command", "llama"]) {
    it(`chats with ${model}`, async () => {
      const answer = await client().chat.completions.create({ model, messages });
      assert.equal(answer.choices[0].message.content, "Hello wörld");
      assert.equal(answer.usage.completion_tokens, 7);
      assert.ok(answer._request_id);
      assert.ok(!JSON.stringify(stage.received.at(-1).headers).includes(key));
    });

    it(`streams from ${model}`, async () => {
      let text = "";
      let finish;
      for await (const chunk of await client().chat.completions.create({ model, messages, stream: true })) {
        text += chunk.choices[0]?.delta.content ?? "";
        finish = chunk.choices[0]?.finish_reason ?? finish;
      }
      assert.deepEqual([text, finish], ["Hello wörld", "stop"]);
    });

    it(`calls tools with ${model}, streamed`, async () => {
      const runner = client().chat.completions.stream({ model, messages, tools });
      const call = (await runner.finalChatCompletion()).choices[0].message.tool_calls[0];
      assert.deepEqual(JSON.parse(call.function.arguments), { city: "Rome" });
      assertId(model, call.id);
    });
  }

  it("tells errors by their classes", async () => {
    const ask = (model) => client().chat.completions.create({ model, messages });
    await assert.rejects(ask("anthropic/picky"), OpenAI.BadRequestError);
    await assert.rejects(ask("nothing"), OpenAI.NotFoundError);
    const stranger = new OpenAI({ baseURL: `${stage.url}/v1`, apiKey: "wrong", maxRetries: 0 });
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  });

  it("takes a broken stream for an error", async () => {
    await assert.rejects(async () => {
      for await (const chunk of await client().chat.completions.create({ model: "anthropic/broken-stream", messages, stream: true })) void chunk;
    });
  });

  it("lists models and makes vectors", async () => {
    const names = (await client().models.list()).data.map((model) => model.id);
    assert.ok(names.includes("claude"));
    const answer = await client().embeddings.create({ model: "vectors", input: "a" });
    assert.deepEqual([...answer.data[0].embedding], [0.25, -0.5]);
  });
});

for (const [name, Client] of [["anthropic", Anthropic], ["anthropic, the generation before", OlderAnthropic]]) {
  describe(name, () => {
    const client = () => new Client({ baseURL: stage.url, apiKey: key, maxRetries: 0 });
    const tools = [{ name: "weather", input_schema: { type: "object", properties: {} } }];

    for (const model of ["gpt", "claude", "flash", "command", "llama"]) {
      it(`asks ${model}`, async () => {
        const answer = await client().messages.create({ model, max_tokens: 50, messages });
        assert.deepEqual([answer.content[0].text, answer.stop_reason, answer.usage.output_tokens], ["Hello wörld", "end_turn", 7]);
      });

      it(`streams from ${model}`, async () => {
        const final = await client().messages.stream({ model, max_tokens: 50, messages }).finalMessage();
        assert.deepEqual([final.content[0].text, final.stop_reason], ["Hello wörld", "end_turn"]);
      });

      it(`calls tools with ${model}, streamed`, async () => {
        const final = await client().messages.stream({ model, max_tokens: 50, messages, tools }).finalMessage();
        const use = final.content.find((block) => block.type === "tool_use");
        assert.deepEqual([use.input, final.stop_reason], [{ city: "Rome" }, "tool_use"]);
        assertId(model, use.id);
      });
    }

    it("tells errors by their classes", async () => {
      const ask = (model) => client().messages.create({ model, max_tokens: 50, messages });
      await assert.rejects(ask("openai/picky"), Client.BadRequestError);
      await assert.rejects(ask("nothing"), Client.NotFoundError);
    });

    it("takes a broken stream for an error", async () => {
      await assert.rejects(client().messages.stream({ model: "openai/broken-stream", max_tokens: 50, messages }).finalMessage());
    });
  });
}
