// Variables that change places within a list: what the server says of a place reaches who stands there.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { changePlaces } from "../../src/web/client/places.js";
import { Store } from "../../src/web/client/store.js";

let sent;
let store;
let list;

beforeEach(() => {
  sent = [];
  store = new Store((text) => sent.push(...JSON.parse(text).messages));
  list = store.create(store.root, { path: "cards" });
});

const microtask = () => new Promise((done) => queueMicrotask(done));
const set = (varId, value, properties) => ({ type: "update", data: { varId, value, properties } });

/** An item of the list with a child variable for its title. */
function item(place) {
  const variable = store.create(list, { path: String(place) });
  return { variable, title: store.create(variable, { path: "title" }) };
}

/** As a list does that hears of its new order in the midst of a frame. */
function onFrame(before, after, messages) {
  const unwatch = list.watch(() => changePlaces(before.map((i) => i.variable), after.map((i) => i.variable), store));
  store.receive([set(list.id, after.map((_, i) => i + Math.random())), ...messages]);
  unwatch();
}

test("two trade places, and nobody notices who watches them", async () => {
  const [a, b] = [item(0), item(1)];
  const ids = [a.variable.id, a.title.id, b.variable.id, b.title.id];
  store.receive([set(ids[0], { obj: 3 }), set(ids[1], "A"), set(ids[2], { obj: 4 }), set(ids[3], "B")]);
  await microtask();
  sent.length = 0;
  let notices = 0;
  for (const each of [a.title, b.title]) each.watch(() => notices++);
  onFrame([a, b], [b, a], [set(ids[0], { obj: 4 }), set(ids[1], "B"), set(ids[2], { obj: 3 }), set(ids[3], "A")]);
  assert.deepEqual([a.variable.id, a.title.id, b.variable.id, b.title.id], [ids[2], ids[3], ids[0], ids[1]]);
  assert.deepEqual([a.title.value, b.title.value, a.variable.properties.path], ["A", "B", "1"]);
  assert.equal(notices, 0, "the page need not be touched");
  await microtask();
  assert.deepEqual(sent, [], "and there is nothing to tell the server");
  store.receive([set(ids[3], "A2")]);
  assert.equal(a.title.value, "A2", "what comes later goes where it belongs");
});

test("a value the server does not repeat for a place is taken over from who stood there", () => {
  // The titles trade places as well, so for the server nothing has changed at either of them.
  const [a, b] = [item(0), item(1)];
  store.receive([set(a.title.id, "A"), set(b.title.id, "B")]);
  onFrame([a, b], [b, a], []);
  assert.deepEqual([a.title.value, b.title.value], ["B", "A"]);
});

test("an error stands at its place, until a value comes there", (t) => {
  t.mock.method(console, "warn", () => {});
  const [a, b] = [item(0), item(1)];
  const [first, second] = [a.title.id, b.title.id];
  store.receive([{ type: "error", data: { varId: first, code: "path-failure", description: "?" } }, set(second, "B")]);
  onFrame([a, b], [b, a], [
    set(first, "B"),
    { type: "error", data: { varId: second, code: "path-failure", description: "?" } },
    set(second, null),
  ]);
  assert.deepEqual([a.title.error?.code, b.title.error, b.title.value], ["path-failure", null, "B"]);
});

test("what a place does not have is made there, and what nobody takes is destroyed", async () => {
  const [a, b] = [item(0), item(1)];
  const extra = store.create(a.variable, { path: "only a" });
  const inner = store.create(extra, { path: "inner" });
  store.receive([set(extra.id, "kept"), set(a.title.id, "A"), set(b.title.id, "B")]);
  await microtask();
  sent.length = 0;
  const [place, gone] = [b.variable.id, extra.id];
  onFrame([a, b], [b, a], [set(b.title.id, "A"), set(a.title.id, "B")]);
  assert.equal(extra.value, "kept", "it is shown until the server has answered");
  await microtask();
  const told = sent.map(({ type, data }) => [type, data.id ?? data.varId, data.parentId, data.properties?.path]);
  assert.deepEqual(told.filter(([type]) => type === "create"), [
    ["create", extra.id, place, "only a"],
    ["create", inner.id, extra.id, "inner"],
  ]);
  assert.deepEqual(told.filter(([type]) => type === "destroy"), [["destroy", gone, undefined, undefined]]);
  assert.equal(store.variables.get(gone), undefined);
  assert.equal(store.variables.get(extra.id), extra);
});

test("a new socket is still told of parents first", async () => {
  const [a, b] = [item(0), item(1)];
  store.create(a.variable, { path: "only a" });
  await microtask();
  onFrame([a, b], [b, a], []);
  await microtask();
  sent.length = 0;
  store.resume();
  await microtask();
  const known = new Set([1]);
  for (const { type, data } of sent.filter(({ type }) => type === "create")) {
    assert.ok(known.has(data.parentId), `${type} ${data.id} before its parent ${data.parentId}`);
    known.add(data.id);
  }
  assert.equal(known.size, 1 + 1 + 2 + 2 + 1);
});
