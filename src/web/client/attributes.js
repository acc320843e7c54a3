// ui-attr-NAME, ui-class-NAME, ui-style-NAME and ui-html: one way, from the server to the page.

import { variableProperties } from "./paths.js";
import { bindVariable, setAttribute } from "./scope.js";
import { textOf } from "./value.js";

/** @param {string} prefix @param {(element: any, value: any, name: string) => void} apply */
function oneWay(prefix, apply) {
  return (element, text, context, name) => {
    const properties = variableProperties(text, { access: "r" });
    bindVariable(context, element, prefix + name, properties, ({ value }) => apply(element, value, name));
  };
}

/** nil and false remove the attribute, true sets it empty. */
export const bindAttribute = oneWay("ui-attr-", (element, value, name) => {
  if (name.startsWith("on")) throw new Error(`${name}: code cannot come as data; use ui-event-`);
  setAttribute(element, name, value === null || value === false ? null : value === true ? "" : textOf(value));
});

/** The class is there unless the value is nil, false, 0 or empty text. */
export const bindClass = oneWay("ui-class-", (element, value, name) => {
  element.classList.toggle(name, Boolean(value));
});

/** A CSS property, or (`ui-style---name`) a custom one; nil and false remove it. */
export const bindStyle = oneWay("ui-style-", (element, value, name) => {
  element.style.setProperty(name, value === false ? "" : textOf(value));
});

/** The value is markup: only for text that the site itself wrote. */
export const bindHtml = oneWay("ui-html", (element, value) => {
  element.innerHTML = textOf(value);
});
