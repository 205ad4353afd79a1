// Vercel's AI SDK, by the languages of OpenAI and Anthropic against a provider of each language.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, jsonSchema, Output, stepCountIs, streamText, tool } from "ai";

import { key, start } from "./stage.mjs";

let stage;
before(async () => {
  stage = await start();
});
after(() => stage.stop());

const routes = ["gpt", "claude", "flash", "command", "llama"];
const openai = () => createOpenAI({ baseURL: `${stage.url}/v1`, apiKey: key });
const languages = {
  chat: (route) => openai().chat(route),
  responses: (route) => openai().responses(route),
  messages: (route) => createAnthropic({ baseURL: `${stage.url}/v1`, apiKey: key })(route),
};
// OpenAI's own responses would pass as they are; `chat-only` speaks OpenAI's chat and nothing else.
const routesOf = (language) => routes.map((route) => (language === "responses" && route === "gpt" ? "chat-only" : route));

for (const [language, model] of Object.entries(languages)) {
  describe(`ai, by ${language}`, () => {
    for (const route of routesOf(language)) {
      it(`asks ${route}`, async () => {
        const { text, usage } = await generateText({ model: model(route), prompt: "Hi", maxRetries: 0 });
        assert.deepEqual([text, usage.outputTokens], ["Hello wörld", 7]);
      });

      it(`streams from ${route}`, async () => {
        let text = "";
        for await (const piece of streamText({ model: model(route), prompt: "Hi", maxRetries: 0 }).textStream) text += piece;
        assert.equal(text, "Hello wörld");
      });

      it(`uses tools with ${route}`, async () => {
        const cities = [];
        const weather = tool({
          description: "The weather in a city",
          inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false }),
          execute: async ({ city }) => (cities.push(city), "sunny"),
        });
        const { text } = await generateText({ model: model(route), prompt: "Hi", tools: { weather }, stopWhen: stepCountIs(3), maxRetries: 0 });
        assert.deepEqual([text, cities.sort()], ["Hello wörld", ["Rome"]]);
      });
    }
  });
}

describe("ai", () => {
  for (const route of ["gpt", "claude", "flash"]) {
    it(`gets an object from ${route}`, async () => {
      const schema = jsonSchema({ type: "object", properties: { name: { type: "string" }, age: { type: "integer" } }, required: ["name", "age"], additionalProperties: false });
      const { output } = await generateText({ model: languages.chat(route), prompt: "Who?", output: Output.object({ schema }), maxRetries: 0 });
      assert.deepEqual(output, { name: "Ann", age: 7 });
    });
  }
});
