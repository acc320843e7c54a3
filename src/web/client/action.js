// ui-action and ui-event-NAME: something happens here, a method runs there.

import { variableProperties } from "./paths.js";
import { bindVariable, listen } from "./scope.js";
import { commitEdit, readControl } from "./value.js";

/** @typedef {import("./scope.js").Family} Family */

/** Clicks that an inner ui-action has taken: the one around it leaves them alone. */
const taken = new WeakSet();

/** `ui-action="path()"`: a click calls it. @type {Family} */
export function bindAction(element, text, context) {
  const variable = bindVariable(context, element, "ui-action", variableProperties(text, { access: "action" }));
  listen(context, element, "click", (event) => {
    if (taken.has(event)) return;
    taken.add(event);
    // A link would leave the page, a button in a form submit it.
    if (element.closest("a") || element.type === "submit") event.preventDefault();
    context.store.update(variable, argumentOf(element));
  });
}

/** `ui-event-NAME`, and `ui-event-keypress-[ctrl-|shift-|alt-|meta-]KEY`. @type {Family} */
export function bindEvent(element, text, context, name) {
  const properties = variableProperties(text, { access: "action" });
  const variable = bindVariable(context, element, `ui-event-${name}`, properties);
  const key = /^keypress-(.+)/.exec(name)?.[1];
  listen(context, element, key ? "keydown" : name, (event) => {
    if (key && !matchesKey(key, event)) return;
    if (key || name === "submit") event.preventDefault();
    // What is being typed has to arrive before the call that uses it.
    if (document.activeElement) commitEdit(document.activeElement);
    context.store.update(variable, argumentOf(element));
  });
}

/** What is easier to write than the browser's name for it. @type {Record<string, string>} */
const KEYS = { esc: "escape", space: " ", left: "arrowleft", right: "arrowright", up: "arrowup", down: "arrowdown" };

/** @param {string} wanted such as `ctrl-enter` @param {KeyboardEvent} event */
export function matchesKey(wanted, event) {
  const [, modifiers, name] = /^((?:(?:ctrl|shift|alt|meta)-)*)(.+)$/.exec(wanted) ?? [];
  const pressed = event.key.toLowerCase();
  return pressed === (KEYS[name] ?? name) && ["ctrl", "shift", "alt", "meta"].every((modifier) =>
    event[`${modifier}Key`] === modifiers.includes(modifier)
      // On most keyboards a character such as ? takes shift anyway.
      || (modifier === "shift" && event.shiftKey && pressed.length === 1));
}

/** What `name(_)` is called with: the value of the control or button, else nil. */
function argumentOf(element) {
  return readControl(element) ?? element.getAttribute("value");
}
