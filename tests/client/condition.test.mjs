// ui-if, in a real browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, complaints, gives, ids, model, options, said, server, set, show, shows, text, until, updates } from "./page.mjs";

const hidden = (css) => until(`${css} to be gone`, async () => (await text(css)) === null);

test("an element with ui-if is there, and asks for what it binds, only while the value holds", options, async () => {
  Object.assign(model, { on: false, name: "Ada" });
  await show("<p>before</p><section ui-if=on><b ui-value=name></b><button ui-action='go()'>go</button></section><i>after</i>");
  await until("the condition to be asked for", () => ids.on);
  assert.equal(await text("section"), null);
  assert.equal(said("create").some(({ data }) => data.properties.path === "name"), false, "what is not shown is not asked for");
  for (const [yes, no] of [[true, null], [1, 0], ["x", ""], [[], false]]) {
    server.send(set(ids.on, yes));
    await shows("section b", "Ada");
    assert.deepEqual(await browser.run("return [...document.querySelectorAll('[ui-viewdef] > :not(template)')].map((e) => e.localName)"), ["p", "section", "i"]);
    server.send(set(ids.on, no));
    await hidden("section");
  }
  await until("what was shown to be given up", () => said("destroy").some(({ data }) => data.varId === ids.name));
  server.send(set(ids.on, true));
  await shows("section b", "Ada");
  await browser.click("button");
  await until("one call", () => updates().length);
  assert.deepEqual(updates(), [["go()", null]]);
  assert.deepEqual(await complaints(), []);
});

test("ui-if goes with a view, a list and another ui-if on the same element or within", options, async () => {
  Object.assign(model, { on: true, inner: false, one: { type: "Card" }, title: "t", rows: [1, 2] });
  await show("<div id=a ui-if=on ui-view=one></div><ul ui-if=on ui-viewlist=rows></ul><div ui-if=on><p ui-if=inner>in</p></div>", {
    "Card.DEFAULT": "<template><h2 ui-value=title></h2></template>",
  });
  await shows("#a h2", "t");
  await gives("return document.querySelectorAll('li').length", 2);
  assert.equal(await text("p"), null);
  server.send(set(ids.inner, true));
  await shows("p", "in");
  const conditions = said("create").filter(({ data }) => data.properties.path === "on");
  server.send(...conditions.map(({ data }) => set(data.id, false)));
  await hidden("p");
  assert.deepEqual([await text("ul"), await text("#a")], [null, null]);
});

test("an item of a list is hidden by ui-if and keeps its place", options, async () => {
  model.rows = [{ obj: 5 }, { obj: 6 }];
  const on = [];
  const answer = server.state.onBatch;
  server.state.onBatch = (batch) => {
    answer(batch);
    for (const { type, data } of batch.messages) if (type === "create" && data.properties.path === "open") on.push(data.id);
  };
  await show("<ul ui-viewlist=rows><li ui-if=open>row</li></ul>");
  await until("both conditions", () => on.length === 2);
  server.send(set(on[0], true), set(on[1], false));
  await gives("return [...document.querySelectorAll('li')].map((e) => e.getClientRects().length)", [1, 0]);
  server.send(set(on[1], true));
  await gives("return [...document.querySelectorAll('li')].map((e) => e.getClientRects().length)", [1, 1]);
});
