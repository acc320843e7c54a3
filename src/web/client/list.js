// ui-viewlist: an array, one view per element.

import { keepState } from "./keep.js";
import { arrange } from "./order.js";
import { variableProperties } from "./paths.js";
import { changePlaces } from "./places.js";
import { bindVariable, Scope } from "./scope.js";
import { View } from "./view.js";

/** What an item has to be inside these; elsewhere it is a <div>. @type {Record<string, string>} */
const ITEM_TAGS = { UL: "li", OL: "li", TABLE: "tr", TBODY: "tr", SELECT: "option" };

/** An item with one of these needs no viewdef. */
const FILLED = "[ui-value], [ui-html], [ui-view], [ui-viewlist]";

/** @typedef {{key: string, element: Element, scope: Scope, variable: import("./variable.js").Variable}} Item */

/**
 * `ui-viewlist="path"`: element i is a child variable with the path `i`. An object keeps its element of
 * the page for as long as it is in the list, wherever in it.
 * @type {import("./scope.js").Family}
 */
export function bindList(element, text, context) {
  const properties = variableProperties(text, {
    access: "r", namespace: context.namespace, fallbackNamespace: "list-item",
  });
  const { namespace, fallbackNamespace } = properties;
  const wrapper = element.getAttribute("ui-item-wrapper");
  const exemplar = element.firstElementChild ?? document.createElement(ITEM_TAGS[element.tagName] ?? "div");
  /** @type {Item[]} by place */
  let items = [];
  element.replaceChildren();
  context.scope.cleanups.push(() => items.forEach(({ scope }) => scope.dispose()));
  bindVariable(context, element, "ui-viewlist", properties, (variable) => {
    show(variable, Array.isArray(variable.value) ? variable.value : []); // nil and the empty table: an empty list
  });

  /** @param {import("./variable.js").Variable} variable @param {any[]} values */
  function show(variable, values) {
    const keys = values.map((value) => JSON.stringify(value));
    const places = arrange(items.map(({ key }) => key), keys);
    while (items.length < places.length) items.push(makeItem(variable, items.length));
    const before = items;
    items = places.map((index) => before[index]);
    changePlaces(before.map(({ variable }) => variable), items.map(({ variable }) => variable), context.store);
    for (const { scope, element: item } of items.splice(keys.length)) {
      scope.dispose();
      item.remove();
    }
    items.forEach((item, i) => (item.key = keys[i]));
    placeElements(element, items.map((item) => item.element));
  }

  /** @param {import("./variable.js").Variable} parent @param {number} place @returns {Item} */
  function makeItem(parent, place) {
    const scope = new Scope();
    const item = /** @type {Element} */ (document.importNode(exemplar, true));
    const here = { ...context, scope, parent };
    const variable = bindVariable(here, item, "ui-view", {
      path: String(place),
      access: "r",
      namespace: item.getAttribute("ui-namespace") ?? namespace,
      fallbackNamespace,
      ...(wrapper && { wrapper }),
    });
    const inside = { ...here, parent: variable };
    context.bindElement(item, inside);
    if (item.matches(FILLED)) context.bindTree(item, inside);
    else new View(item, variable, here);
    return { key: "", element: item, scope, variable };
  }
}

/** @param {any} parent @param {Element[]} elements its children, in the order they shall have */
function placeElements(parent, elements) {
  /** @type {Element | null} */
  let next = parent.firstElementChild;
  const place = () => {
    for (const element of elements) {
      if (element === next || element === next?.nextElementSibling) {
        next = element.nextElementSibling; // who is passed over here comes later
      } else if (element.parentNode === parent && parent.moveBefore) {
        parent.moveBefore(element, next);
      } else {
        parent.insertBefore(element, next);
      }
    }
  };
  // Without moveBefore, an element that is moved loses focus and scrolling.
  if (parent.moveBefore) place();
  else keepState(parent, place);
}
