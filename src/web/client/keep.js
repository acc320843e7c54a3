// What a person would miss if a piece of the page were replaced under their hands: focus, caret,
// selection, what they are typing, and how far they have scrolled.

import { variablesOf } from "./scope.js";
import { editOf } from "./value.js";

/** Runs `replace`, which renders the inside of `root` anew. @param {Element} root @param {() => void} replace */
export function keepState(root, replace) {
  if (!root.isConnected || !root.firstElementChild) return replace();
  const restores = [...root.querySelectorAll("*")].filter(isScrolled).map((element) => keepScroll(element, locate(element, root)));
  for (let outer = /** @type {Element | null} */ (root); outer; outer = outer.parentElement) {
    const same = outer;
    if (isScrolled(outer)) restores.push(keepScroll(outer, () => same));
  }
  const active = document.activeElement;
  if (active && active !== root && root.contains(active)) restores.push(keepFocus(active, locate(active, root)));
  replace();
  for (const restore of restores) restore();
}

/** @param {Element} element */
const isScrolled = (element) => element.scrollTop || element.scrollLeft;

/** @param {Element} element @param {() => Element | undefined} find */
function keepScroll({ scrollTop: top, scrollLeft: left }, find) {
  return () => find()?.scrollTo({ top, left, behavior: "instant" });
}

/** @param {any} element @param {() => any} find */
function keepFocus(element, find) {
  const draft = editOf(element)?.draft();
  const { selectionStart: start, selectionEnd: end, selectionDirection: direction } = element;
  return () => {
    const again = find();
    if (!again) return;
    if (draft !== undefined) editOf(again)?.resume(draft);
    again.focus({ preventScroll: true });
    // Where a control has no caret, as type=number, these are null.
    if (Number.isInteger(start) && Number.isInteger(again.selectionStart)) again.setSelectionRange(start, end, direction);
  };
}

/**
 * Finds an element's successor: by its id, else by its variables, else by its place.
 * @param {Element} element
 * @param {Element} root
 * @returns {() => Element | undefined}
 */
function locate(element, root) {
  const { id, tagName } = element;
  const bound = signature(element);
  /** @type {number[]} */
  const steps = [];
  for (let at = element; at !== root && at.parentElement; at = at.parentElement) {
    steps.unshift([...at.parentElement.children].indexOf(at));
  }
  return () => {
    const all = [...root.querySelectorAll(tagName)];
    const place = steps.reduce((/** @type {Element | undefined} */ at, step) => at?.children[step], root);
    return all.find((each) => (id ? each.id === id : bound && signature(each) === bound))
      ?? all.find((each) => each === place);
  };
}

/** @param {Element} element */
function signature(element) {
  const value = variablesOf(element).get("ui-value"); // further attributes may come and go
  return value ? `value ${value.id}` : [...variablesOf(element)].map(([name, { id }]) => name + id).join();
}
