import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import { test } from "node:test";

test("the client stays below 40 KB, comments included", () => {
  const folder = new URL("../../src/web/client/", import.meta.url);
  const sizes = readdirSync(folder).map((name) => statSync(new URL(name, folder)).size);
  assert.ok(sizes.reduce((sum, size) => sum + size) < 40_000, `${sizes}`);
});
