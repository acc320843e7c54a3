import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePath, variableProperties } from "../../src/web/client/paths.js";

test("a path without a question mark has no properties", () => {
  assert.deepEqual(parsePath("board.cards.0.title"), { path: "board.cards.0.title", properties: {} });
});

test("flags and pairs after the question mark become properties", () => {
  assert.deepEqual(parsePath("search()?keypress&wrapper=lua.ViewList&note=a=b&empty="), {
    path: "search()",
    properties: { keypress: "true", wrapper: "lua.ViewList", note: "a=b", empty: "" },
  });
});

test("the attribute wins over the defaults of its family", () => {
  assert.deepEqual(variableProperties("name?access=rw", { access: "r" }), { path: "name", access: "rw" });
});

test("a default that is not given is not sent", () => {
  assert.equal(JSON.stringify(variableProperties("name", { namespace: undefined })), '{"path":"name"}');
});
