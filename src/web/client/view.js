// ui-view, and the inside of ui-app: an object, rendered through the template of its type.

import { keepState } from "./keep.js";
import { variableProperties } from "./paths.js";
import { bindVariable, Scope, setAttribute } from "./scope.js";
import { textOf } from "./value.js";

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

  /** @param {Element} element to fill @param {import("./scope.js").Variable} variable @param {import("./scope.js").Context} context */
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
   * Shows what the variable holds now. For another object of the same type nothing needs doing: the
   * variables inside bring its values.
   * @param {Set<string>} [changed] viewdefs to render again
   */
  refresh(changed) {
    const { element, context } = this;
    const { value, properties } = this.variable;
    if (value === undefined) return;
    const { type, namespace = context.namespace, fallbackNamespace } = properties;
    const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
    const key = isObject ? context.viewdefs.lookup(type, namespace, fallbackNamespace) : null;
    setAttribute(element, "ui-missing", isObject && !key ? `${type}.${namespace ?? "DEFAULT"}` : null);
    if (key) {
      if (key !== this.key || changed?.has(key)) this.#render(key);
    } else {
      this.#turnTo(null);
      element.removeAttribute("ui-viewdef");
      element.textContent = textOf(value);
    }
  }

  #turnTo(key) {
    this.scope.dispose();
    this.scope = new Scope();
    this.key = key;
  }

  #render(key) {
    const { context, element, variable } = this;
    if (context.depth > DEEPEST) throw new Error(`${key} is ${DEEPEST} views deep; does it show itself?`);
    keepState(element, () => {
      this.#turnTo(key);
      const fragment = context.viewdefs.instantiate(key);
      const { namespace = context.namespace } = variable.properties;
      context.bindTree(fragment, {
        ...context, scope: this.scope, parentId: variable.id, namespace, depth: context.depth + 1,
      });
      element.replaceChildren(fragment);
      element.setAttribute("ui-viewdef", key);
    });
  }
}
