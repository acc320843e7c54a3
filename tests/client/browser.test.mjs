// The client in a real browser, against a server that says what each test tells it to.

import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, ids, model, options, server, set, show, shows, template, text, until, updates, viewdefs } from "./page.mjs";

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
  assert.deepEqual(updates(), [["title", "x"], ["add()", null], ["name", "y"], ["go()", null]]);
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

test("what is opened and selected survives a re-render", options, async () => {
  const page = (title) => `<h1>${title}</h1><details><summary>s</summary>inside</details><details open><summary>s</summary>closed by hand</details><p>some words to select</p>`;
  await show(page("One"));
  await browser.run(`const [first, second] = document.querySelectorAll("details");
    first.open = true; second.open = false;
    const words = document.querySelector("p").firstChild; getSelection().setBaseAndExtent(words, 5, words, 10)`);
  server.send(viewdefs({ "App.DEFAULT": template(page("Two")) }));
  await shows("h1", "Two");
  assert.deepEqual(await browser.run("return [...[...document.querySelectorAll('details')].map((d) => d.open), String(getSelection())]"), [true, false, "words"]);
});

test("a field is not replaced while an input method composes a character in it", options, async () => {
  const page = (title) => `<h1>${title}</h1><input ui-value=name>`;
  await show(page("One"));
  await browser.run("document.querySelector('input').mark = 'old'; document.querySelector('input').dispatchEvent(new CompositionEvent('compositionstart', { bubbles: true }))");
  server.send(viewdefs({ "App.DEFAULT": template(page("Two")) }), set(ids.name, "came"));
  await until("the frame", () => browser.run("return document.querySelector('input').value === 'came'"));
  assert.deepEqual(await browser.run("return [document.querySelector('h1').textContent, document.querySelector('input').mark]"), ["One", "old"]);
  await browser.run("document.querySelector('input').dispatchEvent(new CompositionEvent('compositionend', { bubbles: true }))");
  await shows("h1", "Two");
});

test("a view is rendered once for what comes in one frame", options, async () => {
  await show("<script>window.renders = (window.renders ?? 0) + 1</script><h1>one</h1>");
  await shows("h1", "one");
  assert.equal(await browser.run("return window.renders"), 1);
});

test("what nobody knows is passed over", options, async () => {
  await show("<p ui-value=name></p>");
  server.send({ type: "novelty", data: { a: 1 } }, { type: "__proto__", data: {} }, { type: "bare" },
    { type: "update", data: { varId: 999, value: 1 } }, { ...set(ids.name, "Ada"), more: true });
  await shows("p", "Ada");
  assert.deepEqual(await browser.log(), []);
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
  // The server cannot know what an earlier socket was told: it tells all again.
  server.state.onOpen = () => setTimeout(() => server.send(viewdefs({ "App.DEFAULT": template("<p ui-value=name></p>") }), set(1, { obj: 1 }, "App")));
  server.cut();
  await shows("p", "Grace");
  server.state.onOpen = () => {};
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
