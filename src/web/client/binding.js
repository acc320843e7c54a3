// Walks a rendered piece and hands each ui-* attribute to its family.

import { bindAction, bindEvent } from "./action.js";
import { bindAttribute, bindClass, bindHtml, bindStyle } from "./attributes.js";
import { bindCode } from "./code.js";
import { bindCondition, bindHiding } from "./condition.js";
import { bindList } from "./list.js";
import { bindUpload } from "./upload.js";
import { bindValue } from "./value.js";
import { bindView } from "./view.js";

/** @typedef {import("./scope.js").Context} Context */

/** @type {Record<string, import("./scope.js").Family>} */
const FAMILIES = {
  value: bindValue,
  view: bindView,
  viewlist: bindList,
  action: bindAction,
  "event-": bindEvent,
  "attr-": bindAttribute,
  "class-": bindClass,
  "style-": bindStyle,
  code: bindCode,
  html: bindHtml,
  if: bindHiding,
  upload: bindUpload,
};

/** These say something without binding a variable. */
const PASSIVE = ["app", "namespace", "viewdef", "error", "missing", "item-wrapper"];

/** Inside these, the page comes from elsewhere. */
const FILLED = "[ui-view], [ui-viewlist], [ui-html]";

/** @param {ParentNode} root @param {Context} context */
export function bindTree(root, context) {
  for (const element of [...root.children]) {
    if (element.hasAttribute("ui-if") && element.localName !== "script") {
      bindCondition(element, context);
      continue;
    }
    // Children first: a <select> takes a value only once it has its options.
    if (!element.matches(FILLED)) bindTree(element, within(element, context));
    bindElement(element, context);
  }
}

/** Its own attributes, and not what is in it. @param {Element} element @param {Context} context */
export function bindElement(element, context) {
  const here = within(element, context);
  // The value first: it has to be sent before a call that needs it.
  const isValue = (/** @type {Attr} */ { name }) => Number(name === "ui-value");
  for (const { name, value } of [...element.attributes].sort((a, b) => isValue(b) - isValue(a))) {
    const [, family, suffix] = /^ui-((?:attr|class|style|event)-|.+)(.*)$/.exec(name) ?? [];
    // Nothing that is bound may become a script.
    if (!family || PASSIVE.includes(family) || element.localName === "script") continue;
    if (FAMILIES[family]) FAMILIES[family](element, value, here, suffix);
    else console.warn(`[ui] there is no attribute ${name}`, element);
  }
}

/** @param {Element} element @param {Context} context @returns {Context} */
function within(element, context) {
  const namespace = element.getAttribute("ui-namespace");
  return namespace === null ? context : { ...context, namespace };
}
