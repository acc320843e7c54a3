// ui-value on every kind of control: what it shows, and what it sends.

import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, complaints, gives, ids, model, options, said, server, set, show, until, updates } from "./page.mjs";

/** Sets a control's value as a person would, and says so with these events. */
const change = (css, property, value, ...events) => browser.run(`
  const control = document.querySelector(arguments[0]);
  control[arguments[1]] = arguments[2];
  for (const name of arguments[3]) control.dispatchEvent(new Event(name, { bubbles: true, composed: true }));`, css, property, value, events);

test("a date, a range, radio buttons, several options and a text area, both ways", options, async () => {
  Object.assign(model, { day: "2024-02-29", volume: 30, size: 2, tags: ["b"], note: "line one\nline two", pick: "x" });
  await show(`<input type=date ui-value=day><input type=range ui-value=volume>
    <input type=radio name=r value=1 ui-value=size><input type=radio name=r value=2 ui-value=size>
    <select multiple ui-value=tags><option>a</option><option>b</option><option>c</option></select>
    <textarea ui-value=note></textarea>`);
  await gives(`return [document.querySelector("[type=date]").value, document.querySelector("[type=range]").value,
    [...document.querySelectorAll("[type=radio]")].map((r) => r.checked), [...document.querySelector("select").selectedOptions].map((o) => o.value),
    document.querySelector("textarea").value]`, ["2024-02-29", "30", [false, true], ["b"], "line one\nline two"]);
  await change("[type=date]", "value", "2025-01-02", "input", "change");
  await change("[type=range]", "value", "55", "input", "change");
  await browser.click("[value='1']");
  await change("option:last-child", "selected", true);
  await change("select", "title", "", "input", "change");
  await browser.type("textarea", "!");
  await browser.run("document.activeElement.blur()");
  await until("all", () => updates().length === 5);
  assert.deepEqual(updates(), [["day", "2025-01-02"], ["volume", 55], ["size", 1], ["tags", ["b", "c"]], ["note", "line one\nline two!"]]);
  assert.deepEqual(await complaints(), []);
});

test("options that come after the value are picked when they come", options, async () => {
  Object.assign(model, { size: "m", sizes: [], 0: "s", 1: "m" });
  await show("<select ui-value=size ui-viewlist=sizes></select>");
  await until("the variables", () => ids.sizes);
  server.send(set(ids.sizes, ["s", "m"]));
  await gives("return document.querySelector('select').value", "m");
});

test("a field that is written by a call is not read", options, async () => {
  await show("<input ui-value='setName(_)'><p ui-value='name()'></p><p ui-value='other()?access=rw'></p>");
  await until("both", () => ids["name()"] && ids["other()"]);
  const access = Object.fromEntries(said("create").map(({ data }) => [data.properties.path, data.properties.access]));
  assert.deepEqual(access, { "setName(_)": "w", "name()": "r", "other()": "rw" });
});

test("a call is made with the same value again, a field is not written again", options, async () => {
  model.name = "";
  await show("<input id=call ui-value='add(_)'><input id=field ui-value=name>");
  for (const css of ["#call", "#field"]) {
    await browser.type(css, "x\uE007");
    await browser.type(css, "\uE003x\uE007");
  }
  await until("three", () => updates().length === 3);
  assert.deepEqual(updates(), [["add(_)", "x"], ["add(_)", "x"], ["name", "x"]]);
});

/** What libraries of components do: properties, and events of their own. */
const COMPONENTS = `
  class Field extends HTMLElement { value = ""; }
  class Rating extends HTMLElement { value = 0; }
  class Switch extends HTMLElement { checked = false; value = "on"; }
  class Badge extends HTMLElement {}
  for (const [name, kind] of [["sl-input", Field], ["sl-select", class extends Field {}], ["sl-rating", Rating], ["sl-switch", Switch], ["my-text-field", class extends Field {}], ["sl-badge", Badge]]) {
    customElements.define(name, kind);
  }`;

