// The overlay of a failed reload, and the notice of a lost connection.

import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, complaints, gives, options, said, server, show, template, until, updates, viewdefs } from "./page.mjs";

const report = (more = {}) => ({ type: "reload", data: {
  generation: 2, status: "failed", files: ["lua/a.lua"], durationMs: 1, notes: [], errors: [
    { file: "lua/a.lua", line: 2, message: "unexpected symbol", excerpt: [{ line: 1, text: "-- a" }, { line: 2, text: "<b>" }], traceback: "lua/a.lua:2: in f", sessions: 1 },
  ], ...more,
} });
const ROOT = "const root = document.querySelector('ui-overlay').shadowRoot;";
const overlay = () => browser.run(`${ROOT} return root.querySelector('section')?.textContent ?? ''`);

test("it shows where and why, lets the page live, hides on Esc, and goes with the next good load", options, async () => {
  await show("<button ui-action='go()'>go</button>");
  server.send(report());
  await until("the overlay", async () => /lua\/a\.lua:2/.test(await overlay()));
  assert.match(await overlay(), /Not reloaded: 1 session keeps the previous version/);
  assert.match(await overlay(), /in f/);
  await gives(`${ROOT} return root.querySelector("mark")?.textContent`, "> 2<b>");
  await browser.click("button");
  await until("the click", () => updates().length);
  await browser.type("button", "\uE00C");
  await until("it to hide", async () => (await overlay()) === "");
  server.send(report({ status: "partial" }));
  await until("it again", async () => /Reloaded in part/.test(await overlay()));
  server.send(report({ generation: 3, status: "ok", errors: [] }));
  await until("the all-clear", async () => (await overlay()) === "");
  assert.deepEqual(await complaints(), []);
});

test("what happened is announced without the code, and the buttons are there for the keyboard", options, async () => {
  await show("<p>x</p>");
  await gives(`${ROOT} return root.querySelector("[role=alert]").textContent`, "");
  server.send(report({ offerRestart: true }));
  await gives(`${ROOT} return root.querySelector("[role=alert]").textContent`,
    "Not reloaded: 1 session keeps the previous version. lua/a.lua:2: unexpected symbol");
  const names = [];
  for (let i = 0; i < 4; i++) {
    await browser.key("\uE004");
    names.push(await browser.run(`${ROOT} return root.activeElement?.textContent`));
  }
  assert.deepEqual(names, ["Restart the session", "Hide (Esc)", "lua/a.lua:2", "Traceback"]);
  await gives("return document.querySelector('ui-notice').shadowRoot.querySelector('p').role", "status");
});

test("a restart is offered only if the report says so, and asked for by its button", options, async () => {
  await show("<p>x</p>");
  server.send(report());
  await until("the overlay", async () => (await overlay()) !== "");
  assert.doesNotMatch(await overlay(), /Restart the session/);
  server.send(report({ offerRestart: true }));
  await until("the offer", async () => /Restart the session/.test(await overlay()));
  await browser.run(`${ROOT} [...root.querySelectorAll("button")].find((b) => b.textContent.startsWith("Restart")).click()`);
  await until("the question", () => said("restart").length);
});

test("a place is copied, or opened in the editor if there is a link to it", options, async () => {
  await show("<p>x</p>");
  const [error] = report().data.errors;
  server.send(report({ errors: [
    { ...error, file: "lua/b.lua", editor: "vscode://file/site/lua/b.lua:2" },
    { ...error, message: "first of a" },
    { ...error, file: "lua/b.lua", line: 1, message: "another of b", excerpt: [], traceback: "", editor: undefined },
  ] }));
  await gives(`${ROOT} return [...root.querySelectorAll(".where")].map((w) => [w.localName, w.textContent, w.getAttribute("href")])`,
    [["button", "lua/a.lua:2", null], ["button", "lua/b.lua:1", null], ["a", "lua/b.lua:2", "vscode://file/site/lua/b.lua:2"]]);
  await browser.run(`${ROOT} navigator.clipboard.writeText = async (text) => (window.copied = text); root.querySelector(".where").click()`);
  await gives("return window.copied", "lua/a.lua:2");
  await browser.run(`${ROOT} navigator.clipboard.writeText = () => Promise.reject(new Error("no")); root.querySelectorAll(".where")[1].click()`);
  await gives("return String(getSelection())", "lua/b.lua:1");
  assert.deepEqual(await complaints(), []);
});

test("an error without a file, a line or an excerpt does no harm", options, async () => {
  await show("<p>x</p>");
  server.send(report({ errors: [{ message: "out of memory" }], notes: ["a note"], novelty: 1 }));
  await until("the overlay", async () => /Not reloaded.*out of memory.*a note/.test(await overlay()));
  server.send(report({ errors: undefined, notes: undefined }));
  await until("an empty one", async () => /^Not reloaded/.test(await overlay()) && !/memory/.test(await overlay()));
  assert.deepEqual(await complaints(), []);
});

test("nothing of a report becomes markup", options, async () => {
  await show("<p>x</p>");
  const evil = "<img src=x onerror='window.evil = 1'>";
  server.send(report({ notes: [evil], errors: [{ file: evil, line: 1, message: evil, excerpt: [{ line: 1, text: evil }], traceback: evil, sessions: 1 }] }));
  await until("the overlay", async () => (await overlay()).includes(evil));
  await gives(`${ROOT} return [root.querySelector("img"), window.evil ?? null]`, [null, null]);
});

test("it takes the focus when it opens, and gives it back to the field or its successor", options, async () => {
  const page = (title) => `<h1>${title}</h1><input id=a><input id=b>`;
  await show(page("One"));
  const focus = "return document.activeElement.id || document.activeElement.localName";
  const inside = `${ROOT} return root.activeElement?.role ?? root.activeElement?.localName ?? null`;
  await browser.run("document.querySelector('#b').focus()");
  server.send(report());
  await gives(inside, "dialog");
  await browser.key("\uE00C");
  await gives(focus, "b");
  server.send(report());
  await gives(inside, "dialog");
  server.send(viewdefs({ "App.DEFAULT": template(page("Two")) }), report({ status: "ok", errors: [] }));
  await gives(focus, "b");
  // Somebody who has gone elsewhere meanwhile stays there.
  server.send(report());
  await gives(inside, "dialog");
  await browser.click("#a");
  server.send(report({ generation: 3 }));
  server.send(report({ status: "ok", errors: [] }));
  await until("the all-clear", async () => (await overlay()) === "");
  assert.equal(await browser.run(focus), "a");
});
