// What a person would miss if a piece of the page were replaced under their hands: focus, caret,
// selection, what they are typing, what they have opened, and how far they have scrolled.

import { variablesOf } from "./scope.js";
import { editOf } from "./value.js";

/** Several pieces at once are kept together. */
let keeping = false;

/** @param {Element} root @param {() => void} replace renders its inside anew */
export function keepState(root, replace) {
  if (keeping || !root.isConnected || !root.firstElementChild) return replace();
  const elements = [document.scrollingElement ?? root, ...root.querySelectorAll("*")];
  const restores = [keepOpen, keepScroll, keepFocus].flatMap((keeper) => elements.map((element) => {
    const restore = keeper(element);
    if (!restore) return () => {};
    const find = locate(element, root);
    return () => {
      const again = find();
      if (again) restore(again);
    };
  }));
  restores.push(keepSelection(root));
  keeping = true;
  try {
    replace();
  } finally {
    keeping = false;
  }
  for (const restore of restores) restore();
}

/** Looks at an element; what it gives, if it does, is called with the successor. @typedef {(element: any) => false | ((again: any) => void)} Keeper */

/** @type {Keeper} */
const keepOpen = (element) => {
  const { open } = element;
  return element.matches("details:not([ui-attr-open])") && ((again) => (again.open = open));
};

/** @type {Keeper} */
const keepScroll = ({ scrollTop: top, scrollLeft: left }) =>
  Boolean(top || left) && ((again) => again.scrollTo({ top, left, behavior: "instant" }));

/** @type {Keeper} */
const keepFocus = (element) => {
  const draft = editOf(element)?.draft();
  const { selectionStart: start, selectionEnd: end, selectionDirection: direction } = element;
  return element === document.activeElement && element !== document.body && ((again) => {
    if (draft !== undefined && again !== element) editOf(again)?.resume(draft);
    if (document.activeElement !== again) again.focus({ preventScroll: true });
    if (Number.isInteger(start)) again.setSelectionRange?.(start, end, direction); // null: it has no caret
  });
};

/** Of text on the page, and the caret in what can be edited there. @param {Element} root */
function keepSelection(root) {
  const selection = /** @type {Selection} */ (getSelection());
  const { anchorNode, anchorOffset, focusNode, focusOffset } = selection;
  const [from, to] = [locateText(anchorNode, root), locateText(focusNode, root)];
  return () => {
    const [anchor, focus] = [from(), to()];
    if (!anchor || !focus || anchorNode?.isConnected) return; // a field's has been restored with its focus
    selection.setBaseAndExtent(anchor, Math.min(anchorOffset, anchor.length), focus, Math.min(focusOffset, focus.length));
  };
}

/** @param {Node | null} node @param {Element} root @returns {() => Text | undefined} */
function locateText(node, root) {
  const parent = node?.parentElement;
  if (!(node instanceof Text) || !parent) return () => undefined;
  const index = [...parent.childNodes].indexOf(node);
  const find = locate(parent, root);
  return () => (node.isConnected ? node : find()?.childNodes[index]);
}

/**
 * Finds an element again, or its successor: by id, else by variables, else by place.
 * @param {Element} element @param {Element} root @returns {() => any}
 */
export function locate(element, root) {
  const { id, tagName } = element;
  const bound = signature(element);
  /** @type {number[]} */
  const steps = [];
  for (let at = element; at !== root && at.parentElement; at = at.parentElement) {
    steps.unshift([...at.parentElement.children].indexOf(at));
  }
  return () => {
    if (element.isConnected) return element;
    const all = [...root.querySelectorAll(tagName)];
    /** @type {Element | undefined} */
    const place = steps.reduce((/** @type {Element | undefined} */ at, step) => at?.children[step], root);
    return all.find((each) => (id ? each.id === id : bound && signature(each) === bound))
      ?? (place?.tagName === tagName ? place : undefined);
  };
}

/** Which variables it shows, whatever their ids are by now. @param {Element} element */
function signature(element) {
  const value = variablesOf(element).get("ui-value"); // further attributes may come and go
  return value ? `value ${value.serial}` : [...variablesOf(element)].map(([name, { serial }]) => name + serial).join();
}
