// Walks a rendered piece and hands each ui-* attribute to its family.

import { bindAction, bindEvent } from "./action.js";
import { bindAttribute, bindClass, bindHtml, bindStyle } from "./attributes.js";
import { bindList } from "./list.js";
import { bindValue } from "./value.js";
import { bindView } from "./view.js";

/** @typedef {import("./scope.js").Context} Context */
/** @typedef {(element: any, text: string, context: Context, suffix: string) => void} Family */

/** @type {Record<string, Family>} */
const EXACT = {
  "ui-value": bindValue,
  "ui-view": bindView,
  "ui-viewlist": bindList,
  "ui-action": bindAction,
  "ui-html": bindHtml,
};

/** @type {[string, Family][]} */
const PREFIXED = [
  ["ui-attr-", bindAttribute],
  ["ui-class-", bindClass],
  ["ui-style-", bindStyle],
  ["ui-event-", bindEvent],
];

/** Those of ours that say something without binding a variable. */
const PASSIVE = new Set(["ui-app", "ui-namespace", "ui-viewdef", "ui-error", "ui-missing"]);

/** What these show comes from elsewhere: their own children are not walked. */
const FILLED = ["ui-view", "ui-viewlist", "ui-html"];

/**
 * Binds everything below `root`.
 * @param {ParentNode} root
 * @param {Context} context
 */
export function bindTree(root, context) {
  for (const child of [...root.children]) bindElement(child, context);
}

/** @param {Element} element @param {Context} context */
function bindElement(element, context) {
  const namespace = element.getAttribute("ui-namespace");
  const here = namespace === null ? context : { ...context, namespace };
  // Children first: a <select> takes a value only once it has its options.
  if (!FILLED.some((name) => element.hasAttribute(name))) bindTree(element, here);
  for (const { name, value } of [...element.attributes]) {
    if (!name.startsWith("ui-") || PASSIVE.has(name)) continue;
    const prefixed = PREFIXED.find(([prefix]) => name.startsWith(prefix));
    if (EXACT[name]) EXACT[name](element, value, here, "");
    else if (prefixed) prefixed[1](element, value, here, name.slice(prefixed[0].length));
    else console.warn(`[ui] ${name} is no attribute of ours`, element);
  }
}
