// What a rendered piece of the page holds, and how a binding holds it.

/** @typedef {import("./store.js").Variable} Variable */

/** Everything to be undone when a rendered piece goes: listeners, watchers, variables, views. */
export class Scope {
  abort = new AbortController();
  /** @type {(() => void)[]} */
  cleanups = [];

  dispose() {
    this.abort.abort();
    for (const cleanup of this.cleanups.splice(0).reverse()) cleanup();
  }
}

/**
 * Where a binding stands.
 * @typedef {Object} Context
 * @property {import("./store.js").Store} store
 * @property {import("./viewdefs.js").Viewdefs} viewdefs
 * @property {(root: ParentNode, context: Context) => void} bindTree
 * @property {Scope} scope
 * @property {number} parentId the variable that paths start from
 * @property {string} [namespace] of the nearest `ui-namespace`
 * @property {number} depth of views within views
 *
 * What binds one attribute; `suffix` is the NAME of `ui-attr-NAME` and its like.
 * @typedef {(element: any, text: string, context: Context, suffix: string) => void} Family
 */

/** @type {WeakMap<Element, Map<string, Variable>>} */
const bound = new WeakMap();

/** The variables of an element, by attribute. @param {Element} element */
export function variablesOf(element) {
  return bound.get(element) ?? new Map();
}

/**
 * Makes the variable of one attribute, for as long as the scope lives.
 * @param {Context} context
 * @param {Element} element
 * @param {string} attribute
 * @param {import("./store.js").Properties} properties
 * @param {(variable: Variable) => void} [apply] called when there is a value, and when it changes
 */
export function bindVariable({ store, scope, parentId }, element, attribute, properties, apply) {
  const variable = store.create(parentId, properties);
  const variables = variablesOf(element).set(attribute, variable);
  bound.set(element, variables);
  const refresh = () => {
    markErrors(element, variables);
    if (variable.value !== undefined) apply?.(variable);
  };
  const unwatch = variable.watch(refresh);
  scope.cleanups.push(() => {
    unwatch();
    store.release(variable);
  });
  refresh();
  return variable;
}

/**
 * Listens for as long as the scope lives.
 * @param {Context} context
 * @param {EventTarget} target
 * @param {string} type
 * @param {(event: any) => void} listener
 */
export function listen({ scope }, target, type, listener) {
  target.addEventListener(type, listener, { signal: scope.abort.signal });
}

/** @param {Element} element @param {Map<string, Variable>} variables */
function markErrors(element, variables) {
  const text = [...variables].filter(([, { error }]) => error)
    .map(([name, { initial, error }]) => `${name}="${initial.path}": ${error?.code}: ${error?.description}`)
    .join("\n");
  const before = element.getAttribute("ui-error") ?? "";
  if (text === before) return;
  element.toggleAttribute("ui-error", Boolean(text));
  if (text) element.setAttribute("ui-error", text);
  if ((element.getAttribute("title") ?? "") !== before) return; // the title is the author's
  if (text) element.setAttribute("title", text);
  else element.removeAttribute("title");
}
