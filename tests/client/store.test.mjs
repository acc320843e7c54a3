import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Store } from "../../src/web/client/store.js";

/** @type {any[]} */
let sent;
let online;
let store;

beforeEach(() => {
  sent = [];
  online = true;
  store = new Store((text) => {
    if (online) sent.push(JSON.parse(text));
    return online;
  });
});

const microtask = () => new Promise((done) => queueMicrotask(done));
const update = (varId, value, properties) => store.receive([{ type: "update", data: { varId, value, properties } }]);

test("the messages of one microtask go out as one batch", async () => {
  const a = store.create(store.root, { path: "a" });
  const b = store.create(a, { path: "b" });
  await microtask();
  assert.deepEqual(sent, [{
    userEvent: false,
    messages: [
      { type: "create", data: { id: 2, parentId: 1, properties: { path: "a" } } },
      { type: "create", data: { id: b.id, parentId: 2, properties: { path: "b" } } },
    ],
  }]);
});

test("a write is a user event, and the next batch is not", async () => {
  const a = store.create(store.root, { path: "a" });
  store.update(a, 5);
  await microtask();
  store.create(store.root, { path: "b" });
  await microtask();
  assert.deepEqual(sent.map((batch) => batch.userEvent), [true, false]);
  assert.deepEqual(sent[0].messages[1], { type: "update", data: { varId: 2, value: 5 } });
});

test("a variable that is released and wanted again at once stays the same, value and all", async () => {
  const a = store.create(store.root, { path: "a" });
  update(2, "here");
  await microtask();
  sent.length = 0;
  store.release(a);
  assert.equal(store.create(store.root, { path: "a" }), a);
  assert.notEqual(store.create(store.root, { path: "a" }), a, "and only once");
  await microtask();
  assert.deepEqual(sent[0].messages.map(({ type }) => type), ["create"]);
});

test("a new socket is told to make an object only as long as none was made", async () => {
  store.create(store.root, { path: "draft", create: "Card" });
  store.create(store.root, { path: "other", create: "Card" });
  await microtask();
  update(2, { obj: 7 });
  sent.length = 0;
  store.resume();
  await microtask();
  const creates = sent[0].messages.filter(({ type }) => type === "create");
  assert.deepEqual(creates.map(({ data }) => data.properties), [{ path: "draft" }, { path: "other", create: "Card" }]);
});

test("of a released tree only the top is destroyed", async () => {
  const a = store.create(store.root, { path: "a" });
  const b = store.create(a, { path: "b" });
  await microtask();
  sent.length = 0;
  store.release(b);
  store.release(a);
  await microtask();
  assert.deepEqual(sent[0].messages, [{ type: "destroy", data: { varId: a.id } }]);
  store.receive([{ type: "destroy", data: { varId: b.id } }, { type: "destroy", data: { varId: a.id } }]);
  assert.equal(store.variables.size, 1);
});

test("a new socket is told of every live variable, with its old id, parents first", async () => {
  const a = store.create(store.root, { path: "a" });
  const gone = store.create(store.root, { path: "gone" });
  store.create(a, { path: "b" });
  store.release(gone);
  await microtask();
  sent.length = 0;
  store.resume();
  await microtask();
  assert.deepEqual(sent[0].messages.map(({ type, data }) => [type, data.id ?? data.varId]), [["watch", 1], ["create", 2], ["create", 4]]);
});

test("what was typed offline is sent on return, a click is not", async () => {
  const field = store.create(store.root, { path: "name" });
  const button = store.create(store.root, { path: "add()", access: "action" });
  await microtask();
  sent.length = 0;
  online = false;
  store.update(field, "a");
  store.update(button, null);
  await microtask();
  store.update(field, "ab");
  await microtask();
  online = true;
  store.resume();
  await microtask();
  const updates = sent[0].messages.filter(({ type }) => type === "update");
  assert.deepEqual(updates, [{ type: "update", data: { varId: field.id, value: "ab" } }]);
  assert.equal(sent[0].userEvent, true);
});

test("viewdefs on variable 1 are handed on before the rest of the frame", () => {
  const order = [];
  store.onViewdefs = (text) => order.push(text);
  store.root.watch(() => order.push(store.root.properties.type));
  store.receive([
    { type: "update", data: { varId: 1, properties: { viewdefs: '{"A.DEFAULT":"x"}' } } },
    { type: "update", data: { varId: 1, value: { obj: 1 }, properties: { "type:high": "A" } } },
  ]);
  assert.deepEqual(order, ['{"A.DEFAULT":"x"}', "A"], "and templates are no news to the variable's watchers");
  assert.equal(store.root.properties.viewdefs, undefined);
});

test("an error stays until the next success, and the null that comes with it is none", (t) => {
  t.mock.method(console, "warn", () => {});
  const a = store.create(store.root, { path: "a" });
  const failure = { type: "error", data: { varId: 2, code: "path-failure", description: "no a" } };
  const nothing = { type: "update", data: { varId: 2, value: null } };
  store.receive([failure, nothing]);
  assert.equal(a.error?.code, "path-failure");
  update(2, "back");
  assert.equal(a.error, null);
  store.receive([nothing, failure]);
  assert.equal(a.error?.code, "path-failure");
});

test("an error about no variable, and messages nobody knows, do no harm", (t) => {
  t.mock.method(console, "warn", () => {});
  store.receive([{ type: "error", data: { code: "bad-message", description: "?" } }, { type: "novelty", data: {} }]);
  store.receive([{ type: "update", data: { varId: 99, value: 1 } }]);
});

test("one failing binding does not keep the others from their values", (t) => {
  const report = t.mock.method(console, "error", () => {});
  const a = store.create(store.root, { path: "a" });
  const seen = [];
  a.watch(() => { throw new Error("broken"); });
  a.watch(() => seen.push(a.value));
  update(2, "x");
  assert.deepEqual(seen, ["x"]);
  assert.equal(report.mock.callCount(), 1);
});
