// ui-attr-NAME, ui-class-NAME, ui-style-NAME and ui-html: one way, from the server to the page.

import { variableProperties } from "./paths.js";
import { bindVariable } from "./scope.js";
import { textOf } from "./value.js";

/** @typedef {import("./scope.js").Context} Context */

/**
 * `ui-attr-NAME`: nil and false remove the attribute, true sets it empty.
 * @param {Element} element
 * @param {string} text
 * @param {Context} context
 * @param {string} name
 */
export function bindAttribute(element, text, context, name) {
  if (name.startsWith("on")) {
    console.warn(`[ui] ui-attr-${name}: code cannot come as data; use ui-event-${name.slice(2)}`);
    return;
  }
  oneWay(element, `ui-attr-${name}`, text, context, (value) => {
    if (value === null || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : textOf(value));
  });
}

/**
 * `ui-class-NAME`: the class is there unless the value is nil, false, 0 or empty text.
 * @param {Element} element
 * @param {string} text
 * @param {Context} context
 * @param {string} name
 */
export function bindClass(element, text, context, name) {
  oneWay(element, `ui-class-${name}`, text, context, (value) => {
    element.classList.toggle(name, Boolean(value));
  });
}

/**
 * `ui-style-NAME`: a CSS property, or (`ui-style---name`) a custom one.
 * @param {HTMLElement} element
 * @param {string} text
 * @param {Context} context
 * @param {string} name
 */
export function bindStyle(element, text, context, name) {
  oneWay(element, `ui-style-${name}`, text, context, (value) => {
    if (value === null || value === false) element.style.removeProperty(name);
    else element.style.setProperty(name, textOf(value));
  });
}

/**
 * `ui-html`: the value is markup. Only for text that the site itself wrote.
 * @param {Element} element
 * @param {string} text
 * @param {Context} context
 */
export function bindHtml(element, text, context) {
  oneWay(element, "ui-html", text, context, (value) => {
    element.innerHTML = textOf(value);
  });
}

/**
 * @param {Element} element
 * @param {string} attribute
 * @param {string} text
 * @param {Context} context
 * @param {(value: any) => void} apply
 */
function oneWay(element, attribute, text, context, apply) {
  bindVariable(context, element, attribute, variableProperties(text, { access: "r" }), apply);
}
