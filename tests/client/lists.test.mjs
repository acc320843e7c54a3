// Lists: an object keeps its element of the page, wherever it goes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, complaints, gives, ids, model, options, said, server, set, show, template, until } from "./page.mjs";

const CARD = { "Card.list-item": template("<details><summary>more</summary></details><input ui-value=title><b ui-value=title></b>") };

/** A server that keeps the objects of a list: by place, as the protocol has it. */
function serve(list, titles) {
  let now = list;
  const places = new Map(); // id of an item's variable -> place
  const inner = new Map(); // id of a title's variable -> id of its item
  const last = new Map(); // what was sent
  const value = (id) => {
    if (id === listId) return now.map((obj) => ({ obj }));
    if (places.has(id)) return now[places.get(id)] === undefined ? null : { obj: now[places.get(id)] };
    return titles[now[places.get(inner.get(id))]] ?? null;
  };
  let listId;
  const changes = () => {
    const messages = [];
    for (const id of [listId, ...places.keys(), ...inner.keys()]) {
      const json = JSON.stringify(value(id));
      if (last.get(id) === json) continue;
      last.set(id, json);
      messages.push(set(id, value(id), places.has(id) ? "Card" : undefined));
    }
    if (messages.length) server.send(...messages);
  };
  server.state.onBatch = ({ messages }) => {
    for (const { type, data } of messages) {
      if (type === "create") {
        const { path } = data.properties;
        ids[path] = data.id;
        last.delete(data.id);
        if (path === "cards") listId = data.id;
        else if (data.parentId === listId) places.set(data.id, Number(path));
        else inner.set(data.id, data.parentId);
      }
      if (type === "update") titles[now[places.get(inner.get(data.varId))]] = data.value;
      if (type !== "destroy") continue;
      for (const [id, parent] of inner) if (id === data.varId || parent === data.varId) inner.delete(id);
      places.delete(data.varId);
    }
    changes();
  };
  return {
    become(list) {
      now = list;
      changes();
    },
  };
}

const SHOWN = "return [...document.querySelectorAll('li b')].map((b) => b.textContent).join(' ')";
/** Each element gets a name of its own, which goes wherever the element goes. */
const mark = () => browser.run("document.querySelectorAll('li').forEach((li, i) => { li.mark = 'm' + i; li.querySelector('input').mark = 'm' + i; })");
const MARKS = "return [...document.querySelectorAll('li')].map((li) => li.mark ?? 'new').join(' ')";

test("elements go with their objects: sorted, removed, put in between", options, async () => {
  const list = serve([3, 4, 5], { 3: "a", 4: "b", 5: "c", 6: "d" });
  await show("<ul ui-viewlist=cards></ul>", CARD);
  await gives(SHOWN, "a b c");
  await mark();
  const creates = said("create").length;
  list.become([5, 3, 4]);
  await gives(SHOWN, "c a b");
  await gives(MARKS, "m2 m0 m1");
  assert.equal(said("create").length + said("destroy").length, creates, "nothing had to be asked for");
  list.become([5, 4]);
  await gives(SHOWN, "c b");
  await gives(MARKS, "m2 m1");
  list.become([6, 5, 4]);
  await gives(SHOWN, "d c b");
  await gives(MARKS, "new m2 m1");
  list.become([]);
  await gives(MARKS, "");
  list.become([4]);
  await gives(SHOWN, "b");
  assert.deepEqual(await complaints(), []);
});

test("an object that comes where another one left has its element; elsewhere it has one of its own", options, async () => {
  const list = serve([3, 4], { 3: "a", 4: "b", 7: "x", 8: "y" });
  await show("<ul ui-viewlist=cards></ul>", CARD);
  await gives(SHOWN, "a b");
  await mark();
  list.become([7, 4]);
  await gives(SHOWN, "x b");
  await gives(MARKS, "m0 m1");
  list.become([4, 8]);
  await gives(SHOWN, "b y");
  await gives(MARKS, "m1 new");
});

test("what is typed after a move is written to the object that is shown", options, async () => {
  const titles = { 3: "a", 4: "b" };
  const list = serve([3, 4], titles);
  await show("<ul ui-viewlist=cards></ul>", CARD);
  await gives(SHOWN, "a b");
  list.become([4, 3]);
  await gives(SHOWN, "b a");
  await browser.type("li:last-child input", "!\uE007");
  await gives(SHOWN, "b a!");
  assert.deepEqual(titles, { 3: "a!", 4: "b" });
});

