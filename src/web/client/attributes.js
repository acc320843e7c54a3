// ui-attr-NAME, ui-class-NAME, ui-style-NAME and ui-html: one way, from the server to the page.

import { fill, isCode } from "./harmless.js";
import { variableProperties } from "./paths.js";
import { textOf } from "./plain.js";
import { bindVariable, setAttribute } from "./scope.js";

/**
 * @param {string} prefix @param {(element: any, value: any, name: string, properties: object) => void} apply
 * @returns {import("./scope.js").Family}
 */
function oneWay(prefix, apply) {
  return (element, text, context, name) => {
    const properties = variableProperties(text, { access: "r" });
    bindVariable(context, element, prefix + name, properties, ({ value }) => apply(element, value, name, properties));
  };
}

/** nil and false remove the attribute, true sets it empty. */
export const bindAttribute = oneWay("ui-attr-", (element, value, name) => {
  const text = value === null || value === false ? null : value === true ? "" : textOf(value);
  const runs = isCode(element, name, text ?? "");
  setAttribute(element, name, runs ? null : text);
  if (runs) throw new Error(`${name}: code cannot come as data`);
});

/** The class is there unless the value is nil, false, 0 or empty text. */
export const bindClass = oneWay("ui-class-", (element, value, name) => {
  element.classList.toggle(name, Boolean(value));
});

/** A CSS property, or (`ui-style---name`) a custom one; nil and false remove it. */
export const bindStyle = oneWay("ui-style-", (element, value, name) => {
  element.style.setProperty(name, value === false ? "" : textOf(value));
});

/** Whatever ui-html?replace has put in the place of an element. @type {WeakMap<Element, ChildNode[]>} */
const replacements = new WeakMap();

/** The value is markup: only for text that the site itself wrote. */
export const bindHtml = oneWay("ui-html", (element, value, _, properties) => {
  if (!("replace" in properties)) {
    // In a document that shows nothing, nothing runs.
    const inert = document.implementation.createHTMLDocument().importNode(element);
    element.replaceChildren(...fill(inert, textOf(value)));
    return;
  }
  const holder = document.createElement("template");
  const now = [...fill(holder, textOf(value) || "<!---->")]; // something has to keep the place
  const before = replacements.get(element) ?? [element];
  const first = holder.content.firstElementChild;
  if (first && element.id) first.id = element.id;
  before[0].before(...now);
  for (const node of before) node.remove();
  replacements.set(element, now);
});
