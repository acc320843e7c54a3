// What a person would miss if a piece of the page were replaced under their hands: focus, caret,
// selection, what they are typing, and how far they have scrolled.

import { variablesOf } from "./scope.js";
import { editOf, readControl } from "./value.js";

/**
 * Runs `replace`, which renders the inside of `root` anew, and puts things back.
 * @param {Element} root
 * @param {() => void} replace
 */
export function keepState(root, replace) {
  if (!root.isConnected || !root.firstElementChild) {
    replace();
    return;
  }
  const active = /** @type {any} */ (document.activeElement);
  const focused = active && active !== root && root.contains(active) ? describeFocus(active, root) : null;
  const scrolled = [...root.querySelectorAll("*")]
    .filter((element) => element.scrollTop || element.scrollLeft)
    .map((element) => ({ where: locate(element, root), top: element.scrollTop, left: element.scrollLeft }));
  const around = [];
  for (let outer = /** @type {Element | null} */ (root); outer; outer = outer.parentElement) {
    if (outer.scrollTop || outer.scrollLeft) around.push({ outer, top: outer.scrollTop, left: outer.scrollLeft });
  }

  replace();

  for (const { where, top, left } of scrolled) find(where, root)?.scrollTo({ top, left, behavior: "instant" });
  for (const { outer, top, left } of around) outer.scrollTo({ top, left, behavior: "instant" });
  if (focused) restoreFocus(focused, root);
}

/** @param {any} active @param {Element} root */
function describeFocus(active, root) {
  return {
    where: locate(active, root),
    draft: editOf(active)?.pending() ? readControl(active) : undefined,
    start: active.selectionStart ?? null, // null where a control has no caret, as type=number
    end: active.selectionEnd,
    direction: active.selectionDirection,
  };
}

/** @param {ReturnType<typeof describeFocus>} focused @param {Element} root */
function restoreFocus({ where, draft, start, end, direction }, root) {
  const element = /** @type {any} */ (find(where, root));
  if (!element) return;
  if (draft !== undefined) editOf(element)?.resume(draft);
  element.focus({ preventScroll: true });
  if (start !== null && typeof element.selectionStart === "number") {
    element.setSelectionRange(start, end, direction);
  }
}

/**
 * Where an element is, in terms that outlive it: its id, its variables, its place.
 * @typedef {{id: string, variables: string, tag: string, steps: number[]}} Where
 * @param {Element} element
 * @param {Element} root
 * @returns {Where}
 */
function locate(element, root) {
  const steps = [];
  for (let at = element; at !== root && at.parentElement; at = at.parentElement) {
    steps.unshift([...at.parentElement.children].indexOf(at));
  }
  return { id: element.id, variables: signature(element), tag: element.tagName, steps };
}

/** @param {Where} where @param {Element} root @returns {Element | null} */
function find({ id, variables, tag, steps }, root) {
  const all = [...root.querySelectorAll("*")];
  const same = (id && all.find((element) => element.id === id))
    || (variables && all.find((element) => element.tagName === tag && signature(element) === variables));
  if (same) return same;
  let place = /** @type {Element | undefined} */ (root);
  for (const step of steps) place = place?.children[step];
  return place?.tagName === tag ? place : null;
}

/** @param {Element} element */
function signature(element) {
  const value = variablesOf(element).get("ui-value");
  if (value) return `value ${value.id}`; // further attributes may come and go
  return [...variablesOf(element)].map(([attribute, { id }]) => `${attribute} ${id}`).join();
}
