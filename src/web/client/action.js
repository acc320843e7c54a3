// ui-action and ui-event-NAME: something happens here, a method runs there.

import { commitEdit, readControl } from "./value.js";
import { bindVariable, listen } from "./scope.js";
import { variableProperties } from "./paths.js";

/** @typedef {import("./scope.js").Context} Context */

/** Clicks that an inner ui-action has taken: the one around it leaves them alone. */
const taken = new WeakSet();

/**
 * `ui-action="path()"`: a click calls it.
 * @param {HTMLElement} element
 * @param {string} text
 * @param {Context} context
 */
export function bindAction(element, text, context) {
  const variable = actionVariable(element, "ui-action", text, context);
  listen(context, element, "click", (event) => {
    if (taken.has(event)) return;
    taken.add(event);
    // A link would leave the page, and a button in a form submit it.
    if (element.closest("a") || /** @type {any} */ (element).type === "submit") event.preventDefault();
    context.store.update(variable, argumentOf(element));
  });
}

/**
 * `ui-event-NAME="path()"`, and `ui-event-keypress-[ctrl-|shift-|alt-|meta-]KEY="path()"`.
 * @param {HTMLElement} element
 * @param {string} text
 * @param {Context} context
 * @param {string} name what follows `ui-event-`
 */
export function bindEvent(element, text, context, name) {
  const variable = actionVariable(element, `ui-event-${name}`, text, context);
  const key = name.startsWith("keypress-") ? parseKey(name.slice("keypress-".length)) : null;
  listen(context, element, key ? "keydown" : name, (event) => {
    if (key && !matchesKey(key, event)) return;
    if (key || name === "submit") event.preventDefault();
    // What is being typed has to arrive before the call that uses it.
    if (document.activeElement) commitEdit(document.activeElement);
    context.store.update(variable, argumentOf(element));
  });
}

/**
 * @typedef {{key: string, ctrl: boolean, shift: boolean, alt: boolean, meta: boolean}} Key
 * @param {string} text such as `ctrl-enter`
 * @returns {Key}
 */
export function parseKey(text) {
  const key = { key: text, ctrl: false, shift: false, alt: false, meta: false };
  for (let match; (match = /^(ctrl|shift|alt|meta)-(.+)$/.exec(key.key)); ) {
    key[/** @type {"ctrl"} */ (match[1])] = true;
    key.key = match[2];
  }
  return key;
}

/** Names that are easier to write than what the browser calls them. */
const KEY_NAMES = /** @type {Record<string, string>} */ ({
  esc: "escape", space: " ", left: "arrowleft", right: "arrowright", up: "arrowup", down: "arrowdown",
});

/**
 * @param {Key} key
 * @param {Pick<KeyboardEvent, "key" | "ctrlKey" | "shiftKey" | "altKey" | "metaKey">} event
 */
export function matchesKey(key, event) {
  const pressed = event.key.toLowerCase();
  const shiftMatters = pressed.length > 1 || key.shift; // "?" needs shift on most keyboards
  return pressed === (KEY_NAMES[key.key] ?? key.key)
    && event.ctrlKey === key.ctrl && event.altKey === key.alt && event.metaKey === key.meta
    && (!shiftMatters || event.shiftKey === key.shift);
}

/**
 * @param {Element} element
 * @param {string} attribute
 * @param {string} text
 * @param {Context} context
 */
function actionVariable(element, attribute, text, context) {
  return bindVariable(context, element, attribute, variableProperties(text, { access: "action" }));
}

/**
 * What `name(_)` is called with: the value of the control or button, else nil.
 * @param {any} element
 */
function argumentOf(element) {
  if (element instanceof HTMLButtonElement) return element.getAttribute("value");
  if (element instanceof HTMLFormElement) return null;
  return readControl(element) ?? element.getAttribute("value");
}
