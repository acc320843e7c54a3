// What everybody can use: axe-core looks at the page, the overlay and the status page, light and dark, wide and narrow.
// With PICTURES=DIR it leaves pictures of them there, to be looked at.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { browser, complaints, gives, model, options, server, set, show, shows, text, until } from "./page.mjs";

// tests/run installs it beside the build.
const AXE = `${process.env.CARGO_TARGET_DIR ?? new URL("../../target", import.meta.url).pathname}/client-types/node_modules/axe-core/axe.min.js`;
const axe = existsSync(AXE) ? await readFile(AXE, "utf8") : null;
const withAxe = options.skip || axe ? options : { skip: process.env.CI !== "true" && "axe-core is not installed; tests/run does so" };

const WIDTHS = { desktop: [1280, 800], phone: [360, 740] };

/** Looks at the page as it is, in each light and width. */
async function look(name) {
  for (const scheme of ["light", "dark"]) {
    for (const [width, size] of Object.entries(WIDTHS)) {
      await browser.prefer(scheme);
      await browser.resize(...size);
      // What fades has faded.
      await browser.run("for (const one of document.getAnimations()) one.finish()");
      if (process.env.PICTURES) await writeFile(`${process.env.PICTURES}/${name}-${scheme}-${width}.png`, await browser.screenshot());
      const { violations } = await browser.run(`${axe}; return window.axe.run()`);
      const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(" | ")}`);
      assert.deepEqual(found, [], `${name}, ${scheme}, ${width}`);
      assert.ok(await browser.run("return document.scrollingElement.scrollWidth <= innerWidth"), `${name}: nobody scrolls sideways (${scheme}, ${width})`);
    }
  }
}

const error = { file: "lua/views/a_rather_long_name.lua", line: 2, message: "unexpected symbol near '='", sessions: 1,
  excerpt: [{ line: 1, text: "local function a() end" }, { line: 2, text: `x == ${"very long ".repeat(20)}` }], traceback: "lua/a.lua:2: in f" };
const report = (more) => ({ type: "reload", data: { generation: 2, status: "failed", files: ["lua/a.lua"], durationMs: 1, errors: [error], ...more } });

test("the built-in page: with its views, an error, a missing view and a lost connection", withAxe, async () => {
  Object.assign(model, { name: "Ada", rows: [1, 2], other: { type: "Other" } });
  await show("<h1 ui-value=name></h1><label>Name <input ui-value=name></label><ul ui-viewlist=rows></ul><p ui-value=gone></p><div ui-view=other></div>");
  await shows("h1", "Ada");
  assert.ok(await browser.run("return document.querySelector('h1').getBoundingClientRect().left") >= 12, "it has margins");
  await look("page");
  server.state.away = true;
  server.cut();
  await until("the notice", () => browser.run("return document.querySelector('ui-notice').shadowRoot.textContent !== ''"));
  await look("offline");
  server.state.away = false;
});

test("the overlay of a failed reload, and the problems of a page", withAxe, async () => {
  await show("<h1>Page</h1><p>text</p>");
  server.send(report({ offerRestart: true, notes: ["a note"] }));
  await until("the overlay", () => browser.run("return document.querySelector('ui-overlay').shadowRoot.querySelector('section') !== null"));
  await look("overlay");
  server.send(report({ status: "ok", errors: [] }), { type: "problems", data: { problems: [
    { ...error, kind: "page", path: "nmae", count: 2, varIds: [1] }, { ...error, kind: "getter", path: "total()", count: 1, varIds: [] }] } });
  await until("the problems", () => browser.run("return document.querySelector('ui-problems')?.shadowRoot.querySelector('article') !== null"));
  await look("problems");
});

test("on a phone the overlay's heading is one line, buttons and all", options, async () => {
  await show("<p>x</p>");
  await browser.resize(...WIDTHS.phone);
  server.send(report({ offerRestart: true }));
  const height = "return document.querySelector('ui-overlay').shadowRoot.querySelector('header')?.getBoundingClientRect().height ?? 0";
  const high = await until("the overlay", () => browser.run(height));
  assert.ok(high < 36, `${high} pixels`);
  assert.equal(await browser.run("const h = document.querySelector('ui-overlay').shadowRoot.querySelector('h2'); return h.scrollWidth > h.clientWidth"), false, "nothing of it is cut off");
});

const now = Date.now();
const reload = (generation, more = {}) => ({ generation, at: now - generation * 1000, status: "ok", files: [`lua/file${generation}.lua`], durationMs: 7.25,
  stages: { settle: 3, reconcile: 1, compile: 1, apply: 1.5, refresh: 0.75 }, sessions: 3, applied: 3, kept: 0, notes: [], errors: [], ...more });
const failure = (generation, more) => reload(generation, { status: "failed", applied: 0, kept: 3, errors: [{ ...error, sessions: 3 }], ...more });
const sessions = (more = {}) => ({ total: 12, connected: 11, threads: 2, stuck: 0, shown: [...Array(12).keys()].map((i) => ({
  name: `0123abc${i.toString(16)}`, began: now - i * 1e5, sockets: 1, memory: 300 + i, generation: 4, error: i === 2 ? { ...error, at: now } : null, ...more })) });

async function openStatus() {
  await browser.open(`${new URL("/_hot/", server.url)}`);
  await until("its socket", () => server.state.sockets.size);
  const parts = {
    server: { ready: true, site: "/home/ada/site", version: "1.0.0", started: now - 1e7, detail: "watching 12 directories" },
    backends: { trouble: null, missed: 1, unfinished: [], backends: [
      { name: "inotify", state: "working", why: "the kernel tells at once", dirs: 9, since: now - 1e6, barrier: { us: 90 }, cpuShare: 0, failures: 0 },
      { name: "polling", state: "down", why: "a network file system", dirs: 3, limited: 0, failures: 2, trouble: "it does not answer" }] },
    places: { roots: [{ dir: "lua", backend: "inotify", wanted: "inotify", why: "x" }, { dir: "html", backend: null, wanted: "polling", why: "x" }],
      dirs: ["lua", "lua/views", "lua/views/cards"], allDirs: 3, links: [["lua/shared", "/srv/shared"]], allLinks: 1 },
    reloads: [failure(1), reload(2), failure(3, { at: now - 3e6 }), ...[...Array(20).keys()].map((i) => reload(i + 4))],
    sessions: sessions(),
    log: [...Array(40).keys()].map((i) => ({ at: now - 4e5 + i * 1e4, level: ["INFO", "WARN", "ERROR", "DEBUG"][i % 4], text: `[hot] reloaded lua/file${i}.lua in 7 ms ${"and more ".repeat(i % 9)}` })),
  };
  for (const [part, value] of Object.entries(parts)) server.sendPart(part, value);
  await until("the log", async () => /file39/.test(await text("#log .body")));
  return parts;
}

test("the status page", withAxe, async () => {
  await openStatus();
  await browser.run("document.querySelector('#reloads details').open = true");
  await look("status");
  assert.deepEqual(await complaints(), []);
});

test("on a desktop the status page is one screen, and nothing moves as reloads come in", options, async () => {
  await browser.resize(...WIDTHS.desktop);
  const { reloads } = await openStatus();
  const boxes = () => browser.run(`return ["#sessions", "#log", "#places"].map((css) => { const { x, y, width, height } = document.querySelector(css).getBoundingClientRect(); return [x, y, width, height]; })`);
  const before = await boxes();
  assert.ok(await browser.run("return document.scrollingElement.scrollHeight <= innerHeight"), "it does not scroll");
  server.sendPart("reloads", [failure(99), ...reloads]);
  await until("the reload", async () => /file99/.test(await text("#reloads .body")));
  assert.deepEqual(await boxes(), before);
  assert.ok(before.every(([, y, , height]) => height > 100 && y + height <= 800), JSON.stringify(before));
});

test("an error of a while ago stands out no longer", options, async () => {
  await openStatus();
  const color = (css) => browser.run("for (const one of document.getAnimations()) one.finish(); return getComputedStyle(document.querySelector(arguments[0])).color", css);
  const faint = await color("#server");
  assert.notEqual(await color("#reloads li:nth-child(1) summary .bad"), faint);
  assert.equal(await color("#reloads li:nth-child(3) summary .bad"), faint);
});

test("a session is restarted and ended by its buttons, which keep the focus while the table is renewed", options, async () => {
  await openStatus();
  const asked = () => server.state.batches.filter((batch) => !batch.messages);
  server.state.onBatch = () => {};
  await browser.run("[...document.querySelectorAll('#sessions button')].slice(0, 2).forEach((b) => b.click())");
  await until("both", () => asked().length === 2);
  assert.deepEqual(asked(), [{ restart: "0123abc0" }, { end: "0123abc0" }]);
  await browser.run("document.querySelectorAll('#sessions tr')[3].querySelectorAll('button')[1].focus()");
  server.sendPart("sessions", sessions({ memory: 777 }));
  await until("the new table", async () => /777 KiB/.test(await text("#sessions .body")));
  assert.equal(await browser.run("return document.activeElement.title.split(':')[0]"), "End session 0123abc2");
});
