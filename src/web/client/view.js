// ui-view, and the inside of ui-app: an object, rendered through the template of its type.

import { keepState } from "./keep.js";
import { variableProperties } from "./paths.js";
import { setText } from "./plain.js";
import { bindVariable, Scope, setAttribute } from "./scope.js";

/** A template that shows itself is a mistake, and would never end. */
const DEEPEST = 64;

/** `ui-view="path"`. @type {import("./scope.js").Family} */
export function bindView(element, text, context) {
  const properties = variableProperties(text, { access: "r", namespace: context.namespace });
  new View(element, bindVariable(context, element, "ui-view", properties), context);
}

export class View {
  /** Of the viewdef that is shown. @type {DocumentFragment | null} */
  content = null;
  scope = new Scope();

  /** @param {Element} element to fill @param {import("./variable.js").Variable} variable @param {import("./scope.js").Context} context */
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
   * Shows what the variable holds now, by the viewdef as it is now. For another object of the same type
   * nothing needs doing: the variables inside bring its values.
   */
  refresh() {
    const { element, context } = this;
    const { value, properties } = this.variable;
    if (value === undefined) return;
    const { type, namespace = context.namespace, fallbackNamespace } = properties;
    const composite = value !== null && typeof value === "object"; // an array has a type if it has a wrapper
    const key = composite && context.viewdefs.lookup(type, namespace, fallbackNamespace);
    const missing = composite && !key && !Array.isArray(value);
    setAttribute(element, "ui-missing", missing ? `${type}.${namespace ?? "DEFAULT"}` : null);
    if (key) {
      this.#render(key);
    } else {
      this.#turnTo(null);
      element.removeAttribute("ui-viewdef");
      setText(element, value);
    }
  }

  /** @param {DocumentFragment | null} content */
  #turnTo(content) {
    this.scope.dispose();
    this.scope = new Scope();
    this.content = content;
  }

  /** @param {string} key */
  #render(key) {
    const { context, element, variable } = this;
    const { content } = context.viewdefs.get(key);
    if (content === this.content) return;
    if (context.depth > DEEPEST) throw new Error(`${key} is ${DEEPEST} views deep; does it show itself?`);
    keepState(element, () => {
      this.#turnTo(content);
      const fragment = document.importNode(content, true);
      const { namespace = context.namespace } = variable.properties;
      context.bindTree(fragment, {
        ...context, scope: this.scope, parent: variable, namespace, depth: context.depth + 1,
      });
      element.replaceChildren(fragment);
      element.setAttribute("ui-viewdef", key);
    });
  }
}