for (const moveBefore of [true, false]) {
  test(`focus, caret, draft and what is opened go along, ${moveBefore ? "with" : "without"} moveBefore`, options, async () => {
    const titles = { 3: "first", 4: "second", 5: "third" };
    const list = serve([3, 4, 5], titles);
    await show("<ul ui-viewlist=cards></ul>", CARD);
    await gives(SHOWN, "first second third");
    if (!moveBefore) await browser.run("delete Element.prototype.moveBefore");
    await mark();
    await browser.run("document.querySelector('details').open = true");
    await browser.type("input", " draft");
    await browser.run("document.activeElement.setSelectionRange(2, 4)");
    for (const order of [[4, 5, 3], [3, 5, 4], [5, 4, 3]]) {
      list.become(order);
      await gives("return [...document.querySelectorAll('li b')].map((b) => b.textContent[0]).join('')", order.map((obj) => titles[obj][0]).join(""));
      await gives("const a = document.activeElement; return [a.mark, a.value, a.selectionStart, a.closest('li').querySelector('details').open]",
        ["m0", "first draft", 2, true]);
      if (moveBefore) assert.equal(await browser.run("return document.activeElement.selectionEnd"), 4);
    }
    // A browser without moveBefore takes the focus from what is moved: the draft is sent then, to its object.
    assert.deepEqual(titles, { 3: moveBefore ? "first" : "first draft", 4: "second", 5: "third" });
    assert.deepEqual(await complaints(), []);
  });
}

test("1,000 items are reordered by moving their elements", options, async () => {
  const all = Array.from({ length: 1000 }, (_, i) => i + 10);
  const list = serve(all, Object.fromEntries(all.map((obj) => [obj, `t${obj}`])));
  await show("<ul ui-viewlist='cards?whole'></ul>", { "Card.list-item": template("<b ui-value=title></b>") });
  await until("all of them", () => browser.run("return document.querySelectorAll('li b').length === 1000 && document.querySelector('li:last-child').textContent === 't1009'"));
  await browser.run("document.querySelectorAll('li').forEach((li) => (li.mark = li.textContent)); window.changed = 0; new MutationObserver((all) => (window.changed += all.filter(({ type }) => type === 'characterData' || !(/** @type {Element} */ (all[0].target)).matches?.('ul')).length)).observe(document.querySelector('ul'), { childList: true, characterData: true, subtree: true })");
  const creates = said("create").length;
  const shuffled = [...all].sort((a, b) => ((a * 7919) % 1009) - ((b * 7919) % 1009));
  list.become(shuffled);
  await until("the new order", () => browser.run("return document.querySelector('li').textContent === arguments[0]", `t${shuffled[0]}`));
  const [right, kept, changed] = await browser.run(`const items = [...document.querySelectorAll('li')];
    return [items.every((li, i) => li.textContent === 't' + arguments[0][i]), items.every((li) => li.mark === li.textContent), window.changed]`, shuffled);
  assert.deepEqual([right, kept, changed], [true, true, 0], "in order, each element with its object, no text touched");
  assert.equal(said("create").length, creates);
  assert.deepEqual(await complaints(), []);
});

test("an object instead of an array is an empty list, and plain values are shown as they are", options, async () => {
  model.tags = ["red", "green"];
  Object.assign(model, { 0: "red", 1: "green" });
  await show("<ul ui-viewlist=tags></ul>");
  await gives("return [...document.querySelectorAll('li')].map((li) => li.textContent)", ["red", "green"]);
  server.send(set(ids.tags, { obj: 9 }));
  await gives("return document.querySelectorAll('li').length", 0);
});

test("the element inside says what the items are, and its attributes are the item's", options, async () => {
  Object.assign(model, { sizes: [{ obj: 3 }, { obj: 4 }], 0: { type: "Size" }, 1: { type: "Size" }, id: "s", name: "small", done: true, size: "s" });
  await show("<select ui-value=size ui-viewlist=sizes><option ui-attr-value=id ui-value=name></option></select><ol ui-viewlist=sizes><li class=row ui-class-done=done></li></ol>", {
    "Size.list-item": template("<i>size</i>"),
  });
  await gives("return [...document.querySelectorAll('option')].map((o) => [o.value, o.textContent])", [["s", "small"], ["s", "small"]]);
  await gives("return document.querySelector('select').value", "s");
  await gives("return [...document.querySelectorAll('li')].map((li) => [li.className, li.textContent])", [["row done", "size"], ["row done", "size"]]);
});

test("ui-item-wrapper puts a wrapper around each item", options, async () => {
  Object.assign(model, { cards: [{ obj: 3 }] });
  await show("<ul ui-viewlist=cards ui-item-wrapper=Row></ul>");
  await until("the item", () => ids[0]);
  const [item] = said("create").filter(({ data }) => data.properties.path === "0");
  assert.equal(item.data.properties.wrapper, "Row");
});

test("what the server shows through lua.ViewList is a list", options, async () => {
  Object.assign(model, {
    cards: { type: "lua.ViewList" }, items: [{ obj: 3 }], 0: { type: "lua.ViewListItem" }, item: { type: "Card" }, title: "wrapped",
  });
  await show("<div ui-view='cards?wrapper=lua.ViewList'></div>", {
    "lua.ViewList.DEFAULT": template("<div ui-viewlist=items></div>"),
    "lua.ViewListItem.list-item": template("<div ui-view=item></div>"),
    "Card.DEFAULT": template("<b ui-value=title></b>"),
  });
  await gives("return document.querySelector('b')?.textContent", "wrapped");
});
