// What fails while the page is used, or leads nowhere: a word at the foot of the page that opens to all of it, and
// a mark at each element that has it. The page stays free.

import { button, describe, FAILURE_STYLE } from "./overlay.js";
import { addToPage, make } from "./shadow.js";

/**
 * As the server says it. `varIds`: some of the variables that have it; `count`: in how many places.
 * @typedef {import("./overlay.js").Failure & {kind: string, path: string, count: number, varIds: number[]}} Problem
 */

const STYLE = `${FAILURE_STYLE}
details.all { color-scheme: dark; position: fixed; right: 1rem; bottom: 1rem; z-index: 2147483645; max-width: min(42rem, calc(100vw - 2rem));
background: #1b1d23; color: #e8eaf0; border-radius: .6rem; border-left: .35rem solid #f5a623; font: 14px/1.5 system-ui, sans-serif; }
details.all > summary { padding: .35rem .8rem; color: #ffd28a; cursor: pointer; }
.list { max-height: 45vh; overflow: auto; padding: 0 .8rem .8rem; }
article { border-top: 1px solid #3a3d46; padding: .5rem 0; }
article:focus { outline: 2px solid #f5a623; outline-offset: 2px; }
.mark { position: fixed; left: 0; top: 0; z-index: 2147483644; width: 1.3rem; height: 1.3rem; padding: 0; border: 0; border-radius: 50%;
background: #f5a623; color: #1b1d23; font: bold 13px/1.3rem system-ui, sans-serif; }
[hidden] { display: none; }`;

/** What went wrong, in a word or two. @type {Record<string, string>} */
const KINDS = { getter: "while it was read", handler: "when it was called", timer: "in a timer", wrapper: "in a wrapper" };

/** @param {import("./store.js").Store} store @returns {(message: {problems: Problem[]}) => void} takes all there are now */
export function createProblems(store) {
  const summary = make("summary");
  const list = make("div.list");
  const all = /** @type {HTMLDetailsElement} */ (make("details.all", summary, list));
  const marks = make("div");
  const spoken = make("span");
  summary.append(spoken);
  spoken.role = "status";
  all.hidden = true;
  const landmark = make("aside", marks, all);
  landmark.setAttribute("aria-label", "Problems");
  addToPage("ui-problems", STYLE, landmark);
  /** @type {{mark: HTMLElement, element: Element}[]} */
  let marked = [];
  let planned = false;

  const place = () => {
    planned = false;
    for (const { mark, element } of marked) {
      const { right, top, width, height } = element.getBoundingClientRect();
      mark.hidden = !element.isConnected || !(width || height) || top > innerHeight || top + height < 0;
      mark.style.transform = `translate(${Math.min(right, innerWidth - 22)}px, ${Math.max(0, top - 8)}px)`;
    }
  };
  const plan = () => {
    if (planned || !marked.length) return;
    planned = true;
    requestAnimationFrame(place);
  };
  for (const what of ["scroll", "resize"]) addEventListener(what, plan, { capture: true, passive: true });
  store.frameEnds.add(plan);
  /** From where a problem was opened: there the focus goes back to. @type {HTMLElement | null} */
  let opener = null;
  all.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    all.open = false;
    (opener ?? summary).focus();
    opener = null;
  });

  return ({ problems }) => {
    all.hidden = !problems.length;
    spoken.textContent = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    marked = [];
    const entries = problems.map((problem) => {
      const entry = make("article", ...describe(problem), make("p.note", circumstances(problem)));
      entry.tabIndex = -1;
      for (const element of elementsOf(problem.varIds, store)) {
        const mark = button("!", () => {
          all.open = true;
          opener = mark;
          entry.focus();
        });
        mark.className = "mark";
        mark.title = problem.message;
        mark.setAttribute("aria-label", `Problem: ${problem.message}`);
        marked.push({ mark, element });
      }
      return entry;
    });
    list.replaceChildren(...entries);
    // Nothing is shown that it could be in the way of.
    if (problems.some(({ kind }) => kind === "page")) all.open = true;
    marks.replaceChildren(...marked.map(({ mark }) => mark));
    place();
  };
}

/** @param {Problem} problem */
function circumstances({ kind, path, count }) {
  const what = [path && `"${path}"`, KINDS[kind], count > 1 && (kind === "timer" ? `${count} times in a row` : `in ${count} places`)];
  return what.filter(Boolean).join(", ");
}

/** @param {number[]} ids @param {import("./store.js").Store} store @returns {Set<Element>} */
function elementsOf(ids, store) {
  const elements = ids.map((id) => store.variables.get(id)?.element).filter((element) => element);
  return new Set(/** @type {Element[]} */ (elements));
}
