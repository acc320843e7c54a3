// ui-viewlist: an array, one view per element.

import { variableProperties } from "./paths.js";
import { bindVariable, Scope } from "./scope.js";
import { View } from "./view.js";

/** @typedef {import("./scope.js").Context} Context */

/** What an item has to be inside these; elsewhere it is a <div>. */
const ITEM_TAGS = /** @type {Record<string, string>} */ ({ UL: "li", OL: "li", MENU: "li", TABLE: "tr", TBODY: "tr" });

/**
 * `ui-viewlist="path"`: element i is a child variable with the path `i`, rendered in the list's
 * namespace, else in `list-item`. Elements of the page stay while the list grows and shrinks.
 * @param {Element} element
 * @param {string} text
 * @param {Context} context
 */
export function bindList(element, text, context) {
  const properties = variableProperties(text, {
    access: "r",
    namespace: context.namespace,
    fallbackNamespace: "list-item",
  });
  /** @type {{scope: Scope, element: Element}[]} */
  const items = [];
  element.replaceChildren();

  const list = bindVariable(context, element, "ui-viewlist", properties, (value, { id }) => {
    // nil and the empty table are an empty list.
    const length = Array.isArray(value) ? value.length : 0;
    for (const { scope, element: item } of items.splice(length)) {
      scope.dispose();
      item.remove();
    }
    while (items.length < length) items.push(addItem(id, items.length));
  });
  context.scope.add(() => {
    for (const { scope } of items.splice(0)) scope.dispose();
  });

  /** @param {number} listId @param {number} index */
  function addItem(listId, index) {
    const scope = new Scope();
    const item = document.createElement(ITEM_TAGS[element.tagName] ?? "div");
    const here = { ...context, scope, parentId: listId };
    /** @type {Record<string, string>} */
    const { namespace, fallbackNamespace } = properties;
    const path = variableProperties(String(index), { access: "r", namespace, fallbackNamespace });
    /** @type {View | undefined} */
    let view;
    const variable = bindVariable(here, item, "ui-view", path, () => view?.refresh());
    view = new View(item, variable, here);
    element.append(item);
    view.refresh();
    return { scope, element: item };
  }
  return list;
}
