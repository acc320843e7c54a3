import assert from "node:assert/strict";
import { test } from "node:test";
import { arrange } from "../../src/web/client/order.js";

test("who is still there goes where it belongs", () => {
  assert.deepEqual(arrange(["a", "b", "c"], ["c", "a", "b"]), [2, 0, 1]);
  assert.deepEqual(arrange(["a", "b", "c"], ["a", "b", "c"]), [0, 1, 2]);
});

test("who is gone stands behind the others, to be removed", () => {
  assert.deepEqual(arrange(["a", "b", "c"], ["b", "c"]), [1, 2, 0]);
  assert.deepEqual(arrange(["a", "b"], []), [0, 1]);
});

test("a newcomer gets a number of its own", () => {
  assert.deepEqual(arrange([], ["a", "b"]), [0, 1]);
  assert.deepEqual(arrange(["a", "b"], ["x", "a", "b"]), [2, 0, 1]);
});

test("a newcomer takes over where somebody has left, and nowhere else", () => {
  assert.deepEqual(arrange(["a", "b"], ["x", "b"]), [0, 1]);
  assert.deepEqual(arrange(["a", "b"], ["b", "x"]), [1, 2, 0]);
});

test("what is there twice stays twice", () => {
  assert.deepEqual(arrange(["a", "a", "b"], ["b", "a", "a"]), [2, 1, 0]);
  assert.deepEqual(arrange(["a"], ["a", "a"]), [0, 1]);
});

test("any change is a permutation, and every key comes to its place", () => {
  let seed = 7;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  for (let round = 0; round < 500; round++) {
    const list = () => Array.from({ length: random(8) }, () => String(random(6)));
    const [before, after] = [list(), list()];
    const places = arrange(before, after);
    const sorted = [...places].sort((a, b) => a - b);
    assert.deepEqual(sorted, sorted.map((_, i) => i), `${before} to ${after}`);
    assert.ok(places.length >= Math.max(before.length, after.length));
    const kept = after.filter((key, i) => before[places[i]] === key).length;
    const common = after.filter((key, i) => after.slice(0, i).filter((k) => k === key).length < before.filter((k) => k === key).length);
    assert.equal(kept, common.length, `${before} to ${after}: ${places}`);
  }
});
