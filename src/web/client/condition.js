// ui-if: what is on the page only while a value holds.

import { variableProperties } from "./paths.js";
import { bindVariable, Scope } from "./scope.js";

/**
 * `ui-if="path"`: the element is on the page, and what it binds is asked for, unless the value is nil, false,
 * 0 or empty text. Elsewhere an empty <template> keeps its place.
 * @param {Element} element @param {import("./scope.js").Context} context
 */
export function bindCondition(element, context) {
  const text = element.getAttribute("ui-if") ?? "";
  const place = document.createElement("template");
  place.setAttribute("ui-if", text);
  // What is between the two: ui-html?replace may have put something else there.
  const end = document.createComment("");
  element.replaceWith(place, end);
  element.removeAttribute("ui-if");
  /** @type {Scope | null} */
  let shown = null;
  const leave = () => {
    shown?.dispose();
    shown = null;
  };
  context.scope.cleanups.push(leave);
  bindVariable(context, place, "ui-if", variableProperties(text, { access: "r" }), ({ value }) => {
    if (Boolean(value) === Boolean(shown)) return;
    if (shown) {
      leave();
      while (place.nextSibling && place.nextSibling !== end) place.nextSibling.remove();
      return;
    }
    shown = new Scope();
    const fragment = document.createDocumentFragment();
    fragment.append(document.importNode(element, true));
    context.bindTree(fragment, { ...context, scope: shown });
    end.before(fragment);
  });
}

/**
 * On an element that has to stay where it is, such as the one of each item of a list: it is hidden instead.
 * @type {import("./scope.js").Family}
 */
export function bindHiding(element, text, context) {
  bindVariable(context, element, "ui-if", variableProperties(text, { access: "r" }), ({ value }) => {
    if (value) element.style.removeProperty("display");
    else element.style.setProperty("display", "none", "important");
  });
}
