// ui-view, and the inside of ui-app: an object, rendered through the template of its type.

import { keepState } from "./keep.js";
import { variableProperties } from "./paths.js";
import { bindVariable, Scope } from "./scope.js";
import { textOf } from "./value.js";

/** @typedef {import("./scope.js").Context} Context */

/** A template that shows itself is a mistake, and would never end. */
const DEEPEST = 64;

/** `ui-view="path"`. @type {import("./scope.js").Family} */
export function bindView(element, text, context) {
  const properties = variableProperties(text, { access: "r", namespace: context.namespace });
  new View(element, bindVariable(context, element, "ui-view", properties), context);
}

export class View {
  /** @type {string | null} the key of the viewdef that is shown */
  key = null;
  scope = new Scope();

  /**
   * @param {Element} element is filled with what the variable holds
   * @param {import("./store.js").Variable} variable
   * @param {Context} context
   */
  constructor(element, variable, context) {
    this.element = element;
    this.variable = variable;
    this.context = context;
    const { views } = context.viewdefs;
    views.add(this);
    context.scope.cleanups.push(
      () => this.scope.dispose(),
      () => views.delete(this),
      variable.watch(() => this.refresh()),
    );
    this.refresh();
  }

  /**
   * Shows what the variable holds now. If that is another object of the same type, nothing needs
   * doing: the variables inside bring its values.
   * @param {Set<string>} [changed] viewdefs to be rendered again
   */
  refresh(changed) {
    const { element } = this;
    const { value, properties } = this.variable;
    if (value === undefined) return;
    const { type, namespace, fallbackNamespace } = properties;
    const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
    const key = isObject ? this.context.viewdefs.lookup(type, namespace, fallbackNamespace) : null;
    if (isObject && !key) element.setAttribute("ui-missing", `${type}.${namespace ?? "DEFAULT"}`);
    else element.removeAttribute("ui-missing");
    if (key) {
      if (key !== this.key || changed?.has(key)) this.#render(key);
    } else {
      this.forget();
      element.removeAttribute("ui-viewdef");
      element.textContent = textOf(value);
    }
  }

  /** Lets go of what is rendered, which stays on the page until the next refresh. */
  forget() {
    this.scope.dispose();
    this.scope = new Scope();
    this.key = null;
  }

  /** @param {string} key */
  #render(key) {
    const { context, element, variable } = this;
    if (context.depth > DEEPEST) throw new Error(`${key}: more than ${DEEPEST} views deep; does it show itself?`);
    keepState(element, () => {
      this.forget();
      this.key = key;
      const fragment = context.viewdefs.instantiate(key);
      const { namespace } = variable.properties;
      const depth = context.depth + 1;
      context.bindTree(fragment, { ...context, scope: this.scope, parentId: variable.id, namespace, depth });
      element.replaceChildren(fragment);
      element.setAttribute("ui-viewdef", key);
    });
  }
}
