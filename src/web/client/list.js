// ui-viewlist: an array, one view per element.

import { variableProperties } from "./paths.js";
import { bindVariable, Scope } from "./scope.js";
import { View } from "./view.js";

/** What an item has to be inside these; elsewhere it is a <div>. @type {Record<string, string>} */
const ITEM_TAGS = { UL: "li", OL: "li", MENU: "li", TABLE: "tr", TBODY: "tr" };

/**
 * `ui-viewlist="path"`: element i is a child variable with the path `i`. The page's elements stay
 * while the list grows and shrinks. @type {import("./scope.js").Family}
 */
export function bindList(element, text, context) {
  const defaults = { access: "r", namespace: context.namespace, fallbackNamespace: "list-item" };
  const { namespace, fallbackNamespace, ...rest } = variableProperties(text, defaults);
  const items = [];
  element.replaceChildren();
  context.scope.cleanups.push(() => items.forEach(({ scope }) => scope.dispose()));
  bindVariable(context, element, "ui-viewlist", { ...rest, namespace, fallbackNamespace }, ({ id, value }) => {
    const length = Array.isArray(value) ? value.length : 0; // nil and the empty table: an empty list
    for (const { scope, item } of items.splice(length)) {
      scope.dispose();
      item.remove();
    }
    while (items.length < length) {
      const scope = new Scope();
      const item = document.createElement(ITEM_TAGS[element.tagName] ?? "div");
      const here = { ...context, scope, parentId: id };
      const properties = { path: String(items.length), access: "r", namespace, fallbackNamespace };
      items.push({ scope, item });
      element.append(item);
      new View(item, bindVariable(here, item, "ui-view", properties), here);
    }
  });
}
