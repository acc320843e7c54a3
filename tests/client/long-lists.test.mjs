// Lists of which only what is near the window is there.

import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, complaints, gives, ids, model, options, said, server, set, show, template, until, updates } from "./page.mjs";

const TOTAL = 10_000;
const objects = (total = TOTAL, from = 0) => [...Array(total).keys()].map((i) => ({ obj: 100_000 + from + i }));
/** Answers every row with its place. */
function answerRows() {
  const answer = server.state.onBatch;
  const places = new Map();
  server.state.onBatch = (batch) => {
    answer(batch);
    const answers = [];
    for (const { type, data } of batch.messages) {
      if (type !== "create") continue;
      const { path } = data.properties;
      if (/^\d+$/.test(path)) {
        places.set(data.id, path);
        answers.push(set(data.id, { obj: data.id }, "Row"));
      }
      if (path === "name" && places.has(data.parentId)) answers.push(set(data.id, `row ${places.get(data.parentId)}`));
    }
    if (answers.length) server.send(...answers);
  };
}
/** The rows that a person sees at the top and at the bottom of a box. */
const seen = (css = "html") => browser.run(`
  const box = document.querySelector(arguments[0]).getBoundingClientRect();
  const [top, bottom] = arguments[0] === "html" ? [0, innerHeight] : [box.top, box.bottom];
  const at = (y) => document.elementFromPoint(box.left + 60, y)?.closest("li, tr")?.textContent.trim();
  return [at(top + 5), at(bottom - 5)];`, css);
const alive = () => said("create").filter(({ data }) => data.properties.path === "name").length - said("destroy").length;
const VIEWS = { "Row.list-item": template("<span ui-value=name></span><input ui-value=note>") };
const ROW = "<style>li, tr { height: 20px; line-height: 18px; margin: 0; padding: 0 } ul { margin: 0; padding: 0 } input { height: 14px; border: 0; padding: 0 } td { padding: 0 } table { border-spacing: 0 } main, body { margin: 0 !important }</style>";

test("of ten thousand rows those near the window are asked for, wherever one scrolls", options, async () => {
  model.rows = objects();
  answerRows();
  await show(`${ROW}<ul ui-viewlist=rows></ul>`, VIEWS);
  await gives("return document.querySelector('li span')?.textContent", "row 0");
  await gives("return document.scrollingElement.scrollHeight", TOTAL * 20);
  assert.ok(said("create").length < 500, `${said("create").length} variables`);
  for (const place of [30, 100, 5000, 4990, 9999, 0]) {
    await browser.run("scrollTo(0, arguments[0])", place * 20);
    const top = Math.min(place, TOTAL - Math.ceil(await browser.run("return innerHeight") / 20));
    await until(`row ${top}`, async () => /^row \d+$/.test((await seen())[0] ?? "") && Math.abs(Number((await seen())[0].slice(4)) - top) <= 1 && /^row \d+$/.test((await seen())[1] ?? ""));
  }
  assert.equal(await browser.run("return document.scrollingElement.scrollHeight"), TOTAL * 20);
  assert.ok(await browser.run("return document.querySelectorAll('li').length") < 400);
  await until("those left behind to be given up", () => alive() < 400);
  assert.deepEqual(await complaints(), []);
});

test("a list that scrolls by itself, and a table, do so too", options, async () => {
  model.rows = objects(3000);
  answerRows();
  await show(`${ROW}<div id=box style="height: 200px; overflow: auto"><table><tbody ui-viewlist=rows></tbody></table></div>`, { "Row.list-item": template("<td ui-value=name></td>") });
  await gives("return document.querySelector('td')?.textContent", "row 0");
  await browser.run("document.querySelector('#box').scrollTop = 1e9");
  await gives("return document.querySelector('#box').scrollTop > 50000 && [...document.querySelectorAll('td')].at(-1).textContent", "row 2999");
  assert.ok(said("create").length < 400, `${said("create").length} variables`);
});

test("a list that begins further down, or below the window, is there when one comes to it", options, async () => {
  model.rows = objects(1000);
  answerRows();
  await show(`${ROW}<h1 style="height: 50px; margin: 0">Rows</h1><ul ui-viewlist=rows></ul><div style="height: 5000px"></div>`, VIEWS);
  await gives("return document.querySelector('li span')?.textContent", "row 0");
  await browser.run("scrollTo(0, 1e9)");
  await browser.run("scrollTo(0, 50 + 700 * 20)");
  await until("row 700", async () => (await seen())[0] === "row 700");
  await show(`${ROW}<div style="height: 5000px"></div><ul ui-viewlist=rows></ul>`, VIEWS);
  await browser.run("scrollTo(0, 5000 + 700 * 20)");
  await until("row 700", async () => (await seen())[0] === "row 700");
  await browser.run("scrollTo(0, 0)");
  await browser.run("scrollTo(0, 5000)");
  await until("row 0", async () => (await seen())[0] === "row 0");
});

test("what changes in a long list changes where one is, and a short one is shown as a whole again", options, async () => {
  model.rows = objects(1000);
  answerRows();
  await show(`${ROW}<ul ui-viewlist=rows></ul>`, VIEWS);
  await browser.run("scrollTo(0, 500 * 20)");
  await until("row 500", async () => (await seen())[0] === "row 500");
  await browser.run("const row = [...document.querySelectorAll('li')].find((e) => e.textContent === 'row 505'); row.querySelector('input').focus(); window.row = row");
  const all = objects(1000);
  all.splice(502, 1);
  server.send(set(ids.rows, all));
  await gives("return [...document.querySelectorAll('li')].filter((e) => e.textContent).findIndex((e) => e === window.row) > 0 && window.row.isConnected", true);
  assert.equal(await browser.run("return document.activeElement === window.row.querySelector('input')"), true, "an object keeps its element, and the focus");
  // What is typed in a row is sent before the row goes.
  await browser.key("x");
  await browser.run("scrollTo(0, 0)");
  await until("the note", () => updates().some(([path, value]) => path === "note" && value === "x"));
  server.send(set(ids.rows, objects(3)));
  await gives("return document.querySelectorAll('li').length", 3);
  server.send(set(ids.rows, []));
  await gives("return document.querySelectorAll('li').length", 0);
  server.send(set(ids.rows, objects(1000, 5000)));
  await gives("return document.scrollingElement.scrollHeight", 20_000);
});

test("a long list in one row, and one that asks for it, is shown as a whole; tiles are not", options, async () => {
  model.rows = objects(300);
  answerRows();
  await show(`${ROW}<ul style="display: flex" ui-viewlist=rows></ul>`, VIEWS);
  await gives("return document.querySelectorAll('li').length", 300);
  model.all = objects(300);
  await show(`<ul ui-viewlist="all?whole"></ul>`, VIEWS);
  await gives("return document.querySelectorAll('li').length", 300);
  model.tiles = objects(3000);
  await show(`${ROW}<ul style="display: grid; grid-template-columns: 1fr 1fr 1fr" ui-viewlist=tiles></ul>`, VIEWS);
  await browser.run("scrollTo(0, 1e9)");
  await gives("return [...document.querySelectorAll('li span')].at(-1)?.textContent", "row 2999");
  assert.ok(await browser.run("return document.querySelectorAll('li').length") < 450);
});
