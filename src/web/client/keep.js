// What a person would miss if a piece of the page were replaced under their hands: focus, caret,
// selection, what they are typing, and how far they have scrolled.

import { variablesOf } from "./scope.js";
import { editOf } from "./value.js";

/** @param {Element} root @param {() => void} replace renders its inside anew */
export function keepState(root, replace) {
  if (!root.isConnected || !root.firstElementChild) return replace();
  const restores = [...root.querySelectorAll("*")]
    .filter(({ scrollTop, scrollLeft }) => scrollTop || scrollLeft)
    .map((element) => keepScroll(element, locate(element, root)));
  const active = document.activeElement;
  if (active && active !== root && root.contains(active)) restores.push(keepFocus(active, locate(active, root)));
  replace();
  for (const restore of restores) restore();
}

function keepScroll({ scrollTop: top, scrollLeft: left }, find) {
  return () => find()?.scrollTo({ top, left, behavior: "instant" });
}

function keepFocus(element, find) {
  const draft = editOf(element)?.draft();
  const { selectionStart: start, selectionEnd: end, selectionDirection: direction } = element;
  return () => {
    const again = find();
    if (!again) return;
    if (draft !== undefined) editOf(again)?.resume(draft);
    again.focus({ preventScroll: true });
    if (Number.isInteger(start)) again.setSelectionRange?.(start, end, direction); // null: it has no caret
  };
}

/** Finds an element's successor: by id, else by variables, else by place. */
function locate(element, root) {
  const { id, tagName } = element;
  const bound = signature(element);
  const steps = [];
  for (let at = element; at !== root && at.parentElement; at = at.parentElement) {
    steps.unshift([...at.parentElement.children].indexOf(at));
  }
  return () => {
    const all = [...root.querySelectorAll(tagName)];
    const place = steps.reduce((at, step) => at?.children[step], root);
    return all.find((each) => (id ? each.id === id : bound && signature(each) === bound))
      ?? (all.includes(place) ? place : undefined);
  };
}

function signature(element) {
  const value = variablesOf(element).get("ui-value"); // further attributes may come and go
  return value ? `value ${value.id}` : [...variablesOf(element)].map(([name, { id }]) => name + id).join();
}
