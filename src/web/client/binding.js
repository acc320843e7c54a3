// Walks a rendered piece and hands each ui-* attribute to its family.

import { bindAction, bindEvent } from "./action.js";
import { bindAttribute, bindClass, bindHtml, bindStyle } from "./attributes.js";
import { bindList } from "./list.js";
import { bindValue } from "./value.js";
import { bindView } from "./view.js";

const FAMILIES = {
  value: bindValue,
  view: bindView,
  viewlist: bindList,
  action: bindAction,
  html: bindHtml,
  "attr-": bindAttribute,
  "class-": bindClass,
  "style-": bindStyle,
  "event-": bindEvent,
};

/** These say something without binding a variable. */
const PASSIVE = ["app", "namespace", "viewdef", "error", "missing"];

/** Inside these, the page comes from elsewhere. */
const FILLED = "[ui-view], [ui-viewlist], [ui-html]";

/** @param {ParentNode} root @param {import("./scope.js").Context} context */
export function bindTree(root, context) {
  for (const element of [...root.children]) {
    const here = { ...context, namespace: element.getAttribute("ui-namespace") ?? context.namespace };
    // Children first: a <select> takes a value only once it has its options.
    if (!element.matches(FILLED)) bindTree(element, here);
    for (const { name, value } of [...element.attributes]) {
      const [, family, suffix] = /^ui-((?:attr|class|style|event)-|.+)(.*)$/.exec(name) ?? [];
      if (!family || PASSIVE.includes(family)) continue;
      if (FAMILIES[family]) FAMILIES[family](element, value, here, suffix);
      else console.warn(`[ui] there is no attribute ${name}`, element);
    }
  }
}