test("web components show and send their value by properties and their own events", options, async () => {
  Object.assign(model, { name: "Ada", stars: 3, on: true, kinds: ["a"], nick: "A", count: 7, search: "" });
  await show(`<sl-input ui-value=name></sl-input><sl-rating ui-value=stars></sl-rating><sl-switch ui-value=on></sl-switch>
    <sl-select multiple ui-value=kinds></sl-select><my-text-field ui-value=nick></my-text-field><sl-badge ui-value=count></sl-badge>
    <sl-input id=search ui-value="search?keypress"></sl-input>`);
  await gives("return document.querySelector('sl-input').textContent", "Ada"); // not defined yet
  await browser.run(COMPONENTS);
  const values = "return ['sl-input', 'sl-rating', 'sl-switch', 'sl-select', 'my-text-field'].map((name) => { const c = document.querySelector(name); return c.checked ?? c.value; })";
  await gives(values, ["Ada", 3, true, ["a"], "A"]);
  await gives("return document.querySelector('sl-badge').textContent", "7");
  await change("sl-input", "value", "Eve", "sl-input", "sl-change");
  await change("sl-rating", "value", 5, "sl-change");
  await change("sl-switch", "checked", false, "sl-change");
  await change("sl-select", "value", ["a", "b"], "sl-change");
  await change("my-text-field", "value", "E", "my-change");
  await change("#search", "value", "x", "sl-input");
  await change("#search", "value", "xy", "sl-input", "sl-blur");
  await until("all", () => updates().length === 7);
  assert.deepEqual(updates(), [["name", "Eve"], ["stars", 5], ["on", false], ["kinds", ["a", "b"]], ["nick", "E"], ["search", "x"], ["search", "xy"]]);
  server.send(set(ids.name, "Grace"), set(ids.stars, 1), set(ids.on, true));
  await gives(values, ["Grace", 1, true, ["a", "b"], "E"]);
  assert.deepEqual(await complaints(), []);
});

test("what bubbles up to a component from within is not its own", options, async () => {
  model.name = "outer";
  await show("<sl-input ui-value=name><input></sl-input>");
  await browser.run(COMPONENTS);
  await gives("return document.querySelector('sl-input').value", "outer");
  await browser.type("sl-input input", "x\uE007");
  await browser.run("document.querySelector('sl-input').value = 'untold'");
  await browser.type("sl-input input", "y\uE007");
  assert.deepEqual(updates(), []);
});

test("a component's button and its events call with its value", options, async () => {
  await show("<sl-input id=a value=red ui-action='pick(_)'></sl-input><sl-input id=b ui-value=name ui-event-sl-change='changed(_)'></sl-input>");
  await browser.run(COMPONENTS + "document.querySelector('#a').value = 'red'");
  await browser.run("document.querySelector('#a').click()");
  await change("#b", "value", "new", "sl-change");
  await until("three", () => updates().length === 3);
  assert.deepEqual(updates(), [["pick(_)", "red"], ["name", "new"], ["changed(_)", "new"]], "and the value is told before the call");
});

test("keys call with their modifiers, exactly", options, async () => {
  await show(`<textarea ui-value=text ui-event-keypress-ctrl-enter="send()"></textarea>
    <div tabindex=0 ui-event-keypress-left="turn(_)" ui-event-keypress-shift-a="lastKey" ui-event-keypress-escape="close()">keys</div>`);
  await browser.type("textarea", "hi\uE007\uE009\uE007\uE000");
  await browser.type("div[tabindex]", "\uE012\uE008A\uE000\uE00C");
  await until("five", () => updates().length === 5);
  assert.deepEqual(updates(), [["text", "hi\n"], ["send()", null], ["turn(_)", "left"], ["lastKey", "a"], ["close()", null]]);
});

test("scripts write through uiApp, and a wrong id does no harm", options, async () => {
  model.name = "Ada";
  await show("<input id=field ui-value=name>");
  await gives("return document.querySelector('input').value", "Ada");
  await browser.run("uiApp.updateValue('field', 'Eve'); uiApp.updateValue('nobody')");
  await gives("return document.querySelector('input').value", "Eve");
  await browser.run("document.querySelector('input').value = 'typed'; uiApp.updateValue('field')");
  await until("both", () => updates().length === 2);
  assert.deepEqual(updates(), [["name", "Eve"], ["name", "typed"]]);
  assert.equal(await browser.run("return uiApp.getStore().root.value.obj"), 1);
  assert.equal(await browser.run("return uiApp.getBinding().variablesOf(document.querySelector('#field')).get('ui-value').value"), "typed");
});
