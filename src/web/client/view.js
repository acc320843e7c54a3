// ui-view, and the inside of ui-app: an object, rendered through the template of its type.

import { keepState } from "./keep.js";
import { variableProperties } from "./paths.js";
import { bindVariable, Scope } from "./scope.js";
import { textOf } from "./value.js";

/** @typedef {import("./scope.js").Context} Context */

/** Views within views: a template that shows itself is a mistake, and would never end. */
const DEEPEST = 64;

/**
 * `ui-view="path"`.
 * @param {Element} element
 * @param {string} text
 * @param {Context} context
 */
export function bindView(element, text, context) {
  const properties = variableProperties(text, { access: "r", namespace: context.namespace });
  const variable = bindVariable(context, element, "ui-view", properties, () => view.refresh());
  const view = new View(element, variable, context);
  view.refresh();
}

export class View {
  /**
   * @param {Element} element is filled with the rendered template
   * @param {import("./store.js").Variable} variable
   * @param {Context} context
   */
  constructor(element, variable, context) {
    this.element = element;
    this.variable = variable;
    this.context = context;
    /** @type {string | null} the viewdef that is shown */
    this.key = null;
    this.scope = new Scope();
    context.viewdefs.views.add(this);
    context.scope.add(() => {
      context.viewdefs.views.delete(this);
      this.scope.dispose();
    });
  }

  /**
   * Shows what the variable holds now. The same template over another object needs nothing: its
   * variables bring the new values.
   * @param {ReadonlySet<string>} [changed] viewdefs that have to be rendered again
   */
  refresh(changed) {
    const { value, properties } = this.variable;
    if (value === undefined) return;
    const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
    const { type, namespace, fallbackNamespace } = properties;
    const key = isObject ? this.context.viewdefs.lookup(type, namespace, fallbackNamespace) : null;
    if (isObject && !key) this.element.setAttribute("ui-missing", `${type ?? "(no type)"}.${namespace ?? "DEFAULT"}`);
    else this.element.removeAttribute("ui-missing");
    if (key === null) this.#showText(isObject ? "" : textOf(value));
    else if (key !== this.key || changed?.has(key)) this.#render(key);
  }

  /** Lets go of what is rendered, which stays on the page until the next refresh. */
  forget() {
    this.scope.dispose();
    this.scope = new Scope();
    this.key = null;
  }

  /** @param {string} text */
  #showText(text) {
    this.forget();
    this.element.removeAttribute("ui-viewdef");
    if (this.element.textContent !== text || this.element.firstElementChild) this.element.textContent = text;
  }

  /** @param {string} key */
  #render(key) {
    const { context, element, variable } = this;
    if (context.depth >= DEEPEST) {
      console.error(`[ui] ${key} is ${DEEPEST} views deep; does it show itself?`);
      return;
    }
    keepState(element, () => {
      this.forget();
      this.key = key;
      const fragment = context.viewdefs.instantiate(key);
      const { namespace } = variable.properties;
      context.bindTree(fragment, {
        ...context,
        scope: this.scope,
        parentId: variable.id,
        namespace,
        depth: context.depth + 1,
      });
      element.replaceChildren(fragment);
      element.setAttribute("ui-viewdef", key);
    });
  }
}
