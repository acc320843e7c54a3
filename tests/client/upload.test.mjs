// ui-upload, in a real browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, complaints, gives, ids, options, said, server, show, until } from "./page.mjs";

const pick = (css, ...files) => browser.run(`
  const [css, files] = arguments, transfer = new DataTransfer();
  for (const [name, size] of files) transfer.items.add(new File([new Uint8Array(size).map((_, i) => i % 251)], name, { type: "text/plain" }));
  const input = document.querySelector(css);
  if (input.type === "file") {
    input.files = transfer.files;
    input.dispatchEvent(new Event("change"));
  } else input.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true }));`, css, files);
const pieces = () => said("upload").map(({ data }) => data);
const taken = ({ varId, number, at, content }) =>
  ({ type: "update", data: { varId, properties: { uploaded: `${number}:${at + Buffer.from(content, "base64").length}` } } });
/** The server takes each piece. */
const takeAll = () => {
  const answer = server.state.onBatch;
  server.state.onBatch = (batch) => {
    answer(batch);
    for (const { type, data } of batch.messages) if (type === "upload") server.send(taken(data));
  };
};

test("files go in pieces, one after the other, each when the one before it was taken", options, async () => {
  takeAll();
  await show("<input type=file multiple ui-upload='take(_)'>");
  await pick("input", ["a.txt", 100_000], ["empty", 0], ["b.txt", 3]);
  await until("all of them", () => pieces().length === 5);
  assert.deepEqual(pieces().map(({ name, size, type, at }) => [name, size, type, at]), [
    ["a.txt", 100_000, "text/plain", 0], ["a.txt", 100_000, "text/plain", 49_152], ["a.txt", 100_000, "text/plain", 98_304],
    ["empty", 0, "text/plain", 0], ["b.txt", 3, "text/plain", 0]]);
  const all = Buffer.concat(pieces().slice(0, 3).map(({ content }) => Buffer.from(content, "base64")));
  assert.ok(all.length === 100_000 && all.every((byte, i) => byte === i % 251));
  await gives("return document.querySelector('input').hasAttribute('ui-uploading')", false);
  assert.deepEqual(said("create").map(({ data }) => data.properties), [{ path: "take(_)", access: "action" }]);
  assert.deepEqual(await complaints(), []);
});

test("a piece waits for the answer; a refusal ends the file, and the next one is tried", options, async () => {
  await show("<div ui-upload='take(_)'>drop here</div>");
  await pick("div", ["a.txt", 100_000], ["b.txt", 3]);
  await until("the first piece", () => pieces().length === 1);
  await gives("return document.querySelector('div').getAttribute('ui-uploading')", "0%");
  server.send({ type: "error", data: { varId: ids["take(_)"], code: "limit", description: "too large" } });
  await until("the next file", () => pieces().length === 2);
  assert.deepEqual(pieces().map(({ name }) => name), ["a.txt", "b.txt"]);
});

test("after a lost connection a file is sent from its beginning", options, async () => {
  await show("<input type=file ui-upload='take(_)'>");
  await pick("input", ["a.txt", 60_000]);
  await until("the first piece", () => pieces().length === 1);
  server.send(taken(pieces()[0]));
  await until("the second piece", () => pieces().length === 2);
  takeAll();
  server.cut();
  await until("all of it again", () => pieces().length === 4);
  assert.deepEqual(pieces().map(({ at }) => at), [0, 49_152, 0, 49_152]);
});
