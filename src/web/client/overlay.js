// What went wrong with the last save, over a page that keeps running.

import { shadowHost } from "./shadow.js";

/**
 * @typedef {Object} ReloadError
 * @property {string} [file]
 * @property {number} [line]
 * @property {string} message
 * @property {{line: number, text: string}[]} [excerpt]
 * @property {string} [traceback]
 * @property {number} [sessions] how many kept the previous version
 *
 * @typedef {Object} ReloadReport
 * @property {number} generation
 * @property {"ok" | "failed" | "partial"} status
 * @property {string[]} [files]
 * @property {number} [durationMs]
 * @property {string[]} [notes]
 * @property {ReloadError[]} [errors]
 */

const STYLE = `
  :host { all: initial; }
  section { position: fixed; inset: auto 1rem 1rem; max-width: 60rem; max-height: 45vh; margin: auto;
    overflow: auto; z-index: 2147483647; box-sizing: border-box; padding: .9rem 1.1rem;
    border-radius: .6rem; border-left: .35rem solid #e5484d; background: #1b1d23; color: #e8eaf0;
    font: 14px/1.5 system-ui, sans-serif; box-shadow: 0 8px 40px #0008; }
  section.partial { border-left-color: #f2913d; }
  header { display: flex; gap: 1rem; align-items: baseline; }
  h2 { flex: 1; margin: 0; font-size: 1rem; }
  button { border: 1px solid #555; border-radius: .35rem; background: none; color: inherit;
    font: inherit; font-size: 12px; cursor: pointer; }
  .where { margin: .6rem 0 0; color: #ffb4a8; font-weight: 600; overflow-wrap: anywhere; }
  .what { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
  pre { margin: .4rem 0; padding: .5rem 0; border-radius: .35rem; background: #0e0f13;
    font: 13px/1.5 ui-monospace, monospace; overflow-x: auto; tab-size: 4; }
  pre > span { display: block; width: max-content; min-width: 100%; padding: 0 .8rem; box-sizing: border-box; }
  pre > span.bad { background: #5a1d22; }
  i { display: inline-block; min-width: 3.5em; color: #8b90a0; font-style: normal; user-select: none; }
  summary, .note { color: #a9aec0; }
  .note { margin: .3rem 0 0; }`;

/**
 * Makes the (empty) overlay.
 * @returns {(report: ReloadReport) => void} shows a failed reload, takes a good one as the all-clear
 */
export function createOverlay() {
  const root = shadowHost("ui-overlay", STYLE);
  // Live regions are announced only if they were there before their text.
  const live = make("div", { role: "alert", "aria-live": "assertive" });
  root.append(live);
  const hide = () => live.replaceChildren();
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });

  return (report) => {
    const notes = report.notes ?? [];
    if (report.status === "ok") {
      console.info(`[hot] reloaded ${(report.files ?? []).join(", ")}, ${report.durationMs} ms`);
      for (const note of notes) console.info(`[hot] ${note}`);
      hide();
      return;
    }
    const close = make("button", { type: "button" }, "Hide (Esc)");
    close.addEventListener("click", hide);
    const panel = make("section", { class: report.status, "data-generation": report.generation });
    panel.append(make("header", {}, make("h2", {}, headline(report)), close));
    for (const error of report.errors ?? []) panel.append(...describe(error));
    for (const note of notes) panel.append(make("p", { class: "note" }, note));
    live.replaceChildren(panel);
  };
}

/** @param {ReloadReport} report */
export function headline({ status, errors = [] }) {
  const kept = Math.max(0, ...errors.map((error) => error.sessions ?? 0));
  const who = kept ? `${kept} ${kept === 1 ? "session keeps" : "sessions keep"}` : "every session keeps";
  return status === "partial"
    ? `Reloaded in part: ${kept ? who : "some sessions keep"} the previous version`
    : `Not reloaded: ${who} the previous version`;
}

/** @param {ReloadError} error */
function describe(error) {
  const parts = [];
  if (error.file) {
    parts.push(make("p", { class: "where" }, error.line ? `${error.file}:${error.line}` : error.file));
  }
  parts.push(make("p", { class: "what" }, error.message));
  if (error.excerpt?.length) {
    const lines = error.excerpt.map(({ line, text }) => {
      const bad = line === error.line;
      return make("span", { class: bad ? "bad" : "" }, make("i", {}, `${bad ? ">" : " "} ${line}`), text || " ");
    });
    parts.push(make("pre", {}, ...lines));
  }
  if (error.traceback) {
    parts.push(make("details", {}, make("summary", {}, "Traceback"), make("pre", {}, make("span", {}, error.traceback))));
  }
  return parts;
}

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...(Node | string)} children
 */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}
