// What went wrong with the last save, over a page that keeps running.

import { addToPage, make } from "./shadow.js";

const STYLE = `
  section { position: fixed; inset: auto 1rem 1rem; max-width: 60rem; max-height: 45vh; margin: auto;
    overflow: auto; z-index: 2147483647; padding: 1rem; border-radius: .6rem;
    border-left: .35rem solid #e5484d; background: #1b1d23; color: #e8eaf0;
    font: 14px/1.5 system-ui, sans-serif; box-shadow: 0 8px 40px #0008; }
  header { display: flex; gap: 1rem; align-items: baseline; }
  h2 { flex: 1; margin: 0; font-size: 1rem; }
  button { border: 1px solid #555; border-radius: .35rem; background: none; color: inherit; }
  p { margin: .3rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; }
  .where { margin-top: .6rem; color: #ffb4a8; font-weight: 600; }
  .note, summary { color: #a9aec0; }
  pre { margin: .4rem 0; padding: .5rem 0; border-radius: .35rem; background: #0e0f13;
    font: 13px/1.5 ui-monospace, monospace; overflow-x: auto; tab-size: 4; }
  pre > * { display: block; padding: 0 .8rem; min-width: max-content; }
  mark { background: #5a1d22; color: inherit; }
  i { display: inline-block; min-width: 3.5em; color: #8b90a0; font-style: normal; user-select: none; }`;

/** @returns {(report: object) => void} takes what a `reload` message says */
export function createOverlay() {
  // Live regions are announced only if they were there before their text.
  const live = make("div", { role: "alert", "aria-live": "assertive" });
  addToPage("ui-overlay", STYLE, live);
  const hide = () => live.replaceChildren();
  addEventListener("keydown", ({ key }) => {
    if (key === "Escape") hide();
  });

  return ({ status, files = [], durationMs, notes = [], errors = [] }) => {
    if (status === "ok") {
      console.info([`[hot] reloaded ${files.join(", ")}, ${durationMs} ms`, ...notes].join("\n"));
      hide();
      return;
    }
    const close = make("button", {}, "Hide (Esc)");
    close.onclick = hide;
    live.replaceChildren(make("section", {},
      make("header", {}, make("h2", {}, headline(status, errors)), close),
      ...errors.flatMap(describe),
      ...notes.map((note) => make("p", { class: "note" }, note)),
    ));
  };
}

function headline(status, errors) {
  const count = Math.max(...errors.map((e) => e.sessions));
  const what = status === "partial" ? "Reloaded in part" : "Not reloaded";
  if (!count) return `${what}; nobody needs it yet`;
  return `${what}: ${count === 1 ? "1 session keeps" : `${count} sessions keep`} the previous version`;
}

function describe({ file, line, message, excerpt, traceback }) {
  const parts = [make("p", {}, message)];
  if (file) parts.unshift(make("p", { class: "where" }, line ? `${file}:${line}` : file));
  if (excerpt?.length) {
    parts.push(make("pre", {}, ...excerpt.map((each) => {
      const bad = each.line === line;
      return make(bad ? "mark" : "span", {}, make("i", {}, `${bad ? ">" : " "} ${each.line}`), each.text || " ");
    })));
  }
  if (traceback) {
    parts.push(make("details", {}, make("summary", {}, "Traceback"), make("pre", {}, make("span", {}, traceback))));
  }
  return parts;
}
