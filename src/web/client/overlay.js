// What went wrong with the last save, over a page that keeps running.

import { locate } from "./keep.js";
import { addToPage, make } from "./shadow.js";

/**
 * What a `reload` message says. `editor`: a link that opens the place in the developer's editor;
 * `offerRestart`: a new state would help.
 * @typedef {{file?: string, line?: number, message: string, hint?: string, excerpt?: {line: number, text: string}[],
 *   traceback?: string, sessions?: number, unstarted?: number, editor?: string}} Failure
 * @typedef {{status: string, files?: string[], durationMs?: number, notes?: string[],
 *   errors?: Failure[], offerRestart?: boolean}} Report
 */

/** How a failure looks, wherever it is shown. */
export const FAILURE_STYLE = `
button { border: 1px solid #777; border-radius: .35rem; background: none; color: inherit; font: inherit; cursor: pointer; }
p { margin: .3rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.where { padding: 0; border: 0; color: #ffb4a8; text-decoration: underline; }
.note, summary, i { color: #a9aec0; }
pre { margin: .4rem 0; padding: .5rem 0; background: #0e0f13; font: 13px/1.5 ui-monospace, monospace;
white-space: pre-wrap; overflow-wrap: anywhere; tab-size: 4; }
pre > * { display: block; padding: 0 .8rem; }
mark { background: #5a1d22; color: inherit; }
i { display: inline-block; min-width: 3.5em; font-style: normal; user-select: none; }`;

const STYLE = `${FAILURE_STYLE}
section { position: fixed; inset: auto 1rem 1rem; max-width: 60rem; max-height: 45vh; margin: auto; z-index: 2147483647;
overflow: auto; color-scheme: dark; scrollbar-width: thin; padding: 1rem; border-radius: .6rem; border-left: .35rem solid #e5484d;
background: #1b1d23; color: #e8eaf0; font: 14px/1.5 system-ui, sans-serif; }
section:focus { outline: 2px solid #e5484d; outline-offset: -2px; }
header { display: flex; gap: 1rem; align-items: baseline; }
h2 { flex: 1; margin: 0; font-size: 1rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
header button { white-space: nowrap; }
@media (max-width: 40rem) { .more { display: none; } }
.spoken { position: fixed; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }`;

/** @param {() => void} restart asks for it @returns {(report: Report) => void} takes what a `reload` message says */
export function createOverlay(restart) {
  // Live regions are announced only if they were there before their text. The code is not read aloud.
  const spoken = make("p.spoken");
  spoken.role = "alert";
  const place = make("div");
  addToPage("ui-overlay", STYLE, make("div", spoken, place));
  /** Finds what had the focus before. @type {(() => any) | null} */
  let giveBack = null;
  const hide = () => {
    spoken.textContent = "";
    const hasFocus = place.contains(/** @type {ShadowRoot} */ (place.getRootNode()).activeElement);
    const before = hasFocus ? giveBack?.() : null;
    giveBack = null;
    place.replaceChildren();
    before?.focus({ preventScroll: true });
  };
  addEventListener("keydown", ({ key }) => {
    if (key === "Escape") hide();
  });

  return ({ status, files = [], durationMs, notes = [], errors = [], offerRestart: offered }) => {
    if (status === "ok") {
      console.debug([`[hot] reloaded ${files.join(", ")}, ${durationMs} ms`, ...notes].join("\n"));
      hide();
      return;
    }
    const title = headline(status, errors, files.length === 0 && offered);
    spoken.textContent = [title, ...errors.map((error) => `${whereOf(error)}: ${error.message}`)].join(". ");
    const { activeElement } = document;
    const host = /** @type {ShadowRoot} */ (place.getRootNode()).host;
    const opens = !place.firstChild;
    if (opens && activeElement) giveBack = locate(activeElement, document.body);
    const heading = make("h2", ...short(title, ": "));
    heading.id = "title";
    const section = make("section",
      make("header",
        heading,
        ...(offered ? [button("Restart the session", restart, " the")] : []),
        button("Hide (Esc)", hide, " ("),
      ),
      ...[...errors].sort((a, b) => whereOf(a).localeCompare(whereOf(b))).flatMap(describe),
      ...notes.map((note) => make("p.note", note)),
      make("p.note", `Mend the file and save it${offered ? ", or restart" : ""}; until then the page runs on as it was.`),
    );
    section.role = "dialog";
    section.setAttribute("aria-labelledby", heading.id);
    section.tabIndex = -1;
    place.replaceChildren(section);
    if (opens || activeElement === host) section.focus({ preventScroll: true });
  };
}

/** @param {string} status @param {Failure[]} errors @param {boolean | undefined} isTrouble nothing was saved */
function headline(status, errors, isTrouble) {
  const count = Math.max(0, ...errors.map(({ sessions = 0 }) => sessions));
  if (!count && errors.some(({ unstarted }) => unstarted)) return "The application could not start";
  if (!count && isTrouble) return "The session is in trouble";
  const what = status === "partial" ? "Reloaded in part" : "Not reloaded";
  if (!count) return what;
  return `${what}: ${count === 1 ? "1 session keeps" : `${count} sessions keep`} the previous version`;
}

/** @param {Failure} error */
const whereOf = ({ file = "", line }) => (line ? `${file}:${line}` : file);

/** @param {Failure} error @returns {Element[]} */
export function describe(error) {
  const { line, message, hint, excerpt, traceback } = error;
  const parts = [make("p", message)];
  if (hint) parts.push(make("p.note", hint));
  if (whereOf(error)) parts.unshift(make("p", leadTo(error)));
  if (excerpt?.length) {
    parts.push(make("pre", ...excerpt.map((each) => {
      const bad = each.line === line;
      return make(bad ? "mark" : "span", make("i", `${bad ? ">" : " "} ${each.line}`), each.text || " ");
    })));
  }
  if (traceback) {
    parts.push(make("details", make("summary", "Traceback"), make("pre", make("span", traceback))));
  }
  return parts;
}

/** file:line, which opens the editor or is copied. @param {Failure} error */
function leadTo(error) {
  const text = whereOf(error);
  if (error.editor) {
    const link = /** @type {HTMLAnchorElement} */ (make("a.where", text));
    link.href = error.editor;
    return link;
  }
  const copier = button(text, async () => {
    try {
      await navigator.clipboard.writeText(text);
      copier.title = "Copied";
    } catch {
      getSelection()?.selectAllChildren(copier); // over plain HTTP there is no clipboard to write to
    }
  });
  copier.className = "where";
  copier.title = "Copy";
  return copier;
}

/**
 * On a phone only its beginning.
 * @param {string} text @param {string} [at] with what the rest begins
 * @returns {(Node | string)[]}
 */
function short(text, at) {
  const cut = at ? text.indexOf(at) : -1;
  return cut < 0 ? [text] : [text.slice(0, cut), make("span.more", text.slice(cut))];
}

/** @param {string} text @param {() => void} press @param {string} [at] with what the part begins that a phone leaves out */
export function button(text, press, at) {
  const made = /** @type {HTMLButtonElement} */ (make("button", ...short(text, at)));
  made.onclick = press;
  return made;
}
