// The client in a real browser, against a server that says what each test tells it to.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { startBrowser, until } from "./chromium.mjs";
import { startFakeServer } from "./fake-server.mjs";

const browser = await startBrowser();
const options = { skip: browser ? false : "there is no chromedriver here" };
let server;

before(async () => {
  server = await startFakeServer();
});
after(async () => {
  await browser?.close();
  await server.close();
});

/** The variables of the page under test: path -> id, as its `create` messages say. */
let ids;
/** What the tree of Lua objects would answer: path -> value. */
let model;

beforeEach(async () => {
  if (!browser) return;
  await browser.open("about:blank");
  await until("the last page to be gone", () => server.state.sockets.size === 0);
  ids = {};
  model = {};
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

const set = (varId, value, type) => ({ type: "update", data: { varId, value, properties: type ? { type } : undefined } });
const viewdefs = (map) => ({ type: "update", data: { varId: 1, properties: { viewdefs: JSON.stringify(map) } } });
const template = (html) => `<template>${html}</template>`;
const text = (css) => browser.run("return document.querySelector(arguments[0])?.textContent ?? null", css);
const shows = (css, wanted) => until(`${css} to show ${wanted}`, async () => (await text(css)) === wanted);
const updates = () => server.state.batches.flatMap(({ messages }) => messages)
  .filter(({ type }) => type === "update").map(({ data }) => [Object.keys(ids).find((path) => ids[path] === data.varId), data.value]);

/** Opens the page and shows one object of the type App through `html`. */
async function show(html, more = {}) {
  await browser.open(server.url);
  await until("the page to watch variable 1", () => server.state.batches.length);
  server.send(viewdefs({ "App.DEFAULT": template(html), ...more }), set(1, { obj: 1 }, "App"));
  await until("the template", () => browser.run("return document.querySelector('[ui-viewdef]') !== null"));
}

test("the first thing said is watch 1, and text shows what the server sends", options, async () => {
  model.name = "Ada";
  await show("<p ui-value=name></p>");
  await shows("p", "Ada");
  assert.deepEqual(server.state.batches[0], { userEvent: false, messages: [{ type: "watch", data: { varId: 1 } }] });
  assert.deepEqual(await browser.log(), [], "nothing in the console, not even from the CSP");
});

test("a click calls the path, as a user event", options, async () => {
  await show("<button ui-action='add()'>+</button> <button id=two ui-action='pick(_)' value=red>red</button>");
  await browser.click("button");
  await browser.click("#two");
  await until("both calls", () => updates().length === 2);
  assert.deepEqual(updates(), [["add()", null], ["pick(_)", "red"]]);
  assert.equal(server.state.batches.at(-1).userEvent, true);
});

test("of two actions around each other the inner one takes the click", options, async () => {
  await show("<div ui-action='outer()'><button ui-action='inner()'>x</button></div>");
  await browser.click("button");
  await until("the call", () => updates().length);
  assert.deepEqual(updates(), [["inner()", null]]);
});

test("controls send numbers, booleans and text on change, and with keypress at every key", options, async () => {
  Object.assign(model, { n: 1, done: false, name: "", search: "", size: 10 });
  await show(`<input type=number ui-value=n><input type=checkbox ui-value=done><input id=name ui-value=name>
    <input type=search ui-value="search?keypress">
    <select ui-value=size><option>10</option><option>20</option></select>`);
  await until("the number", () => browser.run("return document.querySelector('input').value === '1'"));
  await browser.type("[type=number]", "5");
  await browser.click("[type=checkbox]");
  await browser.type("#name", "Bob");
  await browser.type("[type=search]", "ab");
  await browser.type("select", "20");
  await until("five fields", () => updates().length === 6);
  assert.deepEqual(updates(), [["n", 15], ["done", true], ["name", "Bob"], ["search", "a"], ["search", "ab"], ["size", 20]]);
});

test("what is typed arrives before the call that Enter or a form makes", options, async () => {
  model.title = "";
  await show("<form ui-event-submit='add()'><input ui-value=title></form><input id=k ui-event-keypress-enter='go()' ui-value=name>");
  await browser.type("input", "x\uE007");
  await browser.type("#k", "y\uE007");
  await until("both", () => updates().length === 4);
  assert.deepEqual(updates(), [["title", "x"], ["add()", null], ["name", "y"], ["go()", "y"]]);
  server.send(set(ids.name, ""));
  await until("the field to be emptied though it has the focus", () => browser.run("return document.querySelector('#k').value === ''"));
});

test("an older value does not overwrite what somebody is typing", options, async () => {
  model.name = "old";
  await show("<input ui-value=name><p ui-value=mark></p>");
  await until("the name", () => browser.run("return document.querySelector('input').value === 'old'"));
  await browser.type("input", "er");
  server.send(set(ids.name, "from elsewhere"), set(ids.mark, "came"));
  await shows("p", "came");
  assert.equal(await browser.run("return document.querySelector('input').value"), "older");
});

test("attributes, classes and styles follow their values, and nil takes them away", options, async () => {
  Object.assign(model, { tip: "hint", off: true, on: 1, width: "30%", hue: "red" });
  await show(`<button ui-attr-title=tip ui-attr-disabled=off ui-class-active=on ui-style-width=width ui-style---hue=hue>b</button>`);
  const look = () => browser.run("const b = document.querySelector('button'); return [b.title, b.disabled, b.className, b.style.width, b.style.getPropertyValue('--hue')]");
  await until("all of it", async () => (await look())[4] === "red");
  assert.deepEqual(await look(), ["hint", true, "active", "30%", "red"]);
  server.send(...["tip", "off", "on", "width", "hue"].map((path) => set(ids[path], null)));
  await until("none of it", async () => (await look())[4] === "");
  assert.deepEqual(await look(), ["", false, "", "", ""]);
});

test("a list keeps its elements as it grows and shrinks, and an object instead of one is empty", options, async () => {
  Object.assign(model, { cards: [{ obj: 3 }, { obj: 4 }], 0: { type: "Card" }, 1: { type: "Card" }, 2: { type: "Card" }, title: "card" });
  await show("<ul ui-viewlist=cards></ul>", { "Card.list-item": template("<b ui-value=title></b>") });
  const count = (n) => until(`${n} items`, () => browser.run("return document.querySelectorAll('li b').length === arguments[0]", n));
  await count(2);
  await browser.run("document.querySelector('li').kept = true");
  server.send(set(ids.cards, [{ obj: 3 }, { obj: 4 }, { obj: 5 }]));
  await count(3);
  server.send(set(ids.cards, [{ obj: 3 }]));
  await count(1);
  assert.equal(await browser.run("return document.querySelector('li').kept"), true);
  server.send(set(ids.cards, { obj: 9 }));
  await count(0);
  const destroyed = server.state.batches.flatMap(({ messages }) => messages).filter(({ type }) => type === "destroy");
  assert.equal(destroyed.length, 3, "one message for each item, none for what is inside");
});

test("namespace, fallback and DEFAULT are looked up in that order", options, async () => {
  model.a = model.b = model.c = { type: "Card" };
  await show("<div ui-namespace=big><p ui-view=a></p></div><p ui-view='b?namespace=none'></p><p ui-view='c?fallbackNamespace=big'></p>", {
    "Card.DEFAULT": template("default"),
    "Card.big": template("big"),
  });
  await until("three", () => browser.run("return document.querySelectorAll('p[ui-viewdef]').length === 3"));
  assert.deepEqual(await browser.run("return [...document.querySelectorAll('p')].map((p) => p.textContent)"), ["big", "default", "big"]);
});

test("a changed viewdef is rendered with the same variables, and the person notices nothing", options, async () => {
  Object.assign(model, { name: "some text", inner: { type: "Inner" }, deep: "deep down" });
  const page = (title) => `<style>h1 { width: ${title.length}px }</style><h1>${title}</h1>
    <textarea ui-value=name></textarea><pre ui-attr-data-x=x></pre><div ui-view=inner></div>`;
  await show(page("One"), { "Inner.DEFAULT": template("<i ui-value=deep></i>") });
  await shows("i", "deep down");
  await browser.run(`
    const area = document.querySelector("textarea"), pre = document.querySelector("pre");
    pre.style.cssText = "height:40px;overflow:auto"; area.focus();`);
  await browser.type("textarea", " and a draft");
  await browser.run("document.querySelector('textarea').setSelectionRange(2, 6)");
  const before = { ...ids };
  const said = server.state.batches.length;
  server.send(viewdefs({ "App.DEFAULT": template(page("Three")) }));
  await shows("h1", "Three");
  assert.deepEqual(await browser.run(`const area = document.activeElement;
    return [area.tagName, area.value, area.selectionStart, area.selectionEnd, getComputedStyle(document.querySelector("h1")).width, document.adoptedStyleSheets.length]`),
  ["TEXTAREA", "some text and a draft", 2, 6, "5px", 1]);
  assert.equal(await text("i"), "deep down");
  assert.deepEqual(ids, before);
  assert.equal(server.state.batches.length, said, "not a word to the server");
  await browser.run("document.activeElement.blur()");
  await until("the draft to be sent, though the new field saw no key", () => updates().length);
  assert.deepEqual(updates(), [["name", "some text and a draft"]]);
  assert.equal(await browser.run("return document.querySelector('style')"), null, "styles are sheets of the page");
});

test("scrolling survives a re-render", options, async () => {
  const page = (title) => `<style>pre { height: 50px; overflow: auto } div { height: 3000px }</style><h1>${title}</h1><pre>${"line\n".repeat(50)}</pre><div></div>`;
  await show(page("One"));
  await browser.run("document.querySelector('pre').scrollTop = 120; window.scrollTo(0, 500)");
  server.send(viewdefs({ "App.DEFAULT": template(page("Two")) }));
  await shows("h1", "Two");
  assert.deepEqual(await browser.run("return [document.querySelector('pre').scrollTop, window.scrollY]"), [120, 500]);
});

test("a viewdef that is no template is refused and the old one stays", options, async () => {
  await show("<h1>fine</h1>");
  server.send(viewdefs({ "App.DEFAULT": "<p>no template</p>" }));
  await until("the refusal", () => server.state.batches.some(({ messages }) => messages.some(({ type, data }) => type === "error" && data.varId === 1)));
  assert.equal(await text("h1"), "fine");
});

test("a removed viewdef falls back", options, async () => {
  await show("<p ui-view='a?namespace=big'></p>", { "Card.DEFAULT": template("default"), "Card.big": template("big") });
  server.send(set(ids.a, { obj: 5 }, "Card"));
  await shows("p", "big");
  server.send(viewdefs({ "Card.big": null }));
  await shows("p", "default");
});

test("an error marks its element until the value is back", options, async () => {
  await show("<p ui-value=gone></p>");
  server.send({ type: "error", data: { varId: ids.gone, code: "path-failure", description: "no such field" } }, set(ids.gone, null));
  await until("the mark", () => browser.run("return /path-failure: no such field/.test(document.querySelector('p').title)"));
  server.send(set(ids.gone, "here"));
  await shows("p", "here");
  assert.equal(await browser.run("return document.querySelector('p').hasAttribute('ui-error') || document.querySelector('p').hasAttribute('title')"), false);
});

test("while the server is away the page says so", options, async () => {
  await show("<p>x</p>");
  const notice = () => browser.run("return document.querySelector('ui-notice').shadowRoot.textContent");
  server.state.away = true;
  server.cut();
  await until("the notice", async () => /Offline/.test(await notice()));
  server.state.away = false;
  await until("it to go", async () => (await notice()) === "");
});

test("after a cut the page takes up where it was, with the same ids", options, async () => {
  model.name = "Ada";
  await show("<p ui-value=name></p>");
  await shows("p", "Ada");
  await browser.run("document.querySelector('p').kept = true");
  const before = { ...ids };
  server.state.batches.length = 0;
  model.name = "Grace";
  server.cut();
  await shows("p", "Grace");
  assert.deepEqual(ids, before);
  assert.deepEqual(server.state.batches[0].messages.map(({ type }) => type), ["watch", "create"]);
  assert.equal(await browser.run("return document.querySelector('p').kept"), true);
});

test("if the session is gone, the server gets to say so", options, async () => {
  await show("<p>x</p>");
  server.state.sessionGone = true;
  try {
    server.cut();
    await until("its page", async () => (await text("h1")) === "No such session");
  } finally {
    server.state.sessionGone = false;
  }
});

test("the overlay shows where it failed, lets the page live, hides on Esc, and goes with the next good load", options, async () => {
  await show("<button ui-action='go()'>go</button>");
  const failed = { type: "reload", data: { generation: 2, status: "failed", files: ["lua/a.lua"], durationMs: 1, notes: [], errors: [
    { file: "lua/a.lua", line: 2, message: "unexpected symbol", excerpt: [{ line: 1, text: "-- a" }, { line: 2, text: "<b>" }], traceback: null, sessions: 1 },
  ] } };
  const overlay = () => browser.run("return document.querySelector('ui-overlay').shadowRoot.textContent");
  const marked = () => browser.run("return document.querySelector('ui-overlay').shadowRoot.querySelector('mark')?.textContent");
  server.send(failed);
  await until("the overlay", async () => /lua\/a\.lua:2/.test(await overlay()));
  assert.match(await overlay(), /Not reloaded: 1 session keeps the previous version/);
  assert.equal(await marked(), "> 2<b>");
  await browser.click("button");
  await until("the click", () => updates().length);
  await browser.type("button", "\uE00C");
  await until("it to hide", async () => (await overlay()) === "");
  server.send({ ...failed, data: { ...failed.data, status: "partial" } });
  await until("it again", async () => /Reloaded in part/.test(await overlay()));
  server.send({ type: "reload", data: { generation: 3, status: "ok", files: ["lua/a.lua"], durationMs: 1, notes: [], errors: [] } });
  await until("the all-clear", async () => (await overlay()) === "");
});

test("a restart renders anew", options, async () => {
  await show("<p>x</p>");
  await browser.run("window.old = true");
  server.send({ type: "restart", data: { reason: "asked" } });
  await until("a new page", () => browser.run("return window.old === undefined && window.uiApp !== undefined"));
});

test("scripts write through uiApp", options, async () => {
  model.name = "Ada";
  await show("<input id=field ui-value=name>");
  await browser.run("uiApp.updateValue('field', 'Eve')");
  await until("the write", () => updates().length);
  assert.deepEqual(updates(), [["name", "Eve"]]);
  assert.equal(await browser.run("return uiApp.getStore().root.value.obj"), 1);
});
