// What every test of the client in a browser needs: a page, and a server that says what the test tells it to.

import { after, beforeEach } from "node:test";
import { startBrowser, until } from "./chromium.mjs";
import { startFakeServer } from "./fake-server.mjs";

export { until };

export const browser = await startBrowser();
export const options = { skip: browser ? false : "there is no chromedriver here" };
export const server = await startFakeServer();

/** The variables of the page under test: path -> id, as its `create` messages say. @type {Record<string, number>} */
export const ids = {};
/** What the tree of Lua objects would answer: path -> value. @type {Record<string, any>} */
export const model = {};

const empty = (object) => Object.keys(object).forEach((key) => delete object[key]);

after(async () => {
  await browser?.close();
  await server.close();
});

beforeEach(async () => {
  if (!browser) return;
  await browser.open("about:blank");
  await until("the last page to be gone", () => server.state.sockets.size === 0);
  await browser.log();
  empty(ids);
  empty(model);
  server.state.batches.length = 0;
  server.state.onBatch = ({ messages }) => {
    const answers = [];
    for (const { type, data } of messages) {
      if (type !== "create") continue;
      const { path } = data.properties;
      ids[path] = data.id;
      const value = model[path];
      if (value !== undefined) answers.push(set(data.id, value?.type ? { obj: 100 + data.id } : value, value?.type));
    }
    if (answers.length) server.send(...answers);
  };
});

export const set = (varId, value, type) =>
  ({ type: "update", data: { varId, value, properties: type ? { type } : undefined } });
export const viewdefs = (map) => ({ type: "update", data: { varId: 1, properties: { viewdefs: JSON.stringify(map) } } });
export const template = (html) => `<template>${html}</template>`;
export const text = (css) => browser.run("return document.querySelector(arguments[0])?.textContent ?? null", css);
export const shows = (css, wanted) => until(`${css} to show ${wanted}`, async () => (await text(css)) === wanted);
/** Waits until the body of a function gives this. That it raises is one of the things it does meanwhile. */
export const gives = async (script, wanted) => {
  let last;
  const given = () => browser.run(script).catch((error) => error.message);
  try {
    await until(script, async () => JSON.stringify(last = await given()) === JSON.stringify(wanted));
  } catch (error) {
    throw new Error(`${error.message} to give ${JSON.stringify(wanted)}; it gives ${JSON.stringify(last)}`);
  }
};
/** All messages the page has sent, of one type. */
export const said = (type) => server.state.batches.flatMap(({ messages }) => messages).filter((message) => message.type === type);
export const updates = () => {
  const paths = new Map(said("create").map(({ data }) => [data.id, data.properties.path]));
  return said("update").map(({ data }) => [paths.get(data.varId), data.value]);
};

/** Opens the page and shows one object of the type App through `html`. */
export async function show(html, more = {}) {
  await browser.open(server.url);
  await until("the page to watch variable 1", () => server.state.batches.length);
  server.send(viewdefs({ "App.DEFAULT": template(html), ...more }), set(1, { obj: 1 }, "App"));
  await until("the template", () => browser.run("return document.querySelector('[ui-viewdef]') !== null"));
}

/** What the console has to complain about; warnings are told from errors. */
export const complaints = async () => (await browser.log()).filter(({ level }) => level === "SEVERE").map(({ message }) => message);
