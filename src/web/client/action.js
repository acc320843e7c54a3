// ui-action and ui-event-NAME: an event on the page calls a method on the server.

import { isComponent, readControl } from "./controls.js";
import { variableProperties } from "./paths.js";
import { bindVariable, listen } from "./scope.js";
import { editOf } from "./value.js";

/** @typedef {import("./scope.js").Family} Family */

/** Clicks that an inner ui-action has taken: the one around it leaves them alone. */
const taken = new WeakSet();

/** `ui-action="path()"`: a click calls it. @type {Family} */
export function bindAction(element, text, context) {
  bindCall(element, text, context, "ui-action", "click", (event) => {
    if (taken.has(event)) return false;
    taken.add(event);
    // A link would leave the page, a button in a form submit it.
    if (element.closest("a") || element.type === "submit") event.preventDefault();
    return true;
  });
}

/** `ui-event-NAME`, and `ui-event-keypress-[ctrl-|shift-|alt-|meta-]KEY`. @type {Family} */
export function bindEvent(element, text, context, name) {
  const key = /^keypress-(.+)/.exec(name)?.[1];
  bindCall(element, text, context, `ui-event-${name}`, key ? "keydown" : name, (event) => {
    if (key && !matchesKey(key, event)) return false;
    if (key || name === "submit") event.preventDefault();
    return true;
  }, key?.replace(/.*-(?=.)/, ""));
}

/**
 * What is written: nothing for `name()`, else the value of the control or button, else the key.
 * @param {any} element @param {string} text @param {import("./scope.js").Context} context @param {string} attribute
 * @param {string} type @param {(event: any) => boolean} takes @param {string | null} [key]
 */
function bindCall(element, text, context, attribute, type, takes, key = null) {
  const properties = variableProperties(text, { access: "action" });
  const variable = bindVariable(context, element, attribute, properties);
  listen(context, element, type, (event) => {
    if (!takes(event)) return;
    // What is being typed has to arrive before the call that uses it.
    if (document.activeElement) editOf(document.activeElement)?.commit();
    const value = isComponent(element) ? element.value : readControl(element);
    const argument = value ?? element.getAttribute("value") ?? key;
    context.store.update(variable, properties.path.endsWith("()") ? null : argument);
  });
}

/** What is easier to write than the browser's name for it. @type {Record<string, string>} */
const KEYS = { esc: "escape", space: " ", left: "arrowleft", right: "arrowright", up: "arrowup", down: "arrowdown" };

/** @param {string} wanted such as `ctrl-enter` @param {any} event of the keyboard */
export function matchesKey(wanted, event) {
  const [, modifiers = "", name = ""] = /^((?:(?:ctrl|shift|alt|meta)-)*)(.+)$/.exec(wanted) ?? [];
  const pressed = event.key.toLowerCase();
  return pressed === (KEYS[name] ?? name) && ["ctrl", "shift", "alt", "meta"].every((modifier) =>
    event[`${modifier}Key`] === modifiers.includes(modifier)
      // On most keyboards a character such as ? takes shift anyway.
      || (modifier === "shift" && event.shiftKey && pressed.length === 1));
}
