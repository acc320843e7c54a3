// ui-viewlist: an array, one view per element.

import { keepState } from "./keep.js";
import { atLeast, isLong, Near } from "./near.js";
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
  /** Those that are there: all, or of a long list those near what is seen. @type {Item[]} by place */
  let items = [];
  /** The place of the first of them. */
  let first = 0;
  /** @type {Near | null} */
  let near = null;
  let isRow = false;
  element.replaceChildren();
  context.scope.cleanups.push(() => {
    near?.end();
    items.forEach(({ scope }) => scope.dispose());
  });
  bindVariable(context, element, "ui-viewlist", properties, (variable) => {
    show(variable, Array.isArray(variable.value) ? variable.value : []); // nil and the empty table: an empty list
  });

  /** @param {import("./variable.js").Variable} variable @param {any[]} values */
  function show(variable, values) {
    const long = !isRow && isLong(element, values.length, properties);
    if (long !== Boolean(near)) {
      near?.end();
      near = long ? new Near(element, exemplar.localName, () => look(variable)) : null;
    }
    if (!long && first || first >= values.length) slide(variable, 0, 0);
    const keys = values.slice(first, long ? first + atLeast(items.length) : undefined).map(keyOf);
    const places = arrange(items.map(({ key }) => key), keys);
    while (items.length < places.length) items.push(makeItem(variable, first + items.length));
    const before = items;
    items = places.map((index) => before[index]);
    changePlaces(before.map(({ variable }) => variable), items.map(({ variable }) => variable), context.store);
    items.splice(keys.length).forEach(remove);
    items.forEach((item, i) => (item.key = keys[i]));
    placeAll();
    if (near) look(variable);
  }

  /** Others may have come near. @param {import("./variable.js").Variable} variable */
  function look(variable) {
    const values = variable.value;
    if (!near || !Array.isArray(values)) return;
    if (near.isRow()) {
      isRow = true;
      show(variable, values);
      return;
    }
    const above = near.before.getBoundingClientRect().height;
    const each = near.each(items.length) || 0;
    const wanted = near.wanted(first, items.length, values.length);
    if (!wanted) {
      near.stretch(above, (values.length - first - items.length) * each);
      return;
    }
    const [from, to] = wanted;
    const last = first + items.length;
    // As high as what goes was; where nothing stays, by the mean.
    const stays = from >= first && from < last && items[from - first].element.getBoundingClientRect().top;
    const height = stays === false ? from * each : stays - near.before.getBoundingClientRect().top;
    slide(variable, from, to);
    near.stretch(height, (values.length - to) * each);
    placeAll();
  }

  /** Those from one place up to another are there now, and no others. @param {import("./variable.js").Variable} variable @param {number} from @param {number} to */
  function slide(variable, from, to) {
    const [before, start] = [items, first];
    const isIn = (/** @type {Item} */ _, /** @type {number} */ i) => start + i >= from && start + i < to;
    before.filter((item, i) => !isIn(item, i)).forEach(remove);
    first = from;
    items = [];
    for (let place = from; place < to; place++) {
      const item = before[place - start] ?? makeItem(variable, place);
      item.key = keyOf(variable.value[place]);
      items.push(item);
    }
  }

  function placeAll() {
    const elements = items.map((item) => item.element);
    placeElements(element, near ? [near.before, ...elements, near.after] : elements);
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

/** @param {any} value of the list */
const keyOf = (value) => JSON.stringify(value);

/** @param {Item} item */
function remove({ scope, element }) {
  const { activeElement } = document;
  if (activeElement instanceof HTMLElement && element.contains(activeElement)) activeElement.blur(); // what was typed is sent
  scope.dispose();
  element.remove();
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
